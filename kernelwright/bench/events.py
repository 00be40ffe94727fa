"""What a run of a suite tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernelwright.bench_tasks.scoring.results import Trial
from kernelwright.db.bench import BenchItem, BenchRun
from kernelwright.events import Event

__all__ = [
    "BenchEvent",
    "BenchObserver",
    "BenchStarted",
    "ItemEnded",
    "ItemSaid",
    "ItemStarted",
    "ignore",
]


@dataclass(frozen=True)
class BenchStarted:
    """A run begins, or goes on; `trials` are those of the items that have ended."""

    run: BenchRun
    items: tuple[BenchItem, ...]
    trials: tuple[Trial, ...]
    jobs: int


@dataclass(frozen=True)
class ItemStarted:
    """A process begins with an item, or goes on with it."""

    item: BenchItem


@dataclass(frozen=True)
class ItemSaid:
    """An event of the item's search."""

    item: BenchItem
    event: Event


@dataclass(frozen=True)
class ItemEnded:
    """A process has done with an item: as it is stored now, and what came of it so far."""

    item: BenchItem
    trial: Trial


BenchEvent = BenchStarted | ItemStarted | ItemSaid | ItemEnded
BenchObserver = Callable[[BenchEvent], None]


def ignore(_event: BenchEvent) -> None:
    """The observer that watches nothing."""
