"""Which parameters to change next: every change of one knob, then of two, forecast and weighed against the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from kernelwright.agents.builtin.forecast import Changes, LaunchedKernel, can_forecast, forecast, launched_kernels
from kernelwright.agents.builtin.lessons import (
    Lesson,
    Step,
    Value,
    choice_key,
    disappointments,
    learned,
    tried_choices,
    tried_values,
)
from kernelwright.agents.protocols import PastAttempt
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Move", "find_moves"]

WORTH_IT = 1.01
"""Forecast speed-up from which a change is worth a round: the model is not better than that."""
PAIR_WORTH_IT = 1.02
"""The same for two changes at once, whose forecast is less sure."""
PUSH = 0.1
"""What one more step in a direction that helped counts beyond its forecast."""


@dataclass(frozen=True)
class Move:
    """A change of one or two knobs of one kernel, with what it should bring."""

    kernel: str
    """Name of the kernel function."""
    changes: Changes
    forecast: float | None
    """Speed-up of the whole call; None where it can't be told."""
    score: float
    doubted: bool
    """Whether a step the same way was promised more than it brought before."""

    @property
    def parameters(self) -> dict[str, Value]:
        """The new values."""
        return {key: new for key, (_, new) in self.changes.items()}

    def __str__(self) -> str:
        gain = "" if self.forecast is None else f" (forecast: {self.forecast:.2f}x)"
        steps = " and ".join(f"{key} from {old} to {new}" for key, (old, new) in self.changes.items())
        return f"Set {steps}{gain}."


def find_moves(
    base: PastAttempt, attempts: Sequence[PastAttempt], space: Mapping[str, tuple[Value, ...]], gpu: Gpu
) -> list[Move]:
    """Promising changes of `base`'s parameters, best first; nothing that was tried or asked for before.

    These are the changes that are forecast to help by 1 % or more; of two knobs at once only where no single one is. Where a
    kernel is visibly above its own bound, also those of another kind that no rule can forecast (another strategy). Whatever went
    a way that disappointed before comes last.
    """
    known, values_known = tried_choices(attempts), tried_values(base, attempts)
    doubts = disappointments(attempts)
    kernels = launched_kernels(base, gpu)
    current = base.kernel.parameters
    moves: list[Move] = []
    for key, values in space.items():
        kernel = kernels.get(key.rpartition(".")[0])
        if kernel is None or key not in current:
            continue
        old = current[key]
        for new in values:
            if new == old or (key, new) in values_known or choice_key({**current, key: new}) in known:
                continue
            move = _single(kernel, Step(key, old, new), values, attempts, doubts, gpu)
            moves += [move] if move is not None else []
    if all(move.forecast is None for move in moves):
        for kernel in kernels.values():
            moves += _pairs(kernel, base, doubts, space, known, gpu)
    return sorted(moves, key=lambda move: (move.doubted, -move.score, str(move)))


def _single(
    kernel: LaunchedKernel,
    step: Step,
    values: tuple[Value, ...],
    attempts: Sequence[PastAttempt],
    doubts: Sequence[Step],
    gpu: Gpu,
) -> Move | None:
    """This change, if it is promising."""
    lesson = learned(step.key, step.old, step.new, values, attempts)
    if lesson is Lesson.HURT:
        return None
    changes = {step.key: (step.old, step.new)}
    expected = forecast(kernel, changes, gpu)
    distance = abs(values.index(step.new) - values.index(step.old)) if step.old in values else len(values)
    push = lesson is Lesson.HELPED and distance == 1
    if expected is None:
        impossible_alone = bool(kernel.launches) and can_forecast(step.key.rpartition(".")[2], step.new)
        explore = kernel.headroom and lesson is not Lesson.FLAT and not impossible_alone
        if not push and not explore:
            return None
    elif expected < WORTH_IT:
        return None
    # the forecast decides; a direction that helped counts for more, then the nearer value
    score = (1.0 if expected is None else expected) + (PUSH if push else 0.0) - 0.001 * distance
    return Move(kernel.name, changes, expected, score, any(step.goes_like(doubt, values) for doubt in doubts))


def _pairs(
    kernel: LaunchedKernel,
    base: PastAttempt,
    doubts: Sequence[Step],
    space: Mapping[str, tuple[Value, ...]],
    known: set[frozenset[tuple[str, Value]]],
    gpu: Gpu,
) -> list[Move]:
    """Changes of two knobs of this kernel to neighbouring values that are forecast to be faster together."""
    current = base.kernel.parameters
    steps: list[Step] = []
    for key, values in space.items():
        old = current.get(key)
        if old is None or old not in values or key.rpartition(".")[0] != kernel.name:
            continue
        at = values.index(old)
        steps += [Step(key, old, values[i]) for i in (at - 1, at + 1) if 0 <= i < len(values)]
    moves: list[Move] = []
    for pair in combinations(steps, 2):
        changes = {step.key: (step.old, step.new) for step in pair}
        parameters = {step.key: step.new for step in pair}
        if len(changes) < 2 or choice_key({**current, **parameters}) in known:
            continue
        expected = forecast(kernel, changes, gpu)
        if expected is not None and expected >= PAIR_WORTH_IT:
            doubted = any(step.goes_like(doubt, space[step.key]) for step in pair for doubt in doubts)
            moves.append(Move(kernel.name, changes, expected, expected, doubted))
    return moves
