"""Outcomes: what the judge's advice promised, beside what the attempts made from it brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelwright.agents.protocols import PastAttempt

__all__ = ["Outcome", "outcomes", "parents_of"]


@dataclass(frozen=True)
class Outcome:
    """One piece of advice, and one attempt that was made from it."""

    advised_after: int
    """Number of the attempt that the advice was on."""
    attempt: int
    """Number of the one made from it."""
    change: str
    """What was advised."""
    predicted: float | None
    """Time before over time after, as the judge expected it; None where it named none."""
    happened: float | None
    """The same as it came out; None where one of the two has no time, or one is measured and the other modelled."""
    verdict: str
    """Of the attempt."""


def parents_of(attempts: Sequence[PastAttempt]) -> dict[int, PastAttempt]:
    """By an attempt's number the latest one before it whose kernel is a parent of its own; those that have none are left out."""
    latest: dict[str, PastAttempt] = {}
    found: dict[int, PastAttempt] = {}
    for attempt in sorted(attempts, key=lambda a: a.number):
        known = [latest[parent] for parent in attempt.kernel.parents if parent in latest]
        if known:
            found[attempt.number] = max(known, key=lambda a: a.number)
        latest[attempt.kernel.id] = attempt
    return found


def outcomes(attempts: Sequence[PastAttempt]) -> list[Outcome]:
    """What came of each piece of advice that was followed up, in the order of the attempts made from it."""
    found, parents = [], parents_of(attempts)
    for attempt in sorted(attempts, key=lambda a: a.number):
        parent = parents.get(attempt.number)
        if parent is None or parent.advice is None:
            continue
        before, after = parent.evaluation.timing, attempt.evaluation.timing
        comparable = before is not None and after is not None and before.kind is after.kind
        happened = before.seconds / after.seconds if before and after and comparable else None
        advice = parent.advice
        found.append(
            Outcome(
                parent.number,
                attempt.number,
                advice.change,
                advice.expected_speedup,
                happened,
                attempt.evaluation.verdict.value,
            )
        )
    return found
