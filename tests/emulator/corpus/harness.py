"""Compiles and runs programs of the corpus through the emulator's door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.corpus.case import Case, Defect, Draw, Plan, difference

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import SCHEDULES, LaunchOptions, LaunchReport, Violation

WARP_INSTRUCTIONS = 3_000_000
"""Instructions of one warp after which a launch is stopped as endless; the longest correct case needs under 300,000."""

SECONDS = 60.0
"""Wall limit of one launch."""

SEED = 20
"""Of the random schedule."""


@dataclass(frozen=True)
class Outcome:
    """What the launches of a plan did."""

    reports: tuple[LaunchReport, ...]
    printed: str

    @property
    def violations(self) -> list[Violation]:
        """Of all launches, in order."""
        return [violation for report in self.reports for violation in report.violations]


def compile_program(program: Case | Defect, *, arch: str, fixed: bool = False) -> emulator.Module:
    """The program as a module of the emulator; `fixed` gives a defect's corrected twin."""
    options = (*program.options, "-DFIXED") if fixed else program.options
    names: Sequence[str] = program.expressions if isinstance(program, Case) else ()
    return emulator.compile(program.source, options, arch=arch, name_expressions=names)


def execute(plan: Plan, module: emulator.Module, schedule: str = "forward") -> Outcome:
    """Runs all launches of the plan, in order; blocks and warps get their turns in the order of the schedule."""
    memory = emulator.Memory()
    for number, array in enumerate(plan.reachable):
        memory.register(array.ctypes.data, array.nbytes, f"reachable{number}", str(array.dtype))
    text: list[str] = []
    limits = emulator.LaunchLimits(
        max_warp_instructions=WARP_INSTRUCTIONS,
        seconds=SECONDS,
        max_violations=2000,
        on_print=text.append,
        options=LaunchOptions(schedule=schedule, schedule_seed=SEED),
    )
    reports = tuple(
        module.launch(at.kernel, at.grid, at.block, at.args, shared=at.shared, memory=memory, limits=limits)
        for at in plan.launches
    )
    return Outcome(reports, "".join(text))


def told(violations: Sequence[Violation]) -> str:
    """Violations as lines for an assertion's message."""
    return "\n".join(f"{v.kind} at line {v.line} ({v.source}): {v.message} [{v.count}x]" for v in violations)


def check_case(case: Case, arch: str, schedules: Sequence[str] = SCHEDULES[:1]) -> None:
    """Asserts that a correct program computes what it should and that nothing is reported, under each schedule."""
    for schedule in schedules:
        # Compiled anew (from the cache), so that the module's variables hold what they should at the beginning.
        module = compile_program(case, arch=arch)
        plan = case.plan(Draw(case.name))
        outcome = execute(plan, module, schedule)
        assert plan.expectations
        check_right(plan, outcome, schedule)


def check_right(plan: Plan, outcome: Outcome, schedule: str) -> None:
    """Asserts that a plan's launches did what it expects, without a violation."""
    assert not outcome.violations, f"{schedule}:\n{told(outcome.violations)}"
    for number, expectation in enumerate(plan.expectations):
        assert not (off := difference(expectation)), f"{schedule}: expectation {number}: {off}"
    if plan.printed is not None and schedule == "forward":
        assert outcome.printed == plan.printed


def check_defect(defect: Defect, schedules: Sequence[str] = SCHEDULES[:1]) -> None:
    """Asserts that the planted defect is reported at a marked line, as one of the kinds written there, and nothing else."""
    for schedule in schedules:
        module = compile_program(defect, arch=defect.arch)
        outcome = execute(defect.plan(Draw(defect.name)), module, schedule)
        none: frozenset[str] = frozenset()
        found = [v for v in outcome.violations if v.line and v.kind in defect.marks.get(v.line, none)]
        rest = [v for v in outcome.violations if v not in found]
        astray = [v for v in rest if not (v.line and v.kind in defect.consequences.get(v.line, none))]
        assert found, f"{schedule}: not reported at lines {sorted(defect.marks)}, but:\n{told(rest) or 'nothing'}"
        assert not astray, f"{schedule}: reported besides:\n{told(astray)}"
        assert all(v.message and v.source for v in found)


def check_twin(defect: Defect, schedules: Sequence[str] = SCHEDULES[:1]) -> None:
    """Asserts that the corrected twin of a defect computes what it should and that nothing is reported."""
    for schedule in schedules:
        module = compile_program(defect, arch=defect.arch, fixed=True)
        plan = defect.plan(Draw(defect.name))
        check_right(plan, execute(plan, module, schedule), schedule)
