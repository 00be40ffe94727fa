"""The scripts and kernels of examples/models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from model_server_clients import Clients

from kernelwright.agents.model_server import serving

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "examples" / "models"
TASKS = ("softmax", "rms_norm", "swiglu", "gelu_bias_dropout_residual", "linear_relu")
EXPECTED = {
    "good": {"passed"},
    "slow": {"passed"},
    "wrong": {"wrong"},
    "broken": {"compile_error"},
    "hostile": {"rejected", "cheating"},
}


def asked_of_coder(judgement: str = "") -> str:
    return f"Task softmax. {judgement} First a line that begins with `PLAN:`"


def test_the_demo_plays_a_run_of_refine() -> None:
    """Wrong, broken, slow, good; the judge has a word on each, and stops at the end."""
    with serving(MODELS / "demo.yaml") as server, Clients(server) as clients:
        kernels = []
        for prompt in (
            '{"cause": "why"}',
            '{"cause": "why"}',
            '{"expected_speedup": 1.2}',
            '{"expected_speedup": 1.2}',
        ):
            text = clients.ask("anthropic", asked_of_coder()).text
            assert text.count("PLAN: ") == 1
            kernels.append(text.split("```python\n")[1].removesuffix("```\n"))
            advice = json.loads(clients.ask("openai", prompt).text)
            assert set(advice) == (
                {"cause", "line", "fix"}
                if "cause" in prompt
                else {"evidence", "limiter", "change", "expected_speedup", "stop"}
            )
        assert advice["stop"] is True
        vote = json.loads(clients.ask("openai", 'Reply with {"why": "", "verdict": true, "confidence": 0.8}').text)
        assert (vote["verdict"], set(vote)) == (True, {"why", "verdict", "confidence"})
    for text, kind in zip(kernels, ("wrong", "broken", "slow", "good"), strict=True):
        assert text == (MODELS / "softmax" / f"{kind}.py").read_text()


def _verdict(task: str, kind: str) -> dict[str, object]:
    command = [
        sys.executable,
        "-m",
        "kernelwright",
        "verify",
        f"examples/{task}.py",
        f"examples/models/{task}/{kind}.py",
    ]
    done = subprocess.run(
        [*command, "--isolation", "process", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    found: dict[str, object] = json.loads(done.stdout)
    assert "verdict" in found, done.stdout
    return found


def _cases() -> list[object]:
    default = {("softmax", "broken"), ("softmax", "hostile")}
    return [
        pytest.param(task, kind, id=f"{task}-{kind}", marks=() if (task, kind) in default else pytest.mark.examples)
        for task in TASKS
        for kind in EXPECTED
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "kind"), _cases())
def test_a_kernel_is_judged_as_its_name_says(task: str, kind: str) -> None:
    found = _verdict(task, kind)
    assert found["verdict"] in EXPECTED[kind], found["reason"]


@pytest.mark.slow
@pytest.mark.examples
@pytest.mark.parametrize("task", TASKS)
def test_a_good_kernel_is_faster_than_a_slow_one(task: str) -> None:
    seconds = [_verdict(task, kind)["timing"]["seconds"] for kind in ("good", "slow")]  # type: ignore[index]
    assert seconds[0] < 0.9 * seconds[1]
