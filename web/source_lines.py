"""Source as numbered lines with colours, and the difference of two sources. What is in them is a stranger's text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import lru_cache

from markupsafe import Markup, escape
from pydantic import BaseModel

from kernelwright.web.site.source import coloured

__all__ = ["Diff", "DiffLine", "difference", "source_lines", "visible"]

_COLOURED = 100_000
"""Characters that are coloured on a page; more takes too long."""
_LONGEST = 2_000
"""Characters of a line that are shown."""
_MOST = 6_000
"""Lines that are shown."""
_COMPARED = 4_000
"""Lines of a source up to which two are compared: beyond, it takes seconds."""
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that are not seen, or turn the direction of what is around them: a source may hide something behind them."""


class DiffLine(BaseModel):
    """A line of a difference."""

    kind: str
    """`same`, `added`, `removed`, or `gap` (lines that both have were left out before the next ones)."""
    old: int | None
    """Its number in the first source, from 1."""
    new: int | None
    """Its number in the second one."""
    text: str


class Diff(BaseModel):
    """How the second of two sources differs from the first."""

    lines: list[DiffLine]
    added: int
    removed: int
    omitted: str
    """Why there are no lines, or not all of them; empty otherwise."""


def visible(text: str) -> Markup:
    """The text, escaped, with a mark for each character that would not be seen."""
    return Markup(_UNSEEN.sub(_mark, str(escape(text))))  # escaped, and marks are made of numbers


def _mark(found: re.Match[str]) -> str:
    return f'<span class="unseen">U+{ord(found[0]):04X}</span>'


@lru_cache(maxsize=64)
def source_lines(text: str) -> tuple[Markup, ...]:
    """Each line of a source as HTML, without its end; at most `_MOST`."""
    lines: list[list[str]] = [[]]
    width = 0
    for letter, value in _pieces(text.replace("\r\n", "\n")):
        for number, part in enumerate(value.split("\n")):
            if number:
                lines.append([])
                width = 0
            if len(lines) > _MOST:
                return (*map(_joined, lines[:_MOST]), Markup('<span class="c">(the rest is left out here)</span>'))
            room = _LONGEST - width
            width += len(part)
            if part and room > 0:
                safe = str(visible(part[:room]))
                lines[-1].append(safe if letter is None else f'<span class="{letter}">{safe}</span>')
                if len(part) > room:
                    lines[-1].append(f'<span class="unseen">and {len(part) - room:,} more characters</span>')
    if not lines[-1]:
        lines.pop()
    return tuple(map(_joined, lines))


def _joined(parts: list[str]) -> Markup:
    return Markup("".join(parts))  # of escaped pieces


def _pieces(text: str) -> Iterator[tuple[str | None, str]]:
    return iter([(None, text)]) if len(text) > _COLOURED else coloured(text)


@lru_cache(maxsize=64)
def difference(old: str, new: str, around: int = 3) -> Diff:
    """The unified difference, line by line.

    Args:
        around: lines without a change that are kept before and behind each change.
    """
    first, second = old.replace("\r\n", "\n").split("\n"), new.replace("\r\n", "\n").split("\n")
    if max(len(first), len(second)) > _COMPARED:
        return Diff(lines=[], added=0, removed=0, omitted="The sources are too long to be compared here.")
    lines: list[DiffLine] = []
    for number, group in enumerate(
        difflib.SequenceMatcher(None, first, second, autojunk=False).get_grouped_opcodes(around)
    ):
        if number or group[0][1] or group[0][3]:
            lines.append(DiffLine(kind="gap", old=None, new=None, text=""))
        for tag, a, b, c, d in group:
            if tag == "equal":
                lines += [_line("same", a + i, c + i, first[a + i]) for i in range(b - a)]
                continue
            lines += [_line("removed", i, None, first[i]) for i in range(a, b)]
            lines += [_line("added", None, i, second[i]) for i in range(c, d)]
    return Diff(
        lines=lines,
        added=sum(line.kind == "added" for line in lines),
        removed=sum(line.kind == "removed" for line in lines),
        omitted="" if lines else "The two sources are the same.",
    )


def _line(kind: str, old: int | None, new: int | None, text: str) -> DiffLine:
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... {len(text) - _LONGEST:,} more characters"
    return DiffLine(kind=kind, old=None if old is None else old + 1, new=None if new is None else new + 1, text=shown)
