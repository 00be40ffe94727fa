"""Judges what is in an evidence bundle again, with the bundle's own seeds, and compares the two evaluations.

A bundle asks for nothing itself: how far a kernel may be off is this program's to say, and the workloads are those of the
task's source. A bundle that has others was forged, or made by another version; `demands` tells it before anything is run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import NumericPolicy, Task, Workload
from kernelwright.events import Observer, ignore
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.bundle import Bundle, environment
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, Stage
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.seeds import secret_seed
from kernelwright.verifier.wording import counted

__all__ = ["Comparison", "Difference", "compare", "compare_fresh", "demands", "environment_differences", "limits_here", "replay"]  # fmt: skip

_FIGURES = 1e-9
"""Relative difference of times and error shares that counts as none: they are computed alike, so only their printing and
reading could change them."""
_LISTED = 8  # differing fields that are named


@dataclass(frozen=True)
class Difference:
    """Something of the environment that is not as it was."""

    what: str
    then: str
    now: str


@dataclass(frozen=True)
class Comparison:
    """One part of the evidence, as the bundle has it and as it came out again."""

    what: str
    """`verdict`, `stage build`, `launched kernels`, `error shares`, `counters`, `times`, `failure`, `numeric policy`, ..."""
    same: bool
    then: str
    """In a few words."""
    now: str
    decides: bool
    """Whether the verdict rests on it: it must be the same in every environment. Figures may differ in another one."""


class _Replayed:
    """The seeds of a bundle, one after the other, then fresh ones."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._left = iter(seeds)

    def __call__(self) -> int:
        found = next(self._left, None)
        return secret_seed() if found is None else found


def replay(
    bundle: Bundle,
    *,
    device: Device,
    reference: Reference,
    gpu: Gpu,
    limits: Limits,
    fresh: bool = False,
    observer: Observer = ignore,
) -> Evaluation:
    """Judges the bundle's kernel on its task once more.

    Args:
        reference: the bundle's task, opened.
        fresh: with new secret seeds instead of the bundle's.

    Raises:
        TaskError: the reference fails.
    """
    # weights of such modules are always built under seed 0, which is not drawn
    fixed = reference.hidden_tensors
    seeds = [seed for name, seed in bundle.evaluation.seeds.items() if not (fixed and name.startswith("weights/"))]
    return evaluate(
        bundle.task, bundle.kernel, device=device, reference=reference, gpu=gpu, limits=limits, observer=observer,
        draw_seed=secret_seed if fresh else _Replayed(seeds),
    )  # fmt: skip


def limits_here(bundle: Bundle, own: Limits) -> Limits:
    """The bundle's time of one call, since a verdict may rest on it; of memory, files and processes never more than `own`."""
    theirs = bundle.limits
    return Limits(
        call_seconds=theirs.call_seconds,
        load_seconds=own.load_seconds,
        build_seconds=own.build_seconds,
        memory_bytes=min(theirs.memory_bytes, own.memory_bytes),
        file_bytes=min(theirs.file_bytes, own.file_bytes),
        scratch_bytes=min(theirs.scratch_bytes, own.scratch_bytes),
        processes=min(theirs.processes, own.processes),
    )


def environment_differences(bundle: Bundle, now: Evaluation, *, gpu: Gpu, limits: Limits) -> list[Difference]:
    """What of the bundle's environment is otherwise here, leaf by leaf."""
    then = {**bundle.environment, "limits": asdict(bundle.limits)}
    here = {**environment(now, gpu), "limits": asdict(limits)}
    return [Difference(what, _short(a), _short(b)) for what, a, b in _leaves(then, here)]


def demands(task: Task) -> list[Comparison]:
    """What a bundle's task asks of a kernel, beside what this program asks for when it reads the same source.

    Of a module handed in from Python the source is the one that `bench_tasks.live` wrote: default workloads, no gradients.

    Raises:
        TaskError: its source is no task.
    """
    own = task_from_source(task.source, name=task.name)
    words = (_policy_words(task.policy), _policy_words(NumericPolicy()))
    found = [Comparison("numeric policy", task.policy == NumericPolicy(), *words, True)]
    same = task.workloads == own.workloads
    found.append(Comparison("workloads", same, *_workload_words(task.workloads, own.workloads), True))
    for what, then, now in (("gradients", task.backward, own.backward), ("format", task.format, own.format)):
        found.append(Comparison(what, then == now, _said(then), _said(now), True))
    return found


def compare(then: Evaluation, now: Evaluation) -> list[Comparison]:
    """Verdict, stages, failure, launched kernels, torch operations, error shares, counters and times of two evaluations of
    one kernel on one task. Whatever is no figure decides.
    """
    found = [Comparison("verdict", then.verdict is now.verdict, then.verdict.value, now.verdict.value, True)]
    before, after = ({stage.name: stage for stage in each.stages} for each in (then, now))
    for name in dict.fromkeys([*before, *after]):
        one, two = _status(before.get(name)), _status(after.get(name))
        found.append(Comparison(f"stage {name}", one == two, one, two, True))
    if (then.passed, now.passed) == (False, False):
        failed, again = _failure(then), _failure(now)
        kind, kind_again = _kinds(failed), _kinds(again)
        found.append(Comparison("kind of failure", kind == kind_again, kind, kind_again, True))
        found.append(Comparison("failure", failed == again, _words(failed), _words(again), False))
    if _calls(then) or _calls(now):
        found.append(_shares(_calls(then), _calls(now)))
    if then.profile is not None or now.profile is not None:
        found.append(_names("launched kernels", *(_named(each, "launches", "kernel") for each in (then, now))))
        found.append(_names("torch operations", *(_named(each, "torch_ops", "name") for each in (then, now))))
    if then.profile is not None and now.profile is not None:
        found.append(_counters(then.profile.launches, now.profile.launches))
        same = not any(_leaves(then.profile.torch_ops, now.profile.torch_ops))
        one, two = (counted(len(p.torch_ops), "operation") for p in (then.profile, now.profile))
        found.append(Comparison("sizes of torch operations", same, one, two, False))
    if then.timing is not None and now.timing is not None:
        times = [(t.seconds, t.baseline_seconds, t.bound_seconds) for t in (then.timing, now.timing)]
        same = all(_near(a, b) for a, b in zip(*times, strict=True))
        one, two = (f"kernel {t[0]:.6g} s, baseline {t[1]:.6g} s, bound {t[2]:.6g} s" for t in times)
        found.append(Comparison("times", same, one, two, False))
    return found


def compare_fresh(then: Evaluation, fresh: Evaluation) -> list[Comparison]:
    """What must come out under every seed: the verdict, each stage, the names of launched kernels and torch operations."""
    return [each for each in compare(then, fresh) if each.decides and each.what != "kind of failure"]


def _said(value: object) -> str:
    return {True: "asked for", False: "not asked for"}[value] if isinstance(value, bool) else _short(value)


def _policy_words(policy: NumericPolicy) -> str:
    return ", ".join(f"{name} {value}" for name, value in asdict(policy).items())


def _workload_words(then: Sequence[Workload], now: Sequence[Workload]) -> tuple[str, str]:
    """The two lists, without what both have; only their number where they are the same."""

    def words(some: Sequence[Workload], others: Sequence[Workload]) -> str:
        own = [each for each in some if each not in others]
        named = [f"{each.name} ({', '.join(map(str, each.to_json()[1:]))})" for each in own[:_LISTED]]
        more = [counted(len(own) - _LISTED, "other")] if len(own) > _LISTED else []
        return counted(len(some), "workload") + (f", among them {'; '.join([*named, *more])}" if own else "")

    if set(then) == set(now) and then != now:
        return ", ".join(each.name for each in then), ", ".join(each.name for each in now)
    return words(then, now), words(now, then)


def _status(stage: Stage | None) -> str:
    return "not reached" if stage is None else stage.status.value


def _failure(evaluation: Evaluation) -> dict[str, Any]:
    """What of the failed stage's evidence does not depend on addresses, paths or times."""
    evidence = evaluation.stages[-1].evidence if evaluation.stages else {}
    kept: dict[str, Any] = {key: evidence[key] for key in ("kind", "line", "workload", "input") if key in evidence}
    mismatch = evidence.get("mismatch")
    if isinstance(mismatch, Mapping):
        kept |= {key: mismatch.get(key) for key in ("output", "index", "got", "expected", "wrong")}
    violations = evidence.get("violations")
    if isinstance(violations, list):
        kept["violations"] = [(v.get("kind"), v.get("line")) for v in violations if isinstance(v, Mapping)]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in kept.items()} | (
        {"got": str(kept["got"])} if "got" in kept else {}
    )  # NaN is not equal to itself


def _kinds(failure: Mapping[str, Any]) -> str:
    """Of what kind a failure is, without its figures."""
    kinds = [failure.get("kind"), *dict.fromkeys(kind for kind, _ in failure.get("violations", ()))]
    return ", ".join(str(kind) for kind in kinds if kind is not None) or "no more is said"


def _named(evaluation: Evaluation, what: str, key: str) -> list[str]:
    """The names in a profile, in order; none if there is no profile."""
    return [] if evaluation.profile is None else [str(each.get(key)) for each in getattr(evaluation.profile, what)]


def _names(what: str, then: Sequence[str], now: Sequence[str]) -> Comparison:
    one, two = (", ".join(each[:_LISTED]) + (", ..." if len(each) > _LISTED else "") or "none" for each in (then, now))
    if then != now and one == two:
        place = next((at for at, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), min(len(then), len(now)))
        one, two = (
            f"{len(each)}, number {place} is {each[place] if place < len(each) else 'missing'}" for each in (then, now)
        )
    return Comparison(what, list(then) == list(now), one, two, True)


def _words(failure: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in failure.items() if value is not None)[:300] or "no more is said"


def _calls(evaluation: Evaluation) -> list[Mapping[str, Any]]:
    evidence = next((stage.evidence for stage in evaluation.stages if stage.name == "correctness"), {})
    calls = evidence.get("calls", [])
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _shares(then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Comparison:
    differing = [
        f"call {number} ({a.get('workload')}): {a.get('share_of_allowed')} and {b.get('share_of_allowed')}"
        for number, (a, b) in enumerate(zip(then, now, strict=False))
        if any(_leaves(a, b))
    ]
    same = not differing and len(then) == len(now)
    more = f", {counted(len(differing), 'differs', 'differ')}: {'; '.join(differing[:_LISTED])}" if differing else ""
    return Comparison("error shares", same, counted(len(then), "call"), counted(len(now), "call") + more, False)


def _counters(then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Comparison:
    one, two = (
        [{k: v for k, v in launch.items() if k != "emulated_seconds"} for launch in each] for each in (then, now)
    )
    differing = [f"{what} {_short(a)} and {_short(b)}" for what, a, b in _leaves(one, two)]
    more = f": {'; '.join(differing[:_LISTED])}" if differing else ""
    words = counted(len(then), "launch", "launches"), counted(len(now), "launch", "launches") + more
    return Comparison("counters", not differing, *words, False)


def _leaves(then: Any, now: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(place, value then, value now) of every leaf that differs."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            yield from _leaves(then.get(key), now.get(key), f"{where}.{key}" if where else str(key))
    elif isinstance(then, list | tuple) and isinstance(now, list | tuple) and len(then) == len(now):
        for place, (a, b) in enumerate(zip(then, now, strict=True)):
            yield from _leaves(a, b, f"{where}[{place}]")
    elif not (_near(then, now) if isinstance(then, float) and isinstance(now, float) else _plain(then) == _plain(now)):
        yield where, then, now


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _near(one: float, two: float) -> bool:
    return math.isclose(one, two, rel_tol=_FIGURES) or (one != one and two != two)


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
