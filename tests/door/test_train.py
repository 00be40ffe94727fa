"""`kernelwright train policy`: weights from landscapes, one JSON object, misuse that is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from policy_doubles import kernel, landscape

from kernelwright.agents.builtin.policy.net import load_policy
from kernelwright.cli import run
from kernelwright.rl.policy.landscape import write_landscapes

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def file() -> Path:
    path = Path("made.json.gz").absolute()
    write_landscapes(path, [landscape(f"core/scale_{i}", kernels=[kernel(elements=1 << i)]) for i in (16, 20)])
    return path


def test_weights_are_trained_and_the_same_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for name in ("a.npz", "b.npz"):
        arguments = ["train", "policy", "--landscapes", str(file), "--epochs", "3", "--out", f"deep/{name}", "--json"]
        assert run(arguments) == 0
        found.append(json.loads(capsys.readouterr().out))
    first, second = found
    assert first["tasks"] == 2
    assert first["choices"] == 40
    assert first["digest"] == second["digest"] == load_policy(Path("deep/a.npz")).digest
    assert Path("deep/a.npz").read_bytes() == Path("deep/b.npz").read_bytes()
    assert run(["train", "policy", "--landscapes", str(file), "--epochs", "2", "--out", "c.npz"]) == 0
    assert "written to c.npz" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--landscapes", "missing.json.gz"],
        ["--landscapes", "."],
        ["--stored", "--landscapes", "x"],
        ["--check", "--seed", "3"],
        ["--epochs", "0"],
        ["--stored"],
    ],
    ids=" ".join,
)
def test_misuse_is_told_without_a_traceback(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "policy", *arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["message"]
    assert "Traceback" not in err


def test_weights_that_can_not_be_written_are_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "policy", "--landscapes", str(file), "--epochs", "1", "--out", "/proc/nowhere/x.npz"]) == 2
    assert "can't be written" in capsys.readouterr().err


@pytest.mark.learning
def test_the_shipped_weights_come_out_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "policy", "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reproduced"]
