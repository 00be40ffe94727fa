"""What every request can reach: settings, store, queue. Made once, when the server starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.service.inspection import Inspector
from kernelwright.service.queue import Queue
from kernelwright.web.kept import Kept
from kernelwright.web.live import Live

__all__ = ["Here", "Site"]


@dataclass(frozen=True)
class Site:
    """The server's own things; handlers get it as `Here`."""

    settings: Settings
    store: Store
    queue: Queue
    inspector: Inspector
    live: Live
    on_gpu: bool
    """Whether kernels are judged on a GPU here."""
    kept: Kept = field(default_factory=Kept)
    """Answers that are expensive to make."""


def _site(request: Request) -> Site:
    return cast(Site, request.app.state.site)


Here = Annotated[Site, Depends(_site)]
