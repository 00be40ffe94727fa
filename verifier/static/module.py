"""A kernel's Python module, parsed: its ModelNew, what runs in forward(), what builds CUDA source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import TypeVar, overload

from kernelwright.verifier.static.names import Names
from kernelwright.verifier.static.scopes import Binding, FunctionNode, Scope, Scopes
from kernelwright.verifier.static.strings import Strings
from kernelwright.verifier.static.texts import Lines

__all__ = ["BUILDERS", "PythonModule", "is_builder"]

BUILDERS = {
    "RawKernel",
    "RawModule",
    "load_inline",
    "_compile_kernel",
    "nvrtcCreateProgram",
    "compile_with_cache",
    "SourceModule",
}
"""The last names of what takes CUDA source, whatever it is imported from."""

_FORWARD = {"forward", "__call__"}
_DEFINED = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

N = TypeVar("N", bound=ast.AST)
M = TypeVar("M", bound=ast.AST)
L = TypeVar("L", bound=ast.AST)


def is_builder(name: str | None, node: ast.Call) -> bool:
    """Whether a call, whose function is `name`, is given CUDA source."""
    if name == "torch.utils.cpp_extension.load":
        return True
    last = name.rsplit(".", 1)[-1] if name else node.func.attr if isinstance(node.func, ast.Attribute) else ""
    return last in BUILDERS


@dataclass
class PythonModule:
    """One parsed module."""

    source: str
    tree: ast.Module
    model_name: str = "ModelNew"
    """The class whose forward() counts; `Model` when a task's reference is read."""
    lines: Lines = field(init=False)
    scopes: Scopes = field(init=False)
    strings: Strings = field(init=False)
    names: Names = field(init=False)
    models: list[ast.ClassDef] = field(init=False)
    """The classes that `model_name` stands for, with those of the module that they derive from."""
    hot: set[ast.AST] = field(init=False)
    """The functions that run in forward(), as far as names tell."""
    attributes: dict[str, list[tuple[ast.expr, Scope]]] = field(init=False)
    """What is assigned to `self.NAME` in the models, and to NAME in their bodies."""
    _definitions: dict[tuple[ast.expr, Scope], list[FunctionNode | ast.ClassDef]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.lines = Lines(self.source)
        self.scopes = Scopes(self.tree)
        self.strings = Strings(self.lines, self.scopes)
        self.names = Names(self.strings)
        self._definitions = {}
        self.models = self._models()
        self._definitions.clear()  # what was found without knowing the models
        self.attributes = self._attributes()
        self._definitions.clear()
        self.hot = self._hot()

    # -- what others ask ------------------------------------------------------------------------------------------

    @overload
    def nodes(self, first: type[N], /) -> Iterator[tuple[N, Scope]]: ...

    @overload
    def nodes(self, first: type[N], second: type[M], /) -> Iterator[tuple[N | M, Scope]]: ...

    @overload
    def nodes(self, first: type[N], second: type[M], third: type[L], /) -> Iterator[tuple[N | M | L, Scope]]: ...

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[tuple[ast.AST, Scope]]:
        """All nodes of some kinds, each with its scope, in the order of the source."""
        lists = [self.scopes.by_type.get(kind, []) for kind in kinds]
        met = lists[0] if len(lists) == 1 else sorted(chain(*lists), key=itemgetter(0))
        for _, node, scope in met:
            yield node, scope

    def is_hot(self, scope: Scope) -> bool:
        """Whether code of `scope` runs in forward()."""
        current: Scope | None = scope
        while current is not None:
            if current.node in self.hot:
                return True
            current = current.parent
        return False

    def name(self, node: ast.expr, scope: Scope) -> str | None:
        """The dotted name of what `node` evaluates to (see `Names.of`)."""
        return self.names.of(node, scope)

    def definitions(self, node: ast.expr, scope: Scope) -> list[FunctionNode | ast.ClassDef]:
        """The functions and classes of the module that a name or `self.name` may stand for, through aliases."""
        key = (node, scope)
        if key not in self._definitions:
            self._definitions[key] = self._find_definitions(node, scope)
        return self._definitions[key]

    def _find_definitions(self, node: ast.expr, scope: Scope) -> list[FunctionNode | ast.ClassDef]:
        found: list[FunctionNode | ast.ClassDef] = []
        pending: list[tuple[ast.expr, Scope]] = [(node, scope)]
        seen: set[ast.expr] = set()
        while pending and len(seen) < 200:
            expression, where = pending.pop()
            if expression in seen:
                continue
            seen.add(expression)
            if isinstance(expression, ast.Name):
                looked_up = where.find(expression.id)
                for binding in looked_up[1] if looked_up else ():
                    if binding.definition is not None:
                        found.append(binding.definition)
                    elif binding.value is not None and looked_up:
                        pending.append((binding.value, looked_up[0]))
            elif isinstance(expression, ast.Attribute):
                if self.name(expression.value, where) in {"self", "cls"} or _is_super(expression.value):
                    found.extend(self._methods(expression.attr))
                    pending.extend(self.attributes.get(expression.attr, ()))
                else:  # Class.apply, instance.method: whatever the class holds
                    pending.append((expression.value, where))
            elif isinstance(expression, ast.Call):
                pending.append((expression.func, where))
                pending.extend((argument, where) for argument in expression.args[:8])
        return found

    # -- made once ------------------------------------------------------------------------------------------------

    def _models(self) -> list[ast.ClassDef]:
        """Classes that the model's name stands for, and the module's own classes under them."""
        self.attributes, self.models = {}, []
        models: list[ast.ClassDef] = []
        pending: list[ast.ClassDef] = []
        for scope in self.scopes.module.subtree():
            for binding in scope.bindings.get(self.model_name, ()):
                if isinstance(binding.definition, ast.ClassDef):
                    pending.append(binding.definition)
                elif binding.value is not None:
                    pending.extend(self._classes(binding.value, scope))
        while pending:
            node = pending.pop()
            if node in models:
                continue
            models.append(node)
            scope = self.scopes.of[node].parent or self.scopes.module
            pending.extend(made for base in node.bases for made in self._classes(base, scope))
        return models

    def _classes(self, node: ast.expr, scope: Scope) -> list[ast.ClassDef]:
        self_made = {self.model_name} if isinstance(node, ast.Name) else set[str]()
        return [
            d for d in self.definitions(node, scope) if isinstance(d, ast.ClassDef) and d.name not in self_made - {""}
        ]

    def _methods(self, name: str) -> list[FunctionNode]:
        return [
            child
            for model in self.models
            for child in model.body
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name == name
        ]

    def _attributes(self) -> dict[str, list[tuple[ast.expr, Scope]]]:
        found: dict[str, list[tuple[ast.expr, Scope]]] = {}
        models = set(self.models)
        for node, scope in self.nodes(ast.Assign, ast.AnnAssign):
            owner = scope.enclosing_class
            if owner not in models or node.value is None:
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    found.setdefault(target.attr, []).append((node.value, scope))
                elif isinstance(target, ast.Name) and scope.is_class:
                    found.setdefault(target.id, []).append((node.value, scope))
        return found

    def _hot(self) -> set[ast.AST]:
        pending: list[ast.AST] = [
            child for model in self.models for child in model.body
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name in _FORWARD
        ]  # fmt: skip
        pending.extend(self._given_later())
        if not pending:  # made by means that names do not tell: everything may run
            return set(self.scopes.of) - {self.scopes.module.node}
        hot: set[ast.AST] = set()
        while pending:
            made = pending.pop()
            if made in hot:
                continue
            hot.add(made)
            if isinstance(made, ast.ClassDef):
                pending.extend(c for c in made.body if isinstance(c, ast.FunctionDef | ast.AsyncFunctionDef))
            for scope in self.scopes.of[made].subtree():
                for node in scope.nodes:
                    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute) \
                                and self.name(node.value, scope) not in {"self", "cls"}:  # fmt: skip
                            continue  # its base is met by itself
                        pending.extend(d for d in self.definitions(node, scope) if d not in hot)
        return hot

    def _given_later(self) -> list[ast.AST]:
        """What is assigned to ``ModelNew.forward``, or handed to ``type("ModelNew", ...)``."""
        found: list[ast.AST] = []
        for node, scope in self.nodes(ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr in _FORWARD and isinstance(target.value, ast.Name):
                    if target.value.id in {self.model_name, "self"}:
                        found.extend(self.definitions(node.value, scope))
                elif isinstance(target, ast.Name) and target.id == self.model_name and isinstance(node.value, ast.Call):
                    for part in ast.walk(node.value):
                        if isinstance(part, ast.Name):
                            found.extend(self.definitions(part, scope))
        return found

    def bound_anywhere(self, name: str) -> list[tuple[Scope, Binding]]:
        """Every binding of `name` in any scope."""
        return [(s, b) for s in self.scopes.module.subtree() for b in s.bindings.get(name, ())]


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
