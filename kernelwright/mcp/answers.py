"""What the tools answer: pydantic models, whose schemas are told to the client. Times are in seconds, sizes in bytes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from kernelwright.agents.protocols import Advice
from kernelwright.bench_tasks.task import Task
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import LineCounters
from kernelwright.verifier.evaluation import Evaluation, StageStatus, Timing
from kernelwright.verifier.explain import Explanation, explain
from kernelwright.verifier.model.kernel_profile import KernelProfile
from kernelwright.words import timing_sentence

__all__ = [
    "BestKernel",
    "Explained",
    "JudgeAdvice",
    "Judged",
    "KernelCost",
    "LineCost",
    "NamedLine",
    "Profiled",
    "RunState",
    "SimilarKernel",
    "SimilarKernels",
    "StageResult",
    "Submitted",
    "TaskLine",
    "TaskList",
    "TaskText",
    "Times",
    "advice_of",
    "judged",
    "kernel_cost",
    "stages_of",
    "times_of",
]

MOST_TEXT = 4000
"""Characters of a reason or a sentence that are passed on: a compiler can write megabytes."""
MOST_LINES = 60
"""Source lines of one kernel's profile, the costliest."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class TaskLine(_Answer):
    """One task."""

    name: str
    id: str
    """Hash of its content: the same under every name."""
    where: str
    """Its file, or `store` for one that is only kept in the store."""
    operations: list[str]
    """Read from its source."""
    shapes: list[list[int]]
    """Of its inputs, where the source says them in numbers."""
    dtypes: list[str]


class TaskList(_Answer):
    """The tasks that can be named."""

    tasks: list[TaskLine]
    left_out: int
    """How many more there are: ask with `text` to narrow."""


class TaskText(_Answer):
    """A task to write a kernel for."""

    name: str
    id: str
    where: str
    source: str
    """The PyTorch reference: `Model`, `get_inputs()`, `get_init_inputs()`."""
    workloads: list[str]
    """The distributions of inputs that a kernel is checked on, under secret seeds."""
    gradients: bool
    """Whether gradients are asked for too."""
    gpu: str
    """The GPU to write for."""
    rules: str
    """What a kernel is, and what is refused."""


class NamedLine(_Answer):
    """A line of the kernel at which something was found."""

    text: str
    line: int | None
    """1-based, in the kernel's source; null if the place can't be told for certain."""
    cuda_line: int | None
    """1-based, in the CUDA text given to the compiler."""


class StageResult(_Answer):
    """One stage of a verdict."""

    stage: str
    status: str
    """`passed`, `failed`, `warned`, `skipped` or `not reached`."""
    sentences: list[str]
    """What it found, or proved."""
    lines: list[NamedLine]


class Times(_Answer):
    """Of one call on the task's own inputs."""

    kind: str
    """`modelled` (no GPU was there) or `measured`. The two are never compared."""
    gpu: str
    seconds: float
    baseline_seconds: float
    """Of eager PyTorch."""
    bound_seconds: float
    """The least that the task can take on this GPU: bytes that must move, operations that must be done."""
    speedup: float
    """Baseline over kernel; above 1 is faster."""
    roofline_share: float
    """Bound over kernel; 1 is at the bound."""
    in_words: str


class JudgeAdvice(_Answer):
    """What the roofline judge would change."""

    mode: str
    """`repair`, `improve`, or `stop` (nothing left worth trying)."""
    limiter: str
    change: str
    evidence: dict[str, Any]
    expected_speedup: float | None


class Judged(_Answer):
    """The verdict on a kernel."""

    task: str
    task_id: str
    kernel_id: str
    evaluation_id: str
    """Of the stored evaluation: explain_verdict takes it, later too."""
    verdict: str
    """`passed`, or `rejected`, `compile_error`, `crashed`, `timeout`, `unsafe`, `wrong`, `cheating`, `unsupported`;
    in a run also `outclassed`: right so far, and let go because it can't beat the best of the run."""
    passed: bool
    reason: str
    """Why, and for a failure what to change."""
    stages: list[StageResult]
    """As far as they were reached; explain_verdict says more of those that passed."""
    times: Times | None
    """Null unless it passed."""
    advice: JudgeAdvice
    seconds: float
    """Wall time of judging."""


class LineCost(_Answer):
    """What a source line of a kernel cost, over all its launches."""

    line: int
    """1-based, in the CUDA text; 0 for what no line is known of."""
    text: str
    warp_instructions: int
    global_sectors: int
    """32-byte sectors of global memory, read and written."""
    ideal_sectors: int
    """The same if each access were contiguous: fewer says that accesses are scattered."""
    shared_wavefronts: int
    """More than requests says bank conflicts."""
    shared_requests: int
    divergent_branches: int
    barriers: int


class KernelCost(_Answer):
    """All launches of one kernel with one grid and block."""

    kernel: str
    launches: int
    seconds: float
    """Modelled, of all of them."""
    grid: list[int]
    block: list[int]
    limited_by: str
    finding: str
    """What limits it, in words."""
    remedy: str
    occupancy: dict[str, Any]
    metrics: dict[str, float]
    """Under Nsight Compute's names, of the slowest launch."""
    lines: list[LineCost]
    """The costliest ones, in order of the source."""


class Profiled(_Answer):
    """What a kernel's launches cost; modelled from counted work, never measured."""

    task: str
    kernel_id: str
    gpu: str
    kernels: list[KernelCost]
    """The costliest first."""
    violations: list[str]
    """What a GPU would not have said: races, accesses out of bounds and the like. Mend these first."""


class SimilarKernel(_Answer):
    """A kernel that passed on a task like the one asked about."""

    similarity: float
    """0 to 1; 1 is the same task."""
    why: str
    task: str
    task_id: str
    kernel_id: str
    author: str
    times: Times
    source: str


class SimilarKernels(_Answer):
    """The most alike first; one a task."""

    winners: list[SimilarKernel]


class RunState(_Answer):
    """Where a run stands."""

    run: str
    task: str
    status: str
    """`running`, `interrupted` (a submission goes on with it) or `finished`."""
    attempts: int
    """Submissions so far."""
    attempts_left: int
    best_attempt: int | None
    """Number of the fastest that passed."""


class Submitted(_Answer):
    """An attempt that was judged and stored."""

    number: int
    best: bool
    """Whether it is the fastest of the run so far."""
    state: RunState
    judged: Judged


class BestKernel(_Answer):
    """The fastest kernel that passed, with its evaluation."""

    task: str
    task_id: str
    run: str | None
    attempt: int | None
    plan: str
    author: str
    kernel_id: str
    source: str
    times: Times
    reason: str


class Explained(_Answer):
    """What each stage of a stored evaluation found."""

    task: str
    kernel_id: str
    verdict: str
    reason: str
    stages: list[StageResult]


def times_of(timing: Timing) -> Times:
    """A timing in short."""
    return Times(
        kind=timing.kind.value,
        gpu=timing.gpu,
        seconds=timing.seconds,
        baseline_seconds=timing.baseline_seconds,
        bound_seconds=timing.bound_seconds,
        speedup=timing.speedup,
        roofline_share=timing.roofline_share,
        in_words=timing_sentence(timing),
    )


def advice_of(advice: Advice) -> JudgeAdvice:
    """Without the parameters, which only a parameterised coder can set."""
    evidence = {name: cut(value) if isinstance(value, str) else value for name, value in advice.evidence.items()}
    return JudgeAdvice(
        mode=advice.mode,
        limiter=advice.limiter,
        change=cut(advice.change),
        evidence=evidence,
        expected_speedup=advice.expected_speedup,
    )


def stages_of(task: Task, kernel: Kernel, evaluation: Evaluation) -> list[StageResult]:
    """Each stage in words, those that were not reached included."""
    return [_stage(each) for each in explain(task, kernel, evaluation)]


def judged(task: Task, kernel: Kernel, evaluation: Evaluation, evaluation_id: str, advice: Advice) -> Judged:
    """A fresh evaluation; of the stages that passed only a line each."""
    summaries = {stage.name: stage.summary for stage in evaluation.stages if stage.status is StageStatus.PASSED}
    stages = [
        each.model_copy(update={"sentences": [cut(summaries[each.stage])]}) if each.stage in summaries else each
        for each in stages_of(task, kernel, evaluation)
        if each.status != "not reached"
    ]
    return Judged(
        task=task.name,
        task_id=task.id,
        kernel_id=kernel.id,
        evaluation_id=evaluation_id,
        verdict=evaluation.verdict.value,
        passed=evaluation.passed,
        reason=cut(evaluation.reason),
        stages=stages,
        times=None if evaluation.timing is None else times_of(evaluation.timing),
        advice=advice_of(advice),
        seconds=evaluation.seconds,
    )


def kernel_cost(profile: KernelProfile) -> KernelCost:
    """One row of a profile."""
    costly = sorted(profile.lines, key=lambda line: -line.warp_instructions)[:MOST_LINES]
    return KernelCost(
        kernel=profile.name,
        launches=profile.launches,
        seconds=profile.seconds,
        grid=list(profile.report.grid),
        block=list(profile.report.block),
        limited_by=profile.time.limited_by,
        finding=profile.diagnosis.finding,
        remedy=profile.diagnosis.remedy,
        occupancy=dict(profile.time.occupancy.to_json()),
        metrics={name: value for name, value in profile.metrics.items() if value - value == 0.0},
        lines=[_line_cost(line) for line in sorted(costly, key=lambda line: line.line)],
    )


def cut(text: str) -> str:
    """`text`, at most `MOST_TEXT` characters of it."""
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} ... ({len(text) - MOST_TEXT} more characters)"


def _stage(each: Explanation) -> StageResult:
    return StageResult(
        stage=each.stage,
        status=each.status,
        sentences=[cut(sentence) for sentence in each.sentences],
        lines=[NamedLine(text=cut(line.text), line=line.line, cuda_line=line.cuda_line) for line in each.lines],
    )


def _line_cost(line: LineCounters) -> LineCost:
    return LineCost(
        line=line.line,
        text=cut(line.text),
        warp_instructions=line.warp_instructions,
        global_sectors=line.global_load_sectors + line.global_store_sectors,
        ideal_sectors=line.global_load_ideal_sectors + line.global_store_ideal_sectors,
        shared_wavefronts=line.shared_load_wavefronts + line.shared_store_wavefronts,
        shared_requests=line.shared_load_requests + line.shared_store_requests,
        divergent_branches=line.divergent_branches,
        barriers=line.barriers,
    )
