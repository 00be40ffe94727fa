"""Runs the attacks on a task's workloads, each until the comparison that a kernel meets refuses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kernelwright.bench_tasks.task import Distribution, Task, Workload
from kernelwright.errors import TaskError
from kernelwright.sandbox.lint_reference import LintReference
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.verifier.correctness import Past
from kernelwright.verifier.lint.attacks import FUNCTION_RULES, Attack, Forged, attacks_on
from kernelwright.verifier.lint.call import AttackedCall, result_names, single_results
from kernelwright.verifier.lint.report import Accepted
from kernelwright.verifier.lint.rules import FEW_DRAWS, LOOSE, MOST_SEEDS, TIGHT
from kernelwright.verifier.seeds import SeedSource
from kernelwright.verifier.statistical import CALLS, between_calls, compare

if TYPE_CHECKING:
    import torch

__all__ = ["Planned", "Trial", "plan", "run_attacks"]

OnCall = Callable[[str], None]
_ENOUGH = 1 << 14
"""Elements: of results twice as large these are compared first."""
_VARIED = frozenset({Distribution.NORMAL, Distribution.UNIFORM, Distribution.MIXED})
"""Distributions whose values vary in an ordinary way."""
_A_ROW = 64
"""Elements below the first dimension from which it is no part of a row, as `verifier.correctness` has rows."""


@dataclass(frozen=True)
class Planned:
    """One call that attacks are tried on."""

    workload: Workload
    repeat: int
    moved: bool
    """Whether weights are moved off their initial values."""
    given: bool
    """Whether these are the task's own inputs under initial weights, which is all that fixed-input checkers use."""
    counts: bool
    """Whether it is one of the task's workloads."""


@dataclass
class _Cell:
    """One attack on one result, or on all results together."""

    attack: Attack
    result: int | None
    ours: bool = True
    ours_as_given: bool = True
    tight: bool = True
    loose: bool = True
    tried: int = 0
    tried_as_given: int = 0
    real: int = 0
    followed: int = 0
    """Calls in which it was right while the outputs on other inputs were not."""
    pasts: dict[int, Past] = field(default_factory=dict)

    def alive(self, planned: Planned) -> bool:
        """Whether this call can tell more of it."""
        fixed = planned.given and (self.ours_as_given or self.tight or self.loose)
        return fixed or (planned.counts and self.ours)

    def drop(self) -> None:
        """It can't be tried here: nothing is claimed for it."""
        self.ours = self.ours_as_given = self.tight = self.loose = False


@dataclass(frozen=True)
class Trial:
    """What came of all attacks."""

    accepted: tuple[Accepted, ...]
    attacks: int
    calls: int
    effects: Mapping[str, float]
    results: tuple[tuple[torch.Tensor, ...], ...]
    """Native results on the task's own inputs, one tuple for each draw."""
    inputs: tuple[tuple[torch.Tensor, ...], ...]
    """Its own inputs, likewise."""
    names: tuple[str, ...]
    """Of the results."""
    changed: tuple[int, ...]
    """Inputs that the module changes in place."""
    not_run: tuple[str, ...]
    """Workloads on which the reference can't be run, with the reason."""


def plan(task: Task, reference: LintReference, *, has_weights: bool) -> list[Planned]:
    """The calls that a verdict rests on, the task's own inputs first: they kill most attacks, then calls with moved weights."""
    workloads = [w for w in task.workloads if w.fits(reference.signature)]
    plain = [w for w in workloads if not w.sizes]
    half = (len(plain) + 1) // 2
    calls = []
    for position, workload in enumerate(plain):
        moved = has_weights and position >= half
        given = workload.distribution is Distribution.AS_GIVEN and not workload.strided and not moved
        calls += [Planned(workload, repeat, moved, given, True) for repeat in range(min(workload.seeds, MOST_SEEDS))]
    own = Workload("as-given", Distribution.AS_GIVEN)
    lacking = FEW_DRAWS - sum(call.given for call in calls)
    calls += [Planned(own, -1 - extra, False, True, False) for extra in range(lacking)]
    calls += [
        Planned(w, repeat, False, False, True)
        for w in workloads
        if w.sizes
        for repeat in range(min(w.seeds, MOST_SEEDS))
    ]
    # sorting is stable: sized workloads stay last among those with initial weights
    return sorted(calls, key=lambda c: (not c.given, bool(c.workload.sizes), not c.moved))


def run_attacks(
    task: Task, reference: LintReference, *, draw: SeedSource, on_call: OnCall = lambda _name: None
) -> Trial:
    """Tries every attack on every workload until it is refused.

    Args:
        draw: where seeds come from.
        on_call: is told the name of each workload.

    Raises:
        TaskError: the reference fails on its own inputs.
    """
    seed = 0 if reference.hidden_tensors else draw()
    initial = reference.init(seed)
    has_weights = initial.arguments is not None and bool(initial.state)
    signature = reference.signature
    results = len(signature.outputs) + len(signature.gradients)
    attacks = attacks_on(signature, state=initial.state, samples=reference.samples)
    names: list[str] = []
    cells: list[_Cell] = []
    kept: list[tuple[torch.Tensor, ...]] = []
    inputs_kept: list[tuple[torch.Tensor, ...]] = []
    effects: dict[str, float] = {}
    changed: tuple[int, ...] = ()
    not_run: list[str] = []
    calls = 0
    sizes: tuple[tuple[str, int], ...] = ()
    states: dict[bool, Mapping[str, torch.Tensor]] = {}
    refused: set[str] = set()
    for planned in plan(task, reference, has_weights=has_weights):
        workload = planned.workload
        if workload.name in refused or (cells and not any(cell.alive(planned) for cell in cells)):
            continue
        on_call(workload.name)
        if workload.sizes != sizes:
            reference.resize(dict(workload.sizes))
            sizes = workload.sizes
            states.clear()
        try:
            call = _call(reference, planned, seed, draw, states)
        except TaskError as error:
            if workload.distribution is Distribution.AS_GIVEN or not reference.alive:
                raise
            refused.add(workload.name)
            not_run.append(f"{workload.name}: {error.message[:120]}")
            continue
        calls += 1
        if not names:
            changed = call.expected.changed if call.expected.after is not None else ()
            names = result_names(signature, changed)
            cells = [
                _Cell(attack, result)
                for attack in attacks
                for result in (range(len(call.results)) if attack.single else (None,))
            ]
        if planned.given:
            kept.append(tuple(call.results))
            inputs_kept.append(tuple(call.given))
            if len(kept) == 1:  # attacks may all be refused here: a second draw is known all the same
                kept.append(tuple(call.other_results))
                inputs_kept.append(tuple(call.other_inputs))
        _attack(task, call, planned, cells, effects, compared=results)
    if sizes:
        reference.resize({})
    accepted = tuple(_accepted(cell, names) for cell in cells)
    return Trial(
        tuple(each for each in accepted if each.anywhere), len(attacks), calls, effects, tuple(kept), tuple(inputs_kept),
        tuple(names), changed, tuple(not_run),
    )  # fmt: skip


def _call(
    reference: LintReference,
    planned: Planned,
    seed: int,
    draw: SeedSource,
    states: dict[bool, Mapping[str, torch.Tensor]],
) -> AttackedCall:
    workload = planned.workload
    first, other = draw(), draw()
    inputs = reference.inputs(workload.distribution, first, strided=workload.strided)
    expected = reference.run(inputs, weights_seed=seed, moved=planned.moved, samples_seed=first + 1)
    for moved in (False, planned.moved):
        if moved not in states:
            states[moved] = reference.init(seed, moved=moved).state
    return AttackedCall(
        reference, workload, seed, planned.moved, inputs, expected, other, states[False], states[planned.moved]
    )


def _attack(
    task: Task, call: AttackedCall, planned: Planned, cells: list[_Cell], effects: dict[str, float], *, compared: int
) -> None:
    singles = single_results(call.expected)
    forged: dict[int, Forged | None] = {}
    for cell in cells:
        if not cell.alive(planned):
            continue
        key = id(cell.attack)
        if key not in forged:
            forged[key] = cell.attack.forge(call)
        found = forged[key]
        if found is None or (cell.result is not None and found.results[cell.result] is None):
            if not planned.workload.sizes:
                cell.drop()
            continue
        if not found.real and not found.counts:
            continue
        positions = range(len(call.results)) if cell.result is None else (cell.result,)
        pairs = [(p, found.results[p]) for p in positions]
        cell.tried += planned.counts
        cell.tried_as_given += planned.given
        cell.real += planned.counts and found.real
        if planned.given and cell.attack.rule in ("ignores-input", "ignores-weight"):
            effect = max((_relative(value, call.results[p]) for p, value in pairs if value is not None), default=0.0)
            effects[cell.attack.subject] = max(effects.get(cell.attack.subject, 0.0), effect)
        right = all(
            value is not None and _accepts(task, value, singles[p], planned.workload, cell.pasts.setdefault(p, Past()))
            for p, value in pairs
        )
        if right and call.expected.samples is not None:
            right = _draws_anew(cell, found, call, singles, positions)
        if right and planned.counts and cell.attack.rule in FUNCTION_RULES and planned.workload.distribution in _VARIED:
            cell.followed += all(_varies(task, call, p, singles[p], planned.workload) for p, _value in pairs)
        if planned.counts:
            cell.ours = cell.ours and right
        if planned.given:
            cell.ours_as_given = cell.ours_as_given and right
            fixed = [(call.results[p], value) for p, value in pairs if p < compared and value is not None]
            cell.loose = cell.loose and bool(fixed) and all(_close(a, b, LOOSE) for a, b in fixed)
            cell.tight = cell.tight and bool(fixed) and all(_close(a, b, TIGHT) for a, b in fixed)


def _varies(task: Task, call: AttackedCall, position: int, expected: ReferenceResult, workload: Workload) -> bool:
    """Whether the comparison tells a result from the one on other inputs: what is right here then follows the inputs."""
    other = call.other_results[position]
    same = other.shape == expected.native.shape and other.dtype == expected.native.dtype
    return same and not _accepts(task, other, expected, workload, Past())


def _draws_anew(
    cell: _Cell, first: Forged, call: AttackedCall, singles: Sequence[ReferenceResult], positions: Iterable[int]
) -> bool:
    """Whether several calls on the same inputs differ as those of the reference do: what is forged is mostly the same."""
    calls = [first, *(cell.attack.forge(call) for _ in range(CALLS - 1))]
    if any(each is None for each in calls):
        return False
    return not any(
        between_calls([[each.results[p]] for each in calls if each is not None], singles[p]) for p in positions
    )


def _accepts(task: Task, value: torch.Tensor, expected: ReferenceResult, workload: Workload, past: Past) -> bool:
    if (end := _end_of(value, expected)) is not None:
        mismatch, _share = compare(*end, task.policy, nan_is_free=workload.distribution is Distribution.INFINITE)
        if mismatch is not None and mismatch.index is not None:
            return False  # the element would be wrong in the whole as well: what it may err is told by its row
    normal = past.normal(workload.distribution is Distribution.NORMAL and not workload.sizes)
    free = workload.distribution is Distribution.INFINITE
    mismatch, _share = compare(value, expected, task.policy, nan_is_free=free, past=normal)
    return mismatch is None


def _end_of(value: torch.Tensor, expected: ReferenceResult) -> tuple[torch.Tensor, ReferenceResult] | None:
    """The last rows of a large result, which tell most attacks apart at a fraction of the cost; None of a small one.

    The last, as some attacks leave the first as they are.
    """
    native: torch.Tensor = expected.native
    length = native.shape[0] if native.dim() else 0
    rows = length * _ENOUGH // max(1, native.numel())
    if expected.samples is not None or value.shape != native.shape or native.numel() < 2 * _ENOUGH:
        return None
    if not 1 <= rows < length or native[0].numel() < _A_ROW:
        return None

    def cut(tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else tensor.narrow(0, length - rows, rows)

    part = ReferenceResult(cut(native), cut(expected.exact), cut(expected.moved), (), ())
    return value.narrow(0, length - rows, rows), part


def _close(reference: torch.Tensor, value: torch.Tensor, tolerance: float) -> bool:
    import torch

    return torch.allclose(reference, value, atol=tolerance, rtol=tolerance)


def _relative(value: torch.Tensor, honest: torch.Tensor) -> float:
    """Root mean square of the difference over that of the honest values; 0 of what is no number."""
    if honest.dtype.is_complex or not honest.numel():
        return 0.0
    difference, size = (
        (value.double() - honest.double()).nan_to_num_(0.0, 0.0, 0.0),
        honest.double().nan_to_num_(0.0, 0.0, 0.0),
    )
    below = float(size.square().mean()) ** 0.5
    above = float(difference.square().mean()) ** 0.5
    return above / below if below else (float("inf") if above else 0.0)


def _accepted(cell: _Cell, names: list[str]) -> Accepted:
    return Accepted(
        cell.attack.rule,
        cell.attack.subject,
        cell.attack.how,
        "" if cell.result is None else names[cell.result],
        cell.ours and cell.tried > 0 and cell.real > 0,
        cell.ours_as_given and cell.tried_as_given > 0,
        cell.tight and cell.tried_as_given > 0,
        cell.loose and cell.tried_as_given > 0,
        cell.ours and cell.followed > 0,
    )
