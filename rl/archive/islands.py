"""Islands: where the parent of the next attempt comes from, by how the island stands.

An island breeds from its own kernels. Now and then it gets the best one of its neighbour; when it no longer improves, it draws
from other cells than the best one's; and when that does not help either, it is begun anew from kernels of the other islands,
as FunSearch does with its worst islands (Romera-Paredes et al. 2023). The island that holds the best kernel is never begun
anew.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["ArchiveSettings", "IslandState", "Origin", "neighbour", "origin"]


@dataclass(frozen=True)
class ArchiveSettings:
    """How an archive is kept. All but `islands` count attempts of one island.

    Raises:
        ValueError: a number is out of its range.
    """

    islands: int = 2
    migrate_every: int = 10
    """Attempts after which the next parent comes from the neighbour."""
    stagnant_after: int = 12
    """Attempts without a noticeable gain after which parents are drawn from other cells than the best one's."""
    restart_after: int = 30
    """Attempts without one after which the island is begun anew."""

    def __post_init__(self) -> None:
        if not 1 <= self.islands <= 64:
            raise ValueError(f"an archive has 1 to 64 islands, not {self.islands}")
        if not (self.migrate_every >= 1 and 1 <= self.stagnant_after <= self.restart_after):
            raise ValueError("islands stagnate after 1 attempt or more, and are begun anew after that")

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `ArchiveSettings(**it)` reads it back."""
        return asdict(self)


@dataclass(frozen=True)
class IslandState:
    """An island at the moment of a draw."""

    entries: int
    since_gain: int
    migrated_at: int
    """Entries it had when its last migrant came."""
    cells: int
    """That have an elite."""
    neighbours_cells: int
    others_cells: int
    """Of all other islands together, the neighbour among them."""
    holds_best: bool
    """Whether no other island has a faster elite."""


class Origin(StrEnum):
    """Where a parent comes from."""

    OWN = "own"
    MIGRANT = "migrant"
    """The fastest elite of the neighbour."""
    BORROWED = "borrowed"
    """An elite of another island: the island has none."""
    OTHER_CELL = "other_cell"
    """An elite of the island from another cell than that of its fastest."""
    RESTART = "restart"
    """An elite of another island, with which the island is begun anew."""
    NONE = "none"
    """There is no kernel that passed."""


def neighbour(island: int, islands: int) -> int:
    """The island from which migrants come."""
    return (island - 1) % islands


def origin(state: IslandState, settings: ArchiveSettings) -> Origin:
    """Where the parent of the island's next attempt comes from, for an operator that starts from a kernel that passed."""
    if not state.cells and not state.others_cells:
        return Origin.NONE
    if state.cells and state.others_cells and not state.holds_best and state.since_gain >= settings.restart_after:
        return Origin.RESTART
    if state.neighbours_cells and state.entries - state.migrated_at >= settings.migrate_every:
        return Origin.MIGRANT
    if not state.cells:
        return Origin.BORROWED
    if state.since_gain >= settings.stagnant_after and state.cells > 1:
        return Origin.OTHER_CELL
    return Origin.OWN
