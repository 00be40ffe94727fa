"""The store's part about looking around: kernels by what they are, tasks in short, a task's records."""

from __future__ import annotations

from collections.abc import Collection

from kernelwright.db.board_state import BoardState, board_state
from kernelwright.db.catalogue_search import FoundKernels, Order, Wanted, find_kernels
from kernelwright.db.facets import Facets, facets, kinds_there
from kernelwright.db.task_pages import (
    TaskLines,
    TaskOverview,
    TaskRecord,
    task_dtypes,
    task_lines,
    task_overview,
    task_records,
)
from kernelwright.db.transactions import Transactions
from kernelwright.verifier.evaluation import TimingKind

__all__ = ["BrowseStore"]


class BrowseStore(Transactions):
    """Choices in, pages of lists out; each touches few rows however many are stored, but for `facets`."""

    def find_kernels(
        self, wanted: Wanted, order: Order = Order.SPEEDUP, after: str = "", limit: int = 50
    ) -> FoundKernels:
        """Kernels that are wanted, from the place `after` of the list on; see `kernelwright.db.catalogue_search`.

        Raises:
            MisuseError: `after` is no place of the list.
        """
        with self._reading() as session:
            return find_kernels(session, wanted, order, after, limit)

    def facets(self, kind: TimingKind) -> Facets:
        """What kernels with this kind of time can be chosen by, with how many there are. Goes through all of the catalogue."""
        with self._reading() as session:
            return facets(session, kind)

    def timing_kinds(self) -> list[TimingKind]:
        """The kinds of time that some kernel was judged with, measured first."""
        with self._reading() as session:
            return kinds_there(session)

    def task_lines(self, words: str = "", after: str = "", limit: int = 50) -> TaskLines:
        """Tasks, the newest first, whose names and operations have these words; from the place `after` on.

        Raises:
            MisuseError: `after` is no place of the list.
        """
        with self._reading() as session:
            return task_lines(session, words, after, limit)

    def task_overview(self, task_id: str, tops: int = 10) -> TaskOverview | None:
        """The task with exactly this id, with its fastest kernels: for each kind of time and GPU at most `tops`."""
        with self._reading() as session:
            return task_overview(session, task_id, tops)

    def task_records(self, task_id: str) -> list[TaskRecord]:
        """Kernels that were the fastest of a task when they were judged, by GPU and kind of time, oldest first."""
        with self._reading() as session:
            return task_records(session, task_id)

    def task_dtypes(self, task_ids: Collection[str]) -> dict[str, list[str]]:
        """The dtypes that the sources of these tasks name, by exactly their ids."""
        with self._reading() as session:
            return task_dtypes(session, task_ids)

    def board_state(self) -> BoardState:
        """What a leaderboard rests on."""
        with self._reading() as session:
            return board_state(session)
