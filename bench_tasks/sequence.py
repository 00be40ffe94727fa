"""The operations of a task's module in the order in which it does them, read from its source without running it.

Finer than `kernelwright.bench_tasks.traits`, which gives a set: two modules that do the same operations in the same order are the
same task, whatever their sizes, the names of their variables and the way in which each operation is spelt.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache

from kernelwright.bench_tasks.traits import NO_OPERATION, OPERATORS, dotted, imported_names, plain

__all__ = ["operations_in_order"]

_SAID_ANYHOW = frozenset(
    {"dim", "axis", "keepdim", "bias", "inplace", "input", "other", "dtype", "device", "eps", "out", "affine", "weight"}
)
"""Arguments that are given by position as often as by name, or that change nothing of what a kernel must do."""
_DEEPEST = 6  # functions that call functions


@lru_cache(maxsize=4096)
def operations_in_order(source: str) -> tuple[str, ...]:
    """Operations of `Model.forward`, the innermost of an expression first: ``("matmul", "softmax", "matmul")``.

    Each is in one spelling, whether it is a function, a method, an operator or a layer that `__init__` makes; an unusual argument
    given by its name belongs to it: ``conv2d[groups]``. Functions of the file are gone into where they are called. Empty for what
    has no `Model` or is not Python.
    """
    try:
        tree = ast.parse(source)
        model = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Model"), None)
        return () if model is None else tuple(_Reader(tree, model).forward())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()


class _Reader:
    """One file."""

    def __init__(self, tree: ast.Module, model: ast.ClassDef) -> None:
        self.names = imported_names(tree)
        self.methods = {n.name: n for n in model.body if isinstance(n, ast.FunctionDef)}
        functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))  # those within forward too
        self.functions = {n.name: n for n in functions if n is not self.methods.get(n.name)}
        self.layers: Mapping[str, ast.expr] = dict(_attributes(self.methods.get("__init__")))

    def forward(self) -> Iterator[str]:
        if "forward" in self.methods:
            yield from self._block(self.methods["forward"].body, 0)

    def _block(self, body: list[ast.stmt], depth: int) -> Iterator[str]:
        for statement in body:
            yield from self._within(statement, depth)

    def _within(self, node: ast.AST, depth: int) -> Iterator[str]:
        """What `node` does: its parts first, in the order of the text."""
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            return
        for child in ast.iter_child_nodes(node):
            yield from self._within(child, depth)
        if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
            yield OPERATORS[type(node.op)]
        elif isinstance(node, ast.Call):
            yield from self._call(node, depth)

    def _call(self, node: ast.Call, depth: int) -> Iterator[str]:
        name = dotted(node.func, self.names)
        if name in self.functions and depth < _DEEPEST:
            yield from self._block(self.functions[name].body, depth + 1)
        elif name.startswith("self."):
            part = name.removeprefix("self.")
            if part in self.methods and depth < _DEEPEST:
                yield from self._block(self.methods[part].body, depth + 1)
            elif part in self.layers:
                yield from self._layer(self.layers[part])
        elif name.startswith("torch."):
            yield from _named(name.rpartition(".")[2], node)
        elif isinstance(node.func, ast.Attribute) and not name.startswith(("super.", "math.", "os.", "np.")):
            yield from _named(node.func.attr, node)

    def _layer(self, made: ast.expr) -> Iterator[str]:
        """What calling a layer does; of a sequence, what all of them do."""
        if not isinstance(made, ast.Call):
            return
        kind = dotted(made.func, self.names).rpartition(".")[2]
        if kind in {"Sequential", "ModuleList"}:
            for each in made.args:
                for inner in each.elts if isinstance(each, ast.List | ast.Tuple) else [each]:
                    yield from self._layer(inner)
        else:
            yield from _named(kind, made)


def _attributes(init: ast.FunctionDef | None) -> Iterator[tuple[str, ast.expr]]:
    """What `__init__` binds to attributes of self."""
    for node in ast.walk(init) if init is not None else ():
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if (
                    isinstance(target, ast.Attribute)
                    and isinstance(target.value, ast.Name)
                    and target.value.id == "self"
                ):
                    yield target.attr, node.value


def _named(name: str, call: ast.Call) -> Iterator[str]:
    operation = plain(name)
    if operation in NO_OPERATION or name.startswith("__"):
        return
    said = sorted({k.arg for k in call.keywords if k.arg is not None} - _SAID_ANYHOW)
    yield f"{operation}[{','.join(said)}]" if said else operation
