"""The program as a person runs it: speed of help, exit codes, JSON, and messages instead of tracebacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest
from door_nouns import KERNEL, RUN, TASK, attempt, failed, passed

import kernelwright
from kernelwright.bench_tasks.task import Task
from kernelwright.cli import group, run
from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus

Cli = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = {
    "torch",
    "numpy",
    "pydantic",
    "sqlalchemy",
    "rich",
    "langgraph",
    "alembic",
    "cuda",
    "openai",
    "anthropic",
    "mcp",
    "jinja2",
    "starlette",
    "fastapi",
    "dbos",
}


@pytest.fixture
def stored(home: Path) -> Path:
    """A store with one finished run of two attempts."""
    with Store(load_settings().database_url) as store:
        store.create_run(RUN)
        store.add_attempt(attempt(1, failed()))
        store.add_attempt(attempt(2, passed(), plan="two rows per block"))
    return home


def _json(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["optimize", "--help"], ["verify", "-h"], []])
def test_help_loads_nothing_heavy(home: Path, arguments: list[str]) -> None:
    code = (
        "import sys\nfrom kernelwright.cli import run\n"
        f"run({arguments!r})\nprint(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    assert "kernelwright" in done.stdout + done.stderr


def test_version(cli: Cli) -> None:
    done = cli("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"kernelwright, version {kernelwright.__version__}")


@pytest.mark.parametrize(
    "arguments", [["optimise"], ["optimize"], ["optimize", "a.py", "--rounds", "x"], ["verify", "a.py"]]
)
def test_wrong_usage_is_misuse(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Error:" in err
    assert run([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "UsageError"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["optimize", "missing.py"], "TaskError"),
        (["optimize", "missing.py", "--rounds", "0"], "ConfigError"),
        (["verify", "missing.py", "missing_too.py"], "TaskError"),
        (["show", "zzz"], "NotFoundError"),
        (["export", "zzz"], "NotFoundError"),
        (["resume", "zzz"], "NotFoundError"),
    ],
)
def test_misuse_says_what_and_exits_with_two(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], kind: str
) -> None:
    assert run([*arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    error = json.loads(out)["error"]
    assert error["kind"] == kind
    assert set(error) == {"kind", "message", "mend", "path", "line"}
    assert error["message"] in " ".join(err.split())
    assert "Traceback" not in err


COMMANDS = [
    ["optimize", "missing.py"],
    ["verify", "missing.py", "missing.py"],
    ["recheck", "missing.bundle"],
    ["run", "missing.cu"],
    ["sanitize", "missing.py", "missing.py"],
    ["profile", "zzz"],
    ["runs"],
    ["show", "zzz"],
    ["show", "zzz", "--source"],
    ["export", "zzz"],
    ["archive"],
    ["archive", "zzz"],
    ["resume", "zzz"],
    ["doctor"],
    ["gpus"],
    ["calibrate", "--from", "missing.jsonl"],
    ["mcp"],
    ["serve"],
    ["worker"],
    ["costs"],
    ["bench", "list"],
    ["bench", "lint", "missing.py"],
    ["bench", "import", "missing"],
    ["bench", "pack", "zzz"],
    ["bench", "submit", "missing.entry"],
    ["leaderboard", "core"],
    ["dataset", "build", "missing"],
    ["dataset", "import", "missing.jsonl"],
    ["dataset", "expand", "--count", "1"],
    ["report", "zzz"],
    ["bench", "run", "nonsense"],
    ["bench", "resume", "zzz"],
    ["bench", "runs"],
    ["bench", "show", "zzz"],
    ["bench", "baseline", "nonsense"],
    ["train", "sft", "missing.py", "--model-path", "missing", "--out", "new"],
    ["train", "self", "missing.py", "--model-path", "missing", "--out", "new"],
    ["train", "grpo", "missing.py", "--model-path", "missing", "--out", "new"],
    ["train", "grpo", "--resume", "missing"],
    ["translate", "missing.c", "--reference", "missing.py"],
    ["model-server", "missing.yaml"],
    ["train", "policy", "--landscapes", "missing.json.gz"],
    ["token", "create", "ada"],
    ["token", "list"],
    ["token", "revoke", "ada"],
]


def test_every_command_is_listed_here() -> None:
    assert {arguments[0] for arguments in COMMANDS} == set(group.commands)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("wrong", ["setting", "flag", "database"])
def test_json_is_one_object_also_on_errors(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], wrong: str
) -> None:
    if wrong == "setting":
        monkeypatch.setenv("KERNELWRIGHT_ROUNDS", "many")
    if wrong == "database":
        monkeypatch.setenv("KERNELWRIGHT_DATABASE", "/proc/nowhere/store.db")
    code = run([*arguments, "--json", *(["--no-such-flag"] if wrong == "flag" else [])])
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert "Traceback" not in err
    if (arguments[0] in {"doctor", "gpus"} or arguments == ["bench", "list"]) and wrong == "database":
        assert "error" not in value  # the one tells it, the others need none
        return
    assert code == 2
    error = value["error"]
    assert set(error) == {"kind", "message", "mend", "path", "line"}
    assert isinstance(error["message"], str)
    if wrong == "flag":
        assert error["kind"] == "UsageError"


@pytest.mark.parametrize("command", [["runs"], ["show", "softmax"], ["export", "softmax"], ["resume", "softmax"]])
def test_a_mistyped_database_is_said_and_not_made(
    stored: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    typed = Path("mistyped/deep/store.db").absolute()
    for place in (str(typed), f"sqlite:///{typed}"):
        monkeypatch.setenv("KERNELWRIGHT_DATABASE", place)
        assert run([*command, "--json"]) == 2
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["kind"] == "NotFoundError"
        assert error["message"] == f"there is no store at {typed}."
        assert not Path("mistyped").exists()


@pytest.mark.parametrize("variable", ["KERNELWRIGHT_DATABASE", "KERNELWRIGHT_DATA"])
def test_a_place_that_can_not_be_written_is_misuse(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "/proc/nowhere/kept")
    example = Path(__file__).parents[2] / "examples" / "softmax.py"
    assert run(["optimize", str(example), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "ConfigError"
    assert "/proc/nowhere/kept" in error["message"]
    assert variable in error["mend"]


def test_run_ids_are_whole_in_a_narrow_terminal(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    long = replace(RUN, id="gelu-bias-dropout-residual-khpn0v")
    with Store(load_settings().database_url) as store:
        store.create_run(long)
        store.add_attempt(replace(attempt(1, passed()), run_id=long.id))
    monkeypatch.setenv("COLUMNS", "80")
    text = cli("runs").stdout
    assert long.id in text
    assert "10.0 µs" in text
    assert "H200" in text
    assert max(map(len, text.splitlines())) <= 80


def test_debug_shows_the_traceback(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "zzz", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_is_one_line_and_a_log_entry(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @click.command(name="broken")
    def broken() -> None:
        raise RuntimeError("inside")

    group.add_command(broken)
    try:
        code = run(["broken"])
    finally:
        del group.commands["broken"]
    err = capsys.readouterr().err
    assert code == 1
    assert err.startswith("error: unexpected error (RuntimeError), a bug in kernelwright. The traceback is in ")
    assert len(err.splitlines()) == 1
    log = Path(err.split("The traceback is in ")[1].strip().rstrip("."))
    assert "RuntimeError: inside" in log.read_text()


def test_a_reader_that_goes_away_is_no_error(stored: Path) -> None:
    command = f"{sys.executable} -m kernelwright gpus --json | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr.lower()


def test_empty_store(cli: Cli) -> None:
    done = cli("runs")
    assert done.returncode == 0
    assert "No runs yet" in done.stdout
    assert _json(cli("runs", "--json")) == {"runs": []}


def test_runs_and_show(stored: Path, cli: Cli) -> None:
    (row,) = _json(cli("runs", "--json"))["runs"]  # type: ignore[misc]
    assert (row["id"], row["attempts"], row["best_verdict"], row["timing_kind"]) == (RUN.id, 2, "passed", "modelled")
    table = cli("runs").stdout
    assert RUN.id in table
    assert "modelled for H200" in " ".join(table.split())
    view = _json(cli("show", RUN.id[:9], "--json"))
    assert (view["kind"], view["status"]) == ("run", "finished")
    assert [a["verdict"] for a in view["attempts"]] == ["wrong", "passed"]  # type: ignore[attr-defined]
    assert view["best"]["evaluation"]["timing"]["speedup"] == pytest.approx(2.5)  # type: ignore[index]
    text = cli("show", RUN.id).stdout
    assert "two rows per block" in text
    assert KERNEL.id in text


def test_show_kernel_and_source(stored: Path, cli: Cli) -> None:
    view = _json(cli("show", KERNEL.id, "--json"))
    assert (view["kind"], view["source"]) == ("kernel", KERNEL.source)
    assert cli("show", KERNEL.id, "--source").stdout == KERNEL.source
    assert cli("show", RUN.id, "--source").stdout == KERNEL.source


def test_export_of_a_run(stored: Path, cli: Cli) -> None:
    done = cli("export", RUN.id)
    assert done.returncode == 0, done.stderr
    text = Path("softmax.kernel.py").read_text()
    assert TASK.id in text
    assert text.endswith(KERNEL.source)
    Path("mine.py").write_text("mine\n")
    refused = cli("export", RUN.id, "--out", "mine.py")
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert Path("mine.py").read_text() == "mine\n"
    assert cli("export", RUN.id, "--out", "mine.py", "--force").returncode == 0


def test_a_finished_run_can_not_be_resumed(stored: Path, cli: Cli) -> None:
    done = cli("resume", RUN.id)
    assert done.returncode == 2
    assert "finished" in done.stderr


def test_a_run_of_submitted_kernels_can_not_be_resumed(home: Path, cli: Cli) -> None:
    """Told before anything is opened: its module would not even run."""
    submitted = replace(
        RUN,
        strategy="mcp",
        coder="a model",
        status=RunStatus.INTERRUPTED,
        task=Task("softmax", "import nothing_at_all"),
    )
    with Store(load_settings().database_url) as store:
        store.create_run(submitted)
    done = cli("resume", RUN.id)
    assert done.returncode == 2
    assert "submitted by a model" in done.stderr
    assert "reference" not in done.stdout


def test_gpus_and_doctor(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = _json(cli("gpus", "--json"))
    assert "H200" in [card["name"] for card in cards["gpus"]]  # type: ignore[attr-defined]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    done = cli("doctor", "--json")
    assert "very-secret" not in done.stdout + done.stderr
    report = _json(done)
    named = {check["name"]: check for check in report["checks"]}  # type: ignore[attr-defined]
    assert named["OPENAI_API_KEY"]["found"] is True
    assert all(check["detail"] and check["adds"] for check in named.values())
    assert (done.returncode == 0) == report["ready"]
    assert report["ready"] == all(check["found"] for check in named.values() if check["essential"])


def test_doctor_without_a_compiler_is_not_ready(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = cli("doctor")
    assert done.returncode == 1
    assert "missing  C++ compiler" in done.stdout
    assert "not here (optional)  OPENAI_API_KEY: not set" in done.stdout
    assert "Not ready." in done.stdout


def test_doctor_names_a_database_that_can_not_be_opened(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "kernelwright.db").write_text("this is no database, just text that is long enough to be looked at" * 20)
    done = cli("doctor")
    assert done.returncode == 1
    assert "missing  database" in done.stdout


def test_doctor_makes_no_database(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELWRIGHT_DATABASE", str(Path("not/yet/store.db").absolute()))
    report = _json(cli("doctor", "--json"))
    (found,) = (check for check in report["checks"] if check["name"] == "database")  # type: ignore[attr-defined]
    assert found["found"]
    assert "made by the first run" in found["detail"]
    assert not Path("not").exists()


def test_a_polite_kill_is_an_interrupt(home: Path) -> None:
    code = (
        "import os, signal, click\nfrom kernelwright.cli import group, main\n"
        "@click.command(name='wait')\ndef wait():\n    os.kill(os.getpid(), signal.SIGTERM)\n    signal.pause()\n"
        "group.add_command(wait)\nmain(['wait'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert done.stderr.strip() == "interrupted."
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert os.environ["KERNELWRIGHT_DATA"]


def test_a_reader_that_goes_away_ends_it_as_the_signal_would() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "kernelwright", "gpus"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
