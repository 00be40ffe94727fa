"""Runs: the list of them, one as it goes on, and what can be done to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel

from kernelwright.errors import MisuseError
from kernelwright.rl.run import RunStatus
from kernelwright.rl.strategies import STRATEGIES
from kernelwright.service.queue import Job
from kernelwright.web.access.identity import Who, check_owner
from kernelwright.web.charts.best_so_far import best_so_far
from kernelwright.web.context import Here, Site
from kernelwright.web.rendering import render
from kernelwright.web.twins import Problem, Twins
from kernelwright.web.views.run import RunView, run_view
from kernelwright.web.views.runs import RunList, run_list

__all__ = ["twins"]

twins = Twins("runs")


@twins.page("/runs", "runs.html.j2")
def runs(
    site: Here,
    task: Annotated[
        str | None, Query(max_length=200, description="Only runs of the task with this name or id.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> RunList:
    """The newest runs first."""
    return run_list(site.store, limit=limit, task=task or None)


@twins.page("/runs/{run_id}", "run.html.j2", chart=best_so_far)
def run(site: Here, run_id: str) -> RunView:
    """A run as it stands; a unique beginning of its id will do."""
    return run_view(site.store, site.queue, run_id)


@twins.pages.get("/runs/{run_id}/live")
def live(site: Here, request: Request, run_id: str) -> HTMLResponse:
    """The part of a run's page that changes while it goes on."""
    return render(request, "run_live.html.j2", view=run_view(site.store, site.queue, run_id), chart=best_so_far)


@twins.api.get(
    "/runs/{run_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, 404: {"model": Problem}},
)
async def events(
    site: Here,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Number of the last event that is known.")] = 0,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> StreamingResponse:
    """What the search says, as it says it: server-sent events, until it ends.

    A browser that reconnects sends the number of the last event that it had, and misses none.
    """
    from starlette.concurrency import run_in_threadpool

    found = (await run_in_threadpool(site.store.run, run_id)).id
    if last_event_id is not None and last_event_id.isascii() and last_event_id.isdecimal():
        after = max(after, min(int(last_event_id), 2**31 - 1))

    async def stream() -> AsyncIterator[str]:
        async for message in site.live.events(found, after):
            yield message

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


class Done(BaseModel):
    """What came of a request about a run."""

    id: str
    status: RunStatus
    changed: bool
    """Whether there was something to do."""


_problems = {404: {"model": Problem}, 422: {"model": Problem}}


@twins.api.post("/runs/{run_id}/cancel", responses=_problems)  # type: ignore[arg-type]
def cancel(site: Here, who: Who, run_id: str) -> Done:
    """Takes a search out of the queue, or interrupts it; attempts that have ended are kept, and it can be gone on with."""
    found = site.store.run(run_id).id
    check_owner(who, site.store.owner_of_run(found), found)
    changed = site.queue.cancel(found)
    return Done(id=found, status=site.store.run_status(found), changed=changed)


@twins.api.post("/runs/{run_id}/resume", status_code=202, responses=_problems)  # type: ignore[arg-type]
def resume(site: Here, who: Who, run_id: str) -> Done:
    """Puts a search that was interrupted, or has failed, back into the queue."""
    found = site.store.run(run_id).id
    check_owner(who, site.store.owner_of_run(found), found)
    job = _resume(site, found)
    return Done(id=found, status=site.store.run_status(found), changed=job is not None)


@twins.pages.post("/runs/{run_id}/cancel")
def cancel_page(site: Here, who: Who, run_id: str) -> RedirectResponse:
    """The same for a form."""
    done = cancel(site, who, run_id)
    return RedirectResponse(f"/runs/{done.id}", status_code=303)


@twins.pages.post("/runs/{run_id}/resume")
def resume_page(site: Here, who: Who, run_id: str) -> RedirectResponse:
    """The same for a form."""
    done = resume(site, who, run_id)
    return RedirectResponse(f"/runs/{done.id}", status_code=303)


def _resume(site: Site, run_id: str) -> Job | None:
    run = site.store.run(run_id)
    if run.status is RunStatus.FINISHED:
        raise MisuseError(f"run {run.id} is finished: there is nothing to go on with.", mend="Submit the task again.")
    if run.strategy not in STRATEGIES:
        raise MisuseError(
            f"run {run.id} is no search of ours ({run.strategy}).", mend="What was submitted to it stays."
        )
    open_job = site.queue.of(run.id)
    if open_job is not None and not open_job.ended:
        return None
    site.store.set_status(run.id, RunStatus.QUEUED)
    return site.queue.put(run.id)
