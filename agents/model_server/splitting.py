"""Splitting a text into the deltas of a stream."""

from __future__ import annotations

__all__ = ["split"]

SHORTEST = 16
"""Characters of a delta, as tokens have a few each; a long text gets longer ones."""
MOST = 500
"""Deltas of a text."""


def split(text: str) -> list[str]:
    """The text in pieces that together are the text."""
    size = max(SHORTEST, -(-len(text) // MOST))
    return [text[start : start + size] for start in range(0, len(text), size)]
