"""Runs as they go on, for browsers that watch: server-sent events, each with its number, so that a reconnect goes on where it broke off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from kernelwright.db.run_events import RunEvent
from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus

__all__ = ["Live", "sse"]

_LOOK_SECONDS = 0.3
"""How often the store is asked for more, once for all who watch the same run."""
_ALIVE_SECONDS = 15.0
"""After so long without an event a comment is sent, so that nothing on the way takes the connection for dead."""
_ENDED = (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.INTERRUPTED)
_PART = 200  # events that are read at a time


@dataclass
class _Watched:
    """A run that somebody watches: who, and how far the store was read."""

    bells: set[asyncio.Event] = field(default_factory=set)
    newest: int = 0
    status: RunStatus | None = None
    task: asyncio.Task[None] | None = None


class Live:
    """Looks after the runs that are watched: one reader a run, however many watch it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, _Watched] = {}
        self._closing = False

    def close(self) -> None:
        """Ends every stream; browsers come back by themselves."""
        self._closing = True
        for watched in self._runs.values():
            for bell in watched.bells:
                bell.set()

    async def events(self, run_id: str, after: int) -> AsyncIterator[str]:
        """The events of a run behind number `after` as they come, then how it ended.

        Each is a message of `text/event-stream`: named as in `kernelwright.events`, with its number as id; `Status` says that the
        run's status is another one, `End` that nothing more comes.
        """
        bell = asyncio.Event()
        watched = self._join(run_id, bell)
        told: RunStatus | None = None
        try:
            while True:
                status = await run_in_threadpool(lambda: self._store.run_status(run_id))
                events = await run_in_threadpool(self._store.run_events, run_id, after, _PART)
                for event in events:
                    after = event.number
                    yield sse(event.name, event_data(event), event.number)
                if len(events) == _PART:
                    continue
                if status is not told:
                    told = status
                    yield sse("Status", {"status": status.value})
                if status in _ENDED or self._closing:
                    if not self._closing:
                        yield sse("End", {"status": status.value})
                    return
                bell.clear()
                try:
                    if watched.newest <= after and watched.status is told:
                        await asyncio.wait_for(bell.wait(), _ALIVE_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._leave(run_id, bell)

    def _join(self, run_id: str, bell: asyncio.Event) -> _Watched:
        watched = self._runs.setdefault(run_id, _Watched())
        watched.bells.add(bell)
        if watched.task is None:
            watched.task = asyncio.get_running_loop().create_task(self._look(run_id, watched))
        return watched

    def _leave(self, run_id: str, bell: asyncio.Event) -> None:
        watched = self._runs[run_id]
        watched.bells.discard(bell)
        if not watched.bells:
            del self._runs[run_id]
            if watched.task is not None:
                watched.task.cancel()

    async def _look(self, run_id: str, watched: _Watched) -> None:
        while not self._closing:
            newest = await run_in_threadpool(self._store.last_run_event, run_id)
            status = await run_in_threadpool(self._store.run_status, run_id)
            if (newest, status) != (watched.newest, watched.status):
                watched.newest, watched.status = newest, status
                for bell in watched.bells:
                    bell.set()
            await asyncio.sleep(_LOOK_SECONDS)


def event_data(event: RunEvent) -> dict[str, object]:
    """What a message says of an event."""
    return {"fields": event.fields, "created": event.created.isoformat()}


def sse(name: str, data: object, number: int | None = None) -> str:
    """One message of `text/event-stream`. JSON has no line breaks in it, so what is in `data` can't end the message."""
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n"
