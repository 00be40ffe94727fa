"""The CUDA sources of a module: what it hands to a compiler, and what else of its strings is CUDA C++."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.verifier.static.cuda import CudaSource, parse_cuda
from kernelwright.verifier.static.module import PythonModule, is_builder
from kernelwright.verifier.static.scopes import FunctionNode, Scope
from kernelwright.verifier.static.texts import Text

__all__ = ["Build", "Sources", "find_sources"]

_LOOKS_CUDA = re.compile(r"__global__|<<<|#include\s*[<\"]|PYBIND11_MODULE|TORCH_LIBRARY")
_CODE_KEYWORDS = {
    "code",
    "cpp_sources",
    "cuda_sources",
    "sources",
    "source",
    "kernel_source",
    "cpp_source",
    "cuda_source",
}
_FIRST_ARGUMENTS = {"RawModule": 1, "RawKernel": 1, "load_inline": 3, "_compile_kernel": 1, "nvrtcCreateProgram": 1,
                    "compile_with_cache": 1, "SourceModule": 1}  # fmt: skip
_EXTENSIONS = {"load_inline", "load"}
_DEEPEST = 12


@dataclass(frozen=True)
class Build:
    """A call that compiles CUDA source."""

    call: ast.Call
    scope: Scope
    maker: str
    """The last name of what is called: ``RawModule``."""

    @property
    def is_extension(self) -> bool:
        """Whether host C++ is compiled with it."""
        return self.maker in _EXTENSIONS


@dataclass(frozen=True)
class Sources:
    """All that was found."""

    parsed: tuple[CudaSource, ...]
    builds: tuple[Build, ...]
    unknown: tuple[tuple[ast.AST, str], ...]
    """Where a source is made at run time, and how."""
    literals: frozenset[ast.expr]
    """The string literals of the module that are part of a source."""

    @property
    def complete(self) -> bool:
        """Whether every source that is compiled was read, and the grammar did not lose its way."""
        return not self.unknown and all(s.broken_at is None for s in self.parsed)


def find_sources(module: PythonModule) -> Sources:
    """Folds and parses every CUDA source of `module`."""
    finder = _Finder(module)
    for call, scope in module.nodes(ast.Call):
        name = module.name(call.func, scope)
        if is_builder(name, call):
            last = (name or "").rsplit(".", 1)[-1] or getattr(call.func, "attr", "")
            finder.build(Build(call, scope, last))
    finder.other_literals()
    texts: dict[str, Text] = {}
    for text in finder.texts:
        texts.setdefault(text.value, text)
    kept = [t for t in texts.values() if not any(o is not t and t.value in o.value for o in texts.values())]
    parsed = tuple(parse_cuda(text) for text in kept)
    return Sources(parsed, tuple(finder.builds), tuple(finder.unknown), frozenset(finder.literals))


class _Finder:
    def __init__(self, module: PythonModule) -> None:
        self.module = module
        self.texts: list[Text] = []
        self.builds: list[Build] = []
        self.unknown: list[tuple[ast.AST, str]] = []
        self.literals: set[ast.expr] = set()

    def build(self, build: Build) -> None:
        """Takes the sources of one build."""
        self.builds.append(build)
        before = set(self.module.strings.used)
        self.module.strings.used.clear()
        for argument in _code_arguments(build):
            self._take(argument, build.scope, _DEEPEST)
        self.literals |= self.module.strings.used
        self.module.strings.used |= before

    def _take(self, node: ast.expr, scope: Scope, depth: int) -> None:
        if isinstance(node, ast.List | ast.Tuple):
            for element in node.elts:
                self._take(element, scope, depth - 1)
            return
        if isinstance(node, ast.Starred):
            self._take(node.value, scope, depth - 1)
            return
        if isinstance(node, ast.Constant) and not isinstance(node.value, str):
            return
        text = self.module.strings.fold(node, scope)
        if text is not None:
            self.texts.append(text)
            if text.holes:
                self.unknown.append((node, "part of it is made at run time"))
            return
        values = list(self._values(node, scope)) if depth > 0 else []
        for value, where in values:
            self._take(value, where, depth - 1)
        if not values:
            self.unknown.append((node, "it is made at run time"))

    def _values(self, node: ast.expr, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
        """The expressions a name, an argument or an attribute may stand for; nothing if one of them is not known."""
        if isinstance(node, ast.IfExp):
            return iter([(node.body, scope), (node.orelse, scope)])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
            return iter(self.module.attributes.get(node.attr, ()))
        if isinstance(node, ast.Name):
            found = scope.find(node.id)
            if found is None:
                return iter(())
            where, bindings = found
            if all(b.value is not None for b in bindings):
                return iter([(b.value, where) for b in bindings if b.value is not None])
            if isinstance(where.node, FunctionNode):
                return iter(self._passed(where.node, node.id))
        if isinstance(node, ast.Call):
            return iter(self._returned(node, scope))
        return iter(())

    def _passed(self, function: FunctionNode, parameter: str) -> list[tuple[ast.expr, Scope]]:
        """What the module's own calls of `function` pass as `parameter`."""
        arguments = function.args.posonlyargs + function.args.args
        position = next((i for i, a in enumerate(arguments) if a.arg == parameter), None)
        passed: list[tuple[ast.expr, Scope]] = []
        for call, scope in self.module.nodes(ast.Call):
            if not (
                isinstance(call.func, ast.Name | ast.Attribute)
                and function in self.module.definitions(call.func, scope)
            ):
                continue
            given = next((k.value for k in call.keywords if k.arg == parameter), None)
            bound = int(isinstance(call.func, ast.Attribute))  # self
            if given is None and position is not None and 0 <= position - bound < len(call.args):
                given = call.args[position - bound]
            if given is not None:
                passed.append((given, scope))
        return passed

    def _returned(self, call: ast.Call, scope: Scope) -> list[tuple[ast.expr, Scope]]:
        """What a function of the module returns, if its one return statement needs no arguments to be read."""
        found: list[tuple[ast.expr, Scope]] = []
        for made in self.module.definitions(call.func, scope):
            inner = self.module.scopes.of[made]
            found.extend((n.value, inner) for n in inner.nodes if isinstance(n, ast.Return) and n.value is not None)
        return found

    def other_literals(self) -> None:
        """Takes the module's other strings that look like CUDA and are no docstrings."""
        documentation = _docstrings(self.module)
        inside = {part for node, _ in self.module.nodes(ast.JoinedStr) for part in ast.walk(node) if part is not node}
        for node, scope in self.module.nodes(ast.Constant, ast.JoinedStr):
            if node in self.literals or node in documentation or node in inside:
                continue
            if isinstance(node, ast.Constant) and not isinstance(node.value, str):
                continue
            text = self.module.strings.literal(node, scope)
            if _LOOKS_CUDA.search(text.value):
                self.texts.append(text)
                self.literals.add(node)


def _code_arguments(build: Build) -> list[ast.expr]:
    given = [k.value for k in build.call.keywords if k.arg in _CODE_KEYWORDS]
    number = _FIRST_ARGUMENTS.get(build.maker, 0)
    if build.maker == "load":
        return []  # files, which the module may have written from its strings
    first = 1 if build.maker == "load_inline" else 0
    return [*build.call.args[first:number], *given]


def _docstrings(module: PythonModule) -> set[ast.expr]:
    """Strings that stand alone as statements: they are never used."""
    return {node.value for node, _ in module.nodes(ast.Expr) if isinstance(node.value, ast.Constant)}
