"""Entries that others sent in: a Submission as it came, and for each kernel of it a SubmissionItem, the judgement made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from kernelwright.bench_tasks.scoring.results import Integrity
from kernelwright.db.bench_store import BenchStore
from kernelwright.db.models import SubmissionItemRow, SubmissionRow

__all__ = ["Submission", "SubmissionItem", "SubmissionStore"]


@dataclass(frozen=True)
class Submission:
    """An entry's file as it came in."""

    id: str
    """The first 16 digits of `digest`: the same file is the same submission."""
    digest: str
    """SHA-256 of the file's manifest, 64 hex digits."""
    author: str
    """The name given when it was handed in, else what the file says."""
    suite: str
    entry: Mapping[str, Any]
    """What it claims, as `bench_tasks.scoring.entry_json` writes it."""
    claimed: bool
    """Whether its times stand as claimed, because they can't be taken here in the same way."""
    created: datetime


@dataclass(frozen=True)
class SubmissionItem:
    """What came of one kernel of a submission."""

    submission_id: str
    task: str
    repeat: int
    evaluation_id: str | None
    """Of judging it here; None where it was refused before that."""
    integrity: Integrity
    remarks: tuple[str, ...]
    created: datetime


class SubmissionStore(BenchStore):
    """The store's part about submissions; every call is one transaction."""

    def add_submission(self, submission: Submission) -> Submission:
        """Stores a submission, unless the same file is there already; gives what is stored."""
        with self._writing() as session:
            row = session.get(SubmissionRow, submission.id)
            if row is not None:
                return _submission(row)
            values = {name: getattr(submission, name) for name in Submission.__dataclass_fields__}
            session.execute(insert(SubmissionRow).values(values | {"entry": dict(submission.entry)}))
            return submission

    def add_submission_item(self, item: SubmissionItem) -> None:
        """Stores the judgement of one kernel; the first one stays.

        Raises:
            StoreError: there is no such submission or evaluation.
        """
        with self._writing() as session:
            if session.get(SubmissionItemRow, (item.submission_id, item.task, item.repeat)) is None:
                values = {name: getattr(item, name) for name in SubmissionItem.__dataclass_fields__}
                values |= {"integrity": item.integrity.value, "remarks": list(item.remarks)}
                session.execute(insert(SubmissionItemRow).values(values))

    def submissions(self) -> list[Submission]:
        """All of them, oldest first."""
        with self._reading() as session:
            query = select(SubmissionRow).order_by(SubmissionRow.created, SubmissionRow.id)
            return [_submission(row) for row in session.scalars(query)]

    def submission_items(self, submission_id: str) -> list[SubmissionItem]:
        """The judgements made so far, by task and repeat."""
        with self._reading() as session:
            query = (
                select(SubmissionItemRow)
                .where(SubmissionItemRow.submission_id == submission_id)
                .order_by(SubmissionItemRow.task, SubmissionItemRow.repeat)
            )
            return [_item(row) for row in session.scalars(query)]


def _submission(row: SubmissionRow) -> Submission:
    return Submission(**{name: getattr(row, name) for name in Submission.__dataclass_fields__})


def _item(row: SubmissionItemRow) -> SubmissionItem:
    given = {name: getattr(row, name) for name in SubmissionItem.__dataclass_fields__}
    return SubmissionItem(**given | {"integrity": Integrity(row.integrity), "remarks": tuple(row.remarks)})
