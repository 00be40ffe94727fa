"""`kernelwright bench lint` as a person runs it: table, JSON, Markdown, exit codes, Ctrl-C, reports that are kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from planted_tasks import CLEAN, PLANTED

from kernelwright.cli import run

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(home: Path) -> Path:
    """The working directory, with a clean, a marked and a refused task, and with reports kept nowhere else."""
    (Path("clean.py")).write_text(CLEAN["exp"].source)
    (Path("marked.py")).write_text(PLANTED["unused_op"].source)
    (Path("refused.py")).write_text(PLANTED["not_usable"].source)
    return Path.cwd()


def _reports(cache: Path) -> int:
    return len(list((cache / "lint").rglob("*.json")))


def test_table_json_markdown_and_exit_codes(
    folder: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("KERNELWRIGHT_CACHE", str(cache))
    done = cli(
        "bench", "lint", "clean.py", "marked.py", "refused.py", "--markdown", "table.md", "--json", "--jobs", "2"
    )
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert {t["task"]: t["status"] for t in found["tasks"]} == {
        "clean": "clean", "marked": "marked", "refused": "refused",
    }  # fmt: skip
    assert (found["interrupted"], found["not_linted"], found["unreadable"]) == (False, [], [])
    assert [row["status"] for row in found["rows"]] == ["clean", "marked", "refused"]
    refused = found["tasks"][2]["findings"][0]
    assert (refused["rule"], refused["severity"]) == ("not-usable", "refused")
    assert refused["mend"]
    assert "3 tasks: 1 clean, 1 marked, 1 refused." in done.stderr
    table = Path("table.md").read_text()
    assert "`kernelwright bench lint clean.py marked.py refused.py` makes this page" in table
    assert "| marked | marked |  | unused-op |" in table
    assert str(folder) not in table
    assert _reports(cache) == 2  # not that of the task that could not be used

    kept = cli("bench", "lint", "clean.py", "marked.py")
    assert kept.returncode == 0, kept.stderr
    assert "Nothing depends on sigmoid in line" in kept.stdout
    assert [t["seconds"] for t in json.loads(cli("bench", "lint", "marked.py", "--json").stdout)["tasks"]] == [
        found["tasks"][1]["seconds"]
    ]


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["clean.py", "--only", "soft*"], "MisuseError", "no task is called 'soft*'"),
        (["nothing"], "NotFoundError", "nothing"),
        (["broken.py"], "TaskError", "not valid Python"),
        (["clean.py", "--markdown", "nowhere/table.md"], "MisuseError", "does not exist"),
        (["clean.py", "--markdown", "."], "MisuseError", "a folder"),
    ],
)
def test_what_can_not_be_linted_is_misuse(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], kind: str, said: str
) -> None:
    Path("broken.py").write_text("def (")
    assert run(["bench", "lint", *arguments, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == kind
    assert said in error["message"]


@pytest.mark.suites
def test_ctrl_c_shows_what_is_done(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELWRIGHT_CACHE", str(tmp_path / "cache"))
    names = []
    for number in range(6):
        names.append(f"task{number}.py")
        Path(names[-1]).write_text(CLEAN["exp"].source + f"\n# {number}\n")
    command = [sys.executable, "-m", "kernelwright", "bench", "lint", *names, "--jobs", "1", "--json"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), start_new_session=True
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("[1/6]"):
            break
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "Traceback" not in err
    found = json.loads(out)
    assert found["interrupted"]
    assert 1 <= len(found["tasks"]) < 6
    assert len(found["tasks"]) + len(found["not_linted"]) == 6
    assert f"{len(found['not_linted'])} not linted" in err
