"""Rules about what is kept from one call of forward() to the next."""

from __future__ import annotations

import ast

from kernelwright.verifier.static.collect import Findings
from kernelwright.verifier.static.module import PythonModule
from kernelwright.verifier.static.origins import Origins
from kernelwright.verifier.static.scopes import FunctionNode, Scope, dotted
from kernelwright.verifier.static.wordlists import words

__all__ = ["check_state"]

_CONTAINER_METHODS = words(
    "append add update setdefault extend insert pop popitem clear remove discard appendleft move_to_end"
)
_CACHES = ("functools.lru_cache", "functools.cache", "functools.cached_property", "cachetools.")
_AT_BUILD = {"__init__", "__new__", "__post_init__", "setup_context"}


def check_state(module: PythonModule, origins: Origins, found: Findings) -> None:
    """Adds a finding per thing that forward(), or what it calls, keeps."""
    checker = _Checker(module, origins, found)
    for node, scope in module.nodes(ast.Assign, ast.AugAssign, ast.AnnAssign):
        if checker.counts(scope):
            checker.assigned(node, scope)
    for call, scope in module.nodes(ast.Call):
        if checker.counts(scope) and isinstance(call.func, ast.Attribute):
            checker.called(call, call.func, scope)
    for function, scope in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        checker.cached(function, scope)
    for key, scope in module.nodes(ast.Subscript, ast.Compare):
        if checker.counts(scope):
            checker.keyed(key, scope)


class _Checker:
    def __init__(self, module: PythonModule, origins: Origins, found: Findings) -> None:
        self.module, self.origins, self.found = module, origins, found

    def counts(self, scope: Scope) -> bool:
        """Whether code of `scope` runs in a call, and not when a model is made."""
        current: Scope | None = scope
        while current is not None and not current.is_module:
            if isinstance(current.node, FunctionNode) and current.node.name in _AT_BUILD:
                return False
            current = current.parent
        return self.module.is_hot(scope) and not scope.is_class

    def assigned(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign, scope: Scope) -> None:
        """``self.x = ...``, ``global n; n += 1``, ``CACHE[key] = ...`` in forward()."""
        targets: list[ast.expr] = list(node.targets) if isinstance(node, ast.Assign) else [node.target]
        while targets:
            target = targets.pop()
            if isinstance(target, ast.Tuple | ast.List):
                targets.extend(target.elts)
                continue
            holder = self._holder(target, scope)
            if holder is None:
                continue
            counter = isinstance(node, ast.AugAssign) or _adds_to_itself(target, node.value)
            if counter and not isinstance(target, ast.Subscript):
                self.found.add("call_counter", f"{holder} counts in forward(), from call to call.", node)
            elif node.value is not None and self.origins.is_built(node.value, scope):
                self.found.add("kept_kernel", f"{holder} keeps a compiled kernel between calls.", node)
            elif not (isinstance(node.value, ast.Constant) and node.value.value in (None, True, False)):
                self.found.add("state_between_calls", f"{holder} is written in forward(), and outlives the call.", node)

    def called(self, node: ast.Call, function: ast.Attribute, scope: Scope) -> None:
        """``CACHE.append(...)``, ``self.seen.update(...)``, ``setattr(self, ...)``."""
        if function.attr not in _CONTAINER_METHODS:
            return
        holder = self._outliving(function.value, scope)
        if holder is None:
            return
        if any(self.origins.is_built(argument, scope) for argument in node.args):
            self.found.add("kept_kernel", f"{holder} keeps a compiled kernel between calls.", node)
        else:
            self.found.add(
                "state_between_calls",
                f"{holder} is changed in forward() by {function.attr}(), and outlives the call.",
                node,
            )

    def cached(self, function: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        """``@lru_cache`` on what forward() calls."""
        if function not in self.module.hot:
            return
        for decorator in function.decorator_list:
            name = self.module.name(decorator.func if isinstance(decorator, ast.Call) else decorator, scope) or ""
            if not name.startswith(_CACHES):
                continue
            inner = self.module.scopes.of[function]
            returned = [n.value for n in inner.nodes if isinstance(n, ast.Return) and n.value is not None]
            if returned and all(self.origins.is_built(value, inner) for value in returned):
                self.found.add("kept_kernel", f"{function.name}() keeps a compiled kernel between calls.", function)
            else:
                self.found.add(
                    "state_between_calls", f"{function.name}() keeps its results between calls, by {name}.", function
                )

    def keyed(self, node: ast.Subscript | ast.Compare, scope: Scope) -> None:
        """``CACHE[x.data_ptr()]``, ``id(x) in SEEN``, ``x.data_ptr() == self.last``."""
        if isinstance(node, ast.Subscript):
            keys, holders = [node.slice], [node.value]
        else:
            keys, holders = [node.left, *node.comparators], [*node.comparators, node.left]
        if not any(self._outliving(holder, scope) for holder in holders):
            return
        for key in keys:
            for part in ast.walk(key):
                if not isinstance(part, ast.Call):
                    continue
                pointer = isinstance(part.func, ast.Attribute) and part.func.attr in {
                    "data_ptr",
                    "untyped_storage",
                    "_version",
                }
                if pointer or self.module.name(part.func, scope) == "builtins.id":
                    what = "a pointer" if pointer else "an object's id"
                    self.found.add("pointer_cache", f"It looks up by {what} what it kept from an earlier call.", node)

    def _holder(self, target: ast.expr, scope: Scope) -> str | None:
        """What a target of an assignment belongs to, if that outlives the call."""
        if isinstance(target, ast.Name):
            return target.id if target.id in scope.declared_global or self._nonlocal(target.id, scope) else None
        if isinstance(target, ast.Attribute):
            if isinstance(target.value, ast.Name) and target.value.id in {"self", "cls"} and self._in_model(scope):
                return f"{target.value.id}.{target.attr}"
            made = self.module.definitions(target.value, scope) if isinstance(target.value, ast.Name) else []
            return f"{dotted(target.value)}.{target.attr}" if made else None
        if isinstance(target, ast.Subscript):
            return self._outliving(target.value, scope)
        return None

    def _in_model(self, scope: Scope) -> bool:
        return scope.enclosing_class in self.module.models

    def _nonlocal(self, name: str, scope: Scope) -> bool:
        return any(isinstance(node, ast.Nonlocal) and name in node.names for node in scope.nodes)

    def _outliving(self, node: ast.expr, scope: Scope) -> str | None:
        """The name of a container that outlives the call: of the module's, of a class's, an attribute, a default value."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in {"self", "cls"} and self._in_model(scope):
                return f"{node.value.id}.{node.attr}"
            if any(isinstance(d, ast.ClassDef | FunctionNode) for d in self.module.definitions(node.value, scope)):
                return f"{node.value.id}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        found = scope.find(node.id)
        if found is None:
            return None
        where, bindings = found
        if (where.is_module and any(b.value is not None for b in bindings)) or where.is_class:
            return node.id
        if isinstance(where.node, FunctionNode) and self._mutable_default(where.node, node.id):
            return f"the default value of {node.id}"
        return None

    def _mutable_default(self, function: FunctionNode, name: str) -> bool:
        arguments = function.args.posonlyargs + function.args.args
        given = dict(zip([a.arg for a in reversed(arguments)], reversed(function.args.defaults), strict=False))
        given.update(
            {
                a.arg: d
                for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
                if d is not None
            }
        )
        return isinstance(given.get(name), ast.Dict | ast.List | ast.Set | ast.Call)


def _adds_to_itself(target: ast.expr, value: ast.expr | None) -> bool:
    """``n = n + 1``."""
    if not (isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Sub)):
        return False
    left, right = value.left, value.right
    return isinstance(right, ast.Constant) and type(left) is type(target) and dotted(left) == dotted(target)
