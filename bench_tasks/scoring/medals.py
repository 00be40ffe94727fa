"""Who is first, second and third on a task, as far as the intervals tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from kernelwright.bench_tasks.scoring.outcomes import outcomes
from kernelwright.bench_tasks.scoring.results import Entry

__all__ = ["PLACES", "Medal", "medals", "tally"]

PLACES = 3
"""Places that are medals: gold, silver, bronze."""


@dataclass(frozen=True)
class Medal:
    """An entry's place on one task."""

    entry_id: str
    place: int
    """From 1. Whose interval overlaps that of the first of a place shares it; the next place is one more than the entries before it."""
    shared: bool
    """Whether others have it too."""
    speedup: float
    """The median over the repeats that solved the task, cut off at the roofline bound."""
    low: float | None
    high: float | None
    """From the lowest end of a repeat's interval to the highest; None, as `low`, where one has none: then nothing is told apart."""


def medals(entries: Sequence[Entry], task: str) -> list[Medal]:
    """The entries on the first three places of a task, the fastest first; those that did not solve it have none.

    Entries are of one section of the leaderboard. Unlike the ranks there, which are over all tasks, this compares single speed-ups, each
    with the interval of its own calls; without intervals no difference is shown, and the place is shared.
    """
    solved = [found for entry in entries if (found := _result(entry, task)) is not None]
    solved.sort(key=lambda each: (-each.speedup, each.entry_id))
    placed: list[Medal] = []
    leader: Medal | None = None
    for number, each in enumerate(solved, 1):
        if leader is None or _apart(leader, each):
            if number > PLACES:
                break
            leader = Medal(each.entry_id, number, False, each.speedup, each.low, each.high)
            placed.append(leader)
        else:
            placed.append(Medal(each.entry_id, leader.place, True, each.speedup, each.low, each.high))
    shared = {each.place for each in placed if each.shared}
    return [Medal(e.entry_id, e.place, e.place in shared, e.speedup, e.low, e.high) for e in placed]


def tally(entries: Sequence[Entry], tasks: Sequence[str]) -> dict[str, list[int]]:
    """For each entry that has a medal: how many of gold, silver and bronze, shared ones included."""
    found: dict[str, list[int]] = {}
    for task in tasks:
        for each in medals(entries, task):
            found.setdefault(each.entry_id, [0] * PLACES)[each.place - 1] += 1
    return found


def _apart(first: Medal, other: Medal) -> bool:
    return first.low is not None and other.high is not None and other.high < first.low


def _result(entry: Entry, task: str) -> Medal | None:
    found = [each for each in outcomes(entry).get(task, ()) if each.speedup is not None and each.trial is not None]
    if not found:
        return None
    speedups = [each.speedup for each in found if each.speedup is not None]
    intervals = [each.trial.speedup_interval for each in found if each.trial is not None]
    known = [interval for interval in intervals if interval is not None]
    whole = len(known) == len(found) and not any(each.cut for each in found)
    low = min(ends[0] for ends in known) if whole else None
    high = max(ends[1] for ends in known) if whole else None
    return Medal(entry.id, 0, False, median(speedups), low, high)
