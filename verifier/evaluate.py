"""evaluate(): a Kernel on a Task, through the stages, to one Evaluation.

    static -> build -> sanitise -> correctness -> integrity -> timing -> profile

Stages stop at the first failure and say why in words that a person and a model can act on. The judge (this process)
draws the seeds, compares and keeps the clock; the reference and the candidate run in processes of their own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from kernelwright.bench_tasks.task import Distribution, Task, Workload
from kernelwright.errors import TaskError
from kernelwright.events import Observer, StageStarted, ignore
from kernelwright.sandbox.candidate import CallResult, Candidate, CandidateFailure
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference, ReferenceResult
from kernelwright.sandbox.sampling import DRAWS
from kernelwright.sandbox.spares import StartProcesses
from kernelwright.sandbox.symbols import plain_name
from kernelwright.sandbox.trees import tensors_of
from kernelwright.verifier import gradients, host_side, integrity, static
from kernelwright.verifier.cascade import Cascade
from kernelwright.verifier.compiled import compiled_hash
from kernelwright.verifier.correctness import Mismatch, Past
from kernelwright.verifier.determinism import Rerun, compare_rerun
from kernelwright.verifier.device_info import device_info
from kernelwright.verifier.effects import refuse_effects, refuse_violations
from kernelwright.verifier.evaluation import Evaluation, Profile, Timing, TimingKind, Verdict
from kernelwright.verifier.measured.gpu_stages import GpuJob, GpuOptions, judge_on_gpu
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.near_inputs import nearly_same
from kernelwright.verifier.seeds import SeedSource, secret_seed
from kernelwright.verifier.shrink import SECONDS, Shrunk, shrink
from kernelwright.verifier.stages import StageFailed, Stages
from kernelwright.verifier.statistical import CALLS, between_calls, compare
from kernelwright.verifier.timing import AGAIN, ModelledCall, impossible, is_jump, modelled_call, timing_of
from kernelwright.verifier.wording import (
    counted,
    duration,
    error_share,
    quoted,
    sentence,
)

__all__ = ["evaluate"]


@dataclass(frozen=True)
class _Call:
    """One verified call: what went in, what the reference says, what came out."""

    workload: Workload
    reference: ReferenceResult
    result: CallResult
    inputs: list[Any]
    weights: tuple[int, bool]
    """The weights' seed, and whether they were moved."""


class _Judge:
    """One evaluation in progress."""

    def __init__(
        self, task: Task, kernel: Kernel, device: Device, reference: Reference, gpu: Gpu, limits: Limits,
        observer: Observer, draw: SeedSource, start: StartProcesses | None, rival: Timing | None = None,
    ) -> None:  # fmt: skip
        self.task, self.kernel, self.device, self.reference = task, kernel, device, reference
        self.gpu, self.limits, self.observer, self.draw, self.start = gpu, limits, observer, draw, start
        self.stages = Stages(kernel.source, observer)
        self.seeds: dict[str, int] = {}
        self.timing: Timing | None = None
        self.profile: Profile | None = None
        self.output_bytes = assemble.call_bytes(reference.signature)
        self.weights_seed = 0
        self.weights: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self.past = Past()
        self.timed: list[ModelledCall] = []
        """Every verified call, modelled."""
        kind = TimingKind.MEASURED if device.kind == "cuda" else TimingKind.MODELLED
        self.cascade = Cascade(rival, kind, gpu)

    def judge(self) -> None:
        """All stages; raises StageFailed at the first that fails."""
        with self.stages.run("static") as stage:
            report = static.analyse(self.kernel, self.task)
            if (finding := report.rejection) is not None:
                reason, evidence = finding.reason, {"line": finding.line, **report.to_json()}
                if finding.line:
                    reason = f"{reason.rstrip('.')} (line {finding.line})."
                    evidence["excerpt"] = quoted(self.kernel.source, finding.line)
                reason = f"{reason} {finding.mend}"
                verdict = finding.verdict or Verdict.REJECTED
                raise StageFailed(verdict, reason, verdict.value.replace("_", " "), evidence)
            warnings = f", {counted(len(report.warnings), 'warning')}" if report.warnings else ""
            stage.summary = f"a Python module with ModelNew and CUDA source{warnings}"
            stage.evidence = report.to_json()
        processes = self.start() if self.start is not None else None
        with Candidate(
            self.kernel, self.device, limits=self.limits, wanted=self.reference.wanted, processes=processes
        ) as candidate:
            self.candidate = candidate
            first = self._build(candidate)
            self._sanitise(first)
            probe = self._correctness(candidate, first)
            del first  # with its tensors
            self._integrity(candidate, probe)
            self._timing(candidate)

    # -- stages -------------------------------------------------------------------------------------------------

    def _build(self, candidate: Candidate) -> _Call:
        with self.stages.run("build") as stage:
            candidate.load()
            self._give_weights(candidate)
            first = self._call(candidate, self.task.workloads[0], 0, compiling=True)
            kernels = {r.kernel: r.resources for r in first.result.reports}
            stage.summary = ", ".join(
                f"{plain_name(name)}: {r.registers} registers" + (f", {r.static_shared} B shared" if r.static_shared else "")
                + (f", {r.spill_stores + r.spill_loads} B spilled" if r.spill_stores + r.spill_loads else "")
                for name, r in kernels.items() if r is not None
            ) or "loaded; it launched no kernel"  # fmt: skip
            stage.evidence = {
                "resources": {name: None if r is None else asdict(r) for name, r in kernels.items()},
                "weights_by_name": list(self.weights[0]),
                "weights_by_seed": list(self.weights[1]),
                "compiled": compiled_hash(first.result.reports, first.result.ops),
            }
        return first

    def _sanitise(self, first: _Call) -> None:
        with self.stages.run("sanitise") as stage:
            refuse_violations(first.result.reports)
            blocks = sum(r.counters.blocks for r in first.result.reports)
            launches = counted(len(first.result.reports), "launch", "launches")
            stage.summary = f"no violation in {launches}, {counted(blocks, 'block')}"

    def _correctness(self, candidate: Candidate, first: _Call) -> _Call:
        """Returns the call to probe integrity with; the tensors of the others are let go of as they pass."""
        with self.stages.run("correctness") as stage:
            rows: list[dict[str, Any]] = []
            skipped: list[str] = []
            probe = first
            largest = self._compare(first, rows)
            self._held_against_the_best(rows, last=self.task.workloads[0].seeds == 1)
            workloads = [w for w in self.task.workloads if w.fits(self.reference.signature) and not w.sizes]
            # where the values say most
            repeated = next((w for w in workloads if w.distribution is Distribution.NORMAL), workloads[0])
            rerun = self._rerun(candidate, first) if repeated is first.workload else None
            half = (len(workloads) + 1) // 2
            for position, workload in enumerate(workloads):
                self.observer(StageStarted(f"correctness, workload {position + 1} of {len(workloads)}"))
                if position == half and self.weights_given:
                    # all weights went over by name: from here on they are moved off their initial values, so that a
                    # kernel that ignores a weight of one or a bias of zero is seen
                    self._give_weights(candidate, moved=not self.weights[1])
                for repeat in range(workload.seeds):
                    if position == 0 and repeat == 0:
                        continue
                    try:
                        call = self._call(candidate, workload, repeat)
                    except TaskError as error:
                        if workload.distribution is Distribution.AS_GIVEN:
                            raise
                        skipped.append(f"{workload.name}: the reference refuses such inputs ({error.message[:120]})")
                        break
                    largest = max(largest, self._compare(call, rows))
                    if workload is repeated and repeat == 0:
                        rerun = self._rerun(candidate, call)
                    # the workload whose values say most: relu of positive numbers is the identity
                    if (
                        workload.distribution is Distribution.NORMAL
                        or probe.workload.distribution is not Distribution.NORMAL
                    ):
                        probe = call
                if position == 0 and workload.seeds > 1:
                    self._held_against_the_best(rows, last=True)
            for workload in self.task.workloads:
                if workload.sizes:
                    largest = max(largest, self._in_other_sizes(candidate, workload, rows))
            names = dict.fromkeys(row["workload"] for row in rows)
            stage.summary = (
                f"{counted(len(rows), 'call')} over {counted(len(names), 'workload')}, {error_share(largest)}"
            )
            stage.evidence = {"calls": rows, "skipped": skipped, "largest_share": largest}
            if rerun is not None:
                stage.evidence["rerun"] = rerun.to_json()
                stage.summary += f"; {rerun.summary}" if rerun.summary else ""
            if self.reference.samples:
                stage.evidence["random"] = {"runs_of_the_reference": DRAWS, "calls_on_the_same_inputs": CALLS}
                stage.summary += "; random values by statistics"
            if self.reference_in_own_dtype:
                stage.evidence["reference"] = f"in the task's own dtype: {self.reference_in_own_dtype}"
        return probe

    def _held_against_the_best(self, rows: list[dict[str, Any]], *, last: bool) -> None:
        """Lets go of a kernel that can't be the best of its run any more. One that is under suspicion is judged whole."""
        own = [call for call in self.timed if call.workload == self.task.workloads[0].name]
        if self.cascade.asked and own and not (self.without_own_work or self.reads_back):
            self.profile = assemble.profile(own[0].launches, own[0].operations, self.gpu)
            self.cascade.look(own, rows, last=last)

    def _in_other_sizes(self, candidate: Candidate, workload: Workload, rows: list[dict[str, Any]]) -> float:
        """The workload's calls, with a module of other sizes; they are not timed. Returns the largest error share."""
        sizes = ", ".join(f"{name} = {size}" for name, size in workload.sizes)
        self.observer(StageStarted(f"correctness, {sizes}"))
        timed, moved, largest = len(self.timed), self.weights_moved, 0.0
        self.reference.resize(dict(workload.sizes))
        try:
            self._give_weights(candidate)
            for repeat in range(workload.seeds):
                call = self._call(candidate, workload, repeat, compiling=True)
                largest = max(largest, self._compare(call, rows))
        except CandidateFailure as failure:
            failure.message = sentence(failure.message) + f" This is on workload {workload.name!r}, with {sizes}."
            if failure.kind == "launch":
                failure.message += " Where an output is empty, return it without a launch."
            raise
        finally:
            self.reference.resize({})
            del self.timed[timed:]
        self._give_weights(candidate, moved=False)
        if moved:
            self._give_weights(candidate, moved=True)
        return largest

    def _rerun(self, candidate: Candidate, call: _Call) -> Rerun | None:
        """The same inputs once more; the mismatch of a second call that is wrong is the verdict."""
        if call.reference.samples is not None:
            self._drawn_anew(candidate, call)
            return None
        again = candidate.call(call.inputs, expected_bytes=self.output_bytes)
        refuse_violations(again.reports)
        mismatch, rerun = compare_rerun(call.result, again, call.reference, self.task.policy)
        if mismatch is not None:
            raise StageFailed(
                Verdict.WRONG,
                f"A second call on the same inputs gives another result, on workload {call.workload.name!r}: {mismatch.what}",
                "not deterministic",
                {
                    "workload": call.workload.name,
                    "mismatch": mismatch.to_json(),
                    "rerun": None if rerun is None else rerun.to_json(),
                },
            )
        return rerun

    def _drawn_anew(self, candidate: Candidate, call: _Call) -> None:
        """More calls on the same inputs: each must be right, and draw random numbers of its own."""
        calls = [call.result.outputs]
        mismatch = None
        while mismatch is None and len(calls) < CALLS:
            again = candidate.call(call.inputs, expected_bytes=self.output_bytes)
            refuse_violations(again.reports)
            calls.append(again.outputs)
            mismatch, _share = compare(again.outputs, call.reference, self.task.policy)
        if mismatch := mismatch or between_calls(calls, call.reference):
            raise StageFailed(
                Verdict.WRONG,
                f"{len(calls)} calls on the same inputs of workload {call.workload.name!r}: {mismatch.what}",
                "its random numbers",
                {"workload": call.workload.name, "mismatch": mismatch.to_json()},
            )

    reference_in_own_dtype = ""

    def _integrity(self, candidate: Candidate, probe: _Call) -> None:
        with self.stages.run("integrity") as stage:
            if self.without_own_work:
                raise StageFailed(Verdict.CHEATING, self.without_own_work, "its outputs are not its kernels' work")
            if self.reads_back:
                raise StageFailed(Verdict.REJECTED, self.reads_back, "it reads device data in host code")
            if probe.weights != (self.weights_seed, self.weights_moved):
                probe = self._call(candidate, probe.workload, -1)
            if probe.workload.distribution is not Distribution.AS_GIVEN:
                self._compare_on_near_inputs(candidate, probe)
            stage.evidence = {**integrity.own_work(probe.result), "without_launches": "spoilt"}
            try:
                idle = candidate.call(probe.inputs, expected_bytes=self.output_bytes, suppressed=True)
            except CandidateFailure as failure:
                if failure.kind not in {"python", "launch"}:
                    raise
                stage.evidence["without_launches"] = "fails"
                stage.summary = "without its kernels it can't run"  # host code that reads what they would have written
            else:
                if problem := integrity.without_launches(probe.result, idle, probe.reference, self.task.policy):
                    raise StageFailed(Verdict.CHEATING, problem, "its kernels are decoys")
                stage.summary = "without its kernels the outputs are spoilt"
            made, ops = self.timed[0], self.reference.ops()
            problem = host_side.all_by_torch(made.operations, ops)
            if any(t.dtype.is_floating_point for t in tensors_of(probe.reference.native)):
                problem = problem or host_side.only_moves(made.launches, made.operations, ops)
            if problem:
                raise StageFailed(Verdict.CHEATING, problem, "torch does all of it")

    without_own_work = ""
    reads_back = ""

    def _timing(self, candidate: Candidate) -> None:
        own = self.task.workloads[0]
        with self.stages.run("timing") as stage:
            if not all(call.seconds for call in self.timed) or not self.reference.ops():
                raise StageFailed(
                    Verdict.UNSUPPORTED, "The task's outputs are empty: there is nothing to time.", "nothing to time"
                )
            fixed = (own.name, self.reference.ops(), self.reference.signature, self.gpu)
            found, call = timing_of(self.timed, *fixed)
            if is_jump(found):
                for repeat in range(AGAIN):
                    fresh = self._call(candidate, own, own.seeds + repeat)
                    self._compare(fresh, [])
                found, call = timing_of(self.timed, *fixed, again=True)
            if problem := impossible(found, *fixed[1:]):
                raise StageFailed(
                    Verdict.REJECTED, problem, "faster than memory allows", {"timing": found.model_dump(mode="json")}
                )
            self.timing = found
            stage.summary = (
                f"{duration(found.seconds)} modelled for {self.gpu.name}, "
                f"eager {duration(found.baseline_seconds)}, bound {duration(found.bound_seconds)}"
            )
            stage.evidence = {
                "calls": [timed.model_dump() for timed in found.calls],
                "speedup_interval": [found.speedup_low, found.speedup_high],
                "measured_again": found.measured_again,
            }
        with self.stages.run("profile") as stage:
            self.profile = assemble.profile(call.launches, call.operations, self.gpu)
            stage.summary = f"{counted(len(call.launches), 'launch', 'launches')}, {counted(len(call.operations), 'torch operation')}"

    def _compare_on_near_inputs(self, candidate: Candidate, probe: _Call) -> None:
        """What keeps outputs under a key takes these inputs for those of `probe`."""
        inputs = nearly_same(probe.inputs)
        try:
            expected = self._expected(inputs, self.seeds[next(reversed(self.seeds))])
        except TaskError:
            return  # it refuses such inputs
        workload = replace(probe.workload, name=f"{probe.workload.name}, some elements moved")
        result = candidate.call(inputs, expected_bytes=self.output_bytes, trace=True)
        self._compare(_Call(workload, expected, result, inputs, (self.weights_seed, self.weights_moved)), [])

    # -- pieces -------------------------------------------------------------------------------------------------

    def _give_weights(self, candidate: Candidate, *, moved: bool = False) -> None:
        name = f"weights/{sum(k.startswith('weights/') for k in self.seeds)}"
        if self.reference.hidden_tensors:
            self.seeds[name] = 0
        self.weights_seed = 0 if self.reference.hidden_tensors else self._seed(name)
        self.weights_moved = moved
        init = self.reference.init(self.weights_seed, moved=moved)
        if init.arguments is None:
            raise StageFailed(
                Verdict.UNSUPPORTED,
                "get_init_inputs() gives values that can't be handed to another process; use numbers, strings, tensors and lists.",
                "init inputs can't be handed over",
            )
        # moved weights are written into the module that is there: what it has kept of the others is stale from then on
        self.weights = candidate.build(init, seed=self.weights_seed, update=moved)
        self.weights_given = bool(init.state)

    weights_moved = False
    weights_given = False

    def _seed(self, name: str) -> int:
        self.seeds[name] = self.draw()
        return self.seeds[name]

    def on_gpu(self, options: GpuOptions) -> None:
        """What the emulator has passed, on a GPU; the timing is measured from here on."""

        def seed(name: str) -> int:
            return self._seed(f"{name} ({len(self.seeds)})")  # each name once: seeds are replayed in their order

        job = GpuJob(
            self.task, self.kernel, self.device, self.reference, self.gpu, self.limits, self.observer, seed,
            self.timed[0].launches, options,
        )  # fmt: skip
        self.timing = judge_on_gpu(job, self.stages)

    def _call(self, candidate: Candidate, workload: Workload, repeat: int, *, compiling: bool = False) -> _Call:
        seed = self._seed(f"{workload.name}/{repeat if repeat >= 0 else 'integrity'}")
        inputs = self.reference.inputs(workload.distribution, seed, strided=workload.strided)
        expected = self._expected(inputs, seed)
        if expected.exact is None:
            self.reference_in_own_dtype = expected.exact_error
        size = max(self.output_bytes, sum(t.nbytes for t in tensors_of(expected.native)))
        result = candidate.call(inputs, expected_bytes=size, compiling=compiling, trace=True)
        return _Call(workload, expected, result, inputs, (self.weights_seed, self.weights_moved))

    def _expected(self, inputs: Sequence[Any], seed: int) -> ReferenceResult:
        """What the reference answers; `seed` decides its random numbers, where it draws any."""
        return self.reference.run(
            inputs, weights_seed=self.weights_seed, moved=self.weights_moved, samples_seed=seed + 1
        )

    def _compare(self, call: _Call, rows: list[dict[str, Any]]) -> float:
        """The call's error share; raises StageFailed if it does what none may, or its outputs are not the reference's."""
        workload, result, reference = call.workload, call.result, call.reference
        refuse_violations(result.reports)
        self.without_own_work = (
            self.without_own_work or integrity.without_own_work(result) or host_side.writes_outputs(result)
        )
        self.reads_back = self.reads_back or host_side.reads_back(result, call.inputs, self.reference.ops())
        free = workload.distribution is Distribution.INFINITE
        signature = self.reference.signature
        mismatch, share = gradients.missing_gradient(result.outputs, signature, self.weights[1]), math.inf
        if mismatch is None:
            past = self.past.normal(workload.distribution is Distribution.NORMAL and not workload.sizes)
            mismatch, share = compare(result.outputs, reference, self.task.policy, nan_is_free=free, past=past)
        rows.append({"workload": workload.name, "share_of_allowed": min(share, 1e30), "launches": len(result.reports)})
        if mismatch is not None:
            which = gradients.result_name(mismatch.output, signature)
            shrunk = self._shrunk(call, mismatch) if reference.samples is None else Shrunk(call.inputs, mismatch, (), 0)
            raise StageFailed(
                Verdict.WRONG,
                f"{which} is wrong on workload {workload.name!r}: {mismatch.what}"
                + (f" {shrunk.sentence}" if shrunk.steps else ""),
                f"wrong on {workload.name}",
                {
                    "workload": workload.name,
                    **({"result": which} if signature.gradients else {}),
                    "mismatch": mismatch.to_json(),
                    "calls": rows,
                    "shrunk": shrunk.to_json(),
                },
            )
        refuse_effects(call.inputs, result, reference, signature, workload.name, self.task.policy, nan_is_free=free)
        self.timed.append(modelled_call(workload.name, result.reports, result.ops, self.gpu))
        return share

    def _shrunk(self, call: _Call, mismatch: Mismatch) -> Shrunk:
        """The simplest inputs that show the mismatch; the candidate is done with after it."""
        candidate, (seed, moved) = self.candidate, call.weights
        candidate.limits = replace(candidate.limits, call_seconds=min(SECONDS, candidate.limits.call_seconds))
        self.observer(StageStarted("correctness, looking for the simplest failure"))

        def fails(inputs: list[Any]) -> Mismatch | None:
            try:
                expected = self.reference.run(inputs, weights_seed=seed, moved=moved)
            except TaskError:  # it refuses such inputs
                return None
            result = candidate.call(inputs, expected_bytes=self.output_bytes)
            if any(report.violations for report in result.reports):
                return None
            return compare(result.outputs, expected, self.task.policy)[0]

        outputs = tensors_of(call.result.outputs)
        shape = outputs[mismatch.output].shape if mismatch.output < len(outputs) else ()
        took = sum(report.emulated_seconds for report in call.result.reports)
        names = gradients.call_names(self.reference.signature)
        return shrink(call.inputs, mismatch, shape, fails, seconds=SECONDS, expected_seconds=took, names=names)


def evaluate(
    task: Task,
    kernel: Kernel,
    *,
    device: Device,
    reference: Reference,
    gpu: Gpu,
    limits: Limits | None = None,
    observer: Observer = ignore,
    draw_seed: SeedSource = secret_seed,
    start: StartProcesses | None = None,
    on_gpu: GpuOptions | None = None,
    rival: Timing | None = None,
) -> Evaluation:
    """Judges `kernel` on `task`.

    Args:
        reference: the same task, opened.
        gpu: the GPU that modelled times are for.
        draw_seed: where seeds come from; anything but the default makes the verdict foreseeable (tests do).
        start: gives the processes that the kernel runs in, for `device` and `limits`: `Spares.take` where several kernels
            are judged in turn.
        on_gpu: how it is measured where the device is a GPU. The emulator examines it before.
        rival: the best time of the run so far. A kernel that is right at first and can't beat it noticeably is not judged further:
            its verdict is `outclassed`. A time of another kind or GPU is no rival.

    Raises:
        TaskError: the reference itself fails on its own inputs.
        EmulatorError: the emulator can't work on this machine (no C++ compiler).
        GpuError: the GPU or its driver fails.
    """
    began = time.perf_counter()
    judge = _Judge(task, kernel, device, reference, gpu, limits or Limits(), observer, draw_seed, start, rival)
    verdict, reason = Verdict.PASSED, "It computes the function on every workload tried, by its own kernels."
    try:
        judge.judge()
        if device.kind == "cuda":
            judge.on_gpu(on_gpu or GpuOptions())
    except StageFailed as failure:
        verdict, reason = failure.verdict, failure.reason
    passed = verdict is Verdict.PASSED
    return Evaluation(
        task_id=task.id,
        kernel_id=kernel.id,
        verdict=verdict,
        reason=reason,
        stages=judge.stages.ended,
        device=device_info(device),
        timing=judge.timing if passed else None,
        profile=judge.profile if passed or verdict is Verdict.OUTCLASSED else None,
        seeds=judge.seeds,
        seconds=time.perf_counter() - began,
    )
