"""lint_task(): everything that is known to be wrong with a task, before any kernel is judged on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from kernelwright.bench_tasks.suite import Scale, SuiteTask
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError
from kernelwright.sandbox.lint_reference import LintReference
from kernelwright.sandbox.process import Limits
from kernelwright.verifier.lint.checks import input_findings, output_findings, workload_findings
from kernelwright.verifier.lint.report import Finding, LintReport, in_order
from kernelwright.verifier.lint.rules import Severity
from kernelwright.verifier.lint.structure import size_findings, survey_draws, survey_findings
from kernelwright.verifier.lint.trial import Trial, run_attacks
from kernelwright.verifier.lint.verdicts import attack_findings
from kernelwright.verifier.wording import sentence

__all__ = ["lint_task", "lint_with"]

_FIRST_SEED = 20_000  # any; seeds follow each other, so that a report is the same each time
OnStep = Callable[[str], None]


def lint_task(
    each: SuiteTask,
    *,
    scale: Scale = Scale.TWIN,
    limits: Limits | None = None,
    fence: str | None = None,
    on_step: OnStep = lambda _what: None,
) -> LintReport:
    """Attacks and checks one task. No kernel is needed: what a worthless one would give is made here.

    Args:
        scale: at which sizes it is run; launches are always looked at at full size.
        fence: as `Reference` takes it, for a task that a stranger may have written.
        on_step: is told what is under way, in a few words.

    Raises:
        SandboxError, ConfigError: the reference process or its isolation does not start.
    """

    def start(task: Task) -> LintReference:
        return LintReference(task, limits=limits, fence=fence)

    return lint_with(start, each, scale=scale, on_step=on_step)


def lint_with(
    start: Callable[[Task], LintReference],
    each: SuiteTask,
    *,
    scale: Scale = Scale.TWIN,
    on_step: OnStep = lambda _what: None,
) -> LintReport:
    """`lint_task`, with the reference that `start` opens."""
    began = time.perf_counter()
    report = LintReport(each.name, each.task.id, scale.value, ())
    if each.full_only and scale is Scale.TWIN:
        return replace(report, findings=(Finding("not-attacked", Severity.MARKED, each.full_only),))
    try:
        task = each.at(scale)
        on_step("loading")
        with start(task) as reference:
            report = _examined(report, each, task, reference, scale, on_step)
    except TaskError as error:
        message = f"{error.message.rstrip('.')} (line {error.line})" if error.line else error.message
        found = Finding("not-usable", Severity.REFUSED, f"{sentence(message)} {error.mend}".strip())
        report = replace(report, findings=(found,))
    return replace(report, seconds=time.perf_counter() - began)


def _examined(
    report: LintReport, each: SuiteTask, task: Task, reference: LintReference, scale: Scale, on_step: OnStep
) -> LintReport:
    seeds = count(_FIRST_SEED)
    has_weights = bool(reference.signature.parameters)
    findings: list[Finding] = []
    parameters = tuple(spec.name for spec in reference.signature.parameters)

    def attempt(what: str, check: Callable[[], tuple[list[Finding], dict[str, float]]]) -> dict[str, float]:
        on_step(what)
        try:
            more, figures = check()
        except TaskError as error:
            if not reference.alive:
                raise
            message = " ".join(error.message.split())[:200]
            more, figures = [Finding("not-checked", Severity.NOTE, f"{what[0].upper()}{what[1:]}: {message}")], {}
        findings.extend(more)
        return figures

    def survey() -> tuple[list[Finding], dict[str, float]]:
        nonlocal parameters
        draws = survey_draws(task, lambda: next(seeds), has_weights=has_weights)
        seen = reference.survey(draws, weights_seed=0)
        parameters = seen.parameters
        return survey_findings(seen), {"operations": float(seen.ops)}

    figures = attempt("looking at its operations", survey)
    figures |= attempt("looking at its sizes", lambda: size_findings(each, task, reference, scale))
    trial = run_attacks(task, reference, draw=lambda: next(seeds), on_call=lambda name: on_step(f"attacks on {name}"))
    findings += attack_findings(trial, parameters)
    more, values = output_findings(trial, len(reference.signature.outputs))
    findings += [*more, *input_findings(trial, len(reference.signature.inputs)), *workload_findings(task)]
    findings += _about(trial, reference)
    return replace(
        report,
        findings=in_order(findings),
        accepted=trial.accepted,
        results=trial.names,
        attacks=trial.attacks,
        calls=trial.calls,
        effects=trial.effects,
        figures=figures | values,
    )


def _about(trial: Trial, reference: LintReference) -> list[Finding]:
    found = []
    if reference.samples:
        what = "Two calls on the same inputs differ; weights and axes were not left out."
        found.append(Finding("random", Severity.NOTE, what))
    if trial.not_run:
        found.append(Finding("not-checked", Severity.NOTE, f"The reference refuses: {'; '.join(trial.not_run)}."))
    return found
