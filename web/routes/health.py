"""Is the process alive, can it work, and what has it counted."""

from __future__ import annotations

import logging
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from kernelwright.db.access import Role
from kernelwright.errors import StoreError
from kernelwright.web.access.identity import needs
from kernelwright.web.context import Here, Site
from kernelwright.web.metrics import CONTENT_TYPE, Metrics
from kernelwright.web.openapi import REFUSALS

__all__ = ["Health", "Readiness", "router"]

_log = logging.getLogger(__name__)
router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """It answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Whether it can work."""

    ready: bool
    reasons: list[str]
    """What it lacks: `store` (the database can't be read), `schema` (it is another version's), `queue` (searches can't be put there).
    The log says more; this is told to everybody."""


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process is alive; nothing else is looked at."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(site: Here, response: Response) -> Readiness:
    """Whether it can take work: the store is readable and of this version, the queue is reachable."""
    reasons = _lacks(site)
    response.status_code = 503 if reasons else 200
    return Readiness(ready=not reasons, reasons=reasons)


@router.get(
    "/metrics",
    dependencies=[needs(Role.ADMIN)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **REFUSALS},
)
def metrics(request: Request) -> Response:
    """What was counted, as Prometheus reads it; for administrators."""
    counted: Metrics = request.app.state.metrics
    return Response(counted.text(), headers={"Content-Type": CONTENT_TYPE})


def _lacks(site: Site) -> list[str]:
    reasons = []
    try:
        if not site.store.is_current():
            reasons.append("schema")
    except StoreError as error:
        _log.error("not ready: %s", error)
        reasons.append("store")
    try:
        site.queue.reachable()
    except StoreError as error:
        _log.error("not ready: %s", error)
        reasons.append("queue")
    return reasons
