"""A C++ tokenizer that loses nothing: the texts of its tokens, joined, are the source.

Comments, string and raw string literals, characters, numbers and whole preprocessor lines are single tokens, so that
what edits the source never touches the inside of one. `<<<` is one token (a kernel launch opens with it); `>` always
stands alone, since `>>` and `>>>` close templates as well as launches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["CLOSING", "OPENING", "Token", "close_of", "significant", "tokenize"]

OPENING = {"(": ")", "[": "]", "{": "}"}
CLOSING = {")": "(", "]": "[", "}": "{"}

_RAW_STRING = re.compile(r'(?:u8|[uUL])?R"([^()\\\s]{0,16})\(')
_TOKEN = re.compile(
    r"""
    (?P<space>(?:\s|\\\r?\n)+)
  | (?P<comment>//(?:\\\r?\n|[^\n])*|/\*.*?(?:\*/|\Z))
  | (?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"?)
  | (?P<char>(?:u8|[uUL])?'(?:\\.|[^'\\\n])*'?)
  | (?P<word>[A-Za-z_$\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*)
  | (?P<number>\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*)
  | (?P<mark><<<|<<=|<=>|->\*|\.\.\.|::|->|\+\+|--|<<|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\#\#|.)
    """,
    re.VERBOSE | re.DOTALL,
)
# a whole preprocessor line with its continuations; a block comment may hold newlines
_DIRECTIVE = re.compile(r"\#(?:/\*.*?\*/|\\\r?\n|//[^\n]*|[^\n])*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of source text.

    `kind` is one of `space`, `comment`, `string`, `char`, `word`, `number`, `mark`, `directive`.
    """

    kind: str
    text: str
    line: int
    """The 1-based line on which it begins."""

    @property
    def newlines(self) -> int:
        """How many line ends it holds."""
        return self.text.count("\n")


def tokenize(text: str) -> list[Token]:
    """All tokens of `text`, white space and comments included. Never fails: what is no C++ becomes single marks."""
    tokens: list[Token] = []
    at, line, fresh = 0, 1, True
    while at < len(text):
        if fresh and text[at] == "#" and (found := _DIRECTIVE.match(text, at)):
            kind = "directive"
        elif found := _RAW_STRING.match(text, at):
            kind = "string"
            end = text.find(f'){found[1]}"', found.end())
            stop = len(text) if end < 0 else end + len(found[1]) + 2
            tokens.append(Token(kind, text[at:stop], line))
            line += text.count("\n", at, stop)
            at, fresh = stop, False
            continue
        else:
            found = _TOKEN.match(text, at)
            assert found is not None  # its last alternative takes any character
            kind = found.lastgroup or "mark"
        piece = found[0]
        tokens.append(Token(kind, piece, line))
        count = piece.count("\n")
        line += count
        at = found.end()
        if kind == "space":
            fresh = fresh or count > 0
        elif kind != "comment":
            fresh = False
    return tokens


def significant(tokens: list[Token]) -> list[int]:
    """The indices of the tokens that mean something: no space, no comment."""
    return [i for i, token in enumerate(tokens) if token.kind not in ("space", "comment")]


def close_of(tokens: list[Token], order: list[int], at: int) -> int:
    """Where the bracket that opens at `order[at]` closes, as a position in `order`; its length if it does not."""
    depth = 0
    for position in range(at, len(order)):
        token = tokens[order[position]]
        if token.kind != "mark":
            continue
        if token.text in OPENING:
            depth += 1
        elif token.text in CLOSING:
            depth -= 1
            if depth == 0:
                return position
    return len(order)
