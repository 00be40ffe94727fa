"""`kernelwright report`: what stored runs say of the strategies that made them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bench_doubles import BENCH, OTHER, items
from model_calls import call
from search_doubles import DEVICE, EPOCH, TASK, Outcome, attempt, run

from kernelwright.cli import run as cli_run
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.render_report import markdown_text
from kernelwright.reporting import make_report
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import Verdict


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(home / "kernelwright.db", clock=lambda: EPOCH) as opened:
        yield opened


def fill(store: Store, run_id: str, outcomes: Sequence[Outcome], **changes: Any) -> None:
    one = replace(run(run_id), **({"status": RunStatus.FINISHED} | changes))
    store.create_run(one)
    for number, outcome in enumerate(outcomes, 1):
        made = attempt(run_id, number, outcome)
        evaluation = made.evaluation.model_copy(update={"task_id": one.task.id})
        store.add_attempt(replace(made, evaluation=evaluation, created=EPOCH + timedelta(seconds=number)))


def test_arms_are_named_by_what_differs(store: Store) -> None:
    fill(
        store, "a-1", [2e-5, 1e-5], strategy="best-of-n", settings={"candidates": 4, "budget": "3", "call_seconds": 60}
    )
    fill(store, "a-2", [2e-5], strategy="best-of-n", settings={"candidates": 4, "budget": "9", "call_seconds": 30})
    fill(store, "b-1", [1e-5], strategy="fsr", settings={"candidates": 4})
    fill(store, "b-2", [1e-5], strategy="fsr", settings={"candidates": 8})
    found = make_report(store, ["a-1", "a-2", "b-1", "b-2"])
    assert [(arm.arm, arm.runs) for arm in found.sections[0].arms] == [
        ("best-of-n, candidates 4", 2),
        ("fsr, candidates 4", 1),
        ("fsr, candidates 8", 1),
    ]
    assert found.control == "best-of-n, candidates 4"


def test_the_control_can_be_chosen(store: Store) -> None:
    fill(store, "a-1", [2e-5, 1e-5], strategy="refine")
    fill(store, "b-1", [1e-5], strategy="fsr")
    assert make_report(store, ["a-1", "b-1"]).control is None
    found = make_report(store, ["a-1", "b-1"], control="refine")
    assert [arm.ratio and arm.ratio.value for arm in found.sections[0].arms] == [None, 0.5]
    with pytest.raises(MisuseError, match="none of the arms"):
        make_report(store, ["a-1", "b-1"], control="evolve")


def test_a_strategy_with_several_arms_is_no_control(store: Store) -> None:
    fill(store, "a-1", [1e-5], strategy="fsr", settings={"candidates": 2})
    fill(store, "a-2", [1e-5], strategy="fsr", settings={"candidates": 4})
    with pytest.raises(MisuseError, match="several ways") as caught:
        make_report(store, ["a-1", "a-2"], control="fsr")
    assert "fsr, candidates 2; fsr, candidates 4" in caught.value.mend


def test_times_of_two_kinds_or_gpus_are_never_in_one_table(store: Store) -> None:
    fill(store, "a-1", [2e-5])
    fill(store, "a-2", [1e-5], gpu="A100")
    fill(store, "a-3", [1e-6], device="cuda")
    found = make_report(store, ["a-1", "a-2", "a-3"])
    assert [(s.gpu, s.kind, len(s.curves)) for s in found.sections] == [
        ("H200", "modelled", 1),
        ("A100", "modelled", 1),
        ("H200", "measured", 1),
    ]


def test_the_best_known_time_is_the_best_of_the_store(store: Store) -> None:
    fill(store, "a-1", [4e-5])
    fill(store, "a-2", [1e-5])  # not in the report
    found = make_report(store, ["a-1"])
    assert found.sections[0].arms[0].share.value == pytest.approx(0.25)
    assert found.sections[0].arms[0].missed == 1


def test_a_run_of_a_suite_stands_for_its_runs(store: Store) -> None:
    rows = items()
    store.create_bench_run(BENCH, rows, [TASK, OTHER])
    for item in rows[:3]:
        store.begin_bench_item(item, f"of-{item.position}")
    fill(store, "of-0", [1e-5])
    fill(store, "of-1", [1e-5], task=OTHER)
    found = make_report(store, ["core-7k", "of-0"])  # of-2 was begun and never stored, the fourth not even begun
    assert [curve.run for curve in found.sections[0].curves] == ["of-0", "of-1"]
    assert any("No search began, or has begun yet, on softmax, relu" in line for line in found.remarks)


def test_what_must_be_known_to_read_it_is_said(store: Store) -> None:
    fill(store, "a-1", [Verdict.WRONG, Verdict.WRONG], status=RunStatus.INTERRUPTED)
    fill(store, "a-2", [])
    remarks = " ".join(make_report(store, ["a-1", "a-2"]).remarks)
    for part in ("Nothing was judged in a-2", "Not finished: a-1", "No kernel ever passed on softmax"):
        assert part in remarks


def test_there_must_be_something_to_report(store: Store) -> None:
    fill(store, "a-1", [])
    with pytest.raises(MisuseError, match="nothing was judged"):
        make_report(store, ["a-1"])


def test_attempts_count_in_the_order_that_they_ended(store: Store) -> None:
    """Proposals that were ranked are not judged in the order of their numbers."""
    store.create_run(replace(run("a-1"), status=RunStatus.FINISHED))
    for number, seconds, ended in ((2, 9e-6, 1), (1, 1e-5, 2)):
        store.add_attempt(replace(attempt("a-1", number, seconds), created=EPOCH + timedelta(seconds=ended)))
    (curve,) = make_report(store, ["a-1"]).sections[0].curves
    assert [point.best for point in curve.points] == [9e-6, 9e-6]


def test_files_and_json(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, "a-1", [Verdict.WRONG, 2e-5], strategy="best-of-n", task=replace(TASK, name="=cmd|' /C'!A0"))
    fill(store, "b-1", [1e-5], strategy="fsr", task=replace(TASK, name="=cmd|' /C'!A0"))
    store.add_call(call("b-1", dollars=Decimal("0.25")))
    store.close()
    written = ["--csv", "a.csv", "--markdown", "a.md", "--plot", "a.svg"]
    assert cli_run(["report", "a-1", "b-1", "--json", *written]) == 0
    found = json.loads(capsys.readouterr().out)
    (section,) = found["sections"]
    assert (section["kind"], section["gpu"]) == ("modelled", DEVICE.gpu)
    assert [arm["ratio"] and arm["ratio"]["value"] for arm in section["arms"]] == [None, 0.5]
    assert {band["axis"] for band in section["bands"]} == {"evaluations", "seconds", "dollars"}
    lines = list(csv.DictReader(io.StringIO(Path("a.csv").read_text())))
    assert [(line["run"], line["evaluations"], line["best"], line["dollars"]) for line in lines] == [
        ("a-1", "1", "", "0.0"),
        ("a-1", "2", "2e-05", "0.0"),
        ("b-1", "1", "1e-05", "0.25"),
    ]
    assert {line["task"] for line in lines} == {"'=cmd|' /C'!A0"}
    assert "| fsr | 1 | 1 | 1 |" in Path("a.md").read_text()
    picture = Path("a.svg").read_text()
    for words in ("MODELLED", "share of the best known time", "best-of-n", "fsr"):
        assert words in picture


def test_rows_of_a_markdown_table_have_its_columns(store: Store) -> None:
    """With and without a control, to which the ratio is."""
    fill(store, "a-1", [2e-5], strategy="best-of-n")
    fill(store, "b-1", [1e-5], strategy="fsr")
    for runs in (["a-1", "b-1"], ["b-1"]):
        rows = [line for line in markdown_text(make_report(store, runs)).splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1, rows


def test_on_the_terminal(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, "a-1", [3e-5, 1e-5])
    store.close()
    assert cli_run(["report", "a-1"]) == 0
    out = capsys.readouterr().out
    assert "1 task, 1 run, times modelled for H200" in out
    assert "ratio" not in out.splitlines()[1]  # nothing to compare with


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["zzz"], "zzz"),
        ([], "RUN"),
        (["a-1", "--plot", "a.gif"], ".svg, .png, .pdf"),
        (["a-1", "--plot", "a"], ".svg, .png, .pdf"),
        (["a-1", "--within", "-1"], "within"),
        (["a-1", "--csv", "nowhere/a.csv"], "nowhere"),
        (["a-1", "--plot", "nowhere/a.svg"], "nowhere"),
    ],
)
def test_misuse(store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    fill(store, "a-1", [1e-5])
    store.close()
    assert cli_run(["report", *arguments]) in {1, 2}
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_the_same_store_gives_the_same_picture(store: Store) -> None:
    fill(store, "a-1", [3e-5, 1e-5])
    store.close()
    for name in ("a.svg", "b.svg"):
        assert cli_run(["report", "a-1", "--plot", name]) == 0
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
