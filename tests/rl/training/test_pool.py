"""The pool: real child processes that answer, die, hang and talk nonsense; none of it becomes a judgement."""

from __future__ import annotations

from pathlib import Path

import pytest
from search_doubles import TASK, evaluation, kernel

from kernelwright.rl.contrastive.reward import FAILED, PRIOR, reward_of
from kernelwright.rl.training.environment import Lost, Request
from kernelwright.rl.training.pool import TRIES, EvaluationPool
from kernelwright.verifier.evaluation import Evaluation, Verdict

_CHILD = """
import hashlib, json, os, sys, time
order = json.loads(sys.stdin.readline())
if order.get("dead"):
    sys.exit("no memory left")
for line in sys.stdin:
    request = json.loads(line)
    number = int(request["kernel"]["source"].split("=")[1])
    with open(order["log"], "a") as log:
        log.write(f"{os.getpid()} {number}\\n")
    seen = open(order["log"]).read().split("\\n")
    tries = sum(row.endswith(f" {number}") for row in seen)
    what = order["does"].get(str(number), ["answer"])
    what = what[min(tries, len(what)) - 1]
    if what != "hang early":
        print(json.dumps({"device": order["device"]}), flush=True)
        print(json.dumps({"stage": "correctness, workload 2 of 3"}), flush=True)
    if what == "die":
        os.kill(os.getpid(), 9)
    if what.startswith("hang"):
        time.sleep(600)
    if what == "nonsense":
        print("}{", flush=True)
    elif what == "problem":
        print(json.dumps({"problem": "the reference died"}), flush=True)
    elif what == "other":
        print(json.dumps({"evaluation": order["answers"]["2"]}), flush=True)
    else:
        print(json.dumps({"evaluation": order["answers"][str(number)]}), flush=True)
"""


def pool(
    tmp_path: Path, does: dict[str, list[str]], *, size: int = 1, seconds: float = 60.0, **more: object
) -> EvaluationPool:
    answers = {str(n): evaluation(kernel(n), Verdict.WRONG if n == 2 else 2e-5).model_dump() for n in range(1, 7)}
    device = evaluation(kernel(1), 1e-5).device.model_dump()
    order = {"does": does, "answers": answers, "device": device, "log": str(tmp_path / "log"), **more}
    return EvaluationPool(("-I", "-S", "-c", _CHILD), order, size=size, seconds=seconds)


def requests(*numbers: int) -> list[Request]:
    return [Request(TASK, kernel(number)) for number in numbers]


def judged(evaluators: EvaluationPool, *numbers: int) -> list[Evaluation | Lost]:
    """In the order of the numbers; one evaluation each, none of them is a jump."""
    found = dict(evaluators.evaluate(requests(*numbers)))
    outcomes: list[Evaluation | Lost] = []
    for place in range(len(numbers)):
        outcome = found[place]
        if not isinstance(outcome, Lost):
            (outcome,) = outcome
        outcomes.append(outcome)
    return outcomes


def seen(tmp_path: Path) -> list[tuple[str, int]]:
    rows = (tmp_path / "log").read_text().split("\n")[:-1]
    return [(row.split()[0], int(row.split()[1])) for row in rows]


def test_answers_come_in_order_from_processes_that_are_kept(tmp_path: Path) -> None:
    with pool(tmp_path, {}, size=2) as evaluators:
        found = judged(evaluators, 3, 1, 2)
        found += judged(evaluators, 4)
    assert [e.kernel_id for e in found if not isinstance(e, Lost)] == [kernel(n).id for n in (3, 1, 2, 4)]
    assert len({process for process, _ in seen(tmp_path)}) <= 2


@pytest.mark.parametrize("failure", ["die", "nonsense", "problem", "other"])
def test_a_failure_is_tried_again_in_a_fresh_process(tmp_path: Path, failure: str) -> None:
    with pool(tmp_path, {"1": [failure, "answer"]}) as evaluators:
        (found,) = judged(evaluators, 1)
    assert not isinstance(found, Lost)
    assert found.passed
    assert len({process for process, _ in seen(tmp_path)}) == 2


def test_an_evaluator_that_hangs_is_ended_and_the_kernel_tried_again(tmp_path: Path) -> None:
    with pool(tmp_path, {"1": ["hang", "answer"]}, seconds=3.0) as evaluators:
        (found,) = judged(evaluators, 1)
    assert not isinstance(found, Lost)


def test_a_kernel_that_stalls_every_evaluator_has_timed_out(tmp_path: Path) -> None:
    with pool(tmp_path, {"1": ["hang"]}, seconds=2.0) as evaluators:
        (found,) = judged(evaluators, 1)
    assert not isinstance(found, Lost)
    assert found.verdict is Verdict.TIMEOUT
    assert (found.task_id, found.kernel_id) == (TASK.id, kernel(1).id)
    assert found.stages[-1].name == "correctness"
    assert "within 2 s" in found.reason
    assert reward_of([found], PRIOR) == FAILED[Verdict.TIMEOUT]
    assert [number for _, number in seen(tmp_path)].count(1) == TRIES


@pytest.mark.parametrize("does", [["hang early"], ["hang", "die", "hang"]], ids=["before its turn", "not each time"])
def test_a_stall_that_is_not_surely_the_kernels_is_no_verdict(tmp_path: Path, does: list[str]) -> None:
    with pool(tmp_path, {"1": does}, seconds=1.0) as evaluators:
        (found,) = judged(evaluators, 1)
    assert isinstance(found, Lost)


def test_a_jump_is_evaluated_again_and_what_is_there_comes_first(tmp_path: Path) -> None:
    jump, calm = Request(TASK, kernel(1), best=0.5), Request(TASK, kernel(3), best=1.5)
    with pool(tmp_path, {}) as evaluators:
        found = dict(evaluators.evaluate([jump, calm]))
    assert [number for _, number in seen(tmp_path)] == [1, 1, 3]
    assert [len(found[0]), len(found[1])] == [2, 1]  # type: ignore[arg-type]


def test_a_kernel_that_ends_every_evaluator_is_lost_and_the_others_are_judged(tmp_path: Path) -> None:
    with pool(tmp_path, {"1": ["die"]}) as evaluators:
        found = judged(evaluators, 1, 3)
    assert isinstance(found[0], Lost)
    assert "SIGKILL" in found[0].why
    assert not isinstance(found[1], Lost)
    assert [number for _, number in seen(tmp_path)].count(1) == TRIES


def test_what_an_evaluator_says_before_it_ends_is_told(tmp_path: Path) -> None:
    with pool(tmp_path, {}, dead=True) as evaluators:
        (found,) = judged(evaluators, 1)
    assert isinstance(found, Lost)
    assert "no memory left" in found.why
