"""Normal forms of tasks: what stays the same when names, comments, layout, sizes, and how an operation is spelt are changed.

Names that a module makes up are numbered in the order in which they come, names that it only uses (of torch) stay. Text that is no
Python is taken word by word. Nothing is run. What is the same kernel is `kernelwright.rl.same_kernel`'s.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from kernelwright.bench_tasks.traits import imported_names, plain

__all__ = ["digest", "normal_task", "shingles", "words"]

_SHINGLE = 5  # tokens; fewer make everything alike, more make one changed line count for many
_LARGEST = 1 << 20  # characters that are looked at
_MADE_UP = re.compile(r"[cfgln]\d+\Z")
_WORD = re.compile(r"\w+|[^\w\s]")
_KEPT_NAMES = frozenset({"Model", "ModelNew", "forward", "self", "super", "get_inputs", "get_init_inputs"})
_BUILTINS = frozenset(dir(builtins))
_BOILERPLATE = frozenset({"get_inputs", "get_init_inputs"})


def digest(tokens: Iterable[str]) -> str:
    """A content hash of a normal form, 16 hex digits."""
    return hashlib.sha256("\x1f".join(tokens).encode("utf-8", "replace")).hexdigest()[:16]


@lru_cache(maxsize=8192)
def normal_task(source: str) -> tuple[str, ...]:
    """The normal form of a task's module, without how its inputs are made: numbers don't count, nor how an operation is spelt."""
    source = source[:_LARGEST]
    try:
        tree = ast.parse(source)
        return tuple(_Module(tree).tokens(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return tuple(words(source))


def shingles(tokens: Sequence[str]) -> frozenset[str]:
    """Runs of five tokens, made-up names all alike: what two near-duplicates have in common."""
    bare = ["name" if _MADE_UP.match(token) else token for token in tokens]
    if len(bare) <= _SHINGLE:
        return frozenset({" ".join(bare)}) if bare else frozenset()
    return frozenset(" ".join(bare[at : at + _SHINGLE]) for at in range(len(bare) - _SHINGLE + 1))


def words(text: str) -> list[str]:
    """Words and signs of a text in lower case, as they stand."""
    return _WORD.findall(text[:_LARGEST].lower())


class _Module:
    """One module."""

    def __init__(self, tree: ast.Module) -> None:
        self.imports = imported_names(tree)
        self.globals: dict[str, str] = {}
        self.attributes: dict[str, str] = {}
        self.scopes: list[dict[str, str]] = []

    def tokens(self, tree: ast.Module) -> Iterator[str]:
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name not in _BOILERPLATE:
                yield from self._node(node)

    def _node(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass():
                return
            case ast.Expr(value=ast.Constant()):  # a docstring, or a remark that is a string
                return
            case ast.Name(id=name):
                yield self._name(name)
            case ast.Attribute():
                yield from self._attribute(node)
            case ast.Constant(value=value):
                yield repr(value) if isinstance(value, str | bool | None) else "#"
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
                yield "#"
            case ast.arg():  # without its annotation
                yield self._name(node.arg)
            case ast.AnnAssign():
                yield "Assign"
                yield from self._node(node.target)
                if node.value is not None:
                    yield from self._node(node.value)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from self._function(node)
            case ast.ClassDef():
                yield "ClassDef"
                yield self._name(node.name)
                for part in (*node.bases, *node.body):
                    yield from self._node(part)
            case ast.keyword():
                yield f"{node.arg}="
                yield from self._node(node.value)
            case ast.Call():
                yield from self._task_call(node)
            case _:
                yield type(node).__name__
                for child in ast.iter_child_nodes(node):
                    if not isinstance(child, ast.expr_context):
                        yield from self._node(child)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
        yield "function"
        if not isinstance(node, ast.Lambda):
            yield self._name(node.name)
        scope: dict[str, str] = {}
        arguments = node.args
        for each in (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg):
            if each is not None and each.arg != "self":
                scope.setdefault(each.arg, f"l{len(scope)}")
        body: Sequence[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else node.body
        for part in body:
            for inner in ast.walk(part):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    scope.setdefault(inner.id, f"l{len(scope)}")
        self.scopes.append(scope)
        yield from (
            scope[name] for name in scope if name in {a.arg for a in ast.walk(arguments) if isinstance(a, ast.arg)}
        )
        for default in (*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)):
            yield from self._node(default)
        for part in body:
            yield from self._node(part)
        self.scopes.pop()

    def _name(self, name: str) -> str:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        if name in self.imports:
            return self.imports[name]
        if name in _KEPT_NAMES or name in _BUILTINS:
            return name
        return self.globals.setdefault(name, f"g{len(self.globals)}")

    def _attribute(self, node: ast.Attribute) -> Iterator[str]:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            yield "self"
            yield self.attributes.setdefault(node.attr, f"f{len(self.attributes)}")
            return
        yield from self._node(node.value)
        yield f".{node.attr}"

    def _task_call(self, node: ast.Call) -> Iterator[str]:
        """A call of a task: a function of torch, a method and a layer alike, arguments by name behind the others."""
        name = _dotted(node.func, self.imports)
        if name.startswith("torch."):
            yield f"call {plain(name.rpartition('.')[2])}"
        elif isinstance(node.func, ast.Attribute) and not name.startswith("self."):
            yield f"call {plain(node.func.attr)}"
            yield from self._node(node.func.value)
        else:
            yield "call"
            yield from self._node(node.func)
        for argument in node.args:
            yield from self._node(argument)
        for keyword in sorted(node.keywords, key=lambda k: k.arg or ""):
            yield from self._node(keyword.value)


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([names.get(node.id, node.id), *reversed(parts)]) if isinstance(node, ast.Name) else ""
