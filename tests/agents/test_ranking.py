"""Which attempt is the best so far."""

from __future__ import annotations

import pytest

from kernelwright.agents.ranking import fastest
from kernelwright.verifier.evaluation import TimingKind

MODELLED, MEASURED = TimingKind.MODELLED, TimingKind.MEASURED


@pytest.mark.parametrize(
    ("times", "place"),
    [
        ([], None),
        ([2.0, 1.0, 3.0], 1),
        ([1.0, 1.0], 0),
        ([1.0, 0.9951], 0),
        ([1.0, 0.9949], 1),
        ([1.0, 0.997, 0.994], 2),  # together more than half a percent
        ([1.0, 0.994, 0.992], 1),
    ],
)
def test_a_later_one_must_be_half_a_percent_faster(times: list[float], place: int | None) -> None:
    assert fastest((at, MODELLED, seconds) for at, seconds in enumerate(times)) == place


def test_measured_and_modelled_times_are_not_compared() -> None:
    assert fastest([("a", MODELLED, 1e-9), ("b", MEASURED, 1.0), ("c", MODELLED, 1e-12)]) == "b"
    assert fastest([("a", MEASURED, 1.0), ("b", MODELLED, 1e-9), ("c", MEASURED, 0.5)]) == "c"
