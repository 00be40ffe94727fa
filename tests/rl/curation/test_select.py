"""The rules of a data set, each with attempts that it is about."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from curation_doubles import BODIES, kernel, task

from kernelwright.errors import MisuseError
from kernelwright.rl.curation.candidate import REQUIRED_STAGES, Candidate, Condemned, Harvest, Reasoning
from kernelwright.rl.curation.families import family_cap, family_of
from kernelwright.rl.curation.heldout import HeldOutIndex
from kernelwright.rl.curation.select import Reason, Rules, Selection, select
from kernelwright.verifier.evaluation import TimingKind

NOBODY = Condemned({}, {})
NAMES = tuple(BODIES)


def _candidate(
    number: int, task_name: str = "gated", kernel_name: str | None = None, speedup: float = 2.0, **changes: Any
) -> Candidate:
    made = kernel(kernel_name or f"kernel{number}")
    fields: dict[str, Any] = {
        "run_id": f"run-{task_name}", "number": number, "task": task(task_name), "kernel_id": made.id, "kernel": made.source,
        "author": "scripted", "strategy": "refine", "evaluation_id": f"e{number}", "stages": dict.fromkeys(REQUIRED_STAGES, "passed"),
        "remarks": (), "kind": TimingKind.MODELLED, "gpu": "H200", "seconds": 1e-5, "baseline_seconds": speedup * 1e-5,
        "baseline": "eager", "bound_seconds": 1e-6, "device": "emulator (H200)", "versions": {"torch": "2.13.0"},
    }  # fmt: skip
    if "seconds" in changes:
        fields["baseline_seconds"] = 4e-5
    return Candidate(**(fields | changes))


def _select(*candidates: Candidate, condemned: Condemned = NOBODY, **rules: Any) -> Selection:
    return select(Harvest(candidates, {}, condemned), HeldOutIndex([]), Rules(**rules))


def _kept(selection: Selection) -> list[int]:
    return sorted(each.candidate.number for each in selection.kept)


def _dropped(selection: Selection) -> dict[int, Reason]:
    return {each.number: each.reason for each in selection.dropped}


def test_of_a_task_the_fastest_is_kept() -> None:
    found = _select(_candidate(1, seconds=2e-5), _candidate(2, seconds=1e-5), _candidate(3, seconds=3e-5))
    assert _kept(found) == [2]
    assert _dropped(found) == {1: Reason.NOT_CHOSEN, 3: Reason.NOT_CHOSEN}


def test_of_equally_fast_ones_the_shortest_reasoning_is_kept() -> None:
    thoughts = [Reasoning("x" * 900, True), Reasoning("x" * 90, True), None]
    found = _select(*(_candidate(n, seconds=1e-5 * (1 + n * 1e-4), reasoning=t) for n, t in enumerate(thoughts, 1)))
    assert _kept(found) == [2]
    assert _kept(
        _select(
            _candidate(1, seconds=1e-5, reasoning=thoughts[0]), _candidate(2, seconds=1.1e-5, reasoning=thoughts[1])
        )
    ) == [1]


def test_a_large_speed_up_is_kept_beside_the_fastest() -> None:
    fast = [_candidate(n, seconds=(4 + n) * 1e-6) for n in range(1, 6)]
    assert _kept(_select(*fast, large_speedup=5.5)) == [1, 2, 3]  # 8, 6.67 and 5.71
    assert _kept(_select(*fast, per_task=2)) == [1, 2]
    assert _kept(_select(*fast, large_speedup=7.0)) == [1]


def test_what_is_slower_than_the_reference_is_left_out() -> None:
    slow = _candidate(1, speedup=0.9)
    assert _dropped(_select(slow)) == {1: Reason.SLOW}
    assert _kept(_select(slow, min_speedup=0.5)) == [1]
    assert _kept(_select(slow, purpose="rl")) == [1]


@pytest.mark.parametrize("stage", REQUIRED_STAGES)
@pytest.mark.parametrize("status", [None, "skipped", "warned"])
def test_a_judgement_that_is_not_whole_counts_for_nothing(stage: str, status: str | None) -> None:
    stages = {name: "passed" for name in REQUIRED_STAGES if name != stage} | ({stage: status} if status else {})
    found = _select(_candidate(1, stages=stages))
    assert _dropped(found) == ({} if (stage, status) == ("static", "warned") else {1: Reason.NOT_WHOLE})


def test_what_something_speaks_against_is_left_out() -> None:
    assert _dropped(_select(_candidate(1, remarks=("Line 3: it reads a clock.",)))) == {1: Reason.SUSPECT}


def test_a_kernel_that_was_found_out_is_out_wherever_it_passed() -> None:
    one = _candidate(1)
    assert _dropped(_select(one, condemned=Condemned({one.kernel_id: "cheating"}, {}))) == {1: Reason.CONDEMNED}
    assert _dropped(_select(one, condemned=Condemned({}, {(one.task.id, one.kernel_id): "wrong"}))) == {
        1: Reason.CONDEMNED
    }
    assert _dropped(_select(one, condemned=Condemned({}, {("another task", one.kernel_id): "wrong"}))) == {}
    renamed = one.kernel.replace("value", "amount")
    assert _dropped(_select(one, condemned=Condemned({}, {}, [renamed]))) == {1: Reason.CONDEMNED}


def test_kinds_of_time_are_never_mixed() -> None:
    both = _candidate(1), _candidate(2, "rows", kind=TimingKind.MEASURED)
    with pytest.raises(MisuseError, match="1 measured and 1 modelled times"):
        _select(*both)
    found = _select(*both, kind=TimingKind.MEASURED)
    assert (_kept(found), found.kind) == ([2], TimingKind.MEASURED)
    assert _dropped(found) == {1: Reason.OTHER_KIND}
    assert {each.candidate.kind for each in found.kept} == {TimingKind.MEASURED}


def test_kernels_are_compared_within_a_gpu() -> None:
    two = _candidate(1, seconds=1e-5), _candidate(2, seconds=3e-5, gpu="L4")
    assert _kept(_select(*two)) == [1, 2]
    found = _select(*two, gpu="L4")
    assert (_kept(found), _dropped(found)) == ([2], {1: Reason.OTHER_GPU})


def test_duplicates_and_near_duplicates_are_left_out() -> None:
    source = kernel("one").source
    again = source.replace("value", "amount").replace("    const int row", "    // its row\n    const int row")
    nearly = source.replace("        out[place]", "        value += 1.0f;\n        out[place]")
    found = _select(
        _candidate(1, kernel=source, seconds=1e-6), _candidate(2, kernel=again, seconds=2e-6),
        _candidate(3, kernel=nearly, seconds=3e-6), _candidate(4, seconds=3e-6),
    )  # fmt: skip
    assert _dropped(found) == {2: Reason.DUPLICATE, 3: Reason.NEAR_DUPLICATE}
    assert _kept(found) == [1, 4]
    assert _kept(
        _select(_candidate(1, kernel=source, seconds=1e-6), _candidate(3, kernel=nearly, seconds=3e-6), similarity=1.0)
    ) == [1, 3]


def test_the_same_kernel_for_another_module_is_a_duplicate() -> None:
    source = kernel("one").source
    found = _select(
        _candidate(1, "gated", kernel=source), _candidate(2, "rows", kernel=source.replace("value", "amount"))
    )
    assert len(found.kept) == 1
    assert list(_dropped(found).values()) == [Reason.DUPLICATE]


def test_rl_has_one_row_for_a_module() -> None:
    large = task("gated", rows=64)
    found = _select(
        _candidate(1), _candidate(2, seconds=9e-6), _candidate(3, task=large, run_id="other"), _candidate(4, "rows"), purpose="rl",
    )  # fmt: skip
    assert len({each.module for each in found.kept}) == len(found.kept) == 2
    assert sorted(_dropped(found).values()) == sorted([Reason.NOT_CHOSEN, Reason.SAME_TASK])


def test_families_are_kept_in_balance() -> None:
    def body(op: str, other: str) -> str:
        return f"        return torch.{op}(x) * torch.{other}(y)"

    ops = ("sin", "cos", "tan", "exp", "erf", "abs")
    many = [
        _candidate(n, task=task(f"t{n}", body=body(a, b)), run_id=f"r{n}", speedup=2 + n / 100)
        for n, (a, b) in enumerate(((a, b) for a in ops for b in ops), 1)
    ]
    few = [_candidate(99, "products"), _candidate(98, "running", run_id="s")]
    found = _select(*many, *few, balance=3.0)
    assert found.families() == {"pointwise": 8, "matmul": 1, "scan": 1}
    assert {n for n in _kept(found) if n < 90} == set(range(29, 37))  # the largest speed-ups
    assert sum(reason is Reason.BALANCE for reason in _dropped(found).values()) == 28
    assert len(_select(*many, *few, balance=0).kept) == 38


def test_every_attempt_is_kept_or_has_its_reason_whatever_the_order() -> None:
    everyone = [
        _candidate(n, name, seconds=1e-6 * (1 + n % 5), reasoning=Reasoning("x" * (n % 4), True) if n % 3 else None)
        for n, name in enumerate(NAMES * 4, 1)
    ]
    everyone += [replace(each, number=each.number + 100) for each in everyone[:5]]
    one = _select(*everyone)
    assert len(one.kept) + len(one.dropped) == len(everyone)
    assert sum(one.counts().values()) == len(one.dropped)
    for seed in range(3):
        shuffled = random.Random(seed).sample(everyone, len(everyone))
        assert _select(*shuffled) == one


def test_families() -> None:
    assert family_of('FAMILY = "norm"\n' + task("products").source) == "norm"
    assert [family_of(task(name).source) for name in ("products", "running", "mixed", "gated")] == [
        "matmul",
        "scan",
        "softmax",
        "pointwise",
    ]
    assert family_of("") == "other"
    assert family_cap([100, 30, 10, 1], 3, 8) == 30
    assert family_cap([100, 1], 3, 8) == 8
    assert family_cap([], 3, 8) is family_cap([5], 0, 8) is None
