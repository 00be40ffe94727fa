"""The scopes of a Python module: what each name is bound to, and which function each node runs in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Binding", "FunctionNode", "Scope", "Scopes", "dotted"]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Binding:
    """One way a name gets its value: imported under a dotted name, from an expression, by a definition, or unknown."""

    imported: str = ""
    value: ast.expr | None = None
    definition: FunctionNode | ast.ClassDef | None = None


@dataclass(eq=False)
class Scope:
    """A module, class or function body (a lambda or comprehension belongs to the function around it)."""

    node: ast.Module | ast.ClassDef | FunctionNode
    parent: Scope | None = None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    declared_global: set[str] = field(default_factory=set)
    star_imports: list[str] = field(default_factory=list)
    nodes: list[ast.AST] = field(default_factory=list)
    """Every node that runs in this scope itself, in the order of a walk."""
    children: list[Scope] = field(default_factory=list)

    @property
    def is_class(self) -> bool:
        """Whether it is a class body."""
        return isinstance(self.node, ast.ClassDef)

    @property
    def is_module(self) -> bool:
        """Whether it is the module itself."""
        return isinstance(self.node, ast.Module)

    @property
    def enclosing_class(self) -> ast.ClassDef | None:
        """The class whose body it lies in, at any depth."""
        scope: Scope | None = self
        while scope is not None:
            if isinstance(scope.node, ast.ClassDef):
                return scope.node
            scope = scope.parent
        return None

    def find(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """The scope that binds `name` as Python would look it up from here, with all its bindings there."""
        scope: Scope | None = self
        first = True
        if name in self.declared_global:
            while scope is not None and not scope.is_module:
                scope = scope.parent
        while scope is not None:
            if (first or not scope.is_class) and name in scope.bindings:
                return scope, scope.bindings[name]
            scope, first = scope.parent, False
        return None

    def module(self) -> Scope:
        """The module's scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def subtree(self) -> Iterator[Scope]:
        """This scope and all within it."""
        pending = [self]
        while pending:
            scope = pending.pop()
            yield scope
            pending.extend(reversed(scope.children))


_MARKERS = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
"""Nodes without a place: Python shares one of each among all that have it."""

_BINDING = {
    ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.AnnAssign, ast.NamedExpr,
    ast.AugAssign, ast.For, ast.AsyncFor, ast.comprehension, ast.withitem, ast.ExceptHandler, ast.Global, ast.arg,
}  # fmt: skip


class Scopes:
    """All scopes of a module, from one walk that does not recurse."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope(tree)
        self.of: dict[ast.AST, Scope] = {tree: self.module}
        """The scope of each function, class and module node's own body."""
        self.parents: dict[ast.AST, ast.AST] = {}
        self.by_type: dict[type[ast.AST], list[tuple[int, ast.AST, Scope]]] = {}
        """All nodes of each type with their number in the walk and their scope."""
        number = 0
        pending: list[tuple[ast.AST, Scope]] = [(child, self.module) for child in reversed(tree.body)]
        self.parents.update((child, tree) for child in tree.body)
        while pending:
            node, scope = pending.pop()
            scope.nodes.append(node)
            number += 1
            kind = type(node)
            self.by_type.setdefault(kind, []).append((number, node, scope))
            if kind in _BINDING:
                _bind(node, scope)
            inner = scope
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = Scope(node, scope)
                scope.children.append(inner)
                self.of[node] = inner
            body = {id(child) for child in node.body} if inner is not scope else set()  # type: ignore[attr-defined]
            if isinstance(node, FunctionNode):
                body.add(id(node.args))
            children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, _MARKERS)]
            for child in children:
                self.parents[child] = node
            # decorators, bases and default values run outside; close enough to take a function's defaults as inside
            pending.extend((child, inner if id(child) in body else scope) for child in reversed(children))

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around `node`, innermost first."""
        current = self.parents.get(node)
        while current is not None:
            yield current
            current = self.parents.get(current)


def _bind(node: ast.AST, scope: Scope) -> None:
    def add(name: str, binding: Binding) -> None:
        target = scope.module() if name in scope.declared_global else scope
        target.bindings.setdefault(name, []).append(binding)

    if isinstance(node, ast.Import):
        for alias in node.names:
            add(
                alias.asname or alias.name.split(".")[0],
                Binding(alias.name if alias.asname else alias.name.split(".")[0]),
            )
    elif isinstance(node, ast.ImportFrom):
        origin = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                scope.star_imports.append(origin)
            else:
                add(alias.asname or alias.name, Binding(f"{origin}.{alias.name}"))
    elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        add(node.name, Binding(definition=node))
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            _bind_target(target, node.value, add)
    elif isinstance(node, ast.AnnAssign):
        if node.value is not None:
            _bind_target(node.target, node.value, add)
    elif isinstance(node, ast.NamedExpr):
        _bind_target(node.target, node.value, add)
    elif isinstance(node, ast.AugAssign | ast.For | ast.AsyncFor | ast.comprehension):
        _bind_target(node.target, None, add)
    elif isinstance(node, ast.withitem):
        if node.optional_vars is not None:
            _bind_target(node.optional_vars, None, add)
    elif isinstance(node, ast.ExceptHandler):
        if node.name:
            add(node.name, Binding())
    elif isinstance(node, ast.Global):
        scope.declared_global.update(node.names)
    elif isinstance(node, ast.arg):
        add(node.arg, Binding())


def _bind_target(target: ast.expr, value: ast.expr | None, add: object) -> None:
    assert callable(add)
    pending: list[tuple[ast.expr, ast.expr | None]] = [(target, value)]
    while pending:
        goal, given = pending.pop()
        if isinstance(goal, ast.Name):
            add(goal.id, Binding(value=given))
        elif isinstance(goal, ast.Starred):
            pending.append((goal.value, None))
        elif isinstance(goal, ast.Tuple | ast.List):
            same = isinstance(given, ast.Tuple | ast.List) and len(given.elts) == len(goal.elts)
            values = given.elts if same and isinstance(given, ast.Tuple | ast.List) else [None] * len(goal.elts)
            pending.extend(zip(goal.elts, values, strict=True))


def dotted(node: ast.expr) -> str:
    """`node` as written, if it is made of names, attributes and subscripts; ``...`` for the rest of it."""
    suffix: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            suffix.append(f".{node.attr}")
            node = node.value
        elif isinstance(node, ast.Subscript):
            suffix.append("[...]")
            node = node.value
        else:
            return "".join([node.id if isinstance(node, ast.Name) else "...", *reversed(suffix)])
