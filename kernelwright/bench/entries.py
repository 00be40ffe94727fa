"""From the stored rows of a run of a suite to the Entry that is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from kernelwright.bench_tasks.scoring.results import NOT_RUN, AttemptResult, Entry, Integrity, Trial
from kernelwright.db.bench import AttemptFigures, BenchItem, BenchRun, ItemStatus
from kernelwright.db.store import Store
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus, Timing, TimingKind, Verdict
from kernelwright.verifier.static import Severity

__all__ = ["entry_of", "remarks_of", "remarks_on", "trial_of"]

_HARMLESS = frozenset({"left_to_torch", "never_launched", "trap"})
"""Warnings of the static analysis that say nothing against a kernel which has passed: the integrity stage has seen whose work
its outputs are, however much torch does beside it."""
_NOTHING_JUDGED = {
    ItemStatus.WAITING: NOT_RUN,
    ItemStatus.RUNNING: "It was begun and not ended.",
    ItemStatus.STOPPED: "It was stopped.",
    ItemStatus.FINISHED: "No kernel was written.",
}


def entry_of(store: Store, bench_run_id: str) -> Entry:
    """The Entry of a run of a suite, whether it has ended or not: every task and repeat has its trial.

    Speed-ups are those of the evaluations, over eager PyTorch. A kernel that was found to cheat is a failed attempt of its
    search, as any other that did not pass; the trial is suspect where something speaks against the kernel that is its result.

    Raises:
        NotFoundError: no such run of a suite, or several.
    """
    run = store.bench_run(bench_run_id)
    items = store.bench_items(run.id)
    return Entry(
        id=run.id,
        suite=run.suite,
        suite_digest=run.digest,
        scale=run.scale,
        timing_kind=_kind(run).value,
        gpu=run.gpu,
        device=run.device,
        author=run.coder,
        strategy=run.strategy,
        judge=run.judge,
        rounds=run.rounds,
        baseline="eager",
        created=run.created,
        tasks=tuple(dict.fromkeys(item.name for item in items)),
        suite_size=run.suite_size,
        trials=_trials(store, run, items),
        environment=run.environment,
    )


def trial_of(store: Store, run: BenchRun, item: BenchItem) -> Trial:
    """What came of one item so far."""
    return _trials(store, run, [item])[0]


def remarks_on(evaluation: Evaluation) -> tuple[str, ...]:
    """What speaks against a kernel that passed, one sentence each: static warnings, and stages that ended with a warning."""
    return remarks_of(evaluation.stages)


def remarks_of(stages: Sequence[Stage]) -> tuple[str, ...]:
    """The same, of the stages of an evaluation."""
    found = []
    for stage in stages:
        if stage.name == "static":
            found += [
                f"Line {finding['line']}: {finding['reason']}" if finding.get("line") else str(finding["reason"])
                for finding in stage.evidence.get("findings", ())
                if finding["severity"] == Severity.WARN and finding["rule"] not in _HARMLESS
            ]
        # a profiler that has a problem says nothing of the kernel
        elif stage.status is StageStatus.WARNED and stage.name != "gpu profile":
            found.append(f"The stage {stage.name} ended with a warning: {stage.summary}.")
    return tuple(found)


def _kind(run: BenchRun) -> TimingKind:
    return TimingKind.MEASURED if run.device == "cuda" else TimingKind.MODELLED


def _trials(store: Store, run: BenchRun, items: Sequence[BenchItem]) -> tuple[Trial, ...]:
    made: dict[str, list[AttemptFigures]] = {}
    for figures in store.figures([item.run_id for item in items if item.run_id]):
        made.setdefault(figures.run_id, []).append(figures)
    baselines: dict[str, dict[str, float]] = {}
    for each in store.baselines(sorted({item.task_id for item in items}), _kind(run), run.gpu):
        baselines.setdefault(each.task_id, {})[each.name] = each.seconds
    return tuple(
        _trial(store, item, made.get(item.run_id or "", ()), baselines.get(item.task_id, {})) for item in items
    )


def _trial(store: Store, item: BenchItem, made: Sequence[AttemptFigures], baselines: Mapping[str, float]) -> Trial:
    attempts = tuple(map(_attempt, made))
    best = max(
        (each for each in made if each.timing is not None),
        key=lambda e: e.timing.speedup if e.timing else 0.0,
        default=None,
    )
    timing = None if best is None else best.timing
    remarks = () if best is None else remarks_on(store.evaluation(best.evaluation_id))
    interval = None
    if timing is not None and timing.speedup_low is not None and timing.speedup_high is not None:
        interval = timing.speedup_low, timing.speedup_high
    begun = item.run_id is not None and (bool(made) or store.has_run(item.run_id))
    return Trial(
        task=item.name,
        task_id=item.task_id,
        repeat=item.repeat,
        attempts=attempts,
        speedup_interval=interval,
        dollars=store.spent(item.run_id) if begun and item.run_id else Decimal(0),
        seconds=max(item.seconds, sum(attempt.seconds for attempt in attempts)),
        integrity=Integrity.SUSPECT if remarks else Integrity.CLEAN,
        remarks=remarks,
        problem="" if attempts else item.problem or _NOTHING_JUDGED.get(item.status, "It failed."),
        baselines={**baselines, **({} if timing is None else _baselines(timing))},
        run_id=(item.run_id or "") if begun else "",
        kernel_id="" if best is None else best.kernel_id,
        evaluation_id="" if best is None else best.evaluation_id,
    )


def _attempt(figures: AttemptFigures) -> AttemptResult:
    timing = figures.timing
    return AttemptResult(
        passed=figures.verdict == Verdict.PASSED,
        verdict=figures.verdict,
        speedup=None if timing is None else timing.speedup,
        roofline_share=None if timing is None else timing.roofline_share,
        seconds=figures.seconds,
    )


def _baselines(timing: Timing) -> dict[str, float]:
    """Of the session that the kernel was timed in."""
    found = {timing.baseline: timing.baseline_seconds}
    if timing.measurement is not None:
        for name, modes in timing.measurement.times.items():
            if name != "candidate" and "cold" in modes:
                found.setdefault(name, modes["cold"]["value"])
    return found
