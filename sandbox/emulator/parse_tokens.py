"""PTX text as tokens, and a reader that takes them one by one."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.errors import EmulatorError
from kernelwright.sandbox.emulator.ptx import Imm

__all__ = ["Reader"]

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*|/\*.*?\*/)
    | (?P<loc>\.loc\s[^\n]*)
    | (?P<file>\.file\s[^\n]*)
    | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<number>0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}|0[xX][0-9a-fA-F]+U?|\d+\.\d+(?:[eE][+-]?\d+)?|\d+U?)
    | (?P<word>\.[A-Za-z_]\w*|[%$A-Za-z_][\w$.%]*(?:::[\w.]+)*)
    | (?P<sign>[{}()\[\];:,@!+\-<>=|*])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise EmulatorError(f"the PTX has a character that is not known, {text[position]!r}, in its line {line}")
        if match.lastgroup != "space":
            yield _Token(match.lastgroup or "", match[0], position)
        position = match.end()


class Reader:
    """The tokens of a PTX text, in order.

    Raises:
        EmulatorError: a character that no token begins with; the methods raise it for a token that does not fit.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        # Debug sections at the end of the text are no statements; registers of NUL bytes end some listings.
        cut = text.find("\n\t.section")
        body = text if cut < 0 else text[:cut]
        self._tokens = list(_tokens(body.replace("\x00", "")))
        self._at = 0

    @property
    def kind(self) -> str:
        """The next token's kind: a group of `_TOKEN`; empty at the end."""
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def peek(self, ahead: int = 0) -> str:
        """The next token, or one `ahead` of it; empty at the end."""
        at = self._at + ahead
        return self._tokens[at].text if at < len(self._tokens) else ""

    def next(self) -> str:
        """Takes a token, whatever it is."""
        if self._at >= len(self._tokens):
            raise EmulatorError("the PTX ends in the middle of a statement")
        self._at += 1
        return self._tokens[self._at - 1].text

    def take(self, text: str) -> bool:
        """Takes the next token if it is `text`."""
        if self.peek() == text:
            self._at += 1
            return True
        return False

    def need(self, text: str) -> None:
        """Takes `text`, which must be next."""
        if not self.take(text):
            raise self.error(f"{text!r} was expected")

    def skip_statement(self) -> None:
        """Takes all up to a semicolon, and that."""
        while self.next() != ";":
            pass

    def integer(self) -> int:
        """Takes an integer without a sign; as in C, a leading 0 is octal."""
        text = self.next()
        try:
            return int(text.rstrip("U"), 8 if re.fullmatch(r"0\d+U?", text) else 0)
        except ValueError:
            raise self.error(f"{text!r} is no integer") from None

    def number(self) -> Imm:
        """Takes a constant with its sign."""
        negative = self.take("-")
        self.take("+")
        text = self.peek()
        prefix = text[:2].lower()
        if prefix == "0f" and len(text) == 10:
            self._at += 1
            return Imm(int(text[2:], 16) ^ (0x80000000 if negative else 0), "f32")
        if prefix == "0d" and len(text) == 18:
            self._at += 1
            return Imm(int(text[2:], 16) ^ (1 << 63 if negative else 0), "f64")
        if self.kind == "number" and "." in text:
            self._at += 1
            value = -float(text) if negative else float(text)
            return Imm(int.from_bytes(struct.pack("<d", value), "little"), "f64")
        whole = self.integer()
        return Imm(-whole if negative else whole)

    def labels_ahead(self) -> list[str]:
        """The labels of the block whose first statement is next, without those of blocks in it; takes nothing."""
        found = []
        depth = 0
        at = self._at
        while at < len(self._tokens) and depth >= 0:
            text = self._tokens[at].text
            depth += (text == "{") - (text == "}")
            if depth == 0 and text == ":" and self._tokens[at - 1].kind == "word":
                found.append(self._tokens[at - 1].text)
            at += 1
        return found

    def error(self, said: str) -> EmulatorError:
        """What is wrong here, with the line of the PTX."""
        at = min(self._at, len(self._tokens) - 1)
        position = self._tokens[at].position if self._tokens else 0
        line = self._text.count("\n", 0, position) + 1
        return EmulatorError(f"the PTX can't be read: {said} before {self.peek()!r} in its line {line}")
