"""Rules about what a module does when its kernel fails: an honest one lets the failure be seen."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from kernelwright.verifier.static.collect import Findings
from kernelwright.verifier.static.module import PythonModule
from kernelwright.verifier.static.origins import Origins
from kernelwright.verifier.static.scopes import FunctionNode, Scope
from kernelwright.verifier.static.torch_rules import TorchCall, torch_call

__all__ = ["check_fallback"]

_STEPS = (
    5_000  # nodes that may follow one handler; thousands of handlers, one behind the other, would else take for ever
)
_Try = ast.Try | ast.TryStar


def check_fallback(module: PythonModule, origins: Origins, found: Findings) -> None:
    """Adds a finding per place where torch stands in for a kernel that failed."""
    checker = _Checker(module, origins, found)
    for node, scope in module.nodes(ast.Try, ast.TryStar):
        if module.is_hot(scope):
            checker.tried(node, scope)
        elif not scope.is_module or any(origins.is_built(n, scope) for n in _calls(node.body)):
            checker.built(node, scope)
    for with_node, scope in module.nodes(ast.With):
        if module.is_hot(scope) and checker.suppresses(with_node, scope):
            checker.suppressed(with_node, scope)


class _Checker:
    def __init__(self, module: PythonModule, origins: Origins, found: Findings) -> None:
        self.module, self.origins, self.found = module, origins, found

    def tried(self, node: _Try, scope: Scope) -> None:
        """A try statement in forward()."""
        launches = any(self.origins.launches(statement, scope) for statement in node.body)
        for handler in node.handlers:
            if handler.body and isinstance(handler.body[-1], ast.Raise):
                continue
            if call := self._computes(handler.body, scope):
                self._say(call, launches, "an exception handler", scope)
            elif not _leaves(handler.body) and (call := self._computes(self._behind(node), scope)):
                returned = any(isinstance(part, ast.Return) for part in _within(node.body))
                self._say(call, launches and returned, "what follows an exception handler", scope)
        if call := self._computes([s for s in node.finalbody if isinstance(s, ast.Return)], scope):
            self._say(call, launches, "a finally clause", scope)

    def suppressed(self, node: ast.With, scope: Scope) -> None:
        """``with suppress(...):`` in forward()."""
        if call := self._computes(self._behind(node), scope):
            launches = any(self.origins.launches(statement, scope) for statement in node.body)
            returned = any(isinstance(part, ast.Return) for part in _within(node.body))
            self._say(call, launches and returned, "what follows a suppressed exception", scope)

    def suppresses(self, node: ast.With, scope: Scope) -> bool:
        """Whether it is contextlib.suppress."""
        return any(
            isinstance(item.context_expr, ast.Call)
            and (self.module.name(item.context_expr.func, scope) or "").endswith("suppress")
            for item in node.items
        )

    def built(self, node: _Try, scope: Scope) -> None:
        """A try statement around the building of a kernel: what is done without one is decided later."""
        if not any(self._builds(call, scope) for call in _calls(node.body)):
            return
        for handler in node.handlers:
            if not (handler.body and isinstance(handler.body[-1], ast.Raise)):
                self.found.add(
                    "fall_back_possible",
                    "A kernel that does not compile goes unnoticed: the exception is caught.",
                    handler,
                )

    def _builds(self, call: ast.expr, scope: Scope) -> bool:
        return self.origins.is_built(call, scope)

    def _say(self, call: TorchCall, certain: bool, where: str, scope: Scope) -> None:
        if certain:
            self.found.add(
                "falls_back_to_torch", f"When the kernel fails, {call.written} computes instead, in {where}.", call.node
            )
        else:
            self.found.add("fall_back_possible", f"In {where} {call.written} computes.", call.node)

    def _computes(self, statements: Sequence[ast.AST], scope: Scope) -> TorchCall | None:
        """The first call of torch's that computes in these statements, or in the module's functions that they call."""
        seen: set[ast.AST] = set()
        pending: list[tuple[ast.AST, Scope]] = [(s, scope) for s in reversed(statements)]
        steps = _STEPS
        while pending and steps:
            steps -= 1
            node, where = pending.pop()
            if isinstance(node, ast.Call):
                if call := torch_call(self.module, self.origins, node, where):
                    return call
                for made in self.module.definitions(node.func, where):
                    if isinstance(made, FunctionNode) and made not in seen and not self.origins.function_launches(made):
                        seen.add(made)
                        pending.extend((child, self.module.scopes.of[made]) for child in reversed(made.body))
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
                return TorchCall("matmul", "the operator @", node, where)
            if not isinstance(node, FunctionNode | ast.ClassDef | ast.Lambda):
                pending.extend((child, where) for child in reversed(list(ast.iter_child_nodes(node))))
        return None

    def _behind(self, node: ast.stmt) -> list[ast.stmt]:
        """The statements after `node` in its own block."""
        parent = self.module.scopes.parents.get(node)
        for block in ("body", "orelse", "finalbody"):
            statements = getattr(parent, block, None)
            if isinstance(statements, list) and node in statements:
                return statements[statements.index(node) + 1 :]
        return []


def _leaves(statements: Sequence[ast.stmt]) -> bool:
    return bool(statements) and isinstance(statements[-1], ast.Raise | ast.Return)


def _within(statements: Sequence[ast.stmt]) -> list[ast.AST]:
    found: list[ast.AST] = []
    pending: list[ast.AST] = list(statements)
    while pending:
        node = pending.pop()
        found.append(node)
        if not isinstance(node, FunctionNode | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))
    return found


def _calls(statements: Sequence[ast.stmt]) -> list[ast.Call]:
    return [node for node in _within(statements) if isinstance(node, ast.Call)]
