"""Whether an archive's elites and islands are what its entries and draws say: counted anew, and compared."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kernelwright.agents.ranking import NOTICEABLE
from kernelwright.db.archive_absorb import after
from kernelwright.db.archive_models import DrawParentRow, EliteRow, EntryRow, IslandRow

__all__ = ["problems"]

_COUNTED = ("entries", "passed", "failed", "best_seconds", "epoch_seconds", "since_gain")


def problems(session: Session, archive_id: str) -> list[str]:
    """One line for each row that differs; looks at every entry, so it takes seconds for 100,000."""
    stored = {row.island: row for row in session.scalars(select(IslandRow).where(IslandRow.archive_id == archive_id))}
    counts = session.execute(
        select(DrawParentRow.entry_id, func.count())
        .join(EntryRow, EntryRow.id == DrawParentRow.entry_id)
        .where(EntryRow.archive_id == archive_id)
        .group_by(DrawParentRow.entry_id)
    )
    offspring = {row[0]: row[1] for row in counts}
    islands: dict[int, dict[str, Any]] = {island: _empty() for island in stored}
    elites: dict[tuple[int, str], tuple[int, float]] = {}
    query = (
        select(EntryRow.id, EntryRow.island, EntryRow.seconds, EntryRow.cell, EntryRow.nearness, EntryRow.duplicate_of)
        .where(EntryRow.archive_id == archive_id)
        .order_by(EntryRow.id)
    )
    for entry, island, seconds, cell, nearness, duplicate in session.execute(query):
        if island not in stored:
            return [f"entry {entry} is of island {island}, of which there is no row"]
        counted = None if duplicate is not None else seconds
        state, recent = islands[island], entry > stored[island].since_entry
        state["entries"] += 1
        state["passed"] += counted is not None
        state["failed"] += duplicate is None and nearness is not None
        epoch, since = (state["epoch_seconds"], state["since_gain"]) if recent else (None, -1)
        stands = after(state["best_seconds"], epoch, since, counted)
        state["best_seconds"] = stands.best_seconds
        if not recent:
            continue
        state["epoch_seconds"], state["since_gain"] = stands.epoch_seconds, stands.since_gain
        if counted is not None and cell is not None:
            best = elites.get((island, cell))
            if best is None or counted * NOTICEABLE <= best[1]:
                elites[island, cell] = entry, counted
    found = []
    for island, state in islands.items():
        found += [
            f"island {island}: {name} is {getattr(stored[island], name)}, counted {state[name]}"
            for name in _COUNTED
            if getattr(stored[island], name) != state[name]
        ]
    wanted = {place: (entry, seconds, offspring.get(entry, 0)) for place, (entry, seconds) in elites.items()}
    have = {
        (row.island, row.cell): (row.entry_id, row.seconds, row.offspring)
        for row in session.scalars(select(EliteRow).where(EliteRow.archive_id == archive_id))
    }
    for place in sorted(wanted.keys() | have.keys()):
        if wanted.get(place) != have.get(place):
            found.append(
                f"island {place[0]}, cell {place[1]}: (entry, seconds, offspring) is {have.get(place)}, "
                f"counted {wanted.get(place)}"
            )
    return found


def _empty() -> dict[str, Any]:
    return {"entries": 0, "passed": 0, "failed": 0, "best_seconds": None, "epoch_seconds": None, "since_gain": 0}
