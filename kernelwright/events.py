"""What long work tells whoever watches it: plain frozen events, handed to a callback.

The command line draws them, the web page streams them, tests collect them. Emitting code never formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "AttemptFinished",
    "AttemptStarted",
    "Event",
    "Note",
    "Observer",
    "RunFinished",
    "RunStarted",
    "StageFinished",
    "StageStarted",
    "event_json",
    "event_of",
    "ignore",
]


@dataclass(frozen=True)
class RunStarted:
    """A search begins (or goes on, when `done` attempts are already stored)."""

    run_id: str
    task: str
    rounds: int
    done: int = 0


@dataclass(frozen=True)
class AttemptStarted:
    """Round `number` (1-based) begins; `plan` says in words what this attempt changes."""

    run_id: str
    number: int
    plan: str


@dataclass(frozen=True)
class StageStarted:
    """A stage of one evaluation, or of the coder's work (`capture`, `write`, `judge`), begins."""

    stage: str


@dataclass(frozen=True)
class StageFinished:
    """`status` is one of `passed`, `failed`, `skipped`, `warned`; `summary` is one short line."""

    stage: str
    status: str
    summary: str
    seconds: float


@dataclass(frozen=True)
class AttemptFinished:
    """`seconds` is the kernel's time (see `kind`), None when it did not pass; `advice` is the judge's, if any."""

    run_id: str
    number: int
    verdict: str
    reason: str
    seconds: float | None
    kind: str | None
    speedup: float | None
    advice: str
    best: bool


@dataclass(frozen=True)
class RunFinished:
    """A search ended; `status` is `finished` or `interrupted`."""

    run_id: str
    status: str
    attempts: int
    passed: int


@dataclass(frozen=True)
class Note:
    """Something worth saying that is no stage, for instance that a part stays in torch."""

    text: str
    details: Mapping[str, str] = field(default_factory=dict)


Event = RunStarted | AttemptStarted | StageStarted | StageFinished | AttemptFinished | RunFinished | Note
Observer = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """The observer that watches nothing."""


def event_json(event: Event) -> dict[str, Any]:
    """A JSON object; `event_of` reads it back."""
    return {"event": type(event).__name__, "fields": asdict(event)}


def event_of(data: Mapping[str, Any]) -> Event:
    """Reads what `event_json` wrote.

    Raises:
        ValueError: it is none.
    """
    kinds = {kind.__name__: kind for kind in Event.__args__}
    try:
        event: Event = kinds[data["event"]](**data["fields"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no event: {error!r}") from None
    return event
