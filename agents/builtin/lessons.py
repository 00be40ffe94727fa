"""What the history of a run says about the next step of one knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from kernelwright.agents.protocols import PastAttempt

__all__ = ["Choice", "Lesson", "Value", "best", "choice_key", "learned", "seconds", "tried_choices"]

Value = int | str | bool
Choice = Mapping[str, Value]

SAME = 1.005
"""Two times closer than this ratio count as equal."""


class Lesson(IntEnum):
    """What earlier attempts say about a step; the greatest counts where they disagree."""

    UNKNOWN = 0
    FLAT = 1
    """A step the same way changed nothing."""
    HELPED = 2
    """Steps the same way helped so far."""
    HURT = 3
    """It leads where a kernel was slower or failed."""


def _passed(attempts: Sequence[PastAttempt]) -> list[PastAttempt]:
    return [a for a in attempts if a.evaluation.passed and a.evaluation.timing is not None]


def seconds(attempt: PastAttempt) -> float:
    """Time of a passed attempt, in seconds."""
    assert attempt.evaluation.timing is not None
    return attempt.evaluation.timing.seconds


def best(attempts: Sequence[PastAttempt]) -> PastAttempt | None:
    """The fastest passed attempt; the earliest of equals."""
    return min(_passed(attempts), key=seconds, default=None)


def choice_key(choice: Choice) -> frozenset[tuple[str, Value]]:
    """The choice as something that can be compared and put in a set."""
    return frozenset(choice.items())


def tried_choices(attempts: Sequence[PastAttempt]) -> set[frozenset[tuple[str, Value]]]:
    """Every choice that was evaluated, and every one that was asked for (a coder may have had to refuse it)."""
    found = {choice_key(a.kernel.parameters) for a in attempts}
    for i, attempt in enumerate(attempts):
        base = best(attempts[: i + 1])
        if attempt.advice is not None and attempt.advice.parameters and base is not None:
            found.add(choice_key({**base.kernel.parameters, **attempt.advice.parameters}))
    return found


def learned(key: str, old: Value, new: Value, values: tuple[Value, ...], attempts: Sequence[PastAttempt]) -> Lesson:
    """What earlier pairs of attempts that differ in this knob alone say about the step old -> new."""
    order = {value: i for i, value in enumerate(values)}
    lessons = {Lesson.UNKNOWN}
    for i, later in enumerate(attempts):
        theirs = later.kernel.parameters
        for earlier in attempts[:i]:
            ours = earlier.kernel.parameters
            changed = {k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)}
            if changed != {key} or not earlier.evaluation.passed:
                continue
            if later.evaluation.passed:
                speedup = seconds(earlier) / seconds(later)
                lessons.add(_lesson(ours[key], theirs[key], speedup, old, new, order))
            elif theirs[key] == new:
                lessons.add(Lesson.HURT)  # a value that made a kernel fail
    return max(lessons)


def _lesson(start: Value, end: Value, speedup: float, old: Value, new: Value, order: Mapping[Value, int]) -> Lesson:
    """What one observed step start -> end says about the step old -> new.

    Numbers have a direction: if 2 -> 4 was slower, 2 -> 8 is not tried; if it helped, 4 -> 8 is.
    """
    flat = 1 / SAME <= speedup <= SAME
    if any(v not in order for v in (start, end, old, new)) or isinstance(new, (str, bool)):
        if end != new or speedup > SAME:
            return Lesson.UNKNOWN
        return Lesson.FLAT if flat else Lesson.HURT
    if flat:
        return Lesson.FLAT if (order[end] - order[start]) * (order[new] - order[old]) > 0 else Lesson.UNKNOWN
    if speedup < 1:  # read the pair the other way round: from slower to faster
        start, end = end, start
    seen, asked = order[end] - order[start], order[new] - order[old]
    if seen * asked > 0:
        return Lesson.HELPED if order[old] * seen >= order[end] * seen else Lesson.UNKNOWN
    # against the direction that helped, beyond where it came from
    return Lesson.HURT if order[new] * seen <= order[start] * seen else Lesson.UNKNOWN
