"""What an archive wants to know of an attempt, from the attempt alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kernelwright.rl.archive.cells import cell_of
from kernelwright.rl.archive.duplicates import code_hash, sketch
from kernelwright.rl.archive.features import Features, features
from kernelwright.rl.run import Attempt
from kernelwright.rl.same_kernel import normal_source
from kernelwright.verifier.evaluation import Evaluation, StageStatus

__all__ = ["UNPROFILED", "Reading", "nearness", "read"]

UNPROFILED = "unprofiled"
"""The cell of a kernel that passed and of which nothing was counted."""
_NOT_TO_MEND = frozenset({"passed", "cheating", "outclassed"})
"""Verdicts after which there is nothing to mend, or nothing that should be."""


@dataclass(frozen=True)
class Reading:
    """An attempt as an archive sees it."""

    features: Features | None
    cell: str | None
    """None of a kernel that did not pass."""
    nearness: float | None
    """See `nearness`."""
    source_hash: str
    code_hash: str
    """Empty where nothing was compiled."""
    sketch: bytes | None


def read(attempt: Attempt) -> Reading:
    """The attempt's features, cell and hashes; takes some ten milliseconds, most of them for parsing the source."""
    evaluation, source = attempt.evaluation, normal_source(attempt.kernel.source)
    found = features(attempt.kernel, evaluation)
    cell = None
    if evaluation.passed:
        cell = UNPROFILED if found is None else cell_of(found)
    return Reading(
        features=found,
        cell=cell,
        nearness=nearness(evaluation),
        source_hash=source.hash,
        code_hash=code_hash(evaluation),
        sketch=sketch(source) if evaluation.passed else None,
    )


def nearness(evaluation: Evaluation) -> float | None:
    """How near a kernel that failed came to passing: the stages that it passed, and of one that computes something wrong a part
    of 1 besides, the larger the smaller its error; None of one that passed, and of one that is not to be mended.
    """
    if evaluation.verdict.value in _NOT_TO_MEND:
        return None
    stages = sum(stage.status is not StageStatus.FAILED for stage in evaluation.stages)
    calls = evaluation.stages[-1].evidence.get("calls") if evaluation.stages else None
    if not isinstance(calls, list) or not calls or not isinstance(calls[-1], dict):
        return float(stages)
    share = calls[-1].get("share_of_allowed")
    if not isinstance(share, int | float) or not math.isfinite(share):
        return float(stages)
    # over what is allowed, so above 1; on a logarithmic scale, since errors span thirty orders of magnitude
    return stages + 0.99 / (1.0 + math.log(max(1.0, share)))
