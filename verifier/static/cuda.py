"""A CUDA C++ source in a module's string, parsed by tree-sitter: its functions, macros, variables and tokens.

The grammar knows no preprocessor: where a macro makes it lose its way, the tokens still tell what is a comment, a
string or a name, and functions are found among them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from kernelwright.verifier.static.texts import Text
from kernelwright.verifier.static.wordlists import words

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

__all__ = ["CudaSource", "Function", "Macro", "Token", "parse_cuda"]

_OPEN = {"(": ")", "{": "}", "[": "]"}
_CLOSE = frozenset(_OPEN.values())
_NO_FUNCTION = words("""if for while switch return sizeof alignof alignas decltype static_assert catch noexcept __launch_bounds__ __align__
    __attribute__ __declspec defined __cluster_dims__ __maxnreg__ __block_size__ requires operator explicit""")
_COMMENT = "comment"
_STRINGS = frozenset({"string_content", "raw_string_content", "character", "system_lib_string", "escape_sequence"})
_RAW = "preproc_arg"
_WORD = re.compile(r"[A-Za-z_]\w*")
_LEXED = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|[A-Za-z_]\w*|<<<|>>>|::|->|[^\s\w]", re.DOTALL
)


@dataclass(frozen=True)
class Token:
    """One token of the source that is neither comment nor white space."""

    text: str
    offset: int
    """Character of the source's value."""
    is_string: bool = False
    in_macro: bool = False
    """Whether it stands in a macro's replacement."""


@dataclass(frozen=True)
class Function:
    """A function, or a declaration of one."""

    name: str
    offset: int
    tokens: tuple[Token, ...]
    """Of its parameters and body."""
    kernel: bool = False
    """``__global__``."""
    device: bool = False
    """``__device__``, or a kernel: it runs on the GPU."""
    defined: bool = True

    @cached_property
    def words(self) -> frozenset[str]:
        """The names that stand in its parameters and body."""
        return frozenset(t.text for t in self.tokens if not t.is_string)


@dataclass(frozen=True)
class Macro:
    """A ``#define``."""

    name: str
    offset: int
    tokens: tuple[Token, ...]
    """Of its replacement."""

    @cached_property
    def words(self) -> frozenset[str]:
        """The names that stand in its replacement."""
        return frozenset(t.text for t in self.tokens if not t.is_string)


@dataclass(frozen=True)
class CudaSource:
    """One parsed source."""

    text: Text
    tokens: tuple[Token, ...]
    functions: tuple[Function, ...]
    macros: tuple[Macro, ...]
    broken_at: int | None = None
    """Where the grammar first lost its way, a character of the value."""
    host_words: frozenset[str] = field(default=frozenset())
    """Names that stand outside functions and macros."""

    @property
    def kernels(self) -> tuple[Function, ...]:
        """Its ``__global__`` functions that have a body."""
        return tuple(f for f in self.functions if f.kernel and f.defined)

    @cached_property
    def declares_kernel(self) -> bool:
        """Whether ``__global__`` stands anywhere but in a comment or a string of it."""
        return any(t.text == "__global__" and not t.is_string for t in self.tokens)

    @cached_property
    def launches(self) -> bool:
        """Whether its host code launches anything."""
        calls = {"<<<", "cudaLaunchKernel", "cudaLaunchKernelExC", "cudaLaunchKernelEx", "cuLaunchKernel",
                 "cuLaunchKernelEx", "cudaLaunchCooperativeKernel", "cuLaunchCooperativeKernel"}  # fmt: skip
        return any(t.text in calls and not t.is_string for t in self.tokens)


@lru_cache(maxsize=1)
def _parser() -> Parser:
    # loading the grammar takes 60 ms: only whoever analyses a source pays for it
    import tree_sitter_cuda
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_cuda.language()))


def parse_cuda(text: Text) -> CudaSource:
    """Parses a source; never fails, whatever it holds."""
    value = text.value
    data = value.encode("utf-8", "replace")  # a lone surrogate becomes one "?"
    tree = _parser().parse(data)
    tokens, broken = _tokens(tree.root_node, data, value)
    return _assemble(text, tokens, broken)


def _tokens(root: Node, data: bytes, value: str) -> tuple[list[Token], int | None]:
    """The leaves of the tree in order, without recursion; macros' replacements, which the grammar leaves whole, lexed."""
    plain = value.isascii()
    known_byte = known_character = 0
    tokens: list[Token] = []
    broken: int | None = None
    cursor = root.walk()
    descend = True
    while True:
        node = cursor.node
        assert node is not None
        if descend:
            start = node.start_byte
            if plain:
                offset = start
            else:
                if start >= known_byte:
                    known_character += len(data[known_byte:start].decode("utf-8", "replace"))
                else:
                    known_character = len(data[:start].decode("utf-8", "replace"))
                known_byte, offset = start, known_character
            kind = node.type
            if broken is None and (kind == "ERROR" or node.is_missing):
                broken = offset
            if kind == _COMMENT:
                pass
            elif kind == _RAW:
                _lex(data[start : node.end_byte].decode("utf-8", "replace"), offset, tokens)
            elif kind in _STRINGS or node.child_count == 0:
                text = data[start : node.end_byte].decode("utf-8", "replace")
                if text and not text.isspace():
                    tokens.append(Token(text, offset, kind in _STRINGS))
            elif cursor.goto_first_child():
                continue
        if cursor.goto_next_sibling():
            descend = True
        elif cursor.goto_parent():
            descend = False
        else:
            return tokens, broken


def _lex(text: str, offset: int, tokens: list[Token]) -> None:
    for match in _LEXED.finditer(text):
        word = match[0]
        if word.startswith(("//", "/*")):
            continue
        if word[0] in "\"'":
            tokens.append(Token(word[1:-1], offset + match.start() + 1, True, True))
        else:
            tokens.append(Token(word, offset + match.start(), False, True))


def _assemble(text: Text, tokens: list[Token], broken: int | None) -> CudaSource:
    macros, directives = _macros(tokens)
    kernel_words = {"__global__"} | {m.name for m in macros if "__global__" in m.words}
    device_words = {"__device__"} | {m.name for m in macros if "__device__" in m.words}
    code = [t for position, t in enumerate(tokens) if not t.in_macro and position not in directives]
    pairs = _pairs(code)
    functions: list[Function] = []
    outside: set[str] = set()
    position = 0
    begin = 0  # of the current declaration
    while position < len(code):
        token = code[position]
        following = code[position + 1].text if position + 1 < len(code) else ""
        if (
            following == "(" and not token.is_string and _WORD.fullmatch(token.text)
            and token.text not in _NO_FUNCTION and token.text not in kernel_words
        ):  # fmt: skip
            close = pairs.get(position + 1, len(code) - 1)
            body = _body(code, pairs, close + 1)
            head = {t.text for t in code[begin:position]}
            if body is not None:
                end = pairs.get(body, len(code) - 1)
                functions.append(_function(code, token, position + 1, end + 1, head, kernel_words, device_words, True))
                position = begin = end + 1
                continue
            if close + 1 < len(code) and code[close + 1].text == ";" and head & kernel_words:
                functions.append(
                    _function(code, token, position + 1, close + 1, head, kernel_words, device_words, False)
                )
        outside.add(token.text)
        if token.text in {";", "{", "}"}:
            begin = position + 1
        position += 1
    return CudaSource(text, tuple(tokens), tuple(functions), tuple(macros), broken, frozenset(outside))


def _function(
    code: list[Token], name: Token, start: int, end: int, head: set[str], kernel_words: set[str],
    device_words: set[str], defined: bool,
) -> Function:  # fmt: skip
    kernel = bool(head & kernel_words)
    device = kernel or (bool(head & device_words) and "__host__" not in head)
    return Function(name.text, name.offset, tuple(code[start:end]), kernel, device, defined)


def _pairs(code: list[Token]) -> dict[int, int]:
    """Opening bracket to closing one, by position; unbalanced ones end nowhere."""
    pairs: dict[int, int] = {}
    stack: list[tuple[str, int]] = []
    for position, token in enumerate(code):
        if token.is_string:
            continue
        if token.text in _OPEN:
            stack.append((_OPEN[token.text], position))
        elif token.text in _CLOSE:
            while stack:
                wanted, opened = stack.pop()
                if wanted == token.text:
                    pairs[opened] = position
                    break
                if token.text != "}":  # a stray `)` closes nothing but its own
                    stack.append((wanted, opened))
                    break
    return pairs


def _body(code: list[Token], pairs: dict[int, int], position: int) -> int | None:
    """The `{` of a function's body whose parameters end before `position`; None if it has none."""
    for _ in range(60):
        if position >= len(code):
            return None
        text = code[position].text
        if text == "{":
            return position
        if text == "(" or text == "[":
            position = pairs.get(position, len(code))
        elif text not in {"const", "noexcept", "override", "final", "->", "::", "*", "&", "<", ">", ":", ","} and (
            not _WORD.fullmatch(text)
        ):
            return None
        position += 1
    return None


def _macros(tokens: list[Token]) -> tuple[list[Macro], set[int]]:
    """The macros, and the positions of the tokens that define them: ``#define NAME ( PARAMETERS )``."""
    macros: list[Macro] = []
    directives: set[int] = set()
    for position, token in enumerate(tokens):
        if not (token.text.startswith("#") and token.text[1:].strip() == "define") or position + 1 >= len(tokens):
            continue
        name, end = tokens[position + 1], position + 2
        # a parameter list follows its name with no space between
        if end < len(tokens) and tokens[end].text == "(" and tokens[end].offset == name.offset + len(name.text):
            while end < len(tokens) and tokens[end].text != ")" and not tokens[end].in_macro:
                end += 1
            end += 1
        directives.update(range(position, end))
        start = end
        while end < len(tokens) and tokens[end].in_macro:
            end += 1
        macros.append(Macro(name.text, name.offset, tuple(tokens[start:end])))
    return macros, directives
