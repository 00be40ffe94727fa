"""Numbers in words."""

from __future__ import annotations

import pytest
from door_nouns import passed, timing

from kernelwright.words import duration, limited_by, one_line, ratio, timing_sentence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.345e-6, "12.3 µs"),
        (9.999e-6, "10.0 µs"),
        (999.9e-6, "1.00 ms"),
        (0.07, "70.0 ms"),
        (2.0, "2.00 s"),
        (123.4, "123 s"),
        (5e-10, "0.50 ns"),
    ],
)
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ratios() -> None:
    assert (ratio(1.2345), ratio(123.4)) == ("1.23x", "123x")


def test_a_time_is_never_without_its_kind() -> None:
    assert timing_sentence(timing()) == "10.0 µs modelled for H200, eager 25.0 µs (2.50x), 80 % of roofline"


def test_limiter_is_the_costliest_rows() -> None:
    rows = [
        {"name": "a", "seconds": 1e-6, "limited_by": "launch"},
        {"name": "b", "seconds": 9e-6, "limited_by": "issue"},
    ]
    evaluation = passed()
    assert evaluation.timing is not None
    changed = evaluation.model_copy(update={"timing": evaluation.timing.model_copy(update={"breakdown": rows})})
    assert limited_by(changed) == "issue"


def test_one_line_shortens_and_cleans() -> None:
    assert one_line("a\n\tb\x00\u202ec") == "a b c"
    assert one_line("x" * 20, limit=10) == "xxxxxxx..."
