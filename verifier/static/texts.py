"""Text with its origin: which character of a Python module each character of a string's value comes from."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

__all__ = ["HOLE", "Lines", "Piece", "Text", "read_literals"]

HOLE = "kw_made_at_run_time"
"""Stands in a Text for a part that is known only at run time; an identifier in C++, so that the rest still parses."""

_OPEN = re.compile(r"([A-Za-z]{0,2})('''|\"\"\"|'|\")")
_BETWEEN = re.compile(r"(?:\s|\\\n|#[^\n]*|[()])+")
_ESCAPE = re.compile(r"\\(?:\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|.)", re.DOTALL)
_SIMPLE = {"\n": "", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A run of a value's characters, taken one for one from `index` on in the module (or all from there)."""

    text: str
    index: int
    exact: bool = True


@dataclass(frozen=True)
class Text:
    """A string's value in pieces; `holes` counts the parts that are made at run time."""

    pieces: tuple[Piece, ...]
    holes: int = 0

    @cached_property
    def value(self) -> str:
        """The value, each hole as `HOLE`."""
        return "".join(piece.text for piece in self.pieces)

    @cached_property
    def size(self) -> int:
        """Characters of the value, which is not made for it."""
        return sum(len(piece.text) for piece in self.pieces)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(len(piece.text) for piece in self.pieces)]

    def index(self, offset: int) -> int:
        """Where in the module the character at `offset` of the value comes from."""
        at = max(0, min(bisect_right(self._starts, offset) - 1, len(self.pieces) - 1))
        if not self.pieces:
            return 0
        piece = self.pieces[at]
        return piece.index + (offset - self._starts[at] if piece.exact else 0)

    def __add__(self, other: Text) -> Text:
        return Text(self.pieces + other.pieces, self.holes + other.holes)

    def replaced(self, old: str, new: Text) -> Text:
        """With each `old` that lies within one piece replaced by `new`."""
        if not old:
            return self
        pieces: list[Piece] = []
        holes = self.holes
        for piece in self.pieces:
            position = 0
            while (found := piece.text.find(old, position)) >= 0:
                pieces.append(_part(piece, position, found))
                pieces.extend(Piece(p.text, piece.index + (found if piece.exact else 0), False) for p in new.pieces)
                holes += new.holes
                position = found + len(old)
            pieces.append(_part(piece, position, len(piece.text)))
        return Text(tuple(p for p in pieces if p.text), holes)


def _part(piece: Piece, start: int, end: int) -> Piece:
    return Piece(piece.text[start:end], piece.index + (start if piece.exact else 0), piece.exact)


class Lines:
    """Positions in a module's source: `ast` counts in UTF-8 bytes, people in characters."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._starts = [0, *(match.end() for match in re.finditer("\n", source))]
        self._ascii = source.isascii()

    def index(self, line: int, byte_column: int) -> int:
        """The character at a 1-based line and a 0-based column in UTF-8 bytes."""
        start = self._starts[min(line, len(self._starts)) - 1]
        if self._ascii:
            return start + byte_column
        end = self._starts[line] if line < len(self._starts) else len(self.source)
        return start + len(self.source[start:end].encode()[:byte_column].decode(errors="replace"))

    def position(self, index: int) -> tuple[int, int]:
        """1-based line and 1-based column, in characters."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1


def read_literals(source: str, start: int, end: int) -> tuple[Piece | None, ...]:
    """The value of the string literals between two characters of `source`; None for each field of an f-string."""
    pieces: list[Piece | None] = []
    position = start
    while position < end:
        if between := _BETWEEN.match(source, position, end):
            position = between.end()
            continue
        opening = _OPEN.match(source, position, end)
        if opening is None:
            break
        prefix, quote = opening[1].lower(), opening[2]
        position = _body(source, opening.end(), end, quote, "r" in prefix, "f" in prefix, pieces)
    return tuple(pieces)


def _body(source: str, position: int, end: int, quote: str, raw: bool, fields: bool, pieces: list[Piece | None]) -> int:
    """Reads one literal's body into `pieces`; returns the position behind its closing quote."""
    stop = re.compile(r"\\|" + re.escape(quote) + (r"|[{}]" if fields else ""))
    begin = position

    def close(upto: int) -> None:
        if upto > begin:
            pieces.append(Piece(source[begin:upto], begin))

    while match := stop.search(source, position, end):
        position = match.start()
        if match[0] == quote:
            close(position)
            return match.end()
        if match[0] == "\\":
            if fields and source[position + 1 : position + 2] in {"{", "}"}:
                position += 1
                continue
            if raw:
                position += 2
                continue
            escape = _ESCAPE.match(source, position, end)
            if escape is None:
                break
            close(position)
            begin = position
            position = escape.end()
            decoded = _decode(escape[0][1:])
            if decoded is not None:
                if decoded:
                    pieces.append(Piece(decoded, begin, False))
                begin = position
            continue
        close(position)
        if source.startswith(match[0] * 2, position):
            pieces.append(Piece(match[0], position))
            position += 2
        else:
            pieces.append(None)
            position = _field_end(source, position, end)
        begin = position
    close(end)
    return end


def _decode(escape: str) -> str | None:
    """What an escape stands for, without its backslash; None if it is no escape, and stays as it is written."""
    if escape in _SIMPLE:
        return _SIMPLE[escape]
    try:
        if escape[0] in "xuU" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape[0] == "N" and len(escape) > 1:
            return unicodedata.lookup(escape[2:-1])
        if escape[0] in "01234567":
            return chr(int(escape, 8))
    except (KeyError, ValueError, OverflowError):
        return None
    return None


def _field_end(source: str, position: int, end: int) -> int:
    """Behind the closing brace of the f-string field that opens at `position`."""
    depth = 0
    while position < end:
        character = source[position]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if not depth:
                return position + 1
        elif character in "'\"":
            quote = character * 3 if source.startswith(character * 3, position) else character
            closing = source.find(quote, position + len(quote), end)
            position = closing + len(quote) - 1 if closing >= 0 else end
        position += 1
    return end
