"""Kernel source with colours, as HTML. The text is a stranger's: every character of it comes out as text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from html import escape

__all__ = ["coloured", "highlighted"]

_LARGEST = 400_000
"""Characters that are coloured; longer text is shown plain."""
_CUDA = ("__global__", "__device__", "#include")
"""What tells a string that holds CUDA C++."""


def highlighted(text: str) -> str:
    """Spans of the classes `c` (comment), `k` (keyword), `m` (number) and `s` (string); everything is escaped."""
    if len(text) > _LARGEST:
        return escape(text)
    parts = []
    for letter, value in coloured(text):
        safe = escape(value)
        parts.append(safe if letter is None else f'<span class="{letter}">{safe}</span>')
    return "".join(parts)


def coloured(text: str) -> Iterator[tuple[str | None, str]]:
    """The text in pieces, each with the letter of its colour; CUDA C++ in strings is coloured as what it is."""
    from pygments.lexers.c_cpp import CppLexer
    from pygments.lexers.python import PythonLexer
    from pygments.token import String

    # as they are: get_tokens would change ends of lines and leave a byte order mark out
    found = ((token, value) for _, token, value in PythonLexer().get_tokens_unprocessed(text))
    for is_string, group in itertools.groupby(found, lambda each: each[0] in String):
        tokens = list(group)
        whole = "".join(value for _, value in tokens) if is_string else ""
        if any(word in whole for word in _CUDA):
            quote = next((q for q in ('"""', "'''", '"', "'") if q in whole[:5]), '"')
            head, mark, rest = whole.partition(quote)
            body, end, tail = rest.rpartition(quote)
            yield "s", head + mark
            for _, token, value in CppLexer().get_tokens_unprocessed(body):
                yield _letter(token), value
            yield "s", end + tail
        else:
            for token, value in tokens:
                yield _letter(token), value


def _letter(token: object) -> str | None:
    from pygments.token import Comment, Keyword, Number, String

    kinds = ((Comment, "c"), (Keyword, "k"), (Number, "m"), (String, "s"))
    return next((letter for kind, letter in kinds if token in kind), None)
