"""How figures about kernels are said on pages: filters of templates, beside those of `words`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from kernelwright.verifier.wording import between, error_share
from kernelwright.web.source_lines import visible
from kernelwright.web.views.figures import TimingView
from kernelwright.web.views.kernel import JudgementLine

__all__ = ["FILTERS"]


def amount(count: float | None) -> str:
    """Bytes, with a prefix where they are many: ``4.19 MB``."""
    if count is None:
        return "-"
    return next(
        (f"{count / size:.3g} {unit}" for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if count >= size),
        f"{count:.0f} B",
    )


def number(count: float | None) -> str:
    """A count: in full up to a million, then with a prefix."""
    if count is None:
        return "-"
    return next(
        (f"{count / size:.3g} {unit}" for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)) if count >= size),
        f"{count:,.0f}",
    )


def figure(value: float | None) -> str:
    """Any number, with four digits."""
    return "-" if value is None else f"{value:.4g}"


def given(value: object) -> str:
    """What there is, or `-`."""
    return "-" if value is None else str(value)


def sizes(value: Sequence[int]) -> str:
    """A grid or block: ``4096 x 2``."""
    kept = list(value)
    while len(kept) > 1 and kept[-1] == 1:
        kept.pop()
    return " x ".join(f"{n:,}" for n in kept) or "-"


def dollars(value: Decimal) -> str:
    """Money: cents, or what is left of one in three digits."""
    return f"${value:,.2f}" if value >= Decimal("0.10") or not value else f"${float(value):.2g}"


def interval(timing: TimingView | JudgementLine) -> str:
    """Ends of the time's interval; `-` where it has none."""
    return between(timing.seconds_low, timing.seconds_high).strip(" ()") or "-"


def baseline_interval(timing: TimingView) -> str:
    """The same of the baseline."""
    return between(timing.baseline_seconds_low, timing.baseline_seconds_high).strip(" ()") or "-"


def worst(share: float) -> str:
    """An error as a share of what is allowed."""
    return (
        error_share(share).removeprefix("largest error ").removesuffix(" of what is allowed")
        if share < 100
        else f"{share:.3g} times"
    )


FILTERS: dict[str, Callable[..., Any]] = {
    "baseline_interval": baseline_interval,
    "bytes": amount,
    "count": number,
    "dollars": dollars,
    "error_share": worst,
    "figure": figure,
    "given": given,
    "interval": interval,
    "sizes": sizes,
    "visible": visible,
}
"""By the name that templates use."""
