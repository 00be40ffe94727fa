"""Two runs, kernels or attempts side by side, and whether one is faster, in words."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel

from kernelwright.agents.ranking import fastest
from kernelwright.db.look import Judgement, LookStore
from kernelwright.db.lookup import Kind
from kernelwright.db.store import Store
from kernelwright.errors import NotFoundError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, TimingKind, Verdict
from kernelwright.web.source_lines import Diff, difference
from kernelwright.web.views.figures import (
    ResourceLine,
    StageView,
    Text,
    TimingView,
    resources_of,
    stages_of,
    timing_of,
)
from kernelwright.words import between, duration, ratio

__all__ = ["ComparePage", "compare_page"]


class What(StrEnum):
    """What is compared."""

    RUN = "run"
    """By its best attempt."""
    KERNEL = "kernel"
    ATTEMPT = "attempt"


class RunFigures(BaseModel):
    """Of a run as a whole."""

    strategy: str
    coder: Text
    judge: Text
    attempts: int
    passed: int
    wall_seconds: float
    """Of its attempts, one after another."""
    dollars: Decimal


class Side(BaseModel):
    """One of the two; times in seconds."""

    what: What
    given: str
    label: str
    href: str
    run_id: str | None
    number: int | None
    """Of the attempt that stands for it."""
    kernel_id: str
    task_id: str
    task_name: Text
    evaluation_id: str
    verdict: Verdict
    reason: Text
    device: Text
    gpu: str
    timing: TimingView | None
    resources: list[ResourceLine]
    stages: list[StageView]
    run: RunFigures | None


class ComparePage(BaseModel):
    """Both sides, null until they are chosen."""

    a: str
    b: str
    problems: dict[str, str]
    """By `a` and `b`, what is wrong with what was given."""
    left: Side | None
    right: Side | None
    comparable: bool
    """Whether the two times may be held against each other."""
    faster: float | None
    """Time of `a` over time of `b`; null where they may not be compared."""
    says: list[Text]
    """What follows, and what does not."""
    diff: Diff | None


def compare_page(store: Store, a: str, b: str) -> ComparePage:
    """Compares what two ids name: of a run, of a kernel, or `RUN/NUMBER` for an attempt.

    Kernels are compared as they were judged on a task that both have, where there is one.
    """
    problems: dict[str, str] = {}
    found: dict[str, _Chosen] = {}
    for side, given in (("a", a), ("b", b)):
        if given:
            try:
                found[side] = _choose(store, given)
            except NotFoundError as error:
                problems[side] = f"{error.message} {error.mend}".strip()
    _pair(store, found)
    sides = {name: _side(store, chosen) for name, chosen in found.items() if chosen.evaluation_id}
    for name in found.keys() - sides.keys():
        problems[name] = f"{found[name].label} has nothing that was judged yet."
    left, right = sides.get("a"), sides.get("b")
    both = left is not None and right is not None
    comparable, faster, says = _verdict(left, right) if left and right else (False, None, [])
    sources = store.sources([side.kernel_id for side in sides.values()]) if both else {}
    return ComparePage(
        a=a,
        b=b,
        problems=problems,
        left=left,
        right=right,
        comparable=comparable,
        faster=faster,
        says=says,
        diff=difference(sources[left.kernel_id], sources[right.kernel_id]) if left and right else None,
    )


_Ground = tuple[str, TimingKind | None, str]
"""Task, kind of time, GPU."""


class _Chosen:
    """What an id names, and which evaluation stands for it."""

    def __init__(self, what: What, given: str, label: str, href: str) -> None:
        self.what, self.given, self.label, self.href = what, given, label, href
        self.run_id: str | None = None
        self.number: int | None = None
        self.evaluation_id = ""
        self.judgements: tuple[Judgement, ...] = ()
        self.run: RunFigures | None = None


def _choose(store: Store, given: str) -> _Chosen:
    run_id, slash, number = given.partition("/")
    if slash:
        if not (number.isascii() and number.isdigit() and 0 < len(number) < 10):
            raise NotFoundError(f"{given!r} names no attempt.", mend="Write the run's id, a slash, and its number.")
        whole = store.run_head(run_id).id
        chosen = _Chosen(What.ATTEMPT, given, f"attempt {number} of {whole}", f"/runs/{whole}/attempts/{int(number)}")
        chosen.run_id, chosen.number = whole, int(number)
        chosen.evaluation_id = store.stored_attempt(whole, int(number)).evaluation_id
        return chosen
    found = store.find(given, (Kind.RUN, Kind.KERNEL))
    if found.kind is Kind.RUN:
        return _run(store, given, found.id)
    chosen = _Chosen(What.KERNEL, given, f"kernel {found.id}", f"/kernels/{found.id}")
    chosen.judgements = store.kernel_look(found.id).judgements
    return chosen


def _run(store: Store, given: str, run_id: str) -> _Chosen:
    chosen = _Chosen(What.RUN, given, f"run {run_id}", f"/runs/{run_id}")
    head, lines = store.run_head(run_id), store.attempt_lines(run_id)
    timed = [(line, line.timing_kind, line.seconds) for line in lines]
    best = fastest((line, kind, s) for line, kind, s in timed if kind is not None and s is not None)
    shown = best or (lines[-1] if lines else None)
    chosen.run_id = run_id
    if shown is not None:
        chosen.number, chosen.evaluation_id = shown.number, shown.evaluation_id
    chosen.run = RunFigures(
        strategy=head.strategy,
        coder=head.coder,
        judge=head.judge,
        attempts=len(lines),
        passed=sum(line.verdict is Verdict.PASSED for line in lines),
        wall_seconds=sum(line.wall_seconds for line in lines),
        dollars=store.spent(run_id),
    )
    return chosen


def _pair(store: LookStore, found: dict[str, _Chosen]) -> None:
    """Chooses the evaluations of kernels: of one task, kind of time and GPU if both have such, else the newest that passed."""
    grounds = {name: _grounds(store, chosen) for name, chosen in found.items()}
    shared: _Ground | None = None
    if len(grounds) == 2:
        first, second = grounds.values()
        both = [key for key in first if key in second]
        # a measured time says more than a modelled one
        shared = next((key for key in both if key[1] is TimingKind.MEASURED), both[0] if both else None)
    for name, chosen in found.items():
        if not chosen.evaluation_id and grounds[name]:
            own = grounds[name]
            chosen.evaluation_id = own[shared] if shared is not None and shared in own else next(iter(own.values()))


def _grounds(store: LookStore, chosen: _Chosen) -> dict[_Ground, str]:
    """The newest evaluation by task, kind and GPU; those that passed first."""
    found: dict[_Ground, str] = {}
    if chosen.evaluation_id:
        one = store.stored_evaluation(chosen.evaluation_id).evaluation
        return {(one.task_id, None if one.timing is None else one.timing.kind, one.device.gpu): chosen.evaluation_id}
    for each in sorted(chosen.judgements, key=lambda judgement: judgement.verdict is not Verdict.PASSED):
        found.setdefault((each.task_id, each.timing_kind, each.gpu), each.evaluation_id)
    return found


def _side(store: Store, chosen: _Chosen) -> Side:
    stored = store.stored_evaluation(chosen.evaluation_id)
    evaluation: Evaluation = stored.evaluation
    task = store.task_without_files(evaluation.task_id)
    source = store.sources([evaluation.kernel_id])[evaluation.kernel_id]
    return Side(
        what=chosen.what,
        given=chosen.given,
        label=chosen.label,
        href=chosen.href,
        run_id=chosen.run_id,
        number=chosen.number,
        kernel_id=evaluation.kernel_id,
        task_id=evaluation.task_id,
        task_name=task.name,
        evaluation_id=stored.id,
        verdict=evaluation.verdict,
        reason=evaluation.reason,
        device=evaluation.device.name,
        gpu=evaluation.device.gpu,
        timing=timing_of(evaluation),
        resources=resources_of(evaluation),
        stages=stages_of(task, Kernel(source, ""), evaluation),
        run=chosen.run,
    )


def _verdict(a: Side, b: Side) -> tuple[bool, float | None, list[str]]:
    """Whether the times may be compared, their ratio, and the words."""
    says = []
    if a.kernel_id == b.kernel_id:
        says.append("Both are the same kernel.")
    if a.task_id != b.task_id:
        says.append("They are for different tasks, so their times say nothing about each other.")
        return False, None, says
    if a.timing is None or b.timing is None:
        failed = [side for side in (a, b) if side.timing is None]
        names = " and ".join("a" if side is a else "b" for side in failed)
        says.append(f"There is nothing to compare: {names} did not pass, and only what passed is timed.")
        return False, None, says
    if a.timing.kind is not b.timing.kind:
        says.append(
            "One time is measured on a GPU and the other modelled from counted work. Each is shown; they are not held against each "
            "other, because a difference could be the model's error."
        )
        return False, None, says
    if a.timing.gpu != b.timing.gpu:
        says.append(f"They are for different GPUs, {a.timing.gpu} and {b.timing.gpu}, so their times are not compared.")
        return False, None, says
    faster = a.timing.seconds / b.timing.seconds
    says.append(_overlap(a.timing, b.timing))
    return True, faster, says


def _overlap(a: TimingView, b: TimingView) -> str:
    """What the intervals allow to say."""
    if a.seconds_low is None or a.seconds_high is None or b.seconds_low is None or b.seconds_high is None:
        return "At least one of the times has no interval, so it can't be told whether they differ."
    first, second = (f"{duration(t.seconds)}{between(t.seconds_low, t.seconds_high)}" for t in (a, b))
    if a.seconds_low <= b.seconds_high and b.seconds_low <= a.seconds_high:
        return f"No difference is shown: a takes {first} and b {second}, and these intervals overlap."
    quick, slow = ("a", "b") if a.seconds < b.seconds else ("b", "a")
    times = max(a.seconds, b.seconds) / min(a.seconds, b.seconds)
    low, high = sorted((a, b), key=lambda t: t.seconds)
    least = (high.seconds_low or 0.0) / (low.seconds_high or 1.0)
    return f"{quick} is faster: a takes {first} and b {second}, and these intervals do not overlap. {slow} takes {ratio(times)} as long, at least {ratio(least)}."
