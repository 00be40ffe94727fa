"""How figures are said on pages: the filters that templates have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from kernelwright.words import clock_words, one_line, ratio
from kernelwright.words import duration as duration_words

__all__ = ["FILTERS", "ago", "duration", "percent", "speedup", "stamp"]


def duration(seconds: float | None) -> str:
    """A kernel's time, with a unit that fits; `-` where there is none."""
    return "-" if seconds is None else duration_words(seconds)


def clock(seconds: float | None) -> str:
    """What work took by the clock: under a minute as a time of three digits, then minutes and hours."""
    return "-" if seconds is None else duration_words(seconds) if seconds < 60 else clock_words(seconds)


def line(text: str, limit: int = 2000) -> str:
    """Stranger's text on one line, at most `limit` characters, without what turns the writing's direction round or moves a cursor."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text  # most are: a list has hundreds
    return one_line(text[: 4 * limit], limit)


def address(chosen: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> str:
    """The query of a link to the same page with some choices changed; empty ones are left out."""
    return urlencode({name: value for name, value in {**chosen, **(changes or {})}.items() if value not in ("", None)})


def speedup(value: float | None) -> str:
    """Baseline over candidate, as `1.47x`; `-` where there is none."""
    return "-" if value is None else ratio(value)


def percent(value: float | None) -> str:
    """A share as whole percent; `-` where there is none."""
    return "-" if value is None else f"{100 * value:.0f} %"


def stamp(moment: datetime) -> str:
    """A moment for `<time datetime>`: ISO 8601 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(moment: datetime) -> str:
    """A moment for people, in UTC, to the minute."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def plural(count: int, noun: str) -> str:
    """`1 attempt`, `3 attempts`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def verdict_words(verdict: str | None) -> str:
    """A verdict without its underscore; `none` where nothing was judged."""
    return "none" if verdict is None else verdict.replace("_", " ")


def curve_json(curve: Sequence[Any]) -> str:
    """Points of a fast_p curve for a script: `[[p, value, low, high], ...]`."""
    digits = 4
    return json.dumps(
        [
            [
                round(each.p, digits),
                *(None if v is None else round(v, digits) for v in (each.value, each.low, each.high)),
            ]
            for each in curve
        ],
        separators=(",", ":"),
    )


FILTERS: dict[str, Callable[..., Any]] = {
    "address": address,
    "ago": ago,
    "clock": clock,
    "curve_json": curve_json,
    "duration": duration,
    "line": line,
    "percent": percent,
    "plural": plural,
    "speedup": speedup,
    "stamp": stamp,
    "verdict_words": verdict_words,
}
"""By the name that templates use."""
