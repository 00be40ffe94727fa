"""Intervals, and stopping after the step under way."""

from __future__ import annotations

import os
import signal

import pytest

from kernelwright.rl.training.progress import mean_interval, stop_politely


def test_an_interval_is_the_mean_and_1_96_standard_errors() -> None:
    found = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert (found.mean, found.count) == (2.5, 4)
    assert found.high - found.mean == pytest.approx(1.96 * 1.2909944 / 2)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    one = mean_interval([3.0])
    assert (one.low, one.mean, one.high) == (3.0, 3.0, 3.0)
    with pytest.raises(ValueError, match="values"):
        mean_interval([])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_stops(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_politely() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
