"""Entries of a store that are made once and kept until what they rest on changes: making one reads every result of a suite."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kernelwright.bench.entries import entry_of
from kernelwright.bench_tasks.scoring.results import Entry
from kernelwright.db.store import Store
from kernelwright.leaderboard.submitted import submitted_entry

__all__ = ["EntryKeeper"]


class EntryKeeper:
    """The entries with at least one task that was begun, oldest first. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, tuple[object, Entry | None]] = {}
        self._lock = threading.Lock()

    def state(self) -> object:
        """What all entries rest on, in short: when it is the same, so are they. A few cheap queries."""
        return self._store.board_state()

    def entries(self) -> list[Entry]:
        """All of them; only those are made that are new or have changed."""
        with self._lock:
            state = self._store.board_state()
            kept: dict[str, tuple[object, Entry | None]] = {}
            for run_id, of_run in state.runs.items():
                kept[run_id] = self._of(run_id, (of_run, state.baselines), lambda name: entry_of(self._store, name))
            submissions = {each.id: each for each in self._store.submissions()} if state.submissions else {}
            for name, of_submission in state.submissions.items():
                kept[name] = self._of(name, of_submission, lambda name: submitted_entry(self._store, submissions[name]))
            self._kept = kept
            found = [entry for _, entry in kept.values() if entry is not None and any(t.tried for t in entry.trials)]
        return sorted(found, key=lambda e: (e.created, e.id))

    def _of(self, name: str, state: object, make: Callable[[str], Entry | None]) -> tuple[object, Entry | None]:
        known = self._kept.get(name)
        return known if known is not None and known[0] == state else (state, make(name))
