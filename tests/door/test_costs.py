"""`kernelwright costs`, and that no key leaves the settings of who runs us."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from evidence_kernels import HONEST, TASK_SOURCE, kernel
from model_calls import call
from search_doubles import EPOCH, TASK, attempt, run

from kernelwright.db.store import Store

Cli = Callable[..., subprocess.CompletedProcess[str]]
RUN = "softmax-7k3f9q"


@pytest.fixture
def filled(home: Path) -> None:
    with Store(home / "kernelwright.db", clock=lambda: EPOCH) as store:
        store.create_run(run())
        store.create_run(run("gelu-1", task=replace(TASK, name="gelu [red]", source="gelu")))
        store.add_attempt(attempt(RUN, 1, 1e-5))
        store.add_call(call(dollars=Decimal("0.25")))
        store.add_call(call(turn=1, reply=None, error="cut", estimated=True, dollars=Decimal("0.10")))
        store.add_call(call(role="judge", model="anthropic:claude-opus-5-5", dollars=Decimal("0.0000042")))
        store.add_call(call(number=2, dollars=Decimal("2")))  # its attempt was never stored
        store.add_call(call("gelu-1", dollars=Decimal("0.1")))


@pytest.mark.usefixtures("filled")
def test_all_runs(cli: Cli) -> None:
    done = cli("costs")
    assert done.returncode == 0, done.stderr
    for part in (RUN, "gelu-1", "openai:gpt-6-sol", "anthropic:claude-opus-5-5", "gelu [red]", "not yet", "$2.35"):
        assert part in done.stdout
    assert "Together $2.45, of that $0.10 an upper estimate (calls that broke off); $2.45 a solved task." in done.stdout


@pytest.mark.usefixtures("filled")
def test_one_run_by_the_beginning_of_its_id(here: Cli) -> None:
    done = here("costs", "softmax")
    assert done.returncode == 0, done.stderr
    for part in ("coder", "judge", "3 (1 failed)", "$0.0000042", "$2.00", "gpt-6-sol"):
        assert part in done.stdout
    assert "gelu" not in done.stdout


@pytest.mark.usefixtures("filled")
def test_json_is_exact(here: Cli) -> None:
    view = json.loads(here("costs", "--json").stdout)
    assert view["dollars"] == "2.4500042"
    assert view["dollars_per_solved_task"] == "2.4500042"
    assert {one["name"]: (one["solved"], one["dollars"]) for one in view["tasks"]} == {
        "softmax": (True, "2.3500042"),
        "gelu [red]": (False, "0.1"),
    }
    attempts = {(one["run_id"], one["attempt"]): one for one in view["attempts"]}
    assert attempts[RUN, 1]["dollars"] == "0.3500042"
    assert (attempts[RUN, 1]["calls"], attempts[RUN, 1]["answered"]) == (3, 2)
    assert attempts[RUN, 2]["dollars"] == "2"
    for part in ("runs", "models", "roles", "attempts"):
        assert sum(Decimal(one["dollars"]) for one in view[part]) == Decimal("2.4500042")
    only = json.loads(here("costs", RUN, "--json").stdout)
    assert (only["run_id"], only["dollars"]) == (RUN, "2.3500042")


def test_none_yet(here: Cli, home: Path) -> None:
    done = here("costs")
    assert (done.returncode, "No calls of language models yet" in done.stdout) == (0, True)
    view = json.loads(here("costs", "--json").stdout)
    assert (view["dollars"], view["runs"], view["dollars_per_solved_task"]) == ("0", [], None)
    with Store(home / "kernelwright.db") as store:
        store.create_run(run())
    assert f"Run {RUN} made no calls" in here("costs", RUN).stdout
    done = here("costs", "nobody")
    assert done.returncode == 2
    assert "no run with the id 'nobody'" in done.stderr


def test_doctor_says_which_keys_are_set(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", " ")
    Path("kernelwright.toml").write_text('anthropic_api_key = "canary-2"\n')
    done = here("doctor", "--json")
    named = {check["name"]: check["detail"] for check in json.loads(done.stdout)["checks"]}
    assert (named["OPENAI_API_KEY"], named["ANTHROPIC_API_KEY"]) == ("set", "set by the settings")
    assert "canary" not in done.stdout + done.stderr


def test_a_key_under_a_wrong_name_is_not_repeated(cli: Cli) -> None:
    Path("kernelwright.toml").write_text('openai_key = "canary-1"\n')
    done = cli("doctor")
    assert done.returncode == 2
    assert "Did you mean 'openai_api_key'?" in done.stderr
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize("text", ['openai_api_key = ["canary-1"]', "anthropic_api_key = 12345678"])
def test_a_key_of_the_wrong_type_is_not_repeated(here: Cli, text: str) -> None:
    Path("kernelwright.toml").write_text(text)
    done = here("doctor")
    assert done.returncode == 2
    assert "is no key" in done.stderr
    assert "canary" not in done.stdout + done.stderr
    assert "12345678" not in done.stdout + done.stderr


def test_a_kernel_sees_no_key_and_neither_does_what_is_kept(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that shows its environment and every file of settings it can think of, to whoever reads the verdict."""
    names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "KERNELWRIGHT_OPENAI_API_KEY", "KERNELWRIGHT_COMPATIBLE_API_KEY")
    for name in names:
        monkeypatch.setenv(name, f"canary-{name.lower()}")
    Path("kernelwright.toml").write_text('anthropic_api_key = "canary-in-a-file"\nlog_level = "debug"\n')
    Path("task.py").write_text(TASK_SOURCE)
    spying = "import os\nprint('SEEN', dict(os.environ))\nSEEN = dict(os.environ)\n" + kernel(HONEST).source
    Path("spy.py").write_text(spying.replace("y = torch.empty_like(x)", "raise RuntimeError(f'SEEN {SEEN}')"))
    done = cli("verify", "task.py", "spy.py", "--bundle", "spy.bundle", "--json", "-v")
    assert done.returncode == 1, done.stderr
    assert "PYTHONDONTWRITEBYTECODE" in done.stdout, "the kernel must have shown its environment"
    assert "canary" not in done.stdout + done.stderr
    kept = [path for path in (*home.rglob("*"), Path("spy.bundle")) if path.is_file()]
    assert {"kernelwright.db", "kernelwright.log", "spy.bundle"} <= {path.name for path in kept}
    assert [path.name for path in kept if b"canary" in path.read_bytes()] == []
