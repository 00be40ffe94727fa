"""What a run of a suite tells whoever watches it, and the searches' own events as they travel from a child."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kernelwright import events as search_events
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
    "event_json",
    "event_of",
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


def event_json(event: Event) -> dict[str, Any]:
    """A JSON object; `event_of` reads it back."""
    return {"event": type(event).__name__, "fields": asdict(event)}


def event_of(data: Mapping[str, Any]) -> Event:
    """Reads what `event_json` wrote.

    Raises:
        ValueError: it is none.
    """
    kinds = {kind.__name__: kind for kind in search_events.Event.__args__}
    try:
        event: Event = kinds[data["event"]](**data["fields"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no event: {error!r}") from None
    return event
