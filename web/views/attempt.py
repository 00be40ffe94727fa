"""One attempt of a run, with all that is known of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pydantic import BaseModel

from kernelwright.agents.protocols import Advice
from kernelwright.db.attempt_lines import AttemptLine
from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import DeviceInfo, Timing, TimingKind, Verdict
from kernelwright.web.source_lines import Diff, difference
from kernelwright.web.views.checks import (
    BuildView,
    CorrectnessView,
    IntegrityView,
    build_of,
    correctness_of,
    integrity_of,
)
from kernelwright.web.views.conversation import ConversationView, conversation_of
from kernelwright.web.views.figures import StageView, Text, TimingView, stages_of, timing_of
from kernelwright.web.views.roofs import ProfileView, profile_views
from kernelwright.words import ratio

__all__ = ["AttemptPage", "attempt_page", "parents_in"]


class Relative(BaseModel):
    """A parent or child; times in seconds."""

    kernel_id: str
    number: int | None
    """Of the attempt in this run; null for a kernel from elsewhere."""
    stored: bool
    """Whether its source is known."""
    verdict: Verdict | None
    timing_kind: TimingKind | None
    seconds: float | None
    speedup: float | None


class ForecastView(BaseModel):
    """What the judge expected of following its advice, and what came."""

    advised_after: int
    """Number of the attempt that the advice was on."""
    change: Text
    expected: float | None
    """Time before over time after; null where it named none."""
    happened: float | None
    """The same as it came out; null where the two can't be compared."""
    words: Text


class AdviceView(BaseModel):
    """What the judge says to do next."""

    mode: str
    limiter: Text
    change: Text
    evidence: dict[str, Text]
    parameters: dict[str, str]
    expected_speedup: float | None


class CallTimes(BaseModel):
    """Times of verified calls of one kind, in seconds."""

    name: Text
    seconds: list[float]


class AttemptPage(BaseModel):
    """An attempt; times in seconds."""

    run_id: str
    number: int
    rounds: int
    previous: int | None
    next: int | None
    run_status: RunStatus
    task_id: str
    task_name: Text
    strategy: str
    coder: str
    judge: str
    plan: Text
    notes: list[Text]
    author: Text
    kernel_id: str
    parameters: dict[str, str]
    created: datetime
    wall_seconds: float
    """What the attempt took by the clock."""
    best: bool
    """Whether nothing faster has passed in this run."""
    evaluation_id: str
    verdict: Verdict
    reason: Text
    device: DeviceInfo
    source: Text
    parents: list[Relative]
    children: list[Relative]
    compared_with: str | None
    """The parent that `diff` begins from."""
    diff: Diff | None
    build: BuildView
    correctness: CorrectnessView
    timing: TimingView | None
    calls: list[CallTimes]
    """Verified calls by workload; of a measured time, medians of batches by who was timed and whether the cache was cold."""
    profiles: list[ProfileView]
    integrity: IntegrityView
    stages: list[StageView]
    conversation: ConversationView
    forecast: ForecastView | None
    advice: AdviceView | None


def attempt_page(store: Store, run_id: str, number: int, parent: str | None = None) -> AttemptPage:
    """The attempt with this number of the run with this id, or the only one whose id begins so.

    Args:
        parent: id of the parent that it is compared with; the first one without it.

    Raises:
        NotFoundError: there is none.
    """
    run = store.run_head(run_id)
    stored = store.stored_attempt(run.id, number)
    attempt = stored.attempt
    kernel, evaluation = attempt.kernel, attempt.evaluation
    lines = store.attempt_lines(run.id)
    numbers = [line.number for line in lines]
    task = store.task_without_files(run.task_id)
    sources = store.sources(kernel.parents)
    parents = _parents(lines, number, kernel.parents, sources.keys())
    chosen = parent if parent in sources else next((each.kernel_id for each in parents if each.stored), None)
    timing = evaluation.timing
    fastest = min(
        (line.seconds for line in lines if line.seconds and timing and line.timing_kind is timing.kind), default=None
    )
    return AttemptPage(
        run_id=run.id,
        number=number,
        rounds=run.rounds,
        previous=max((n for n in numbers if n < number), default=None),
        next=min((n for n in numbers if n > number), default=None),
        run_status=run.status,
        task_id=run.task_id,
        task_name=run.task_name,
        strategy=run.strategy,
        coder=run.coder,
        judge=run.judge,
        plan=attempt.plan,
        notes=list(attempt.notes),
        author=kernel.author,
        kernel_id=kernel.id,
        parameters={name: str(value) for name, value in kernel.parameters.items()},
        created=attempt.created,
        wall_seconds=attempt.seconds,
        best=timing is not None and timing.seconds == fastest,
        evaluation_id=stored.evaluation_id,
        verdict=evaluation.verdict,
        reason=evaluation.reason,
        device=evaluation.device,
        source=kernel.source,
        parents=parents,
        children=[_relative(line) for line in lines if line.number > number and kernel.id in line.parents],
        compared_with=chosen,
        diff=None if chosen is None else difference(sources[chosen], kernel.source),
        build=build_of(evaluation),
        correctness=correctness_of(task, evaluation),
        timing=timing_of(evaluation),
        calls=[] if timing is None else _calls(timing),
        profiles=profile_views(evaluation),
        integrity=integrity_of(evaluation),
        stages=stages_of(task, kernel, evaluation),
        conversation=conversation_of(store.calls_of(run.id, number)),
        forecast=_forecast(store, run.id, lines, number),
        advice=None if attempt.advice is None else _advice(attempt.advice),
    )


def parents_in(lines: Sequence[AttemptLine]) -> dict[int, list[int]]:
    """By an attempt's number, those of the latest attempts before it that made its parents."""
    latest: dict[str, int] = {}
    found: dict[int, list[int]] = {}
    for line in sorted(lines, key=lambda each: each.number):
        found[line.number] = [latest[parent] for parent in line.parents if parent in latest]
        latest[line.kernel_id] = line.number
    return found


def _parents(lines: Sequence[AttemptLine], number: int, ids: Sequence[str], stored: Collection[str]) -> list[Relative]:
    before = {line.kernel_id: line for line in lines if line.number < number}
    return [
        _relative(before[kernel_id])
        if kernel_id in before
        else Relative(
            kernel_id=kernel_id,
            number=None,
            stored=kernel_id in stored,
            verdict=None,
            timing_kind=None,
            seconds=None,
            speedup=None,
        )
        for kernel_id in dict.fromkeys(ids)
    ]


def _relative(line: AttemptLine) -> Relative:
    return Relative(
        kernel_id=line.kernel_id,
        number=line.number,
        stored=True,
        verdict=line.verdict,
        timing_kind=line.timing_kind,
        seconds=line.seconds,
        speedup=line.speedup,
    )


def _calls(timing: Timing) -> list[CallTimes]:
    if timing.measurement is not None:
        return [
            CallTimes(name=f"{who}, {mode} cache", seconds=medians)
            for who, modes in timing.measurement.medians.items()
            for mode, medians in modes.items()
        ]
    groups: dict[str, list[float]] = {}
    for call in timing.calls:
        groups.setdefault(call.workload, []).append(call.seconds)
    return [CallTimes(name=name, seconds=seconds) for name, seconds in groups.items()]


def _forecast(store: Store, run_id: str, lines: Sequence[AttemptLine], number: int) -> ForecastView | None:
    """As `kernelwright.agents.llm.outcomes` pairs them: advice is followed up by the attempts made from its kernel."""
    found = parents_in(lines).get(number)
    if not found:
        return None
    by_number = {line.number: line for line in lines}
    before, after = by_number[max(found)], by_number[number]
    advice = store.advice_on(run_id, before.number)
    if advice is None:
        return None
    comparable = before.timing_kind is not None and before.timing_kind is after.timing_kind
    happened = before.seconds / after.seconds if comparable and before.seconds and after.seconds else None
    return ForecastView(
        advised_after=before.number,
        change=advice.change,
        expected=advice.expected_speedup,
        happened=happened,
        words=_outcome(before, after, advice.expected_speedup, happened),
    )


def _outcome(before: AttemptLine, after: AttemptLine, expected: float | None, happened: float | None) -> str:
    hoped = "The judge named no figure" if expected is None else f"The judge expected {ratio(expected)} as fast"
    if happened is not None:
        kind = "measured" if after.timing_kind is TimingKind.MEASURED else "modelled"
        return f"{hoped}; it came out {ratio(happened)} as fast as attempt {before.number} ({kind})."
    if after.verdict is not Verdict.PASSED:
        return f"{hoped}; nothing came of it: {after.verdict.value.replace('_', ' ')}."
    if before.timing_kind is None:
        return f"{hoped}; attempt {before.number} has no time to compare with."
    return f"{hoped}; one time is measured and the other modelled, so they are not compared."


def _advice(advice: Advice) -> AdviceView:
    return AdviceView(
        mode=advice.mode,
        limiter=advice.limiter,
        change=advice.change,
        evidence={
            name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in advice.evidence.items()
        },
        parameters={name: str(value) for name, value in advice.parameters.items()},
        expected_speedup=advice.expected_speedup,
    )
