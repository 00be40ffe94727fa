"""What is the same kernel? Its source without what makes no difference: comments, blanks, own names, the way a number is written.

Python is read by its own `ast`, the CUDA C++ in the module's strings by tree-sitter; nothing is run. There are two levels:

`normal_source`
    For who must not be wrong (the archive): two sources with one normal form do the same. So a name stays as it is where anything
    might spell it: attributes, keyword arguments, words of strings, names of torch, CUDA and Python, everything in a module
    that puts strings together or reads its own names or text.
`unmasked_source`
    For who must not be fooled (cheats and held-out tasks, duplicates of a data set): all of the author's own names are numbered,
    attributes too, and imports are written out. Sources that differ in what such a name does to something that spells it come out the same.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from kernelwright.bench_tasks.traits import imported_names
from kernelwright.rl.cuda_tokens import NOT_OURS, Parsed, parse, renamed

__all__ = ["NormalSource", "normal_source", "unmasked_source"]

_CUDA = re.compile(
    r"__global__|__device__|#\s*include\s*[<\"]|PYBIND11_MODULE|TORCH_LIBRARY|\b(torch|at)::Tensor\b|<<<"
)
_KEPT_NAMES = frozenset({"ModelNew"})
_METHODS = frozenset({"forward", "backward", "setup_context", "self", "cls"})
"""Names within classes that torch calls, or that Python's readers know."""
_BUILTINS = frozenset(dir(builtins))
_READS_NAMES = frozenset({"compile", "eval", "exec", "globals", "locals", "open", "vars"})
"""Functions of Python that may find a name, or the text, of the module."""
_READS_ITSELF = frozenset({
    "__annotations__", "__closure__", "__code__", "__dict__", "__doc__", "__file__", "__getattr__", "__globals__", "__import__", "_getframe",
    "f_lineno", "get_type_hints", "importlib", "inspect", "linecache", "modules", "tb_lineno", "traceback",
})  # fmt: skip
"""Attributes and modules that do; `modules` of `sys`, and of torch, which is no harm."""
_COMPOSING = frozenset({
    "format", "format_map", "join", "removeprefix", "removesuffix", "replace", "safe_substitute", "substitute", "translate",
})  # fmt: skip
"""Methods that make strings of strings."""
_LOOKUPS: dict[str, tuple[int | None, str]] = {
    "get_function": (0, "name"), "RawKernel": (1, "name"), "load_inline": (3, "functions"), "RawModule": (None, "name_expressions"),
}  # fmt: skip
"""Where CUDA functions are called by name: place and keyword of the argument that says it."""
_KERNEL_NAME = re.compile(r"[A-Za-z_]\w*(<.*>)?", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")
_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class NormalSource:
    """What is left of a source."""

    text: str
    """The normal form; of what is no Python, its lines without blanks at their ends and empty ones."""
    tokens: tuple[str, ...]
    """The same in pieces, for counting how much two sources share."""
    words: frozenset[str]
    """Words of the CUDA C++, as they were written: names, keywords, and what its strings (`asm`) hold."""

    @property
    def hash(self) -> str:
        """16 hex digits of the SHA-256 over the normal form."""
        return hashlib.sha256(self.text.encode("utf-8", "replace")).hexdigest()[:16]


@lru_cache(maxsize=64)
def normal_source(source: str) -> NormalSource:
    """The normal form of a kernel's module, of which two different kernels never have the same; never fails, whatever it holds."""
    return _read(source, certain=True)


@lru_cache(maxsize=64)
def unmasked_source(source: str) -> NormalSource:
    """What is left of a kernel's module when all is gone that a disguise changes; never fails, whatever it holds."""
    return _read(source, certain=False)


def _read(source: str, *, certain: bool) -> NormalSource:
    try:
        tree = ast.parse(source.removeprefix("\ufeff"))
        if not (certain and _reads_itself(tree)):
            return _normal(tree, certain=certain)
        text = source
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text = "\n".join(line.rstrip() for line in source.splitlines() if line.strip())
    return NormalSource(text, tuple(_TOKEN.findall(text)), frozenset(_WORD.findall(text)))


def _normal(tree: ast.Module, *, certain: bool) -> NormalSource:
    _drop_docstrings(tree)
    pieces = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    in_fields = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    cuda = {id(node): parse(str(node.value)) for node in pieces if _CUDA.search(str(node.value))}
    functions = {name for parsed in cuda.values() for name in parsed.functions}
    named = {
        id(node)
        for node in pieces
        if id(node) not in cuda
        and _KERNEL_NAME.fullmatch(str(node.value))
        and (_WORD.match(str(node.value)) or [""])[0] in functions
    }
    if certain:
        named &= _looked_up(tree)
        others = [node for node in pieces if id(node) not in cuda and id(node) not in named]
        numbers = _certain_numbers(tree, cuda.values(), others)
    else:
        numbers = _c_numbers(cuda.values(), None)
    tokens: list[str] = []
    words: set[str] = set()
    for node in pieces:
        value = str(node.value)
        if id(node) in cuda and id(node) in in_fields:
            # a part of a string that is made at run time: where its comments and names end is not known
            node.value = _WORD.sub(lambda word: numbers.get(word[0], word[0]), value)
            tokens += _TOKEN.findall(node.value)
            words.update(_WORD.findall(value))
        elif id(node) in cuda:
            normal = list(renamed(cuda[id(node)].tokens, numbers))
            words.update(word for token in cuda[id(node)].tokens for word in _WORD.findall(token))
            node.value = " ".join(normal)
            tokens += normal
        elif id(node) in named and id(node) not in in_fields:
            node.value = _WORD.sub(lambda word: numbers.get(word[0], word[0]), value)
    if not certain:
        _unmask(tree, {name: numbers[name] for name in functions if name in numbers})
    if not (certain and _spells_python(tree)):
        _rename(tree, certain=certain)
    text = ast.unparse(tree)
    return NormalSource(text, (*_TOKEN.findall(text), *tokens), frozenset(words))


def _certain_numbers(tree: ast.Module, texts: Collection[Parsed], others: Collection[ast.Constant]) -> dict[str, str]:
    """As `_c_numbers`, without names that the module might spell.

    Args:
        others: strings that are neither CUDA nor look a kernel up.
    """
    silent = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.Raise | ast.Assert) for part in ast.walk(node)
    }
    if _composes(tree, silent):
        return {}
    spelled = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in others:
        if id(node) not in silent:
            found = _WORD.findall(str(node.value))
            spelled.update(found, (word.removeprefix("D") for word in found))  # a macro is `-DNAME=1` to a compiler
    return _c_numbers(texts, spelled)


def _c_numbers(texts: Collection[Parsed], spelled: Collection[str] | None) -> dict[str, str]:
    """The author's names in CUDA C++, numbered in the order in which they come.

    Args:
        spelled: words of the module outside of these texts, which may mean what such a text has outside of functions; None where all
            own names are numbered.
    """
    own = {name for parsed in texts for name in parsed.own}
    if spelled is not None:
        if any(parsed.pastes for parsed in texts):
            return {}
        own -= {name for parsed in texts for name in (*parsed.kept, *parsed.outer.intersection(spelled))}
        own = {name for name in own if not NOT_OURS.fullmatch(name)}
    tokens = [token for parsed in texts for token in parsed.tokens]
    return _numbered((token for token in tokens if token in own), "c", {*tokens, *(spelled or ())} - own)


def _numbered(names: Iterator[str], letter: str, taken: Collection[str]) -> dict[str, str]:
    """`c1`, `c2`, ... by name, without those that are taken by a name that stays."""
    numbers: dict[str, str] = {}
    number = 0
    for name in names:
        if name not in numbers:
            number += 1
            while f"{letter}{number}" in taken:
                number += 1
            numbers[name] = f"{letter}{number}"
    return numbers


# -- Python -----------------------------------------------------------------------------------------------------


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            kept = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            node.body = kept or [ast.Pass()]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list:
            # a decorator may read them: torch makes an operator's schema of them
            node.returns = None
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None


def _reads_itself(tree: ast.Module) -> bool:
    """Whether the module may look at its names, its text or where it stands."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in _READS_NAMES or name in _READS_ITSELF:
                return True
            case ast.Attribute(attr=name) if name in _READS_ITSELF:
                return True
            case ast.FunctionDef(name=name) if name in _READS_ITSELF:
                return True
            case ast.alias(name=name, asname=other):
                if other in _LOOKUPS or name == "*" or {*name.split("."), other} & _READS_ITSELF:
                    return True
                if other and name.rpartition(".")[2] in _LOOKUPS:
                    return True
    return False


def _composes(tree: ast.Module, silent: Collection[int]) -> bool:
    """Whether strings are put together, or kernels looked up by such, so that a name may be spelled that stands nowhere."""
    texts = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(_is_text(part) for part in ast.walk(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        match node:
            case ast.JoinedStr():
                return True
            case ast.BinOp(op=ast.Add() | ast.Mod() | ast.Mult(), left=left, right=right):
                if any(_is_text(side) or (isinstance(side, ast.Name) and side.id in texts) for side in (left, right)):
                    return True
            case ast.AugAssign(target=target, value=value):
                if _is_text(value) or any(isinstance(side, ast.Name) and side.id in texts for side in (target, value)):
                    return True
            case ast.Attribute(attr=name) if name in _COMPOSING:
                return True
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in _LOOKUPS and id(node) not in called:
                return True
            case ast.Call() if (said := _lookup(node)) is not None and not all(_is_text(each) for each in said):
                return True
    return False


def _looked_up(tree: ast.Module) -> set[int]:
    """Strings that say which CUDA function is meant, and nothing else."""
    calls = (_lookup(node) or [] for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {id(each) for said in calls for each in said}


def _lookup(call: ast.Call) -> list[ast.expr] | None:
    """What a call looks CUDA functions up by; None if it looks none up."""
    name = (
        call.func.attr
        if isinstance(call.func, ast.Attribute)
        else call.func.id
        if isinstance(call.func, ast.Name)
        else ""
    )
    if name not in _LOOKUPS:
        return None
    place, keyword = _LOOKUPS[name]
    found = [each.value for each in call.keywords if each.arg == keyword]
    found += call.args[place : place + 1] if place is not None else []
    if any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords):
        return [call]
    return [part for each in found for part in (each.elts if isinstance(each, ast.List | ast.Tuple) else [each])]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _unmask(tree: ast.Module, functions: dict[str, str]) -> None:
    """Writes imports out, numbers attributes of the module's own, and drops annotations.

    Args:
        functions: of CUDA, by name, with the names that they got; attributes too may mean them.
    """
    imports = imported_names(tree)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    methods = [each for body in bodies for each in body if isinstance(each, ast.FunctionDef)]
    own = {each.name for each in methods}
    own.update(
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _is_self(node.value) and not isinstance(node.ctx, ast.Load)
    )
    own = {name for name in own if name not in _METHODS and not name.startswith("__")}
    numbers = _numbered(
        (n.attr for n in _in_order(tree) if isinstance(n, ast.Attribute) and _is_self(n.value) and n.attr in own),
        "f",
        (),
    )
    for each in methods:
        each.name = numbers.get(each.name, each.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            node.attr = (
                numbers.get(node.attr, node.attr) if _is_self(node.value) else functions.get(node.attr, node.attr)
            )
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = imports.get(node.id, node.id)
        for name in ("body", "orelse", "finalbody"):
            if isinstance(body := getattr(node, name, None), list):
                body[:] = [_bare(each) for each in body if not _says_nothing(each)]


def _bare(statement: ast.stmt) -> ast.stmt:
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return ast.copy_location(ast.Assign([statement.target], statement.value), statement)
    return statement


def _says_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _spells_python(tree: ast.Module) -> bool:
    """Whether strings may name Python's functions or arguments: `f(**{"x": 1})`, `f.__name__`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg is None:
            return True
        if isinstance(node, ast.Attribute) and node.attr in {"__name__", "__qualname__"}:
            return True
    return False


def _rename(tree: ast.Module, *, certain: bool) -> None:
    """Numbers the names that the module itself binds, in the order in which they appear; `certain` as for `normal_source`."""
    own: set[str] = set()
    kept = {*_KEPT_NAMES, *(_BUILTINS if certain else _METHODS)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                own.add(name)
            case ast.arg(arg=name):
                own.add(name)
            case ast.alias(name=name, asname=other) if "." not in name or other:
                own.add(other or name)
            case ast.alias(name=name):
                kept.add(name.partition(".")[0])
            case ast.keyword(arg=str(name)) if certain:
                kept.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                kept.update(names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                kept.add(name)
            case ast.MatchMapping(rest=str(name)):
                kept.add(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            # what a class binds is found as an attribute: torch calls `forward`
            for statement in node.body:
                if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    kept.add(statement.name)
                else:
                    kept.update(n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and _stored(n))
    own = {name for name in own if name not in kept and not name.startswith("__")}
    names = [name for node in _in_order(tree) for name in _names(node)]
    numbers = _numbered((name for name in names if name in own), "n", set(names) - own)
    for node in _in_order(tree):
        if isinstance(node, ast.Name):
            node.id = numbers.get(node.id, node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.name = numbers.get(node.name, node.name)
        elif isinstance(node, ast.arg):
            node.arg = numbers.get(node.arg, node.arg)
        elif isinstance(node, ast.alias) and ("." not in node.name or node.asname) and node.name != "*":
            name = node.asname or node.name
            node.asname = numbers.get(name, name)


def _names(node: ast.AST) -> list[str]:
    """The names that a node holds itself."""
    match node:
        case ast.Name(id=name) | ast.arg(arg=name):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.alias(name=name, asname=other):
            return [other or name]
        case ast.keyword(arg=str(name)):
            return [name]
        case _:
            return []


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _in_order(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes in the order of the source, without recursion."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(list(ast.iter_child_nodes(node))))
