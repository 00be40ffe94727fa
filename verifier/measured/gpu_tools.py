"""NVIDIA's own tools on a kernel that has passed on the GPU: compute-sanitizer's checks and Nsight Compute's counters.

The kernel's process runs under the tool in the sandbox that it always runs in, on one call of the task's own workload. What a tool
prints there is a claim like everything else in it: a report can refuse a kernel, its absence proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernelwright.sandbox.candidate import CandidateFailure
from kernelwright.sandbox.cuda.gpu_process import GpuError, GpuProcess, Program
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.gradients import Wanted
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import InitState
from kernelwright.verifier.evaluation import StageStatus, Verdict
from kernelwright.verifier.profilers import ncu, sanitizer
from kernelwright.verifier.profilers.sanitizer_report import SanitizerFinding, SanitizerRun
from kernelwright.verifier.profilers.tools import SYMBOL, Finished, Problem, ProblemKind
from kernelwright.verifier.stages import OpenStage, StageFailed
from kernelwright.verifier.wording import counted

__all__ = ["FencedRun", "profiled", "sanitised"]

_PROGRAM = ("the kernel",)  # stands for the process in the command line that a tool's module makes


class FencedRun:
    """One call of a kernel, in a process of its own, under a tool: a `Runner`.

    Args:
        init, seed, inputs: weights and arguments of the call.
        expected: bytes of each output.
    """

    def __init__(
        self, program: Program, device: Device, limits: Limits, *, init: InitState, seed: int, inputs: Sequence[Any],
        expected: Sequence[int], wanted: Wanted | None, runtime: str,
    ) -> None:  # fmt: skip
        self._program, self._device, self._limits = program, device, limits
        self._init, self._seed, self._inputs, self._expected = init, seed, inputs, expected
        self._wanted, self._runtime = wanted, runtime
        self.failure = ""
        """Why the last call did not end as one should."""

    def __call__(self, command: Sequence[str], *, seconds: float, environment: Mapping[str, str]) -> Finished:
        """Runs the call under the tool that `command` begins with; the sandbox gives the environment."""
        tool = tuple(command[: -len(_PROGRAM)])
        deadline = time.monotonic() + seconds
        limits = replace(self._limits, call_seconds=seconds, load_seconds=seconds, build_seconds=0.0)
        self.failure, timed_out = "", False
        process = GpuProcess(
            self._program, self._device, limits=limits, wanted=self._wanted, runtime=self._runtime, tool=tool,
            tool_folder=Path(tool[0]).resolve().parent,
        )  # fmt: skip
        with process:
            steps: tuple[Callable[[], object], ...] = (
                process.open,
                process.load,
                lambda: process.build(self._init, seed=self._seed),
                lambda: process.call(self._inputs, expected=self._expected, compiling=True, poison=False),
            )
            try:
                for step in steps:
                    if time.monotonic() > deadline:
                        raise CandidateFailure("timeout", f"it did not end within {seconds:g} s")
                    step()
            except CandidateFailure as failure:
                self.failure, timed_out = failure.message, failure.kind == "timeout"
            except GpuError as error:
                self.failure = error.message
            code, text = process.finish()
        return Finished(-9 if code is None else code, text, "", timed_out)


def sanitised(
    stage: OpenStage, run: FencedRun, kernels: Sequence[str], tools: Sequence[str], *, seconds: float
) -> None:
    """Runs the kernel under compute-sanitizer's tools and fills in the stage.

    Args:
        kernels: symbols of the kernels whose violations count.
        seconds: wall limit of each tool.

    Raises:
        StageFailed: one of them reports a violation of these kernels.
    """
    runs: list[SanitizerRun] = []
    problems: list[Problem] = []
    for tool in tools:
        found = sanitizer.sanitize(
            _PROGRAM, tool, kernels=_symbols(kernels), seconds=seconds, runner=run, to_output=True
        )
        if run.failure and not found.problems:  # a report on half a call says nothing of the other half
            found = replace(found, problems=(_failed("compute-sanitizer", run),))
        runs.append(found)
        for problem in found.problems:
            if str(problem) not in map(str, problems):
                problems.append(problem)
        if errors := [each for each in found.findings if each.severity == "error"]:
            raise StageFailed(
                Verdict.UNSAFE,
                _reason(tool, errors[0]),
                errors[0].violation.kind.replace("_", " "),
                {"runs": [each.to_json() for each in runs], "failure": run.failure},
            )
        if any(problem.kind is ProblemKind.MISSING for problem in found.problems):
            break
    ended = [each.tool for each in runs if each.clean]
    clean = f"{', '.join(ended)}: no violation" if ended else ""
    stage.summary = "; ".join(filter(None, (clean, *map(str, problems))))
    stage.status = _status(bool(ended), problems)
    stage.evidence = {"runs": [each.to_json() for each in runs], "failure": run.failure}


def profiled(stage: OpenStage, run: FencedRun, kernels: Sequence[str], *, seconds: float) -> None:
    """Runs the kernel under Nsight Compute and fills in the stage; counters go into its evidence as a `Profile`."""
    selection = ncu.Selection(kernels=_symbols(kernels))
    found = ncu.profile(_PROGRAM, selection=selection, seconds=seconds, runner=run, to_output=True)
    if run.failure and not found.problems:
        found = replace(found, problems=(_failed("ncu", run),))
    launches = f"{counted(len(found.launches), 'launch', 'launches')} profiled" if found.launches else ""
    stage.summary = "; ".join(filter(None, (launches, *map(str, found.problems))))
    stage.status = _status(bool(found.launches), found.problems)
    stage.evidence = {**found.to_json(), "failure": run.failure}
    if not found.launches:
        del stage.evidence["profile"]


def _failed(tool: str, run: FencedRun) -> Problem:
    return Problem(tool, ProblemKind.PROGRAM_FAILED, f"under {tool} the call failed: {run.failure}")


def _symbols(kernels: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in kernels if SYMBOL.fullmatch(name)))


def _status(something: bool, problems: Sequence[Problem]) -> StageStatus:
    if not something:
        return StageStatus.SKIPPED
    return StageStatus.WARNED if problems else StageStatus.PASSED


def _reason(tool: str, found: SanitizerFinding) -> str:
    violation = found.violation
    where = f" ({found.kernel}, CUDA source line {violation.line})" if violation.line else f" ({found.kernel})"
    return f"On the GPU compute-sanitizer's {tool} found: {violation.message}{where if found.kernel else ''}. {violation.hint}".rstrip()
