"""What a task's own module takes on a GPU, as eager PyTorch and through torch.compile, with no candidate beside it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError
from kernelwright.events import Observer, StageStarted, ignore
from kernelwright.sandbox.cuda.gpu_process import BaselineFailed, GpuProcess, Program
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.trees import tensors_of
from kernelwright.verifier.measured.alone import alone_on
from kernelwright.verifier.measured.rounds import COLD, Plan, measure
from kernelwright.verifier.measured.statistics import Interval, interval
from kernelwright.verifier.model.assemble import call_bytes
from kernelwright.verifier.seeds import SeedSource, secret_seed

__all__ = ["MeasuredBaselines", "measure_baselines"]

_SETS = 4  # sets of inputs that timed calls draw from
_SET_BYTES = 2 << 30  # of all sets together, at most
_KEPT_BYTES = 4 << 30  # of outputs that a batch of calls leaves


@dataclass(frozen=True)
class MeasuredBaselines:
    """Times by name, and why those that are missing could not be measured."""

    times: dict[str, Interval]
    """Seconds of a call with a cold L2 cache: the median over rounds, with its 95 % interval."""
    rounds: int
    failed: dict[str, str]


def measure_baselines(
    task: Task,
    reference: Reference,
    device: Device,
    names: Sequence[str],
    *,
    limits: Limits,
    plan: Plan,
    observer: Observer = ignore,
    draw_seed: SeedSource = secret_seed,
    runtime: str = "cuda",
    now: Callable[[], float] = time.perf_counter,
) -> MeasuredBaselines:
    """Times the module prepared in these ways, in one session and in random order, on inputs as the task's file makes them.

    Args:
        reference: the same task, opened.
        names: of `eager`, `compile` and `max-autotune`.
        runtime: as `GpuProcess` has it.

    Raises:
        GpuError: the GPU or its driver failed.
        TaskError: the reference fails, or does not run on the GPU in any of these ways.
    """
    own, seed = task.workloads[0], 0 if reference.hidden_tensors else draw_seed()
    first = reference.inputs(own.distribution, draw_seed(), strided=own.strided)
    size = max(1, sum(tensor.nbytes for tensor in tensors_of(first)))
    count = max(2, min(_SETS, _SET_BYTES // size))
    sets = [first, *(reference.inputs(own.distribution, draw_seed(), strided=own.strided) for _ in range(count - 1))]
    init = reference.init(seed)
    failed: dict[str, str] = {}
    with alone_on(device.index), ExitStack() as stack:
        ready: dict[str, GpuProcess] = {}
        for name in names:
            observer(StageStarted(f"baseline {name}"))
            program = Program(task.source, "Model", name, trusted=True, path=task.path, attachments=task.attachments)
            process = GpuProcess(program, device, limits=limits, wanted=reference.wanted, runtime=runtime)
            stack.enter_context(process)
            process.open()
            try:
                process.load()
                process.build(init, seed=seed)
                process.stage(sets)
                process.repeat([0], cold=False, compiling=True)
            except BaselineFailed as failure:
                failed[name] = failure.message[:300]
                process.close()
            else:
                ready[name] = process
        if not ready:
            raise TaskError(f"the reference does not run on the GPU: {next(iter(failed.values()))}", path=task.path)
        observer(StageStarted("gpu timing"))
        kept = max(1, call_bytes(reference.signature))
        plan = replace(plan, most_calls=max(1, min(plan.most_calls, _KEPT_BYTES // kept)))
        rng = random.Random(draw_seed())
        rounds = measure(ready, sets=len(sets), plan=plan, rng=rng, now=now)
    times = {name: interval(rounds.medians[name][COLD]) for name in ready}
    return MeasuredBaselines(times, len(next(iter(rounds.medians.values()))[COLD]), failed)
