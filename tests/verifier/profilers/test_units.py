"""Numbers and units of Nsight Compute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.verifier.profilers.units import UnknownUnit, dimension, number, to_base


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10,240,000", 10240000.0), ("33,728", 33728.0), ("86.40", 86.4), ("4.0e-05", 4e-5), ("0", 0.0), ("-1.5", -1.5),
        ("12 (3; 4; 5)", 12.0), ("(!) 7", 7.0), ("n/a", None), ("", None), ("nan", None), ("inf", None), ("(!) n/a", None),
        ("1.234.567", None), ("12,34", None), ("word", None), ("9" * 400, None), ("1e999", None), ("5.", 5.0),
    ],
)  # fmt: skip
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == value


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_thousands_separators_lose_nothing(value: int) -> None:
    assert number(f"{value:,}") == value


@pytest.mark.parametrize(
    ("unit", "factor", "kind"),
    [
        ("nsecond", 1e-9, "time"), ("us", 1e-6, "time"), ("msecond", 1e-3, "time"), ("second", 1.0, "time"), ("s", 1.0, "time"),
        ("byte", 1.0, "memory"), ("Kbyte", 1e3, "memory"), ("Gbyte", 1e9, "memory"), ("Kibyte", 1024.0, "memory"),
        ("byte/block", 1.0, "memory"), ("Kbyte/block", 1e3, "memory"), ("byte/sector", 1.0, "memory"), ("bit", 0.125, "memory"),
        ("hz", 1.0, "frequency"), ("Ghz", 1e9, "frequency"), ("cycle/nsecond", 1e9, "frequency"), ("cycle/second", 1.0, "frequency"),
        ("Gbyte/second", 1e9, "memory/time"), ("byte/nsecond", 1e9, "memory/time"), ("byte/cycle", 1.0, "memory"),
        ("%", 1.0, "percent"), ("", 1.0, "count"), ("inst", 1.0, "count"), ("Kinst", 1e3, "count"), ("sector/request", 1.0, "count"),
        ("register/thread", 1.0, "count"), ("warps", 1.0, "count"),
    ],
)  # fmt: skip
def test_units_come_to_base(unit: str, factor: float, kind: str) -> None:
    value, found = to_base(3.0, unit)
    assert value == pytest.approx(3.0 * factor)
    assert found == kind == dimension(unit)


@pytest.mark.parametrize("unit", ["furlong", "K%", "byte/furlong", "/", "//x"])
def test_unknown_units_are_not_guessed(unit: str) -> None:
    if unit == "/":  # nothing over nothing
        assert to_base(1.0, unit) == (1.0, "count")
        return
    with pytest.raises(UnknownUnit):
        to_base(1.0, unit)
