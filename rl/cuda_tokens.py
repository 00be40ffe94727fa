"""The CUDA C++ of a kernel as tokens, without comments, with numbers in one form, and with the names that its author chose."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

__all__ = ["NOT_OURS", "Parsed", "parse", "renamed"]

_LEXED = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|"
    r"\.?\d(?:[eEpP][+-]|[\w.'])*|\w+|<<<|>>>|::|->|##|[^\s\w]",
    re.DOTALL,
)
_GAP = re.compile(r"\\\r?\n")
_NAME = re.compile(r"[A-Za-z_]\w*")
_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)([uUlLzZ]*)")
_LARGEST_INT = 2**31 - 1
_DIGITS = 15  # of a decimal number; up to here no two are one double
_FLOAT = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([fFlLhH]?)")
_LITERALS = frozenset({"string_literal", "raw_string_literal", "char_literal", "system_lib_string"})
_DECLARATORS = frozenset({
    "declaration", "parameter_declaration", "optional_parameter_declaration", "init_declarator", "function_declarator",
    "pointer_declarator", "array_declarator", "reference_declarator", "structured_binding_declarator", "for_range_loop",
    "type_definition", "alias_declaration", "struct_specifier", "class_specifier", "union_specifier", "enum_specifier",
    "enumerator", "namespace_definition", "preproc_def", "preproc_function_def", "preproc_params",
    "type_parameter_declaration", "optional_type_parameter_declaration",
})  # fmt: skip
_INNER = frozenset({"compound_statement", "parameter_list", "template_parameter_list", "preproc_params"})
_NAMING_FIELDS = frozenset({"declarator", "name"})
_NAMES_ALONE = frozenset({
    "reference_declarator", "structured_binding_declarator", "preproc_params", "type_parameter_declaration",
})  # fmt: skip
"""Nodes of the grammar whose name has no field."""
NOT_OURS = re.compile(
    r"__\w*|threadIdx|blockIdx|blockDim|gridDim|warpSize|INFINITY|NAN|NULL|M_\w+|\w+_(MAX|MIN|EPSILON)|"
    r"(u?(char|short|int|long|longlong)|float|double|half|bfloat16|nv_bfloat16)\d?\d?|dim3|(size|ptrdiff|u?int(8|16|32|64|ptr|max))_t|"
    r"h(add|sub|mul|div|fma|neg|abs|exp|exp2|exp10|log|log2|log10|sqrt|rsqrt|rcp|sin|cos|tanh|ceil|floor|trunc|rint|max|min|isnan)2?|"
    r"(max|min|abs|fabs|fma|exp|exp2|exp10|expm1|log|log2|log10|log1p|sqrt|rsqrt|cbrt|rcbrt|hypot|rhypot|pow|sin|cos|tan|sinpi|cospi|sincos|"
    r"asin|acos|atan|atan2|sinh|cosh|tanh|asinh|acosh|atanh|erf|erfc|erfinv|erfcinv|erfcx|normcdf|normcdfinv|tgamma|lgamma|ceil|floor|trunc|"
    r"round|rint|nearbyint|lrint|lround|llrint|llround|fmod|remainder|copysign|fmax|fmin|fdim|fdivide|ldexp|frexp|modf|logb|ilogb|r?norm[34]d|nextafter|scalbl?n|cyl_bessel_i[01])f?|"
    r"(ll|ull|u)?(max|min|abs)|labs|div|nan|isnan|isinf|isfinite|signbit|swap|move|forward|memcpy|memset|printf|assert|malloc|free|clock|clock64|"
    r"(atomic[A-Z]|make_|surf[12C]|tex[123C]|cuda[A-Z]|cu[A-Z])\w*"
)
"""Names that CUDA, C++ or torch may mean where the author's are not in scope."""


@dataclass(frozen=True)
class Parsed:
    """One text."""

    tokens: list[str]
    """Without comments; numbers in one form."""
    own: frozenset[str]
    """Names that the text declares."""
    functions: frozenset[str]
    """Of these, those of functions."""
    outer: frozenset[str]
    """Of these, those that more than one function may see: of functions, macros and globals."""
    kept: frozenset[str]
    """Names that may mean something else besides: fields, and what is called where names of other namespaces are let in."""
    pastes: bool
    """Whether the preprocessor makes names or strings of others, or the text ends within a word."""


@lru_cache(maxsize=1)
def _parser() -> Parser:
    import tree_sitter_cuda
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_cuda.language()))


@lru_cache(maxsize=64)
def parse(text: str) -> Parsed:
    """Reads CUDA C++, or whatever it is: nothing is too strange, and no character but blanks and comments is lost."""
    data = text.encode("utf-8", "replace")
    tokens: list[str] = []
    own: set[str] = set()
    functions: set[str] = set()
    outer: set[str] = set()
    kept: set[str] = set()
    cursor = _parser().parse(data).root_node.walk()
    parents: list[str] = []
    seen = 0  # bytes that are accounted for
    directive = ""  # of the preprocessor, whose line this is
    descend = True
    while True:
        node = cursor.node
        assert node is not None
        if descend:
            kind = node.type
            leaf = node.child_count == 0 or kind == "preproc_arg" or kind in _LITERALS or kind == "number_literal"
            if leaf:
                gap = _GAP.sub(" ", data[seen : node.start_byte].decode("utf-8", "replace"))
                word = _text(node, data)
                if directive and ("\n" in gap or word.strip(" \t\r") == "\n"):
                    if directive != "#include" and not _plain_unroll(tokens):
                        tokens.append("\n")  # where it ends makes a difference
                    directive = ""
                tokens += gap.split()
                seen = max(seen, node.end_byte)
                if word.startswith("#") and len(word) > 1:
                    directive = "".join(word.split())
            if kind == "preproc_arg":
                tokens += _lexed(word)
            elif kind in _LITERALS:
                tokens.append(word)
            elif kind == "number_literal":
                tokens.append(_number(word))
            elif leaf:
                if kind != "comment" and word.strip():
                    tokens.append(directive if word.startswith("#") and directive else word)
                    if kind == "field_identifier" and parents[-1] not in {"field_expression", "field_designator"}:
                        kept.add(word)
                    if kind in {"identifier", "type_identifier"} and _declares(parents[-1], cursor.field_name):
                        own.add(word)
                        if not _INNER.intersection(parents) or parents[-1].startswith("preproc"):
                            outer.add(word)
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
            tokens += _GAP.sub(" ", data[seen:].decode("utf-8", "replace")).split()
            if ("using", "namespace") in pairwise(tokens):
                kept.update(name for name, after in pairwise(tokens) if after in {"(", "<"} and name not in functions)
            pastes = "##" in tokens or "#" in tokens or text[-1:].isalnum() or text[-1:] == "_"
            return Parsed(tokens, frozenset(own), frozenset(functions), frozenset(outer), frozenset(kept), pastes)


def _plain_unroll(tokens: list[str]) -> bool:
    """Whether the last directive is an `unroll` that needs no end to be told from what follows: a loop."""
    return tokens[-2:] == ["#pragma", "unroll"] or (tokens[-3:-1] == ["#pragma", "unroll"] and tokens[-1].isdigit())


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
            number = int(digits.removeprefix("0b").removeprefix("0x") or "0", base)
        except ValueError:  # 09, which is no number either
            return text
        if base != 10 and number > _LARGEST_INT and "u" not in suffix:
            return text  # of another type than the same number in decimal
        return f"{number}{''.join(sorted(suffix))}"
    if (real := _FLOAT.fullmatch(plain)) is not None:
        value = float(real[1])
        digits = real[1].lower().partition("e")[0].replace(".", "").strip("0")
        if math.isfinite(value) and len(digits) <= _DIGITS:
            return f"{value!r}{real[2].lower()}"
    return text


def renamed(tokens: list[str], numbers: Mapping[str, str]) -> Iterator[str]:
    """The tokens with numbers for names, but for members and for what lies in a namespace of others."""
    before, qualifier = "", ""
    for token in tokens:
        foreign = before in {".", "->"} or (before == "::" and _NAME.fullmatch(qualifier) and qualifier not in numbers)
        yield token if foreign else numbers.get(token, token)
        before, qualifier = token, before
