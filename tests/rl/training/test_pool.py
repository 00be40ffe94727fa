"""The pool: real child processes that answer, die, hang and talk nonsense; none of it becomes a judgement."""

from __future__ import annotations

from pathlib import Path

import pytest
from search_doubles import TASK, evaluation, kernel

from kernelwright.rl.training.environment import Lost, Request
from kernelwright.rl.training.pool import TRIES, EvaluationPool
from kernelwright.verifier.evaluation import Verdict

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
    if what == "die":
        os.kill(os.getpid(), 9)
    if what == "hang":
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
    answers = {str(n): evaluation(kernel(n), Verdict.WRONG if n == 2 else 1e-5).model_dump() for n in range(1, 7)}
    order = {"does": does, "answers": answers, "log": str(tmp_path / "log"), **more}
    return EvaluationPool(("-I", "-S", "-c", _CHILD), order, size=size, seconds=seconds)


def requests(*numbers: int) -> list[Request]:
    return [Request(TASK, kernel(number)) for number in numbers]


def seen(tmp_path: Path) -> list[tuple[str, int]]:
    rows = (tmp_path / "log").read_text().split("\n")[:-1]
    return [(row.split()[0], int(row.split()[1])) for row in rows]


def test_answers_come_in_order_from_processes_that_are_kept(tmp_path: Path) -> None:
    with pool(tmp_path, {}, size=2) as evaluators:
        found = evaluators.evaluate(requests(3, 1, 2))
        found += evaluators.evaluate(requests(4))
    assert [e.kernel_id for e in found if not isinstance(e, Lost)] == [kernel(n).id for n in (3, 1, 2, 4)]
    assert len({process for process, _ in seen(tmp_path)}) <= 2


@pytest.mark.parametrize("failure", ["die", "nonsense", "problem", "other"])
def test_a_failure_is_tried_again_in_a_fresh_process(tmp_path: Path, failure: str) -> None:
    with pool(tmp_path, {"1": [failure, "answer"]}) as evaluators:
        (found,) = evaluators.evaluate(requests(1))
    assert not isinstance(found, Lost)
    assert found.passed
    assert len({process for process, _ in seen(tmp_path)}) == 2


def test_an_evaluator_that_hangs_is_ended_and_the_kernel_tried_again(tmp_path: Path) -> None:
    with pool(tmp_path, {"1": ["hang", "answer"]}, seconds=3.0) as evaluators:
        (found,) = evaluators.evaluate(requests(1))
    assert not isinstance(found, Lost)


def test_a_kernel_that_ends_every_evaluator_is_lost_and_the_others_are_judged(tmp_path: Path) -> None:
    with pool(tmp_path, {"1": ["die"]}) as evaluators:
        found = evaluators.evaluate(requests(1, 3))
    assert isinstance(found[0], Lost)
    assert "SIGKILL" in found[0].why
    assert not isinstance(found[1], Lost)
    assert [number for _, number in seen(tmp_path)].count(1) == TRIES


def test_what_an_evaluator_says_before_it_ends_is_told(tmp_path: Path) -> None:
    with pool(tmp_path, {}, dead=True) as evaluators:
        (found,) = evaluators.evaluate(requests(1))
    assert isinstance(found, Lost)
    assert "no memory left" in found.why
