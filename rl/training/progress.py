"""What a stage of training tells whoever watches, and how it is asked to stop."""

from __future__ import annotations

import math
import signal
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

__all__ = ["Interval", "StepDone", "StopRequest", "Watcher", "mean_interval", "stop_politely"]


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class StepDone:
    """A step of a stage ended."""

    stage: str
    """`sft`, `self` or `grpo`."""
    step: int
    """1-based."""
    steps: int
    figures: dict[str, Any]
    """What goes to the log: `reward`, `passed`, `loss`, ..."""


Watcher = Callable[[StepDone], None]


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean with its 95 % interval by the normal approximation, 1.96 standard errors; for a single value both ends are it.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("an interval needs values")
    mean = statistics.fmean(values)
    error = 1.96 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Interval(mean, mean - error, mean + error, len(values))


class StopRequest:
    """Set by the first Ctrl-C or polite kill: the step under way is ended and saved. The next one stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_politely() -> Iterator[StopRequest]:
    """Takes SIGINT and SIGTERM as requests to stop after the step under way; outside of the main thread nothing changes."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
