"""The entries of a store: runs of suites made here, and what others have sent in."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.bench.entries import entry_of
from kernelwright.bench_tasks.scoring.results import Entry
from kernelwright.bench_tasks.suite import Scale
from kernelwright.db.store import Store
from kernelwright.leaderboard.submitted import submitted_entries

__all__ = ["Choice", "entries"]

_MOST = 10_000


@dataclass(frozen=True)
class Choice:
    """Which entries are wanted; None is all."""

    suite: str | None = None
    gpu: str | None = None
    kind: str | None = None
    """`measured` or `modelled`."""
    scale: Scale | None = None
    author: str | None = None
    """A part of the name, in upper or lower case."""

    def takes(self, entry: Entry) -> bool:
        """Whether the entry is wanted."""
        return (
            self.suite in (None, entry.suite)
            and self.gpu in (None, entry.gpu)
            and self.kind in (None, entry.timing_kind)
            and self.scale in (None, entry.scale)
            and (self.author is None or self.author.lower() in entry.author.lower())
        )


def entries(store: Store, choice: Choice | None = None) -> list[Entry]:
    """Entries with at least one kernel that was judged, oldest first. A run that has not ended is there with its coverage."""
    choice = choice or Choice()
    own = [
        entry_of(store, each.run.id)
        for each in store.bench_runs(_MOST)
        if choice.suite in (None, each.run.suite) and choice.gpu in (None, each.run.gpu)
    ]
    found = [e for e in (*own, *submitted_entries(store)) if choice.takes(e) and any(t.attempts for t in e.trials)]
    return sorted(found, key=lambda e: (e.created, e.id))
