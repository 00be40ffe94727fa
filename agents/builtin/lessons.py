"""What the history of a run says about the next step of one knob."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from kernelwright.agents.protocols import PastAttempt
from kernelwright.agents.ranking import NOTICEABLE, fastest

__all__ = [
    "Choice",
    "Lesson",
    "Step",
    "Value",
    "best",
    "choice_key",
    "disappointments",
    "learned",
    "seconds",
    "tried_choices",
    "tried_values",
]

Value = int | str | bool
Choice = Mapping[str, Value]

SHORTFALL = 0.5
"""Share of a forecast gain below which the change disappointed."""


class Lesson(IntEnum):
    """What earlier attempts say about a step; the greatest counts where they disagree."""

    UNKNOWN = 0
    FLAT = 1
    """A step the same way changed nothing."""
    HELPED = 2
    """Steps the same way helped so far."""
    HURT = 3
    """It leads where a kernel was slower or failed."""


def seconds(attempt: PastAttempt) -> float:
    """Time of a passed attempt, in seconds."""
    assert attempt.evaluation.timing is not None
    return attempt.evaluation.timing.seconds


def best(attempts: Sequence[PastAttempt]) -> PastAttempt | None:
    """The fastest of the attempts (oldest first) that passed, as `agents.ranking.fastest` says."""
    timed = ((a, a.evaluation.timing) for a in attempts if a.evaluation.passed)
    return fastest((a, timing.kind, timing.seconds) for a, timing in timed if timing is not None)


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


@dataclass(frozen=True)
class Step:
    """A change of one knob."""

    key: str
    old: Value
    new: Value

    def goes_like(self, other: Step, values: tuple[Value, ...]) -> bool:
        """Whether both change the same knob the same way: up, down, or, where values have no order, to the same one."""
        if self.key != other.key:
            return False
        ends = (self.old, self.new, other.old, other.new)
        if isinstance(self.new, (str, bool)) or any(value not in values for value in ends):
            return self.new == other.new
        ours, theirs = (values.index(step.new) - values.index(step.old) for step in (self, other))
        return ours * theirs > 0


def _changes(attempts: Sequence[PastAttempt]) -> Iterator[tuple[PastAttempt, PastAttempt, list[Step], float | None]]:
    """Attempts with the best one before each, the steps from that one which were the idea, and the speed-up forecast for them.

    What the coder had to change besides, to make the advice legal, is left out. An attempt that changed more than two knobs
    of its own accord says nothing about any of them.
    """
    for i, attempt in enumerate(attempts[1:], 1):
        base, advice = best(attempts[:i]), attempts[i - 1].advice
        if base is None:
            continue
        ours, theirs = base.kernel.parameters, attempt.kernel.parameters
        steps = [Step(key, ours[key], new) for key, new in theirs.items() if key in ours and ours[key] != new]
        wanted = {} if advice is None else advice.parameters
        if wanted and all(theirs.get(key) == value for key, value in wanted.items()):
            forecast = None if advice is None else advice.expected_speedup
            yield base, attempt, [step for step in steps if step.key in wanted], forecast
        elif len(steps) <= 2:
            yield base, attempt, steps, None


def disappointments(attempts: Sequence[PastAttempt]) -> list[Step]:
    """Steps that failed, made nothing faster, or brought less than half of the gain that was forecast."""
    found: list[Step] = []
    for base, attempt, steps, forecast in _changes(attempts):
        gain = seconds(base) / seconds(attempt) - 1.0 if attempt.evaluation.passed else -1.0
        if gain < NOTICEABLE - 1.0 or (forecast is not None and gain < SHORTFALL * (forecast - 1.0)):
            found += steps
    return found


def tried_values(base: PastAttempt, attempts: Sequence[PastAttempt]) -> set[tuple[str, Value]]:
    """Knobs with the values that were tried from `base`, though perhaps with other changes that made them legal."""
    return {
        (step.key, step.new)
        for origin, _, steps, _ in _changes(attempts)
        if origin.number == base.number
        for step in steps
    }


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
    flat = 1 / NOTICEABLE < speedup < NOTICEABLE
    if any(v not in order for v in (start, end, old, new)) or isinstance(new, (str, bool)):
        if end != new or speedup >= NOTICEABLE:
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
