"""`train sft|self|grpo`: misuse told without the extra; with it a stage from the command line, killed and gone on with."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from training_extra import needs_extra

from kernelwright.cli import run
from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.rl.run import RunStatus
from kernelwright.rl.training.tiny import TASK

EXAMPLES = Path(__file__).parents[2] / "examples"
STAGES = ("sft", "self", "grpo")


def error(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run(["train", *map(str, arguments), "--json"]) == 2
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["error"]
    return found


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra was there: what is asked first does not need it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_DATASETS_DISABLE_PROGRESS_BARS", "TOKENIZERS_PARALLELISM",
                 "TRL_EXPERIMENTAL_SILENCE"):  # fmt: skip
        monkeypatch.setenv(name, "1")


@pytest.mark.parametrize("stage", STAGES)
def test_without_the_extra_it_is_named(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trl" else object())
    found = error(capsys, stage, EXAMPLES / "softmax.py", "--model-path", "m", "--out", "o")
    assert found["kind"] == "ConfigError"
    assert "needs trl, which is not installed" in found["message"]
    assert "pip install 'kernelwright[rl]'" in found["mend"]
    assert not Path("o").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grpo", "t.py", "--out", "o"], "--model-path is missing"),
        (["grpo", "t.py", "--model-path", "m"], "--out is missing"),
        (["grpo", "--model-path", "m", "--out", "o"], "no task to learn from"),
        (["self", "missing.py", "--model-path", "m", "--out", "o"], "missing.py"),
        (["grpo", "t.py", "--model-path", "m", "--out", "o", "--trajectories", "1"], "nothing to be compared with"),
        (["grpo", "t.py", "--model-path", "m", "--out", "o", "--micro-batch", "3"], "don't divide the 8 samples"),
        (["grpo", "t.py", "--model-path", "m", "--out", "o", "--gamma", "2"], "--gamma can't be 2.0"),
        (["grpo", "t.py", "--model-path", "m", "--out", "o", "--tasks-a-step", "0"], "--tasks-a-step can't be 0"),
        (["grpo", "t.py", "--model-path", "m", "--out", "o", "--workers", "0"], "--workers can't be 0"),
        (["grpo", "t.py", "--held-out", "t.py", "--model-path", "m", "--out", "o"], "both trained on and held out"),
        (["sft", "--data", "none.jsonl", "--model-path", "m", "--out", "o"], "no such file"),
        (["grpo", "--resume", "nowhere"], "no stage of training in nowhere"),
        (["grpo", "--resume", "d", "--steps", "3"], "--steps can't be changed on going on"),
        (["grpo", "--resume", "d", "--tasks-a-step", "2"], "--tasks-a-step can't be changed on going on"),
        (["grpo", "t.py", "--resume", "d"], "TASK can't be changed on going on"),
    ],
)  # fmt: skip
def test_misuse(
    home: Path, capsys: pytest.CaptureFixture[str], installed: None, arguments: list[str], said: str
) -> None:
    Path("t.py").write_text(TASK.source)
    found = error(capsys, *arguments)
    assert said in f"{found['message']} {found['path']}"
    assert not Path("o").exists()


def test_a_full_folder_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str], installed: None) -> None:
    Path("o").mkdir()
    (Path("o") / "thesis.tex").write_text("")
    Path("t.py").write_text(TASK.source)
    Path("rows.jsonl").write_text(json.dumps({"prompt": "p", "completion": "c"}) + "\n")
    found = error(capsys, "sft", "--data", "rows.jsonl", "--model-path", "m", "--out", "o")
    assert "o is not empty" in found["message"]


# -- with the extra -----------------------------------------------------------------------------------------------


def _tiny(seed: int = 0) -> Path:
    from kernelwright.rl.training.tiny import save_tiny_model

    return save_tiny_model(Path("tiny"), seed=seed, hidden=32)


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kernelwright", "train", *map(str, arguments), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 900
    while not path.exists():
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < end
        time.sleep(0.05)


ARGUMENTS = (
    "--steps",
    5,
    "--trajectories",
    8,
    "--max-tokens",
    2,
    "--learning-rate",
    0.01,
    "--save-every",
    1,
    "--lora-rank",
    4,
)


@needs_extra
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_stage_is_gone_on_with_after(home: Path, how: signal.Signals) -> None:
    Path("t.py").write_text(TASK.source)
    process = _start("grpo", "t.py", "--model-path", _tiny(), "--out", "o", *ARGUMENTS)
    _wait_for(Path("o/checkpoints/checkpoint-2/complete.json"), process)
    os.kill(process.pid, how)
    process.communicate(timeout=600)
    assert process.returncode == (130 if how is signal.SIGINT else -9)
    again = _start("grpo", "--resume", "o")
    out, said = again.communicate(timeout=900)
    assert again.returncode == 0, said[-2000:]
    found = json.loads(out)
    assert found["status"] == "finished"
    assert [line["step"] for line in found["log"]] == [1, 2, 3, 4, 5]
    (run_id,) = found["runs"].values()
    with Store(load_settings().database_url) as store:
        stored = store.run(run_id)
        assert (stored.status, stored.strategy) == (RunStatus.FINISHED, "train:grpo")
        attempts = store.attempts(run_id)
    assert len({attempt.kernel.id for attempt in attempts}) == len(attempts)
    assert (Path("o") / "model" / "config.json").exists()


@needs_extra
def test_fine_tuning_from_rows(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"prompt": "p", "completion": "pass\n", "task_id": "x"}
    Path("rows.jsonl").write_text(8 * (json.dumps(row) + "\n"))
    assert (
        run(
            [
                "train",
                "sft",
                "--data",
                "rows.jsonl",
                "--model-path",
                str(_tiny()),
                "--out",
                "o",
                "--epochs",
                "2",
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert [line["step"] for line in found["log"]] == [1, 2, 3, 4]
