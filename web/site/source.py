"""Kernel source with colours, as HTML. The text is a stranger's: every character of it comes out as text."""

from __future__ import annotations

from html import escape

__all__ = ["highlighted"]

_LARGEST = 400_000
"""Characters that are coloured; longer text is shown plain."""


def highlighted(text: str) -> str:
    """Spans of the classes `c` (comment), `k` (keyword), `m` (number) and `s` (string); everything is escaped."""
    if len(text) > _LARGEST:
        return escape(text)
    from pygments.lexers.python import PythonLexer
    from pygments.token import Comment, Keyword, Number, String

    kinds = ((Comment, "c"), (Keyword, "k"), (Number, "m"), (String, "s"))
    parts = []
    for token, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        found = next((letter for kind, letter in kinds if token in kind), None)
        safe = escape(value)
        parts.append(safe if found is None else f'<span class="{found}">{safe}</span>')
    return "".join(parts)
