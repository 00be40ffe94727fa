"""Running CUDA code for its launches' sake: what they cost and what they do wrong. Used by `run`, `sanitize`, `profile`.

The code is a program (`.cu` with a `main`), or a kernel file together with the task that gives it inputs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernelwright.bench_tasks.task import Distribution, Task
from kernelwright.config import Settings
from kernelwright.errors import BuildError, ConfigError, KernelwrightError, LaunchError, SandboxError, UnsupportedError
from kernelwright.jobs import Target, resolve_target
from kernelwright.sandbox.hostcode.program import ProgramResult, run_program
from kernelwright.sandbox.isolation import choose_isolation
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import SCHEDULES, LaunchOptions, LaunchReport, Violation

__all__ = ["Finding", "KernelLaunches", "Program", "PythonKernel", "findings", "notes", "schedules"]


@dataclass(frozen=True)
class KernelLaunches:
    """What one run did."""

    reports: tuple[LaunchReport, ...]
    program: ProgramResult | None = None
    """Of a program: its exit code, output and leaks."""


@dataclass(frozen=True)
class Program:
    """A CUDA program with its command line.

    Args:
        capture: keep its output rather than pass it through.
        isolation: None runs it as its author would, with access to files.
    """

    path: Path
    argv: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    timeout: float | None = None
    capture: bool = False
    isolation: str | None = None

    @property
    def name(self) -> str:
        """For people."""
        return self.path.name

    def sources(self) -> list[str]:
        """The CUDA texts whose lines reports speak of."""
        return [self.path.read_text(encoding="utf-8", errors="replace")]

    def runs(self, settings: Settings, every: Sequence[LaunchOptions]) -> Iterator[KernelLaunches]:
        """Builds it, runs it to its end with each of these options.

        Raises:
            ConfigError: the isolation does not work here, or is no one for programs.
            NotFoundError, BuildError, UnsupportedError, WorkerTimeout, EmulatorError: see `run_program`.
        """
        isolation = choose_isolation(self.isolation or "process")
        if isolation == "docker":
            raise ConfigError(
                "a program runs in a plain process or under bubblewrap, not in a container.",
                mend="Use --isolation bubblewrap or --isolation process.",
            )
        target = resolve_target(settings.model_copy(update={"isolation": isolation, "device": "emulator"}))
        for options in every:
            yield self._run(target, options)

    def _run(self, target: Target, options: LaunchOptions) -> KernelLaunches:
        channel: dict[str, Any] = {} if self.capture else {"stdin": None, "stdout": None, "stderr": None}
        try:
            result = run_program(
                self.path,
                self.argv,
                arch=target.device.arch,
                options=self.options,
                launch_seconds=target.limits.call_seconds,
                timeout=self.timeout,
                memory_bytes=target.limits.memory_bytes,
                isolation=target.device.isolation,
                launch_options=options,
                **channel,
            )
        except KernelwrightError as error:
            if error.path == self.path.name:
                error.path = str(self.path)
            raise
        return KernelLaunches(result.reports, result)


@dataclass(frozen=True)
class PythonKernel:
    """A kernel file, called once on the inputs of its task."""

    task: Task
    kernel: Kernel

    @property
    def name(self) -> str:
        """For people."""
        return Path(self.kernel.path).name if self.kernel.path else self.kernel.id

    def sources(self) -> list[str]:
        """The CUDA texts whose lines reports speak of: the strings of the file that hold a kernel."""
        return [
            node.value
            for node in ast.walk(ast.parse(self.kernel.source))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "__global__" in node.value
        ]

    def runs(self, settings: Settings, every: Sequence[LaunchOptions]) -> Iterator[KernelLaunches]:
        """Loads both, calls the kernel once with each of these options; its outputs are not looked at.

        Raises:
            TaskError: the reference does not run.
            BuildError, UnsupportedError, LaunchError, SandboxError: the kernel does not.
        """
        from kernelwright.sandbox.candidate import Candidate, CandidateFailure
        from kernelwright.sandbox.reference import Reference
        from kernelwright.verifier.model.assemble import call_bytes

        target = resolve_target(settings.model_copy(update={"device": "emulator"}))
        with Reference(self.task, limits=target.limits) as reference:
            init = reference.init(0)
            inputs = reference.inputs(Distribution.AS_GIVEN, seed=0)
            expected, wanted = call_bytes(reference.signature), reference.wanted
        for options in every:
            with Candidate(
                self.kernel, target.device, limits=target.limits, options=options, wanted=wanted
            ) as candidate:
                try:
                    candidate.load()
                    candidate.build(init, seed=0)
                    result = candidate.call(inputs, expected_bytes=expected, compiling=True)
                except CandidateFailure as failure:
                    raise _error(failure, self.kernel) from failure
            yield KernelLaunches(result.reports)


def schedules(count: int, seed: int) -> list[LaunchOptions]:
    """`count` orders of blocks and warps: forward, reversed, then random ones, the first under `seed`."""
    fixed = [name for name in SCHEDULES if name != "random"]
    return [
        LaunchOptions(schedule=fixed[i]) if i < len(fixed) else LaunchOptions(schedule="random", schedule_seed=seed + i)
        for i in range(count)
    ]


@dataclass(frozen=True)
class Finding:
    """One violation or note, with the kernel it was found in and the schedules that show it."""

    kernel: str
    violation: Violation
    schedules: tuple[str, ...]


def findings(runs: Sequence[tuple[str, Sequence[LaunchReport]]]) -> list[Finding]:
    """The violations of several runs, given with their schedules' names: one a kernel, kind and line."""
    return _merged(
        [(name, report.kernel, v) for name, reports in runs for report in reports for v in report.violations]
    )


def notes(runs: Sequence[tuple[str, Sequence[LaunchReport]]]) -> list[Finding]:
    """The notes of several runs, merged alike; none of a line that has a violation under some schedule."""
    wrong = {(each.kernel, each.violation.line) for each in findings(runs)}
    every = _merged([(name, report.kernel, v) for name, reports in runs for report in reports for v in report.notes])
    return [each for each in every if (each.kernel, each.violation.line) not in wrong]


def _merged(told: Sequence[tuple[str, str, Violation]]) -> list[Finding]:
    """One finding a kernel, kind and line, of (schedule, kernel, violation)."""
    found: dict[tuple[str, str, int | None, str], Finding] = {}
    for schedule, kernel, violation in told:
        key = (kernel, violation.kind, violation.line, violation.source)
        known = found.get(key)
        if known is None:
            found[key] = Finding(kernel, violation, (schedule,))
        elif schedule not in known.schedules:
            found[key] = replace(known, schedules=(*known.schedules, schedule))
    return list(found.values())


def _error(failure: Any, kernel: Kernel) -> KernelwrightError:
    kinds: dict[str, type[KernelwrightError]] = {
        "build": BuildError, "unsupported": UnsupportedError, "launch": LaunchError,
    }  # fmt: skip
    error = kinds.get(failure.kind, SandboxError)(failure.message, mend=failure.mend, line=failure.line)
    error.path = kernel.path or None
    return error
