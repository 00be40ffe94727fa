"""How much faster a call should be with other parameters: forecast counters (`verifier.model.what_if`), priced by the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.agents.builtin.lessons import Choice, Value, seconds
from kernelwright.agents.builtin.persistent import KNOB, with_blocks_per_sm
from kernelwright.agents.builtin.slices import with_slices
from kernelwright.agents.builtin.tensor_forecast import on_tensor_cores
from kernelwright.agents.protocols import PastAttempt
from kernelwright.errors import LaunchError
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.verifier.model.diagnosis import launch_bound
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.what_if import KNOBS, what_if

__all__ = ["Changes", "LaunchedKernel", "can_forecast", "forecast", "forecast_all", "launched_kernels", "launches_of"]

HEADROOM = 1.05
"""Launch time over its own bound from which a kernel counts as visibly above it."""

Changes = Mapping[str, tuple[Value, Value]]
"""Old and new value by `"<kernel function>.<knob>"`."""


@dataclass(frozen=True)
class LaunchedKernel:
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


def launched_kernels(base: PastAttempt, gpu: Gpu) -> dict[str, LaunchedKernel]:
    """Every kernel of a passed attempt that has a parameter, by name."""
    current = base.kernel.parameters
    launches = launches_of(base.evaluation)
    kernels: dict[str, LaunchedKernel] = {}
    for name in dict.fromkeys(key.rpartition(".")[0] for key in current):
        mine = tuple(r for r in launches if r.kernel == name)
        before = tuple(kernel_time(r, gpu).seconds for r in mine)
        least = sum(launch_bound(r, gpu) for r in mine)
        choice = {k.rpartition(".")[2]: v for k, v in current.items() if k.rpartition(".")[0] == name}
        headroom = not mine or sum(before) > HEADROOM * least
        kernels[name] = LaunchedKernel(name, mine, before, seconds(base), choice, headroom)
    return kernels


def can_forecast(knob: str, value: Value) -> bool:
    """Whether there is a rule for this knob, by its short name, at values such as this."""
    return (knob in KNOBS or knob in ("slices", KNOB)) and isinstance(value, int) and not isinstance(value, bool)


def forecast(kernel: LaunchedKernel, changes: Changes, gpu: Gpu) -> float | None:
    """Speed-up of the whole call if these knobs change; None if it can't be told, 0 if the kernel would not launch."""
    gained = _gained(kernel, changes, gpu)
    return None if gained is None else _speedup(kernel.total, gained)


def forecast_all(base: PastAttempt, choice: Choice, gpu: Gpu) -> float | None:
    """Speed-up of the call from `base`'s parameters to `choice`, of all its kernels, by the knobs that can be told.

    None if nothing can be told of any of them.
    """
    gains: list[float] = []
    for kernel in launched_kernels(base, gpu).values():
        final = {knob: choice.get(f"{kernel.name}.{knob}", old) for knob, old in kernel.choice.items()}
        if _on_tensor_cores(kernel, final):  # knobs that only fit each other together
            whole = {f"{kernel.name}.{k}": (old, final[k]) for k, old in kernel.choice.items() if final[k] != old}
            more = _gained(kernel, whole, gpu)
            gains += [] if more is None else [more]
            continue
        changes: dict[str, tuple[Value, Value]] = {}
        gain: float | None = None
        for knob, old in kernel.choice.items():
            key = f"{kernel.name}.{knob}"
            new = choice.get(key, old)
            # one at a time: a step that can't be told, or only together with a later one, is left out
            if new != old and (more := _gained(kernel, {**changes, key: (old, new)}, gpu)) is not None:
                changes[key], gain = (old, new), more
        gains += [] if gain is None else [gain]
    return _speedup(seconds(base), sum(gains)) if gains else None


def _speedup(total: float, gained: float) -> float:
    return round(total / max(total - gained, 1e-12), 4)


def _gained(kernel: LaunchedKernel, changes: Changes, gpu: Gpu) -> float | None:
    """Seconds saved; minus infinity if the kernel would not launch, None if it can't be told."""
    if not kernel.launches:
        return None
    impossible = float("-inf") if _on_tensor_cores(kernel, _final(kernel, changes)) else None
    # a split reduction needs a second launch, which puts the parts together
    splits = [new for key, (old, new) in changes.items() if key.endswith(".split") and (old == 1) != (new == 1)]
    gained = sum(gpu.launch_seconds if new == 1 else -gpu.launch_seconds for new in splits)
    for report, was in zip(kernel.launches, kernel.before, strict=True):
        after = _changed(report, kernel, changes, gpu)
        if after is None:
            return impossible
        try:
            gained += was - kernel_time(after, gpu).seconds
        except LaunchError:
            return float("-inf")
    return gained


def _final(kernel: LaunchedKernel, changes: Changes) -> dict[str, Value]:
    """The kernel's knobs, by their short names, after the changes."""
    return {**kernel.choice, **{key.rpartition(".")[2]: new for key, (_, new) in changes.items()}}


def _on_tensor_cores(kernel: LaunchedKernel, final: Choice) -> bool:
    """Whether it is a matrix product that runs on tensor cores before or after the change."""
    return "tensor" in (kernel.choice.get("cores"), final.get("cores"))


def _changed(report: LaunchReport, kernel: LaunchedKernel, changes: Changes, gpu: Gpu) -> LaunchReport | None:
    """The launch with all changes; slices last, since they divide what the others leave."""
    final = _final(kernel, changes)
    resident, wanted = int(kernel.choice.get(KNOB, 0)), int(final.get(KNOB, 0))
    if resident != wanted:  # by itself only: a persistent grid hides how many blocks the other knobs make
        return with_blocks_per_sm(report, resident, wanted, gpu.sms) if len(changes) == 1 else None
    if resident:
        return None
    if _on_tensor_cores(kernel, final):
        return on_tensor_cores(report, kernel.choice, final)
    after: LaunchReport | None = report
    for key, (old, new) in sorted(changes.items(), key=lambda change: change[0].endswith(".slices")):
        knob = key.rpartition(".")[2]
        if after is None:
            return None
        if knob == "slices":
            after = with_slices(after, int(old), int(new), final)
        else:
            after = what_if(after, knob, old, new, kernel.choice)
    return after
