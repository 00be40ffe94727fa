"""Entries made of what was sent in and what came of judging it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kernelwright.bench_tasks.scoring.entry_json import entry_from_json
from kernelwright.bench_tasks.scoring.results import AttemptResult, Entry, Integrity, Trial
from kernelwright.db.store import Store
from kernelwright.db.submissions import Submission, SubmissionItem
from kernelwright.errors import NotFoundError
from kernelwright.verifier.evaluation import Evaluation

__all__ = ["attempt_of", "find_submitted", "submitted_entries", "submitted_entry"]


def submitted_entries(store: Store) -> list[Entry]:
    """Those of which every kernel was judged, oldest first."""
    found = (submitted_entry(store, submission) for submission in store.submissions())
    return [entry for entry in found if entry is not None]


def find_submitted(store: Store, prefix: str) -> Entry | None:
    """The entry that was sent in whose id begins so; None if no id does.

    Raises:
        NotFoundError: several do, or kernels of it are still to be judged.
    """
    named = {_id(submission): submission for submission in store.submissions()}
    near = [name for name in named if name == prefix or ("-sent-" in prefix and name.startswith(prefix))]
    if not near:
        return None
    if len(near) > 1:
        raise NotFoundError(f"several entries begin with {prefix!r}: {', '.join(near)}.", mend="Give more of the id.")
    entry = submitted_entry(store, named[near[0]])
    if entry is None:
        raise NotFoundError(
            f"not every kernel of {near[0]} is judged yet.", mend="Go on with: kernelwright bench submit FILE"
        )
    return entry


def _id(submission: Submission) -> str:
    return f"{submission.suite}-sent-{submission.id[:8]}"


def submitted_entry(store: Store, submission: Submission) -> Entry | None:
    """The entry as it counts here; None while a kernel of it is still to be judged.

    Of each solved task only the kernel that was sent counts, with the figures that it has here. Attempts that failed are told as
    claimed, since nothing is won by them, and so are dollars and seconds.
    """
    claim = entry_from_json(dict(submission.entry))
    items = {(item.task, item.repeat): item for item in store.submission_items(submission.id)}
    if any(trial.solved and (trial.task, trial.repeat) not in items for trial in claim.trials):
        return None
    return replace(
        claim,
        id=_id(submission),
        suite=submission.suite,  # that it was judged on, whatever the file calls it
        author=submission.author,
        trials=tuple(_trial(store, trial, items, submission.claimed) for trial in claim.trials),
        submitted=True,
        claimed=submission.claimed,
    )


def attempt_of(evaluation: Evaluation) -> AttemptResult:
    """An evaluation as an attempt."""
    timing = evaluation.timing
    return AttemptResult(
        evaluation.passed,
        evaluation.verdict.value,
        None if timing is None else timing.speedup,
        None if timing is None else timing.roofline_share,
        evaluation.seconds,
    )


def _trial(store: Store, claim: Trial, items: Mapping[tuple[str, int], SubmissionItem], claimed: bool) -> Trial:
    bare = replace(claim, run_id="", kernel_id="", evaluation_id="", integrity=Integrity.CLEAN, remarks=())
    failed = tuple(each for each in claim.attempts if not each.passed)
    item = items.get((claim.task, claim.repeat))
    if item is None:
        return replace(bare, attempts=failed, speedup_interval=None)
    best = claim.best
    evaluation = None if item.evaluation_id is None else store.evaluation(item.evaluation_id)
    here = None if evaluation is None else attempt_of(evaluation)
    if here is None or (claimed and best is not None and item.integrity is not Integrity.REFUSED):
        judged, interval = None if best is None else _bounded(best, evaluation), claim.speedup_interval
    else:
        timing = evaluation.timing if evaluation is not None else None
        judged, interval = here, None
        if timing is not None and timing.speedup_low is not None and timing.speedup_high is not None:
            interval = timing.speedup_low, timing.speedup_high
    return replace(
        bare,
        attempts=failed if judged is None else (*failed, judged),
        speedup_interval=interval,
        baselines={} if evaluation is None or evaluation.timing is None or claimed else _baseline(evaluation),
        integrity=item.integrity,
        remarks=item.remarks,
        kernel_id="" if evaluation is None else evaluation.kernel_id,
        evaluation_id=item.evaluation_id or "",
    )


def _bounded(claim: AttemptResult, evaluation: Evaluation | None) -> AttemptResult:
    """A claimed speed-up with its share of a roofline that is ours: a share that is claimed too bounds nothing."""
    timing = None if evaluation is None else evaluation.timing
    if timing is None or claim.speedup is None:
        return replace(claim, roofline_share=None)
    return replace(claim, roofline_share=claim.speedup * timing.bound_seconds / timing.baseline_seconds)


def _baseline(evaluation: Evaluation) -> dict[str, float]:
    timing = evaluation.timing
    return {} if timing is None else {timing.baseline: timing.baseline_seconds}
