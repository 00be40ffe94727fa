"""Working on a run of a suite: children for its items, as many at a time as asked for, until nothing is left to do."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from kernelwright.bench.child import WORKER, Child
from kernelwright.bench.entries import entry_of, trial_of
from kernelwright.bench.events import BenchObserver, BenchStarted, ItemEnded, ItemSaid, ItemStarted
from kernelwright.bench.lock import only_one
from kernelwright.bench.money import Allowances
from kernelwright.bench.plan import KEPT, Options, Planned, plain
from kernelwright.bench.worker import HERE
from kernelwright.bench_tasks.scoring.results import Trial
from kernelwright.config import Settings
from kernelwright.db.bench import BenchItem, BenchRun, BenchStatus, ItemStatus
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError, MisuseError
from kernelwright.events import event_of
from kernelwright.verifier.wording import counted

__all__ = ["begin_run", "go_on"]

_LOOK_SECONDS = 0.25
"""How long it waits for children at a time: deadlines are looked at in between."""
_GRACE_SECONDS = 20.0
"""What a child may take to end once it has been asked to."""
_MOST_DEATHS = 3
"""Starts after which an item whose process died is given up: it is the item's doing."""
_NO_MONEY = "Not run: the budget was used up."


def begin_run(
    planned: Planned, settings: Settings, options: Options, store: Store, observer: BenchObserver,
    *, worker: Sequence[str] = WORKER,
) -> BenchRun:  # fmt: skip
    """Stores a new run of a suite and works on it; as `go_on`."""
    store.create_bench_run(planned.run, planned.items, planned.tasks)
    return go_on(planned.run.id, settings, options, store, observer, worker=worker)


def go_on(
    bench_run_id: str, settings: Settings, options: Options, store: Store, observer: BenchObserver,
    *, worker: Sequence[str] = WORKER,
) -> BenchRun:  # fmt: skip
    """Works on a stored run of a suite until every item has ended, or the budget allows no more; the run as it is then.

    An item that has ended is left alone. One that was under way goes on with its search where that stood: no attempt that is
    stored is judged again, and no reply of a model is paid twice.

    Args:
        settings: of this machine; those of the searches are the run's own.
        options: they replace the ones it had.
        worker: what each child's interpreter is started with.

    Raises:
        NotFoundError: no such run of a suite.
        MisuseError: it is finished, or another process works on it.
        ConfigError: what is set or missing here keeps every search from being made; the status is `interrupted`.
        KeyboardInterrupt: the children have ended, and what was done is stored; the status is `interrupted`.
    """
    run = store.bench_run(bench_run_id)
    with only_one(_lock_folder(settings), run.id) as lock:
        run = store.bench_run(run.id)
        if run.status is BenchStatus.FINISHED:
            raise MisuseError(
                f"bench run {run.id} is finished: there is nothing to go on with.",
                mend=f"See it: kernelwright bench show {run.id}",
            )
        store.set_bench_status(run.id, BenchStatus.RUNNING, settings=options.to_json())
        crew = _Crew(run, settings, options, store, observer, lock, worker)
        message = "An error of ours stopped it."
        status = BenchStatus.INTERRUPTED
        try:
            status, message = crew.work()
        except KeyboardInterrupt:
            message = "It was interrupted."
            raise
        except ConfigError as error:
            message = error.message
            raise
        finally:
            crew.stop()
            store.set_bench_status(run.id, status, message)
    return store.bench_run(run.id)


def _lock_folder(settings: Settings) -> Path:
    file = settings.database_file
    return (settings.data if file is None else file.parent) / "bench"


@dataclass
class _Under:
    """An item that a child works on."""

    item: BenchItem
    child: Child
    spent: Decimal
    """Dollars of its search before this child."""
    deadline: float
    """When it is asked to end, then when it is killed; on the monotonic clock."""
    late: bool = False


class _Crew:
    """The children of one command."""

    def __init__(
        self, run: BenchRun, settings: Settings, options: Options, store: Store, observer: BenchObserver, lock: int,
        worker: Sequence[str],
    ) -> None:  # fmt: skip
        self.run, self.options, self.store, self.observer = run, options, store, observer
        self.lock, self.worker = lock, worker
        self.here = {name: plain(getattr(settings, name)) for name in (*HERE, *KEPT)}
        self.children: dict[int, _Under] = {}
        """By position of the item."""
        self.selector = selectors.DefaultSelector()
        items = store.bench_items(run.id)
        ended = {(item.name, item.repeat) for item in items if item.status.ended}
        trials = entry_of(store, run.id).trials
        self.waiting = deque(item for item in items if not item.status.ended)
        self.short: deque[BenchItem] = deque()
        """Stopped because their allowance was too small; gone on with as soon as there is a larger one."""
        self.money = Allowances(options.budget, sum((trial.dollars for trial in trials), Decimal(0)))
        began = tuple(trial for trial in trials if (trial.task, trial.repeat) in ended)
        observer(BenchStarted(run, tuple(items), began, options.jobs))

    def work(self) -> tuple[BenchStatus, str]:
        """Until nothing is left to do, or no money; the status and what is to be said of it."""
        while True:
            self._start()
            if not self.children:
                break
            self._wait()
        items = self.store.bench_items(self.run.id)
        left = [item for item in items if not item.status.ended]
        if not left:
            return BenchStatus.FINISHED, ""
        if self.short or self.waiting:
            for item in self.waiting:
                self.store.end_bench_item(item, item.status, _NO_MONEY)
            budget = f"{self.options.budget:f}"
            return (
                BenchStatus.INTERRUPTED,
                f"The budget of ${budget} allows no more; {counted(len(left), 'item')} did not end.",
            )
        return BenchStatus.INTERRUPTED, f"{counted(len(left), 'item')} did not end: {left[0].problem}"

    def stop(self) -> None:
        """Asks all children to end, and ends those that don't."""
        for under in self.children.values():
            under.child.interrupt()
            under.deadline, under.late = time.monotonic() + _GRACE_SECONDS, False
        while self.children:
            try:
                self._wait(stopping=True)
            except KeyboardInterrupt:  # asked again: at once
                for under in self.children.values():
                    under.child.kill()
        self.selector.close()

    def _start(self) -> None:
        """Begins with as many items as there are places and money for."""
        if self.short and self.money.shares(1):  # money has come back: rather to end what is begun than to begin more
            self.waiting.appendleft(self.short.popleft())
        places = min(self.options.jobs - len(self.children), len(self.waiting))
        for count in range(self.money.shares(places), 0, -1):
            item = self.waiting.popleft()
            spent = Decimal(0) if item.run_id is None else self.store.spent(item.run_id)
            allowance = self.money.set_aside(item.position, count)
            order = {
                "bench_run": self.run.id,
                "position": item.position,
                "allowance": None if allowance is None else f"{allowance:f}",
                "here": self.here,
            }
            child = Child(order, self.lock, self.worker)
            limit = max(0.0, self.options.task_seconds - item.seconds)
            self.children[item.position] = _Under(item, child, spent, time.monotonic() + limit)
            self.selector.register(child, selectors.EVENT_READ, item.position)
            self.observer(ItemStarted(item))

    def _wait(self, *, stopping: bool = False) -> None:
        """Hears what children say, and ends those whose time is up."""
        for key, _ in self.selector.select(_LOOK_SECONDS):
            under = self.children[key.data]
            messages = under.child.messages()
            if messages is None:
                self._ended(under, stopping)
                continue
            for message in messages:
                self.observer(ItemSaid(under.item, event_of(message)))
        now = time.monotonic()
        for under in self.children.values():
            if now < under.deadline:
                continue
            if under.late or stopping:
                under.child.kill()
            else:
                under.late, under.deadline = True, now + _GRACE_SECONDS
                under.child.interrupt()

    def _ended(self, under: _Under, stopping: bool) -> None:
        self.selector.unregister(under.child)
        del self.children[under.item.position]
        died = under.child.close()
        ended = under.child.ended or {}
        item = self._stored(under, died, stopping)
        cost = (Decimal(0) if item.run_id is None else self.store.spent(item.run_id)) - under.spent
        short = bool(ended.get("budget")) and not item.status.ended
        self.money.settle(item.position, cost, wanted_more=short)
        if short and not stopping:
            self.short.append(item)
        self.observer(ItemEnded(item, self._trial(item)))
        if (fatal := ended.get("fatal")) is not None and not stopping:
            raise ConfigError(fatal["message"], mend=fatal["mend"], path=fatal["path"])

    def _stored(self, under: _Under, died: str, stopping: bool) -> BenchItem:
        """The item as it is stored now, after its child has ended in whatever way."""
        item = self._item(under.item.position)
        seconds = under.child.seconds if item.status is ItemStatus.RUNNING else 0.0
        if item.status.ended:
            return item
        if under.late:
            limit = f"Its time of {self.options.task_seconds:g} s was up."
            self.store.end_bench_item(item, ItemStatus.FAILED, limit, seconds)
        elif died:
            given_up = item.starts >= _MOST_DEATHS and not stopping
            status = ItemStatus.FAILED if given_up else ItemStatus.STOPPED
            self.store.end_bench_item(item, status, "It was interrupted." if stopping else died, seconds)
        return self._item(item.position)

    def _item(self, position: int) -> BenchItem:
        return next(item for item in self.store.bench_items(self.run.id) if item.position == position)

    def _trial(self, item: BenchItem) -> Trial:
        return trial_of(self.store, self.run, item)
