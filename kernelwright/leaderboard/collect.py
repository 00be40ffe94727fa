"""The entries of a store: runs of suites made here, and what others have sent in."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace

from kernelwright.bench.entries import entry_of
from kernelwright.bench_tasks.scoring.results import Entry
from kernelwright.bench_tasks.suite import Scale
from kernelwright.db.store import Store
from kernelwright.errors import NotFoundError
from kernelwright.leaderboard.submitted import submitted_entries
from kernelwright.words import one_line

__all__ = ["Choice", "entries", "why_none"]

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
    """Entries with at least one task that was begun, oldest first. A run that has not ended is there with its coverage."""
    choice = choice or Choice()
    own = [
        entry_of(store, each.run.id)
        for each in store.bench_runs(_MOST)
        if choice.suite in (None, each.run.suite) and choice.gpu in (None, each.run.gpu)
    ]
    found = [e for e in (*own, *submitted_entries(store)) if choice.takes(e) and any(t.tried for t in e.trials)]
    return sorted(found, key=lambda e: (e.created, e.id))


def why_none(there: Sequence[Entry], choice: Choice, known: Collection[str]) -> str:
    """Why `choice` takes none of the entries that are there, and what there is; a sentence or two for people.

    Args:
        known: names of suites, with entries or not.

    Raises:
        NotFoundError: the suite is neither known nor has it entries.
    """
    suites = sorted({entry.suite for entry in there})
    if choice.suite is not None and choice.suite not in {*suites, *known}:
        names = list(dict.fromkeys([*suites, *known]))
        near = difflib.get_close_matches(choice.suite, names, n=1, cutoff=0.5)
        mend = f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}."
        raise NotFoundError(f"there is no suite called {choice.suite!r}.", mend=mend)
    make = f"Make one: kernelwright bench run {choice.suite or 'SUITE'}"
    here = [entry for entry in there if choice.suite in (None, entry.suite)]
    if not here:
        of = f" of {choice.suite}" if choice.suite else ""
        others = f" There are entries of {', '.join(map(_plain, suites))}." if suites else ""
        return f"No entries{of}. {make}{'.' if others else ''}{others}"
    given = [f.name for f in fields(choice) if f.name != "suite" and getattr(choice, f.name) is not None]
    alone = [
        name for name in given if not any(replace(Choice(), **{name: getattr(choice, name)}).takes(e) for e in here)
    ]
    told = [f"--{name} {getattr(choice, name)} (there is {', '.join(_there(here, name))})" for name in (alone or given)]
    return f"No entries: of {len(here)} nothing is left by {' and '.join(told)}."


def _there(entries: Sequence[Entry], name: str) -> list[str]:
    values = {"kind": "timing_kind"}.get(name, name)
    return sorted({_plain(str(getattr(entry, values))) for entry in entries})


def _plain(text: str) -> str:
    return one_line(text, 60)
