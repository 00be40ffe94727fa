"""Tables for files: names may come from strangers, and none may become a formula, a link or a tag."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.words import one_line

__all__ = ["inert", "plain", "table"]

_SPECIAL = frozenset("\\`*_{}[]<>()#+!|~&$")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown already."""
    assert all(len(row) == len(headings) for row in rows)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """As Markdown that shows exactly this text, in one line."""
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in one_line(text, len(text)))


def inert(text: str) -> str:
    """For a cell of a CSV file: a spreadsheet takes a text that begins so for a formula."""
    text = one_line(text, len(text))
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text
