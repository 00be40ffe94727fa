"""Where a value comes from: which calls of a builder (`RawModule`, `load_inline`) may have made it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from kernelwright.verifier.static.module import PythonModule, is_builder
from kernelwright.verifier.static.scopes import FunctionNode, Scope

__all__ = ["Origins"]

_STEPS = 300  # of following one value; no honest one takes more than twenty
_OWN_OPS = "torch.ops."
_NOT_OWN = (
    "torch.ops.aten.",
    "torch.ops.prims.",
    "torch.ops.quantized.",
    "torch.ops.mkldnn.",
    "torch.ops.load_library",
)


class Origins:
    """Follows values through names, attributes, subscripts and the module's own functions."""

    def __init__(self, module: PythonModule) -> None:
        self._module = module
        self._built: dict[tuple[ast.expr, Scope], bool] = {}
        self._launching: dict[ast.AST, bool] = {}

    def is_built(self, node: ast.expr, scope: Scope) -> bool:
        """Whether `node` may be a compiled kernel, or a module that holds some, or a function out of it."""
        key = (node, scope)
        if key not in self._built:
            self._built[key] = any(self._from_builder(leaf, where) for leaf, where in self.leaves(node, scope))
        return self._built[key]

    def leaves(self, node: ast.expr, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
        """Every expression on the way that `node`'s value may have come, `node` first."""
        pending: list[tuple[ast.expr, Scope]] = [(node, scope)]
        seen: set[tuple[ast.expr, Scope]] = set()
        while pending and len(seen) < _STEPS:
            item = pending.pop()
            if item in seen:
                continue
            seen.add(item)
            yield item
            pending.extend(self._before(*item))

    def _before(self, node: ast.expr, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
        if isinstance(node, ast.Name):
            found = scope.find(node.id)
            for binding in found[1] if found else ():
                if binding.value is not None and found:
                    yield binding.value, found[0]
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
                yield from self._module.attributes.get(node.attr, ())
            else:
                yield node.value, scope
        elif isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr | ast.Await):
            yield node.value, scope
        elif isinstance(node, ast.IfExp):
            yield node.body, scope
            yield node.orelse, scope
        elif isinstance(node, ast.BoolOp):
            yield from ((value, scope) for value in node.values)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            yield from ((value, scope) for value in node.elts)
        elif isinstance(node, ast.Dict):
            yield from ((value, scope) for value in node.values)
        elif isinstance(node, ast.DictComp):
            yield node.value, scope
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            yield node.elt, scope
        elif isinstance(node, ast.Call):
            yield node.func, scope  # module.get_function("k"), partial(...), a wrapper of the module's own
            yield from self._returned(node, scope)

    def _returned(self, call: ast.Call, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
        for made in self._module.definitions(call.func, scope):
            inner = self._module.scopes.of.get(made)
            if inner is None or isinstance(made, ast.ClassDef):
                continue
            for node in inner.nodes:
                if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
                    yield node.value, inner

    def _from_builder(self, node: ast.expr, scope: Scope) -> bool:
        name = self._module.name(node, scope) or ""
        if name.startswith(_OWN_OPS) and name.count(".") >= 3 and not name.startswith(_NOT_OWN):
            return True  # an op that the module's own C++ registers
        return isinstance(node, ast.Call) and is_builder(self._module.name(node.func, scope), node)

    # -- launches ---------------------------------------------------------------------------------------------------

    def launches(self, node: ast.AST, scope: Scope) -> bool:
        """Whether running `node` may launch a kernel: by itself, or in a function of the module that it calls."""
        return any(
            isinstance(part, ast.Call) and self._call_launches(part, where)
            for part, where in self._parts(node, scope)
        )  # fmt: skip

    def function_launches(self, made: FunctionNode | ast.ClassDef) -> bool:
        """Whether a function of the module may launch a kernel."""
        if made not in self._launching:
            self._launching[made] = self._reaches_launch([made])
        return self._launching[made]

    def _reaches_launch(self, pending: list[FunctionNode | ast.ClassDef]) -> bool:
        seen = set(pending)
        while pending:
            for scope in self._module.scopes.of[pending.pop()].subtree():
                for node in scope.nodes:
                    if not isinstance(node, ast.Call):
                        continue
                    if self._is_launch(node, scope):
                        return True
                    called = [d for d in self._module.definitions(node.func, scope) if d not in seen]
                    seen.update(called)
                    pending.extend(called)
        return False

    def _is_launch(self, call: ast.Call, scope: Scope) -> bool:
        """Whether a call launches by itself: not one that compiles, or takes a kernel out of a module."""
        if is_builder(self._module.name(call.func, scope), call):
            return False
        if isinstance(call.func, ast.Attribute) and call.func.attr == "get_function":
            return False
        return self.is_built(call.func, scope)

    def _call_launches(self, call: ast.Call, scope: Scope) -> bool:
        if self._is_launch(call, scope):
            return True
        return any(self.function_launches(made) for made in self._module.definitions(call.func, scope))

    def _parts(self, node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
        pending = [node]
        while pending:
            part = pending.pop()
            yield part, scope
            if not isinstance(part, FunctionNode | ast.ClassDef):
                pending.extend(ast.iter_child_nodes(part))
