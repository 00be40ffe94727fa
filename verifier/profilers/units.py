"""Numbers and units as Nsight Compute prints them, brought to the units that metrics have here.

Times become seconds, amounts of memory bytes, frequencies hertz; percentages stay in [0, 100], and what is counted (instructions,
sectors, warps) has no dimension.
"""

from __future__ import annotations

import re

__all__ = ["UnknownUnit", "dimension", "number", "to_base"]

_PREFIXES = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
"""Of ten, also before bytes: a block of 16,384 bytes is printed as 16.38 Kbyte."""
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
_BASES = {
    "s": "time", "sec": "time", "second": "time", "byte": "memory", "bytes": "memory", "B": "memory", "bit": "bit", "bits": "bit",
    "hz": "frequency", "Hz": "frequency", "%": "percent",
}  # fmt: skip
_COUNTED = frozenset(
    [
        "inst",
        "instruction",
        "cycle",
        "warp",
        "thread",
        "block",
        "sm",
        "register",
        "request",
        "sector",
        "wavefront",
        "count",
        "flop",
        "op",
        "branch",
        "access",
        "item",
        "cluster",
        "cta",
        "lane",
        "pass",
        "launch",
        "grid",
        "group",
        "hit",
        "miss",
        "tag",
        "way",
        "bank",
        "slice",
    ]
)
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][-+]?\d+)?")


class UnknownUnit(ValueError):
    """A unit that is not known here; its text is the argument."""


def number(text: str) -> float | None:
    """A cell's value: thousands separators are dropped, and what follows in brackets (values by instance).

    None for `n/a`, `nan`, an empty cell, and what is no number.
    """
    found = _NUMBER.match(text.strip().removeprefix("(!)").strip())
    digits = found[0].replace(",", "") if found else ""
    rest = text.strip().removeprefix("(!)").strip()[len(found[0]) :] if found else ""
    if not any(c.isdigit() for c in digits) or (rest and rest[0] not in " ("):
        return None
    value = float(digits)
    return value if value - value == 0.0 else None


def to_base(value: float, unit: str) -> tuple[float, str]:
    """The value in base units, and its dimension: `time`, `memory`, `frequency`, `percent`, `count`, or one over another.

    Raises:
        UnknownUnit: it is none of those that Nsight Compute documents.
    """
    above, *below = [_token(each.strip(), unit) for each in unit.split("/")]
    kind = above[1]
    value *= above[0]
    for factor, divisor in below:
        value /= factor
        if divisor == "time" and kind == "count":
            kind = "frequency"
        elif divisor != "count":
            kind = f"{kind}/{divisor}"
    return value, kind


def dimension(unit: str) -> str:
    """The dimension of a unit of ours (`byte/block` is memory, `sector/request` a count).

    Raises:
        UnknownUnit
    """
    return to_base(1.0, unit)[1]


def _token(token: str, unit: str) -> tuple[float, str]:
    """Factor and dimension of one part of a unit."""
    if not token or token.lower() in _COUNTED or token.lower().removesuffix("s") in _COUNTED:
        return 1.0, "count"
    if token in _BASES:
        return _sized(1.0, _BASES[token])
    for size, factor in (*_BINARY.items(), *_PREFIXES.items()):
        if not token.startswith(size):
            continue
        rest = token.removeprefix(size)
        if (base := _BASES.get(rest) or _BASES.get(rest.lower())) and base != "percent":
            return _sized(factor, base)
        if size in "KMGT" and rest.lower() in _COUNTED:
            return factor, "count"
    raise UnknownUnit(unit)


def _sized(factor: float, base: str) -> tuple[float, str]:
    return (factor / 8.0, "memory") if base == "bit" else (factor, base)
