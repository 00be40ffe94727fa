"""`leaderboard`, `bench pack` and `bench submit` through the program."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judged_entries import BENCH, stored
from scoring_entries import entry, trial

from kernelwright.bench_tasks.own import own_suite
from kernelwright.bench_tasks.scoring.entry_json import entry_to_json
from kernelwright.bench_tasks.scoring.results import Entry
from kernelwright.bench_tasks.suite import Scale
from kernelwright.cli import run
from kernelwright.db.store import Store
from kernelwright.leaderboard.entry_file import ENTRY
from kernelwright.verifier.archive import seal
from kernelwright.verifier.exact_json import to_json


@pytest.fixture
def filled(home: Path) -> Path:
    """A home whose store has two entries that are alike, and one for another GPU."""
    home.mkdir(exist_ok=True)
    with Store(home / "kernelwright.db") as store:
        stored(store)
        stored(store, replace(BENCH, id="tiny-bbbbbb", coder="openai:m"), {"scale": 2e-5, "softmax": None})
        stored(store, replace(BENCH, id="tiny-cccccc", gpu="A100-80GB"))
    return home


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_sections_rows_and_tasks(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["leaderboard", "tiny", "--tasks", "--p", "2.5", "--json"]) == 0
    found = answer(capsys)["sections"]
    assert [(s["gpu"], [row["id"] for row in s["rows"]]) for s in found] == [
        ("A100-80GB", ["tiny-cccccc"]),
        ("H200", ["tiny-aaaaaa", "tiny-bbbbbb"]),
    ]
    first, second = found[1]["rows"]
    assert first["geomean"]["value"] == pytest.approx((3.0 * 2.0) ** (1 / 3))
    assert first["fast_p"]["value"] == pytest.approx(1 / 3)
    assert first["coverage"] == {"tried": 3, "asked": 3, "suite": 3, "solved": 2, "repeats": 1}
    assert [trial["problem"] for trial in first["trials"]] == ["", "", "It can't be written."]
    assert second["difference_to_first_shown"] is False
    assert (first["rank"], second["rank"]) == (1, 1)  # three tasks show no difference

    assert run(["leaderboard", "--tasks", "--gpu", "h200", "--author", "BUILT"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "tiny, all 3 tasks, twins (scaled down), modelled for H200, against eager" in out
    assert "1.82x" in out
    assert "67 %" in out
    assert "A100" not in out
    assert "openai" not in out
    assert "svd none It can't be written." in out


@pytest.mark.parametrize("width", [200, 120, 80, 60])
def test_a_narrow_terminal_has_whole_cells_and_says_what_is_left_out(
    filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(["leaderboard", "--gpu", "H200"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= max(width, 78)  # the heading is not folded
    for whole in ("coverage", "geomean", "3/3", "1.00 to 3.00", "builtin", "tiny-aaaaaa"):
        assert whole in out
    assert ("Not shown" in out) == (width < 120)
    for dropped in out.partition("narrow: ")[2].partition(".")[0].split(", ") if width < 120 else ():
        assert dropped not in out.splitlines()[2]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--kind", "measured"], "of 3 nothing is left by --kind measured (there is modelled)"),
        (["--scale", "full"], "--scale full (there is twin)"),
        (["core"], "No entries of core. Make one: kernelwright bench run core. There are entries of tiny."),
        (["--author", "nobody"], "(there is builtin, openai:m)"),
        (["--gpu", "H100", "--author", "m"], "by --gpu H100 SXM (there is A100-80GB, H200)."),
        (["--gpu", "H100", "--kind", "measured"], "H200) and --kind measured (there is modelled)"),
    ],
)  # fmt: skip
def test_nothing_of_that_kind(filled: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str) -> None:
    assert run(["leaderboard", *flags]) == 0
    assert said in capsys.readouterr().out
    assert run(["leaderboard", *flags, "--json"]) == 0
    assert said in answer(capsys)["message"]


def test_a_suite_that_nobody_knows(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["leaderboard", "fusoin"]) == 2
    assert "Did you mean fusion?" in capsys.readouterr().err


def test_an_empty_store(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["leaderboard"]) == 0
    assert capsys.readouterr().out == "No entries. Make one: kernelwright bench run SUITE\n"


def test_modelled_times_come_with_what_their_intervals_leave_out(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["leaderboard", "tiny", "--markdown", "a.md", "--html", "site"]) == 0
    told = [" ".join(capsys.readouterr().out.split()), Path("a.md").read_text()]
    told += [file.read_text() for file in Path("site").rglob("*.html")]
    for text in told:
        assert "how far the performance model may be off" in text
        assert "starting kernels takes most of the time" in text
    assert not [line for line in told[0].splitlines() if line != line.rstrip()]


def test_files(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["leaderboard", "--csv", "a.csv", "--markdown", "a.md", "--html", "site", "--json"]
    assert run(arguments) == 0
    assert answer(capsys)["written"] == {"csv": "a.csv", "markdown": "a.md", "html": "site/index.html"}
    with open("a.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert "openai:m" in Path("a.md").read_text()
    assert len(list(Path("site/entries").iterdir())) == 3
    kernels = list(Path("site/files").glob("*.kernel.py"))
    assert kernels
    assert len(list(Path("site/files").glob("*.bundle"))) == len(kernels)
    bundle = next(Path("site/files").glob("*.bundle"))
    from kernelwright.verifier.bundle import read

    assert read(bundle.read_bytes()).bundle is not None  # the evidence that is offered is evidence
    assert run(["leaderboard", "--html", "."]) == 2
    assert "no leaderboard's" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--p", "-1"], ["--p", "nan"], ["--kind", "guessed"], ["--gpu", "nothing"]])
def test_misuse(filled: Path, capsys: pytest.CaptureFixture[str], flags: list[str]) -> None:
    assert run(["leaderboard", *flags]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_packing(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "pack", "tiny-aa", "--json"]) == 0
    told = answer(capsys)
    assert (told["out"], told["solved"], told["bytes"]) == (
        "tiny-aaaaaa.entry",
        2,
        Path("tiny-aaaaaa.entry").stat().st_size,
    )
    before = Path("tiny-aaaaaa.entry").read_bytes()
    assert run(["bench", "pack", "tiny-aa"]) == 2
    assert "in the way" in capsys.readouterr().err
    assert run(["bench", "pack", "tiny-aa", "--force"]) == 0
    assert Path("tiny-aaaaaa.entry").read_bytes() == before  # the same entry is the same file
    capsys.readouterr()
    assert run(["bench", "submit", "tiny-aaaaaa.entry"]) == 2
    assert "none of that name here" in capsys.readouterr().err


def test_what_the_file_calls_its_suite_is_no_path(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("evil.entry").write_bytes(_sealed(replace(_unsolved(), suite="mine")))
    assert run(["bench", "submit", "evil.entry"]) == 2
    assert "'mine'" in capsys.readouterr().err


def test_an_entry_that_solves_nothing_is_taken_and_shown(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("none.entry").write_bytes(_sealed(_unsolved()))
    for _ in range(2):
        assert run(["bench", "submit", "none.entry", "--author", "Ada", "--json"]) == 0
        told = answer(capsys)
        assert (told["author"], told["items"], told["geomean"]["value"]) == ("Ada", [], 1.0)
    assert run(["leaderboard", "core", "--json"]) == 0
    (section,) = answer(capsys)["sections"]
    assert [(row["author"], row["submitted"]) for row in section["rows"]] == [("Ada", True)]
    sent = section["rows"][0]["id"]
    assert run(["bench", "show", sent]) == 0
    assert f"Entry {sent}: core (scaled-down twins)" in capsys.readouterr().out
    assert run(["bench", "show", sent[:-2], "--json"]) == 0
    assert answer(capsys)["id"] == sent
    assert run(["bench", "runs"]) == 0
    assert f"Sent in by others, for kernelwright bench show: {sent}" in capsys.readouterr().out
    assert run(["bench", "pack", sent]) == 2
    assert "its author packs it" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4", b"x" * 5000])
def test_no_entry_at_all(home: Path, capsys: pytest.CaptureFixture[str], content: bytes | None) -> None:
    if content is not None:
        Path("it.entry").write_bytes(content)
    assert run(["bench", "submit", "it.entry", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "BundleError"


def _unsolved() -> Entry:
    suite = own_suite("core")
    tasks = {task.name: task.at(Scale.TWIN).id for task in suite.tasks}
    trials = [replace(trial(name, None), task_id=task_id) for name, task_id in tasks.items()]
    return entry(trials, suite_digest=suite.digest, suite_size=len(tasks))


def _sealed(one: Entry) -> bytes:
    said = {"entry": entry_to_json(one), "bundles": []}
    return seal({"entry.json": to_json(said).encode()}, {}, ENTRY)
