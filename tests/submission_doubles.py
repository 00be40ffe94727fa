"""A submission as the store holds it."""

from __future__ import annotations

from scoring_entries import DAY, of

from kernelwright.bench_tasks.scoring.entry_json import entry_to_json
from kernelwright.bench_tasks.scoring.results import Entry, Integrity
from kernelwright.db.submissions import Submission, SubmissionItem


def submission(entry: Entry | None = None) -> Submission:
    digest = "ab" * 32
    return Submission(digest[:16], digest, "somebody", "core", entry_to_json(entry or of([2.0, None])), False, DAY)


def item(
    task: str, evaluation_id: str | None = None, integrity: Integrity = Integrity.CLEAN, *remarks: str
) -> SubmissionItem:
    return SubmissionItem(submission().id, task, 0, evaluation_id, integrity, remarks, DAY)
