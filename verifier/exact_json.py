"""JSON in one form only, for what is hashed: keys sorted, no spaces, numbers that JSON has no word for as ``{"float": "nan"}``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["from_json", "to_json"]

_NUMBERS = {"nan", "inf", "-inf"}


def to_json(value: Any) -> str:
    """The text. Floats come back to the bit (they are written in Python's shortest form), tuples as lists.

    Raises:
        TypeError: something in it is no JSON.
    """
    return json.dumps(_encode(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def from_json(text: str) -> Any:
    """Reads what `to_json` wrote.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_hook=_decode, parse_constant=_refuse)


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: dict[str, Any]) -> Any:
    if value.keys() == {"float"} and isinstance(value["float"], str) and value["float"] in _NUMBERS:
        return float(value["float"])
    return value


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
