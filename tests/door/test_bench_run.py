"""`bench run`, `resume`, `runs`, `show` and `baseline` as a person uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_doubles import BENCH, OTHER, items
from search_doubles import TASK

from kernelwright.cli import run
from kernelwright.config import load_settings
from kernelwright.db.bench import BenchStatus, ItemStatus
from kernelwright.db.store import Store

Say = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def say(home: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command with ``--json``; exit code, object, and what people were told."""

    def say(*arguments: str) -> tuple[int, Any, str]:
        code = run([*arguments, "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out), " ".join(err.split())

    return say


def test_run_show_and_runs(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that the built-in coder writes nothing for, because it asks for gradients: a result like any other."""
    code, found, told = say(
        "bench", "run", "core", "--only", "softmax@backward", "--rounds", "1", "--device", "emulator"
    )
    assert code == 0
    assert (found["status"], found["suite"], found["scale"], found["timing_kind"]) == (
        "finished",
        "core",
        "twin",
        "modelled",
    )
    assert found["settings"]["exemplars"] == 0  # repeats must not see each other's winners
    (item,) = found["items"]
    assert (item["task"], item["result"], item["solved"], item["verdicts"]) == (
        "softmax@backward",
        "not written",
        False,
        [],
    )
    assert "gradients" in item["problem"]
    assert found["counts"] == {"not written": 1}
    assert "[1/1] softmax@backward: not written" in told
    assert "1 of the suite's" in told

    assert say("bench", "show", found["id"])[1] == found
    code, listed, _ = say("bench", "runs")
    assert [(r["id"], r["ended"], r["items"]) for r in listed["bench_runs"]] == [(found["id"], 1, 1)]
    assert run(["bench", "runs"]) == 0
    assert found["id"] in capsys.readouterr().out
    code, error, _ = say("bench", "resume", found["id"][:9])
    assert (code, error["error"]["kind"]) == (2, "MisuseError")
    assert "is finished" in error["error"]["message"]


def test_an_interrupted_run_says_how_to_go_on(say: Say) -> None:
    with Store(load_settings().database_url) as store:
        store.create_bench_run(BENCH, items(), [TASK, OTHER])
        store.end_bench_item(items()[0], ItemStatus.WAITING, "Not run: the budget was used up.")
        store.set_bench_status(BENCH.id, BenchStatus.INTERRUPTED, "The budget of $2 allows no more.")
    code, found, told = say("bench", "show", "core")
    assert (code, found["status"]) == (0, "interrupted")
    assert found["counts"] == {"not run": 4}
    assert "Interrupted. The budget of $2 allows no more. Go on with: kernelwright bench resume core-7k3f9q" in told


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["run", "nonsense"], "NotFoundError", "no suite called 'nonsense'"),
        (["run", "core", "--only", "sotfmax"], "MisuseError", "no task of core has a name like sotfmax"),
        (["run", "core", "--budget", "3"], "MisuseError", "--budget is about language models"),
        (["run", "core", "--coder", "builtin", "--model", "openai:x"], "MisuseError", "exclude each other"),
        (["run", "core", "--rounds", "0"], "ConfigError", "--rounds can't be 0"),
        (["run", "core", "--repeats", "0"], "UsageError", "--repeats"),
        (["run", "core", "--gpu", "Voodoo2"], "NotFoundError", "Voodoo2"),
        (["baseline", "core", "--baselines", "eager,jit"], "MisuseError", "no baseline is called 'jit'"),
        (["baseline", "core", "--baselines", ","], "MisuseError", "names none"),
        (["resume", "core-zzz"], "NotFoundError", "no bench run with the id 'core-zzz'"),
        (["show", "core-zzz"], "NotFoundError", "no bench run with the id 'core-zzz'"),
    ],
)
def test_misuse(say: Say, arguments: list[str], kind: str, message: str) -> None:
    code, found, told = say("bench", *arguments)
    assert (code, found["error"]["kind"]) == (2, kind)
    assert message in found["error"]["message"]
    assert "Traceback" not in told


def test_baseline(say: Say) -> None:
    """Without a GPU: eager modelled, torch.compile left out with the reason; the second time from the store."""
    command = ("bench", "baseline", "core", "--only", "softmax", "--device", "emulator")
    code, found, told = say(*command)
    assert (code, found["kind"], found["gpu"], found["scale"]) == (0, "modelled", "H200", "twin")
    (task,) = found["tasks"]
    eager = task["baselines"]["eager"]
    assert 0 < eager["seconds_low"] < eager["seconds"] < eager["seconds_high"]
    assert set(task["baselines"]) == {"eager"}
    assert "not guessed" in task["missing"]["compile"]
    assert "reference" in told
    code, again, told = say(*command)
    assert again == found  # its time of making too
    assert "reference" not in told
