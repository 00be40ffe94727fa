"""The stages of a verdict that need a GPU: built, compared and timed there, after the emulator has looked at every store.

    ... integrity -> timing (modelled) -> gpu build -> gpu correctness -> gpu sanitise -> gpu timing -> gpu profile

What ran on the emulator is what must run on the GPU: the same kernels with the same grids. Every timed call may be looked at
afterwards, and the times that the process claims must agree with the judge's own clock.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from kernelwright.bench_tasks.task import Distribution, Task, Workload
from kernelwright.errors import TaskError
from kernelwright.events import Note, Observer, StageStarted
from kernelwright.sandbox.candidate import CallResult
from kernelwright.sandbox.cuda.clocks import Clocks
from kernelwright.sandbox.cuda.gpu_process import BaselineFailed, GpuProcess, Program
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import GpuLaunch, LaunchReport
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference, ReferenceResult
from kernelwright.sandbox.trees import tensors_of
from kernelwright.verifier.correctness import Past
from kernelwright.verifier.effects import refuse_effects
from kernelwright.verifier.evaluation import Timing, Verdict
from kernelwright.verifier.measured.alone import alone_on
from kernelwright.verifier.measured.ceilings import PRODUCTS, measure_ceilings, with_ceilings
from kernelwright.verifier.measured.gpu_tools import FencedRun, profiled, sanitised
from kernelwright.verifier.measured.launches import launch_difference
from kernelwright.verifier.measured.report import CANDIDATE, measured_timing, refuse_impossible, summary
from kernelwright.verifier.measured.rounds import WARM, Plan, Rounds, WallClock, measure, wall_clock
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.profilers.sanitizer import TOOLS as SANITIZERS
from kernelwright.verifier.stages import StageFailed, Stages
from kernelwright.verifier.statistical import compare
from kernelwright.verifier.timing import is_jump
from kernelwright.verifier.wording import counted, duration, error_share

__all__ = ["BASELINES", "GpuJob", "GpuOptions", "judge_on_gpu"]

BASELINES = ("eager", "compile", "max-autotune")
"""What a candidate is compared with: the reference as it is, and through torch.compile."""
_SETS = 4  # sets of inputs that timed calls draw from
_SET_BYTES = 2 << 30  # of all sets together, at most
_KEPT_BYTES = 4 << 30  # of outputs that wait to be looked at
_LOOKED_AT = 2  # calls of each batch of the candidate's that are compared afterwards
_AGREES = 1.10  # wall clock by claim: within it the claim is reported
_REFUSED = 1.50  # beyond it the kernel is refused; in between the slower of both counts
_WALL_SECONDS = 2e-6  # what the two clocks may differ by besides


@dataclass(frozen=True)
class GpuOptions:
    """How a kernel is measured."""

    plan: Plan = field(default_factory=Plan)
    baselines: tuple[str, ...] = BASELINES
    products: tuple[tuple[str, int], ...] = PRODUCTS
    """Square matrix products that the ceilings are taken from: dtype and side."""
    runtime: str = "cuda"
    """As `GpuProcess` has it."""
    tools: tuple[str, ...] = ()
    """`ncu` and compute-sanitizer's tools that the kernel is run under besides; empty leaves their stages out."""
    tool_seconds: float = 300.0
    """Wall limit of each of them."""


@dataclass
class GpuJob:
    """What is judged on a GPU, and what is known of it from the emulator."""

    task: Task
    kernel: Kernel
    device: Device
    reference: Reference
    gpu: Gpu
    limits: Limits
    observer: Observer
    seed: Callable[[str], int]
    """Draws the secret seed of this name, and keeps it."""
    emulated: Sequence[LaunchReport]
    """The launches of a call on the task's own workload, as the emulator ran it."""
    options: GpuOptions


@dataclass(frozen=True)
class _Set:
    """Inputs to time on, and what the reference answers."""

    inputs: list[Any]
    expected: ReferenceResult


def judge_on_gpu(job: GpuJob, stages: Stages) -> Timing:
    """Runs the GPU's stages; the measured timing.

    Raises:
        StageFailed: a stage found another verdict.
        GpuError: the GPU or its driver failed, which says nothing of the kernel.
        TaskError: the reference fails.
    """
    with alone_on(job.device.index), ExitStack() as stack:
        return _GpuJudge(job, stages, stack).judge()


class _GpuJudge:
    """One judgement in progress."""

    def __init__(self, job: GpuJob, stages: Stages, stack: ExitStack) -> None:
        self.job, self.stages, self.stack = job, stages, stack
        self.past = Past()
        self.weights_seed, self.moved = 0, False
        self.unmatched: tuple[str, ...] = ()
        self.has_weights = False
        self.properties: dict[str, Any] = {}

    def judge(self) -> Timing:
        """All stages."""
        job = self.job
        program = Program(job.kernel.source)
        with self.stages.run("gpu build") as stage:
            candidate = self._open(program)
            candidate.load()
            self._give_weights(candidate, moved=False)
            self.properties = candidate.properties
            stage.summary = f"loaded on {self.properties['name']}"
            unpinned = {which: why for which, why in candidate.pinned.items() if why}
            stage.evidence = {"device": self.properties, "runtime": job.options.runtime, "unpinned": unpinned}
        with self.stages.run("gpu correctness") as stage:
            stage.summary, stage.evidence = self._correctness(candidate)
        names, seconds = [report.kernel for report in job.emulated], job.options.tool_seconds
        run: FencedRun | None = None
        if checks := [tool for tool in SANITIZERS if tool in job.options.tools]:
            with self.stages.run("gpu sanitise") as stage:
                run = self._under_tools(program)
                sanitised(stage, run, names, checks, seconds=seconds)
        with self.stages.run("gpu timing") as stage:
            timing = self._timing(candidate)
            stage.summary = summary(timing)
            stage.evidence = {} if timing.measurement is None else {"measurement": timing.measurement.model_dump()}
        if "ncu" in job.options.tools:
            with self.stages.run("gpu profile") as stage:
                profiled(stage, run or self._under_tools(program), names, seconds=seconds)
        return timing

    def _under_tools(self, program: Program) -> FencedRun:
        """The task's own workload, to be called under a tool."""
        job = self.job
        inputs, expected = self._drawn(job.task.workloads[0], 0)
        return FencedRun(
            program, job.device, job.limits, init=job.reference.init(self.weights_seed, moved=self.moved),
            seed=self.weights_seed, inputs=inputs, expected=_sizes(expected), wanted=job.reference.wanted,
            runtime=job.options.runtime,
        )  # fmt: skip

    def _open(self, program: Program) -> GpuProcess:
        job = self.job
        process = self.stack.enter_context(
            GpuProcess(program, job.device, limits=job.limits, wanted=job.reference.wanted, runtime=job.options.runtime)
        )
        process.open()
        return process

    def _give_weights(self, process: GpuProcess, *, moved: bool) -> None:
        job = self.job
        if not process.program.trusted:
            self.moved = moved
            self.weights_seed = (
                0 if job.reference.hidden_tensors else job.seed("gpu weights/" + ("moved" if moved else "0"))
            )
        init = job.reference.init(self.weights_seed, moved=moved)
        _matched, unmatched = process.build(init, seed=self.weights_seed, update=moved and not process.program.trusted)
        if not process.program.trusted:
            self.unmatched, self.has_weights = unmatched, bool(init.state)

    # -- correctness ----------------------------------------------------------------------------------------------

    def _correctness(self, candidate: GpuProcess) -> tuple[str, dict[str, Any]]:
        job = self.job
        workloads = [w for w in job.task.workloads if w.fits(job.reference.signature) and not w.sizes]
        rows: list[dict[str, Any]] = []
        launches: tuple[GpuLaunch, ...] = ()
        half, largest = (len(workloads) + 1) // 2, 0.0
        for position, workload in enumerate(workloads):
            job.observer(StageStarted(f"gpu correctness, workload {position + 1} of {len(workloads)}"))
            if position == half and self.has_weights and not self.unmatched:
                self._give_weights(candidate, moved=True)
            for repeat in range(workload.seeds):
                try:
                    inputs, expected = self._drawn(workload, repeat)
                except TaskError:
                    if position == 0:
                        raise
                    break
                result, ran = candidate.call(
                    inputs,
                    expected=_sizes(expected),
                    compiling=position == 0 and repeat == 0,
                    trace=position == 0 and repeat == 0,
                )
                share = self._compare(workload, inputs, result, expected)
                rows.append({"workload": workload.name, "share_of_allowed": min(share, 1e30)})
                largest = max(largest, share)
                launches = launches or ran
        difference = launch_difference(job.emulated, launches) if launches else ""
        if difference:
            raise StageFailed(
                Verdict.CHEATING, f"It does other things on the GPU than where every store was watched: {difference}",
                "other launches than on the emulator",
                {"gpu": [launch.name for launch in launches], "emulator": [report.kernel for report in job.emulated]},
            )  # fmt: skip
        observed = f"; the same {counted(len(job.emulated), 'launch', 'launches')}" if launches else ""
        summary = f"{counted(len(rows), 'call')} on the GPU, {error_share(largest)}{observed}"
        return summary, {
            "calls": rows,
            "largest_share": largest,
            "launches": [[launch.name, list(launch.grid), list(launch.block), launch.seconds] for launch in launches],
        }

    def _drawn(self, workload: Workload, repeat: int) -> tuple[list[Any], ReferenceResult]:
        seed = self.job.seed(f"gpu {workload.name}/{repeat}")
        inputs = self.job.reference.inputs(workload.distribution, seed, strided=workload.strided)
        return inputs, self.job.reference.run(
            inputs, weights_seed=self.weights_seed, moved=self.moved, samples_seed=seed + 1
        )

    def _compare(
        self, workload: Workload, inputs: Sequence[Any], result: CallResult, expected: ReferenceResult
    ) -> float:
        free = workload.distribution is Distribution.INFINITE
        policy = self.job.task.policy
        past = self.past.normal(workload.distribution is Distribution.NORMAL)
        mismatch, share = compare(result.outputs, expected, policy, nan_is_free=free, past=past)
        if mismatch is not None:
            raise StageFailed(
                Verdict.WRONG,
                f"On the GPU output {mismatch.output} is wrong on workload {workload.name!r}: {mismatch.what}",
                f"wrong on the GPU, {workload.name}",
                {"workload": workload.name, "mismatch": mismatch.to_json()},
            )
        refuse_effects(inputs, result, expected, self.job.reference.signature, workload.name, policy, nan_is_free=free)
        return share

    # -- timing ---------------------------------------------------------------------------------------------------

    def _timing(self, candidate: GpuProcess) -> Timing:
        job, own = self.job, self.job.task.workloads[0]
        participants, failed = self._participants(candidate)
        ceilings = measure_ceilings(participants["eager"], job.options.products)
        gpu = with_ceilings(job.gpu, ceilings)
        rng = random.Random(job.seed("gpu order"))
        clocks = Clocks(str(self.properties.get("uuid", "")))

        def timed(sets: Sequence[_Set], *, again: bool) -> Timing:
            for process in participants.values():
                process.stage([each.inputs for each in sets])
            looked = 0

            def verify(name: str, order: Sequence[int]) -> None:
                nonlocal looked
                if name == CANDIDATE:
                    looked += self._look(candidate, own, sets, order, rng)

            rounds = measure(
                participants, sets=len(sets), plan=self._plan(sets), rng=rng, now=time.perf_counter, verify=verify,
                clocks=clocks.read, progress=self._progress,
            )  # fmt: skip
            wall = self._wall(candidate, rounds, sets, rng)
            return measured_timing(
                rounds, wall, reference=job.reference, gpu=gpu, ceilings=ceilings, failed=failed, looked=looked,
                properties=self.properties, clocks_problem=clocks.problem, again=again,
                slower=wall is not None and not agrees(wall),
            )  # fmt: skip

        try:
            timing = timed(self._sets(own, 0), again=False)
            if is_jump(timing):
                timing = max(timing, timed(self._sets(own, _SETS), again=True), key=lambda each: each.seconds)
                timing = timing.model_copy(update={"measured_again": True})
        finally:
            clocks.close()
        refuse_impossible(timing, job.reference, gpu, int(self.properties.get("l2_bytes", 0)))
        return timing

    def _progress(self, number: int, error: float) -> None:
        self.job.observer(StageStarted(f"gpu timing, round {number}, standard error {100 * error:.2f} %"))

    def _participants(self, candidate: GpuProcess) -> tuple[dict[str, GpuProcess], dict[str, str]]:
        """Candidate and baselines, ready; and the baselines that are not, with the reason."""
        job = self.job
        found, failed = {CANDIDATE: candidate}, {}
        for name in job.options.baselines:
            job.observer(StageStarted(f"gpu timing, baseline {name}"))
            try:
                found[name] = self._baseline(name)
            except BaselineFailed as failure:  # torch.compile can fail on a module; eager is the reference itself
                if name == "eager":
                    raise TaskError(
                        f"the reference does not run on the GPU: {failure.message}",
                        path=job.task.path,
                        mend=failure.mend,
                    ) from failure
                failed[name] = failure.message[:300]
                job.observer(Note(f"baseline {name} is left out: {failure.message[:120]}"))
        return found, failed

    def _sets(self, own: Workload, begin: int) -> list[_Set]:
        """Inputs that no call has had, under the seeds of calls from `begin` on."""
        first = self._drawn(own, own.seeds + begin)
        size = max(1, sum(t.nbytes for t in tensors_of(first[0])))
        count = max(2, min(_SETS, _SET_BYTES // size))
        return [_Set(*first), *(_Set(*self._drawn(own, own.seeds + begin + number)) for number in range(1, count))]

    def _baseline(self, name: str) -> GpuProcess:
        task = self.job.task
        program = Program(task.source, "Model", name, trusted=True, path=task.path, attachments=task.attachments)
        process = self._open(program)
        try:
            process.load()
            self._give_weights(process, moved=self.moved)
            inputs, _expected = self._drawn(task.workloads[0], 0)
            process.stage([inputs])
            process.repeat([0], cold=False, compiling=True)
        except BaseException:
            process.close()
            raise
        return process

    def _plan(self, sets: Sequence[_Set]) -> Plan:
        size = max(1, sum(_sizes(sets[0].expected)))
        plan = self.job.options.plan
        return replace(plan, most_calls=max(1, min(plan.most_calls, _KEPT_BYTES // size)))

    def _look(
        self, candidate: GpuProcess, own: Workload, sets: Sequence[_Set], order: Sequence[int], rng: random.Random
    ) -> int:
        """Compares calls of the last batch that nobody knew would be chosen; how many."""
        chosen = rng.sample(range(len(order)), min(_LOOKED_AT, len(order)))
        expected_bytes = sum(_sizes(sets[0].expected))
        for position, outputs in zip(chosen, candidate.fetch(chosen, expected_bytes=expected_bytes), strict=True):
            expected = sets[order[position]].expected
            mismatch, _share = compare(outputs, expected, self.job.task.policy, past=self.past)
            if mismatch is not None:
                raise StageFailed(
                    Verdict.WRONG,
                    f"Timed call {position + 1} of {len(order)} on workload {own.name!r} gave a wrong result: {mismatch.what}",
                    "wrong in a timed call",
                    {"workload": own.name, "call": position, "mismatch": mismatch.to_json()},
                )
        return len(chosen)

    def _wall(
        self, candidate: GpuProcess, rounds: Rounds, sets: Sequence[_Set], rng: random.Random
    ) -> WallClock | None:
        """The judge's clock against the claims; None where calls change their inputs, so that sets can't be used twice."""
        if sets[0].expected.changed:
            return None
        about = min(rounds.medians[CANDIDATE][WARM])
        most = self._plan(sets).most_calls
        found = wall_clock(candidate, sets=len(sets), claimed_about=about, rng=rng, most_calls=max(8, most))
        if not agrees(found):  # a hiccup of this machine, maybe
            again = wall_clock(candidate, sets=len(sets), claimed_about=about, rng=rng, most_calls=max(8, most))
            found = min(found, again, key=lambda clock: clock.ratio)
        if found.slope.low > _REFUSED * found.claimed + _WALL_SECONDS:
            raise StageFailed(
                Verdict.CHEATING,
                f"A call takes {duration(found.slope.seconds)} by the judge's clock, and {duration(found.claimed)} by what its "
                "process says of the device's.",
                "the clocks disagree",
                {"wall_seconds": found.slope.seconds, "claimed_seconds": found.claimed},
            )
        return found


def agrees(wall: WallClock) -> bool:
    """Whether the two clocks agree within what they may differ by."""
    return wall.slope.low <= _AGREES * wall.claimed + _WALL_SECONDS


def _sizes(expected: ReferenceResult) -> list[int]:
    return [tensor.nbytes for tensor in tensors_of(expected.native)]
