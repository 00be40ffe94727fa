"""Reading what servers send: each takes a value out of JSON, and gives something harmless where it is of another type."""

from __future__ import annotations

from typing import Any

__all__ = ["count", "is_count", "mapping", "mappings", "text"]

_MOST_TOKENS = 2**31 - 1


def text(value: object) -> str:
    """A text, or the empty one."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> dict[str, Any]:
    """A JSON object, or the empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """The JSON objects in an array; none if it is no array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def is_count(value: object) -> bool:
    """Whether it can be a number of tokens."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS


def count(value: object) -> int:
    """A number of tokens; what can't be one counts as 0."""
    return value if isinstance(value, int) and is_count(value) else 0
