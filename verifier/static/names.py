"""What an expression names: `F.relu`, `getattr(torch, "relu")` and `from torch import relu as r; r` are all one op."""

from __future__ import annotations

import ast
import builtins

from kernelwright.verifier.static.scopes import Scope
from kernelwright.verifier.static.strings import Strings

__all__ = ["Names"]

_DEEPEST = 40  # steps of aliasing; no honest module has more than three or four
_STEPS = 400  # in all for one expression: aliases of aliases of two things each would else take for ever
_BUILTINS = frozenset(dir(builtins))
_IMPORTERS = {"importlib.import_module", "builtins.__import__", "importlib.__import__"}
_SAME = {
    "torch.functional": "torch",
    "torch._C._VariableFunctions": "torch",
    "torch._VF": "torch",
    "torch._C._nn": "torch.nn.functional",
    "torch.nn.modules.linear": "torch.nn",
    "torch.nn.modules": "torch.nn",
    "torch._C.TensorBase": "torch.Tensor",
    "torch._tensor.Tensor": "torch.Tensor",
    "posix": "os",
    "_thread": "_thread",
    "__builtins__": "builtins",
}
"""Other names of the same thing."""


class Names:
    """Resolves expressions of one module to dotted names."""

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._known: dict[tuple[ast.expr, Scope], str | None] = {}
        self._steps = 0

    def of(self, node: ast.expr, scope: Scope) -> str | None:
        """The dotted name of what `node` evaluates to, as imported (`torch.nn.functional.relu`, `builtins.open`).

        None if it is something of the module's own, or not known. ``self`` in a method gives ``self``, its attributes None.
        """
        key = (node, scope)
        if key not in self._known:
            self._known[key] = None  # a name bound in terms of itself
            self._steps = _STEPS
            self._known[key] = _same(self._resolve(node, scope, _DEEPEST))
        return self._known[key]

    def _resolve(self, node: ast.expr, scope: Scope, depth: int) -> str | None:
        suffix: list[str] = []
        while depth > 0 and self._steps > 0:
            depth, self._steps = depth - 1, self._steps - 1
            base: str | None = None
            if isinstance(node, ast.Attribute):
                suffix.append(node.attr)
                node = node.value
                continue
            if isinstance(node, ast.Name):
                base = self._name(node.id, scope, depth)
            elif isinstance(node, ast.NamedExpr):
                node = node.value
                continue
            elif isinstance(node, ast.IfExp):
                base = self._resolve(node.body, scope, depth) or self._resolve(node.orelse, scope, depth)
            elif isinstance(node, ast.BoolOp):
                base = next(filter(None, (self._resolve(v, scope, depth) for v in node.values[:4])), None)
            elif isinstance(node, ast.Subscript):
                base = self._subscript(node, scope, depth)
            elif isinstance(node, ast.Call):
                base = self._call(node, scope, depth)
            if base is None or (base in {"self", "cls"} and suffix):
                return None
            return ".".join([_same(base) or base, *reversed(suffix)])
        return None

    def _name(self, name: str, scope: Scope, depth: int) -> str | None:
        found = scope.find(name)
        if found is None:
            if name in _BUILTINS or name == "__builtins__":
                return f"builtins.{name}" if name != "__builtins__" else "builtins"
            stars = [origin for s in (scope, scope.module()) for origin in s.star_imports]
            return f"{stars[0]}.{name}" if stars else None
        where, bindings = found
        for binding in bindings:
            if binding.imported:
                return binding.imported
        for binding in bindings:
            if binding.value is not None and (resolved := self._resolve(binding.value, where, depth)):
                return resolved
        if name in {"self", "cls"} and all(b.value is None and b.definition is None for b in bindings):
            return name
        return None

    def _call(self, node: ast.Call, scope: Scope, depth: int) -> str | None:
        function = self._resolve(node.func, scope, depth)
        if function is None or not node.args:
            return None
        if function == "builtins.getattr" and len(node.args) >= 2:
            base = self._resolve(node.args[0], scope, depth)
            attribute = self._strings.known(node.args[1], scope)
            return f"{base}.{attribute}" if base and attribute else None
        if function in _IMPORTERS:
            module = self._strings.known(node.args[0], scope)
            if module and function.endswith("__import__") and len(node.args) < 4 and not node.keywords:
                return module.split(".")[0]
            return module
        if function in {
            "functools.partial",
            "functools.wraps",
            "builtins.staticmethod",
            "torch.no_grad",
            "torch.inference_mode",
        }:
            return self._resolve(node.args[0], scope, depth)
        if function == "builtins.vars":
            base = self._resolve(node.args[0], scope, depth)
            return f"{base}.__dict__" if base else None
        return None

    def _subscript(self, node: ast.Subscript, scope: Scope, depth: int) -> str | None:
        key = self._strings.known(node.slice, scope)
        if not key:
            return None
        base = self._resolve(node.value, scope, depth)
        if base is None:
            if isinstance(node.value, ast.Call) and self._resolve(node.value.func, scope, depth) == "builtins.globals":
                return self._name(key, scope.module(), depth)
            return None
        if base == "sys.modules":
            return key
        if base.endswith(".__dict__"):
            return f"{base.removesuffix('.__dict__')}.{key}"
        return None


def _same(name: str | None) -> str | None:
    if name is None:
        return None
    for old, new in _SAME.items():
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return name
