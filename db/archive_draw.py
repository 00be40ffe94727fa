"""Drawing the parents of an attempt from an archive, and storing the draw."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session, joinedload

from kernelwright.agents.protocols import PastAttempt
from kernelwright.db import rows
from kernelwright.db.archive_absorb import island_of
from kernelwright.db.archive_models import ArchiveRow, DrawParentRow, DrawRow, EliteRow, EntryRow, IslandRow, table_of
from kernelwright.db.models import AttemptRow
from kernelwright.rl.archive.islands import ArchiveSettings, IslandState, Origin, neighbour, origin
from kernelwright.rl.archive.protocol import Draw
from kernelwright.rl.archive.score import Candidate, drawn
from kernelwright.rl.operators import Operator
from kernelwright.rl.strategy import past

__all__ = ["make_draw", "stored_draw"]

_NEAREST = 8
"""Failures that a repair chooses from."""
_SECOND = 16
"""Kernels besides the elites that a crossover looks at for its second parent, the fastest of the island."""


@dataclass(frozen=True)
class _Elite:
    entry: int
    island: int
    cell: str
    seconds: float
    offspring: int

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.entry, self.seconds, self.offspring)


@dataclass(frozen=True)
class _Wanted:
    """A draw that is not stored yet."""

    operator: Operator
    parents: tuple[int, ...] = ()
    """Entries."""
    notes: tuple[str, ...] = ()
    origin: Origin = Origin.OWN


def stored_draw(session: Session, archive_id: str, run_id: str, number: int) -> Draw | None:
    """The draw that was made for this attempt."""
    row = session.scalar(
        select(DrawRow).where(DrawRow.archive_id == archive_id, DrawRow.run_id == run_id, DrawRow.number == number)
    )
    if row is None:
        return None
    parents = session.scalars(
        select(DrawParentRow.entry_id).where(DrawParentRow.draw_id == row.id).order_by(DrawParentRow.position)
    ).all()
    return Draw(
        run_id=run_id, number=number, island=row.island, operator=Operator(row.operator), author=row.author,
        parents=tuple(_attempt(session, entry) for entry in parents), notes=tuple(map(str, row.notes)),
    )  # fmt: skip


def make_draw(
    session: Session, archive: ArchiveRow, settings: ArchiveSettings, run_id: str, number: int, island: int,
    operator: Operator, author: str, seed: str, now: datetime,
) -> Draw:  # fmt: skip
    """Draws, and stores the draw; the same content of the archive gives the same."""
    rng = random.Random(f"{seed}/{number}")
    state = island_of(session, archive.id, island)
    wanted = _wanted(session, archive.id, settings, island, operator, rng)
    mine = (IslandRow.archive_id == archive.id, IslandRow.island == island)
    if wanted.origin is Origin.RESTART:
        newest = session.scalar(select(func.max(EntryRow.id)).where(EntryRow.archive_id == archive.id)) or 0
        fresh = {"since_entry": newest, "epoch_seconds": None, "since_gain": 0, "migrated_at": state["entries"]}
        session.execute(update(table_of(IslandRow)).where(*mine).values(**fresh, restarts=state["restarts"] + 1))
        session.execute(delete(table_of(EliteRow)).where(EliteRow.archive_id == archive.id, EliteRow.island == island))
    elif wanted.origin is Origin.MIGRANT:
        session.execute(update(table_of(IslandRow)).where(*mine).values(migrated_at=state["entries"]))
    draw_id = session.execute(
        insert(DrawRow)
        .values(
            archive_id=archive.id,
            run_id=run_id,
            number=number,
            island=island,
            operator=wanted.operator.value,
            author=author,
            notes=list(wanted.notes),
            created=now,
        )
        .returning(DrawRow.id)
    ).scalar_one()
    for position, entry in enumerate(wanted.parents):
        session.execute(insert(DrawParentRow).values(draw_id=draw_id, position=position, entry_id=entry))
        session.execute(
            update(table_of(EliteRow))
            .where(EliteRow.entry_id == entry, EliteRow.archive_id == archive.id)
            .values(offspring=EliteRow.offspring + 1)
        )
    parents = tuple(_attempt(session, entry) for entry in wanted.parents)
    return Draw(run_id, number, island, wanted.operator, author, parents, wanted.notes)


def _wanted(
    session: Session, archive_id: str, settings: ArchiveSettings, island: int, operator: Operator, rng: random.Random
) -> _Wanted:
    if operator is Operator.START:
        return _Wanted(operator)
    if operator is Operator.REPAIR:
        failure = _failure(session, archive_id, island, rng)
        return _Wanted(operator, (failure,)) if failure is not None else _from_nothing(operator)
    elites = _elites(session, archive_id)
    own = [elite for elite in elites if elite.island == island]
    others = [elite for elite in elites if elite.island != island]
    before = neighbour(island, settings.islands)
    neighbours = [elite for elite in others if elite.island == before]
    row = island_of(session, archive_id, island)
    fastest_own = min((elite.seconds for elite in own), default=None)
    state = IslandState(
        entries=row["entries"], since_gain=row["since_gain"], migrated_at=row["migrated_at"], cells=len(own),
        neighbours_cells=len(neighbours), others_cells=len(others),
        holds_best=fastest_own is not None and all(fastest_own <= elite.seconds for elite in others),
    )  # fmt: skip
    place = origin(state, settings)
    notes: tuple[str, ...] = ()
    match place:
        case Origin.NONE:
            return _from_nothing(operator)
        case Origin.MIGRANT:
            first = min(neighbours, key=lambda elite: (elite.seconds, elite.entry))
            notes = (f"migrated from island {before}",)
        case Origin.BORROWED | Origin.RESTART:
            first = _drawn(others, rng)
            began = "begun anew" if place is Origin.RESTART else "empty"
            notes = (f"island {began}: drawn from island {first.island}",)
        case Origin.OTHER_CELL:
            best = min(own, key=lambda elite: (elite.seconds, elite.entry))
            rest = [elite for elite in own if elite.cell != best.cell]
            first = rng.choices(rest, [1.0 / (1 + elite.offspring) for elite in rest])[0]
            notes = (f"no gain for {row['since_gain']} attempts: drawn from another cell than the best one's",)
        case Origin.OWN:
            first = _drawn(own, rng)
    if operator is not Operator.CROSSOVER:
        return _Wanted(operator, (first.entry,), notes, place)
    second = _second(session, archive_id, first, own, others, rng)
    if second is None:
        notes = (*notes, "there is no second parent: a small change instead")
        return _Wanted(Operator.DIFF, (first.entry,), notes, place)
    return _Wanted(operator, (first.entry, second), notes, place)


def _from_nothing(operator: Operator) -> _Wanted:
    return _Wanted(Operator.START, notes=(f"there is nothing to {operator.value}: from the reference",))


def _drawn(elites: Sequence[_Elite], rng: random.Random) -> _Elite:
    chosen = drawn([elite.candidate for elite in elites], rng)
    return next(elite for elite in elites if elite.entry == chosen.key)


def _second(
    session: Session,
    archive_id: str,
    first: _Elite,
    own: Sequence[_Elite],
    others: Sequence[_Elite],
    rng: random.Random,
) -> int | None:
    """The other parent of a crossover: an elite of another cell of the island, of another island, or the next best kernel."""
    for elites in (own, others):
        rest = [elite for elite in elites if elite.entry != first.entry]
        if rest:
            return _drawn(rest, rng).entry
    found = session.scalars(
        select(EntryRow.id)
        .where(
            EntryRow.archive_id == archive_id,
            EntryRow.island == first.island,
            EntryRow.seconds.is_not(None),
            EntryRow.duplicate_of.is_(None),
            EntryRow.id != first.entry,
        )
        .order_by(EntryRow.seconds, EntryRow.id)
        .limit(_SECOND)
    ).all()
    return rng.choice(found) if found else None


def _failure(session: Session, archive_id: str, island: int, rng: random.Random) -> int | None:
    """A failure to mend, of this island or any: the nearer to passing the likelier, and less so with every try."""
    fails = (EntryRow.archive_id == archive_id, EntryRow.nearness.is_not(None), EntryRow.duplicate_of.is_(None))
    for place in ((EntryRow.island == island,), ()):
        found = session.scalars(
            select(EntryRow.id).where(*fails, *place).order_by(EntryRow.nearness.desc(), EntryRow.id).limit(_NEAREST)
        ).all()
        if found:
            counts = session.execute(
                select(DrawParentRow.entry_id, func.count())
                .where(DrawParentRow.entry_id.in_(found))
                .group_by(DrawParentRow.entry_id)
            )
            tried = {row[0]: row[1] for row in counts}
            # halved by rank, so that the nearest is mended first and the eighth once the others were tried
            weights = [0.5**rank / (1 + tried.get(entry, 0)) for rank, entry in enumerate(found)]
            return rng.choices(found, weights)[0]
    return None


def _elites(session: Session, archive_id: str) -> list[_Elite]:
    query = (
        select(EliteRow.entry_id, EliteRow.island, EliteRow.cell, EliteRow.seconds, EliteRow.offspring)
        .where(EliteRow.archive_id == archive_id)
        .order_by(EliteRow.entry_id)
    )
    return [_Elite(*row) for row in session.execute(query)]


def _attempt(session: Session, entry: int) -> PastAttempt:
    row = session.scalars(
        select(AttemptRow)
        .join(EntryRow, (EntryRow.run_id == AttemptRow.run_id) & (EntryRow.number == AttemptRow.number))
        .options(joinedload(AttemptRow.kernel), joinedload(AttemptRow.evaluation))
        .where(EntryRow.id == entry)
    ).one()
    return past([rows.attempt_of(row)])[0]
