"""The source of a kernel without what makes no difference: comments, blanks, own names, the way a number is written.

Python is read by its own `ast`, the CUDA C++ in the module's strings by tree-sitter. Two sources with one normal form do
the same. The reverse does not hold: where it is not certain that a name is the author's own choice, it stays as it is
(attributes and keyword arguments in Python, fields in C++, whatever a string holds that is not CUDA).
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

__all__ = ["NormalSource", "normal_source"]

_CUDA = re.compile(r"__global__|__device__|#\s*include\s*[<\"]|PYBIND11_MODULE|TORCH_LIBRARY|<<<")
_KEPT_NAMES = frozenset({"ModelNew"})
_KERNEL_NAME = re.compile(r"[A-Za-z_]\w*(<.*>)?", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LEXED = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|"
    r"\.?\d(?:[eEpP][+-]|[\w.'])*|[A-Za-z_]\w*|<<<|>>>|::|->|[^\s\w]",
    re.DOTALL,
)
_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)([uUlLzZ]*)")
_FLOAT = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([fFlLhH]?)")
_LITERALS = frozenset({"string_literal", "raw_string_literal", "char_literal", "system_lib_string"})
_DECLARATORS = frozenset({
    "declaration", "parameter_declaration", "optional_parameter_declaration", "init_declarator", "function_declarator",
    "pointer_declarator", "array_declarator", "reference_declarator", "structured_binding_declarator", "for_range_loop",
    "type_definition", "alias_declaration", "struct_specifier", "class_specifier", "union_specifier", "enum_specifier",
    "enumerator", "namespace_definition", "preproc_def", "preproc_function_def", "preproc_params",
    "type_parameter_declaration", "optional_type_parameter_declaration",
})  # fmt: skip
_NAMING_FIELDS = frozenset({"declarator", "name"})
_NAMES_ALONE = frozenset({
    "reference_declarator", "structured_binding_declarator", "preproc_params", "type_parameter_declaration",
})  # fmt: skip
"""Nodes of the grammar whose name has no field."""


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
    """The normal form of a kernel's module; never fails, whatever it holds."""
    try:
        return _normal(ast.parse(source.removeprefix("\ufeff")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lines = [line.rstrip() for line in source.splitlines() if line.strip()]
        text = "\n".join(lines)
        return NormalSource(text, tuple(_TOKEN.findall(text)), frozenset(_WORD.findall(text)))


def _normal(tree: ast.Module) -> NormalSource:
    _drop_docstrings(tree)
    pieces = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    in_fields = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    cuda = {id(node): _parse(str(node.value)) for node in pieces if _CUDA.search(str(node.value))}
    functions = {name for parsed in cuda.values() for name in parsed.functions}
    numbers: dict[str, str] = {}
    for parsed in cuda.values():
        for token in parsed.tokens:
            if token in parsed.own and token not in numbers:
                numbers[token] = f"c{len(numbers) + 1}"
    tokens: list[str] = []
    words: set[str] = set()
    for node in pieces:
        value = str(node.value)
        if id(node) in in_fields:
            # a part of a string that is made at run time: where its comments and names end is not known
            if id(node) in cuda:
                node.value = _WORD.sub(lambda word: numbers.get(word[0], word[0]), value)
                tokens += _TOKEN.findall(node.value)
                words.update(_WORD.findall(value))
            continue
        if id(node) in cuda:
            written = cuda[id(node)].tokens
            normal = list(_renamed(written, numbers))
            words.update(word for token in written for word in _WORD.findall(token))
        elif _KERNEL_NAME.fullmatch(value) and (_WORD.match(value) or [""])[0] in functions:
            node.value = _WORD.sub(lambda word: numbers.get(word[0], word[0]), value)
            continue
        else:
            continue
        node.value = " ".join(normal)
        tokens += normal
    _rename(tree)
    text = ast.unparse(tree)
    return NormalSource(text, (*_TOKEN.findall(text), *tokens), frozenset(words))


def _renamed(tokens: list[str], numbers: dict[str, str]) -> Iterator[str]:
    before = ""
    for token in tokens:
        yield token if before in {".", "->"} else numbers.get(token, token)
        before = token


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


def _rename(tree: ast.Module) -> None:
    """Numbers the names that the module itself binds, in the order in which they appear."""
    own: set[str] = set()
    kept = set(_KEPT_NAMES)
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
            case ast.keyword(arg=str(name)):
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
    numbers: dict[str, str] = {}

    def named(name: str) -> str:
        if name not in own or name in kept or name.startswith("__"):
            return name
        return numbers.setdefault(name, f"n{len(numbers) + 1}")

    for node in _in_order(tree):
        if isinstance(node, ast.Name):
            node.id = named(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.name = named(node.name)
        elif isinstance(node, ast.arg):
            node.arg = named(node.arg)
        elif isinstance(node, ast.alias) and ("." not in node.name or node.asname) and node.name != "*":
            node.asname = named(node.asname or node.name)


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _in_order(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes in the order of the source, without recursion."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(list(ast.iter_child_nodes(node))))


# -- CUDA C++ ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parsed:
    tokens: list[str]
    """Without comments; numbers in one form."""
    own: frozenset[str]
    """Names that the text declares."""
    functions: frozenset[str]


@lru_cache(maxsize=1)
def _parser() -> Parser:
    import tree_sitter_cuda
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_cuda.language()))


@lru_cache(maxsize=64)
def _parse(text: str) -> _Parsed:
    data = text.encode("utf-8", "replace")
    tokens: list[str] = []
    own: set[str] = set()
    functions: set[str] = set()
    cursor = _parser().parse(data).root_node.walk()
    parents: list[str] = []
    descend = True
    while True:
        node = cursor.node
        assert node is not None
        if descend:
            kind = node.type
            if kind == "preproc_arg":
                tokens += _lexed(_text(node, data))
            elif kind in _LITERALS:
                tokens.append(_text(node, data))
            elif kind == "number_literal":
                tokens.append(_number(_text(node, data)))
            elif node.child_count == 0:
                word = _text(node, data)
                if kind != "comment" and word.strip():
                    tokens.append(word)
                    if kind in {"identifier", "type_identifier"} and _declares(parents[-1], cursor.field_name):
                        own.add(word)
                        if parents[-1] == "function_declarator":
                            functions.add(word)
            elif cursor.goto_first_child():
                parents.append(kind)
                continue
        if cursor.goto_next_sibling():
            descend = True
        elif cursor.goto_parent():
            parents.pop()
            descend = False
        else:
            return _Parsed(tokens, frozenset(own), frozenset(functions))


def _declares(parent: str, field: str | None) -> bool:
    return parent in _DECLARATORS and (field in _NAMING_FIELDS or (field is None and parent in _NAMES_ALONE))


def _text(node: Node, data: bytes) -> str:
    return data[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _lexed(text: str) -> list[str]:
    found = (match[0] for match in _LEXED.finditer(text.replace("\\\n", "\n")))
    return [_number(t) if t[0].isdigit() or t[0] == "." else t for t in found if not t.startswith(("//", "/*"))]


def _number(text: str) -> str:
    """One way of writing a number: `0x10u`, `16U` are `16u`; `1.f`, `1.0F`, `1e0f` are `1.0f`."""
    plain = text.replace("'", "")
    if (whole := _INTEGER.fullmatch(plain)) is not None:
        digits, suffix = whole[1].lower(), whole[2].lower()
        base = 16 if digits.startswith("0x") else 2 if digits.startswith("0b") else 8 if digits[0] == "0" else 10
        try:
            return f"{int(digits.removeprefix('0b').removeprefix('0x') or '0', base)}{''.join(sorted(suffix))}"
        except ValueError:  # 09, which is no number either
            return text
    if (real := _FLOAT.fullmatch(plain)) is not None:
        return f"{float(real[1])!r}{real[2].lower()}"
    return text
