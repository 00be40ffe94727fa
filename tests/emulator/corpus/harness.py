"""Compiles and runs programs of the corpus through the emulator's door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.corpus.case import Case, Defect, Draw, Plan, difference

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport, Violation

WARP_INSTRUCTIONS = 3_000_000
"""Instructions of one warp after which a launch is stopped as endless; the longest correct case needs under 300,000."""

SECONDS = 60.0
"""Wall limit of one launch."""


@dataclass(frozen=True)
class Outcome:
    """What the launches of a plan did."""

    reports: tuple[LaunchReport, ...]
    printed: str

    @property
    def violations(self) -> list[Violation]:
        """Of all launches, in order."""
        return [violation for report in self.reports for violation in report.violations]


def compile_program(
    program: Case | Defect, cache_dir: Path | None, *, arch: str, fixed: bool = False
) -> emulator.Module:
    """The program as a module of the emulator; `fixed` gives a defect's corrected twin."""
    options = (*program.options, "-DFIXED") if fixed else program.options
    names: Sequence[str] = program.expressions if isinstance(program, Case) else ()
    return emulator.compile(program.source, options, arch=arch, name_expressions=names, cache_dir=cache_dir)


def execute(plan: Plan, module: emulator.Module, cache_dir: Path | None) -> Outcome:
    """Runs all launches of the plan, in order."""
    memory = emulator.Memory(cache_dir=cache_dir)
    for number, array in enumerate(plan.reachable):
        memory.register(array.ctypes.data, array.nbytes, f"reachable{number}", str(array.dtype))
    text: list[str] = []
    limits = emulator.LaunchLimits(
        max_warp_instructions=WARP_INSTRUCTIONS, seconds=SECONDS, max_violations=2000, on_print=text.append
    )
    reports = tuple(
        module.launch(at.kernel, at.grid, at.block, at.args, shared=at.shared, memory=memory, limits=limits)
        for at in plan.launches
    )
    return Outcome(reports, "".join(text))


def told(violations: Sequence[Violation]) -> str:
    """Violations as lines for an assertion's message."""
    return "\n".join(f"{v.kind} at line {v.line} ({v.source}): {v.message} [{v.count}x]" for v in violations)


def check_case(case: Case, arch: str, cache_dir: Path | None) -> None:
    """Asserts that a correct program computes what it should and that nothing is reported."""
    module = compile_program(case, cache_dir, arch=arch)
    plan = case.plan(Draw(case.name))
    outcome = execute(plan, module, cache_dir)
    assert not outcome.violations, told(outcome.violations)
    assert plan.expectations
    for number, expectation in enumerate(plan.expectations):
        assert not (off := difference(expectation)), f"expectation {number}: {off}"
    if plan.printed is not None:
        assert outcome.printed == plan.printed


def check_defect(defect: Defect, cache_dir: Path | None) -> None:
    """Asserts that the planted defect is reported at a marked line, as one of the kinds written there, and nothing else."""
    module = compile_program(defect, cache_dir, arch=defect.arch)
    outcome = execute(defect.plan(Draw(defect.name)), module, cache_dir)
    marks = defect.marks
    assert outcome.violations, f"nothing was reported; marked are lines {sorted(marks)}"
    astray = [v for v in outcome.violations if v.line not in marks or v.kind not in marks[v.line]]
    assert not astray, f"reported elsewhere or as something else than {dict(marks)}:\n{told(astray)}"


def check_twin(defect: Defect, cache_dir: Path | None) -> None:
    """Asserts that the corrected twin of a defect computes what it should and that nothing is reported."""
    module = compile_program(defect, cache_dir, arch=defect.arch, fixed=True)
    plan = defect.plan(Draw(defect.name))
    outcome = execute(plan, module, cache_dir)
    assert not outcome.violations, told(outcome.violations)
    for number, expectation in enumerate(plan.expectations):
        assert not (off := difference(expectation)), f"expectation {number}: {off}"
