"""Which parameters to change next: every change of one knob, then of two, forecast and weighed against the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from kernelwright.agents.builtin.lessons import Choice, Lesson, Value, choice_key, learned, seconds, tried_choices
from kernelwright.agents.protocols import PastAttempt
from kernelwright.errors import LaunchError
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.verifier.model.diagnosis import launch_bound
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.what_if import what_if

__all__ = ["Move", "find_moves", "launches_of"]

WORTH_IT = 1.005
"""Forecast speed-up from which a change is promising."""
PAIR_WORTH_IT = 1.02
"""The same for two changes at once, whose forecast is less sure."""
HEADROOM = 1.05
"""Launch time over its own bound from which changes are tried that can't be forecast or are forecast as equal."""
EXPLORE_FROM = 0.97
"""Worst forecast at which a knob is tried for its own sake while there is headroom."""
PUSH = 0.1
"""What one more step in a direction that helped counts beyond its forecast."""


@dataclass(frozen=True)
class Move:
    """A change of one or two knobs of one kernel, with what it should bring."""

    kernel: str
    """Name of the kernel function."""
    changes: Mapping[str, tuple[Value, Value]]
    """Old and new value by `"<kernel function>.<knob>"`."""
    forecast: float | None
    """Speed-up of the whole call; None where it can't be told."""
    score: float

    @property
    def parameters(self) -> dict[str, Value]:
        """The new values."""
        return {key: new for key, (_, new) in self.changes.items()}

    def __str__(self) -> str:
        gain = "" if self.forecast is None else f" (forecast: {self.forecast:.2f}x)"
        steps = " and ".join(f"{key} from {old} to {new}" for key, (old, new) in self.changes.items())
        return f"Set {steps}{gain}."


@dataclass(frozen=True)
class _Kernel:
    """The launches of one kernel function in the attempt that is to be improved."""

    name: str
    launches: tuple[LaunchReport, ...]
    before: tuple[float, ...]
    """Modelled seconds of each."""
    total: float
    """Seconds of the whole call."""
    choice: Choice
    """Its knobs, without the kernel's name."""
    headroom: bool
    """Whether it is visibly above its own bound, or was not launched so that nothing is known."""


def launches_of(evaluation: Evaluation) -> list[LaunchReport]:
    """The launches of one forward call; none if it was not profiled."""
    return [LaunchReport.from_json(raw) for raw in evaluation.profile.launches] if evaluation.profile else []


def find_moves(
    base: PastAttempt, attempts: Sequence[PastAttempt], space: Mapping[str, tuple[Value, ...]], gpu: Gpu
) -> list[Move]:
    """Promising changes of `base`'s parameters, best first; nothing that was tried or asked for before.

    Two knobs at once are considered only where no single change is left.
    """
    known = tried_choices(attempts)
    kernels = _kernels(base, gpu)
    current = base.kernel.parameters
    moves: list[Move] = []
    for key, values in space.items():
        kernel = kernels.get(key.rpartition(".")[0])
        if kernel is None or key not in current:
            continue
        old = current[key]
        for new in values:
            if new != old and choice_key({**current, key: new}) not in known:
                move = _single(kernel, key, old, new, values, attempts, gpu)
                moves += [move] if move is not None else []
    if not moves:
        for kernel in kernels.values():
            moves += _pairs(kernel, base, attempts, space, known, gpu)
    return sorted(moves, key=lambda move: (-move.score, str(move)))


def _kernels(base: PastAttempt, gpu: Gpu) -> dict[str, _Kernel]:
    """Every kernel that has a parameter, by name."""
    current = base.kernel.parameters
    launches = launches_of(base.evaluation)
    kernels: dict[str, _Kernel] = {}
    for name in dict.fromkeys(key.rpartition(".")[0] for key in current):
        mine = tuple(r for r in launches if r.kernel == name)
        before = tuple(kernel_time(r, gpu).seconds for r in mine)
        least = sum(launch_bound(r, gpu) for r in mine)
        choice = {k.rpartition(".")[2]: v for k, v in current.items() if k.rpartition(".")[0] == name}
        kernels[name] = _Kernel(name, mine, before, seconds(base), choice, not mine or sum(before) > HEADROOM * least)
    return kernels


def _single(
    kernel: _Kernel,
    key: str,
    old: Value,
    new: Value,
    values: tuple[Value, ...],
    attempts: Sequence[PastAttempt],
    gpu: Gpu,
) -> Move | None:
    """This change, if it is promising."""
    lesson = learned(key, old, new, values, attempts)
    if lesson is Lesson.HURT:
        return None
    changes = {key: (old, new)}
    forecast = _forecast(kernel, changes, gpu)
    expected = 1.0 if forecast is None else forecast
    distance = abs(values.index(new) - values.index(old)) if old in values else len(values)
    push = lesson is Lesson.HELPED and distance == 1
    # while there is headroom a knob is also tried for its own sake, until a step that way changed nothing
    explore = kernel.headroom and lesson is not Lesson.FLAT
    if not push and expected < (EXPLORE_FROM if explore else WORTH_IT):
        return None
    # the forecast decides; a direction that helped counts for more, then the nearer value
    return Move(kernel.name, changes, forecast, expected + (PUSH if push else 0.0) - 0.001 * distance)


def _pairs(
    kernel: _Kernel,
    base: PastAttempt,
    attempts: Sequence[PastAttempt],
    space: Mapping[str, tuple[Value, ...]],
    known: set[frozenset[tuple[str, Value]]],
    gpu: Gpu,
) -> list[Move]:
    """Changes of two knobs of this kernel to neighbouring values that are forecast to be faster together."""
    current = base.kernel.parameters
    steps: list[tuple[str, Value, Value]] = []
    for key, values in space.items():
        old = current.get(key)
        if old is None or old not in values or key.rpartition(".")[0] != kernel.name:
            continue
        at = values.index(old)
        steps += [(key, old, values[i]) for i in (at - 1, at + 1) if 0 <= i < len(values)]
    moves: list[Move] = []
    for first, second in combinations(steps, 2):
        changes = {key: (old, new) for key, old, new in (first, second)}
        parameters = {key: new for key, (_, new) in changes.items()}
        if len(changes) < 2 or choice_key({**current, **parameters}) in known:
            continue
        forecast = _forecast(kernel, changes, gpu)
        if forecast is not None and forecast >= PAIR_WORTH_IT:
            moves.append(Move(kernel.name, changes, forecast, forecast))
    return moves


def _forecast(kernel: _Kernel, changes: Mapping[str, tuple[Value, Value]], gpu: Gpu) -> float | None:
    """Speed-up of the whole call if these knobs change; None if it can't be told, 0 if the kernel would not launch."""
    # a split reduction needs a second launch, which puts the parts together
    splits = [new for key, (old, new) in changes.items() if key.endswith(".split") and (old == 1) != (new == 1)]
    gained = sum(gpu.launch_seconds if new == 1 else -gpu.launch_seconds for new in splits)
    for report, was in zip(kernel.launches, kernel.before, strict=True):
        after: LaunchReport | None = report
        for key, (old, new) in changes.items():
            if after is not None:
                after = what_if(after, key.rpartition(".")[2], old, new, kernel.choice)
        if after is None:
            return None
        try:
            gained += was - kernel_time(after, gpu).seconds
        except LaunchError:
            return 0.0
    return round(kernel.total / max(kernel.total - gained, 1e-12), 4) if kernel.launches else None
