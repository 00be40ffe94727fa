"""Column types: UTC timestamps, and JSON that keeps the floats JSON has no word for."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

__all__ = ["UtcDateTime", "content_id", "dump_json", "load_json"]

_FLOAT = "$float"
"""A non-finite float is stored as ``{"$float": "nan"}``: bare NaN is no JSON, and PostgreSQL refuses it."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC `datetime`, stored without its zone (SQLite has none to store)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Converts to UTC and drops the zone.

        Raises:
            ValueError: `value` says no zone, so its instant is unknown.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a timestamp needs its time zone: {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Gives the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


def _wrap(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(value)}
    if isinstance(value, dict):
        return {key: _wrap(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_wrap(item) for item in value]
    return value


def _unwrap(item: dict[str, Any]) -> Any:
    return float(item[_FLOAT]) if item.keys() == {_FLOAT} else item


def dump_json(value: Any) -> str:
    """JSON text of `value`; NaN and the infinities survive. Tuples become lists."""
    return json.dumps(_wrap(value), allow_nan=False)


def load_json(text: str | bytes) -> Any:
    """Reads what `dump_json` wrote."""
    return json.loads(text, object_hook=_unwrap)


def content_id(value: Any) -> str:
    """16 hex digits of the SHA-256 over `value` as JSON with sorted keys (64 bits, as the ids of tasks and kernels)."""
    text = json.dumps(_wrap(value), allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
