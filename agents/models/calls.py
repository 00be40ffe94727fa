"""Call: one request to a model with what came of it, as the store keeps it; nothing changes it any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from kernelwright.agents.models.protocol import Place, Reply, Request, Usage

__all__ = ["Call", "CallStore"]


@dataclass(frozen=True)
class Call:
    """One call. `reply` is None when none came that could be kept; `error` then says why."""

    run_id: str
    place: Place
    model: str
    """As a person named it, see `ModelClient.name`."""
    request: Request
    reply: Reply | None
    error: str
    usage: Usage
    """Of a failed call: what the server had reported until then."""
    dollars: Decimal
    """By the price table of the day it was made."""
    estimated: bool
    """Whether `usage` is our own upper estimate, because the call broke off before the server reported it."""
    seconds: float
    created: datetime
    """UTC."""


class CallStore(Protocol):
    """Where calls are kept. Each method is one transaction; several processes and threads may use it at once."""

    def add_call(self, call: Call) -> None:
        """Keeps a call, durably: it is on disk when this returns."""
        ...

    def answered(self, run_id: str, place: Place) -> Reply | None:
        """The reply that a call at this place of the run had."""
        ...

    def calls(self, run_id: str) -> Sequence[Call]:
        """Every call of a run, failed ones included, oldest first."""
        ...

    def spent(self, run_id: str) -> Decimal:
        """Dollars that the calls of a run cost together."""
        ...
