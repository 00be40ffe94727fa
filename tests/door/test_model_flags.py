"""The commands with a language model, from the command line: budget, resume, record and replay, translate, what is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelwright.agents.model_server import serving
from kernelwright.cli import run
from kernelwright.config import load_settings
from kernelwright.jobs import open_store

TASK = """
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2.0


def get_inputs():
    return [torch.randn(64, 256)]


def get_init_inputs():
    return []
"""
KERNEL = '''
import cupy
import numpy
import torch

SOURCE = r"""
extern "C" __global__ void twice(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] < 0.0f ? 0.0f : %s * x[i];
}
"""
TWICE = cupy.RawModule(code=SOURCE).get_function("twice")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            TWICE((x.numel() // 256,), (256,), (x.data_ptr(), y.data_ptr(), numpy.int32(x.numel())))
        return y
'''
REPLIES = [
    {"when": {"system": "You read what a verifier", "prompt": r"Attempt \d+ failed"}, "times": "forever",
     "json": {"cause": "the factor", "line": 9, "fix": "multiply by two"}},
    {"when": {"system": "You read what a verifier"}, "times": "forever",
     "json": {"evidence": [], "limiter": "launch", "change": "nothing", "expected_speedup": None, "stop": True}},
    {"when": {"system": "You write CUDA", "prompt": r"Attempt \d+ failed"}, "times": "forever",
     "text": "PLAN: the right factor\n```python\n" + KERNEL % "2.0f" + "```"},
    {"when": {"system": "You write CUDA"}, "times": "forever",
     "text": "PLAN: a thread an element\n```python\n" + KERNEL % "3.0f" + "```"},
]  # fmt: skip
# a call of 1,000 tokens costs ten cents; one of 2,048, the least that is asked for, 20.48
PRICES = '[[price]]\nmodels = ["openai:*"]\ninput = "0"\noutput = "100"\n'

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A folder with a task and prices; called with a server's URL it puts that in force."""
    Path("task.py").write_text(TASK)
    Path("prices.toml").write_text(PRICES)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    monkeypatch.setenv("KERNELWRIGHT_PRICES", "prices.toml")
    return lambda url: monkeypatch.setenv("OPENAI_BASE_URL", url)


def result(arguments: list[str], capsys: Captured) -> tuple[int, dict[str, Any]]:
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_run_is_recorded_stopped_by_its_budget_gone_on_with_and_replayed(
    home: Path, asked: Callable[[str], None], capsys: Captured
) -> None:
    replies = [{**reply, "usage": {"output": 1000}} for reply in REPLIES]
    with serving({"replies": replies}) as server:
        asked(server.openai_url)
        model = ["--model", "openai:scripted", "--device", "emulator"]
        code, stopped = result(
            ["optimize", "task.py", *model, "--budget", "0.35", "--record", "kept", "--rounds", "4"], capsys
        )
        assert (code, stopped["status"]) == (1, "interrupted")
        assert "The budget of $0.35" in stopped["message"]
        assert [a["verdict"] for a in stopped["attempts"]] == ["wrong"]
        assert stopped["dollars"] == "0.2"
        before = len(server.tally().calls)
        code, whole = result(["resume", stopped["id"], "--budget", "9", "--record", "kept"], capsys)
        assert (code, whole["status"]) == (0, "finished")
        assert [a["verdict"] for a in whole["attempts"]] == ["wrong", "passed"]
        assert len(server.tally().calls) == before + 2  # coder and judge of the second attempt
        assert server.tally().repeated == 0
    # the server is gone
    code, again = result(["optimize", "task.py", *model, "--replay", "kept", "--rounds", "4", "--force"], capsys)
    assert code == 0
    assert [a["kernel"]["id"] for a in again["attempts"]] == [a["kernel"]["id"] for a in whole["attempts"]]
    # whatever was written down anywhere, the key is not in it
    for file in [*Path().rglob("*"), *home.rglob("*")]:
        if file.is_file():
            assert b"sk-canary" not in file.read_bytes(), file

    assert run(["show", whole["id"], "--messages", "2"]) == 0
    shown = capsys.readouterr().out
    assert "Attempt 2, coder: openai:scripted, prompt coder/repair@" in shown
    assert "PLAN: the right factor" in shown
    code, none = result(["show", whole["id"], "--messages", "9"], capsys)
    assert (code, none["error"]["kind"]) == (2, "NotFoundError")
    code, messages = result(["show", whole["id"], "--messages", "1"], capsys)
    assert [(call["role"], call["turn"]) for call in messages["calls"]] == [("coder", 0), ("judge", 0)]
    assert "multiply by two" in messages["calls"][-1]["reply"]["text"]


@pytest.mark.slow
def test_a_loop_is_translated_and_later_prompts_show_what_won_before(
    home: Path, asked: Callable[[str], None], capsys: Captured
) -> None:
    Path("loop.c").write_text("void twice(float *x, float *y, int n) { /* marker 8152 */ }\n")
    with serving({"replies": REPLIES}) as server:
        asked(server.openai_url)
        flags = ["--model", "openai:scripted", "--device", "emulator", "--rounds", "2"]
        code, first = result(["translate", "loop.c", "--reference", "task.py", *flags], capsys)
        assert code == 0
        code, second = result(["optimize", "task.py", *flags, "--rounds", "1", "--force"], capsys)
        assert code == 1  # its one kernel is wrong
    with open_store(load_settings()) as store:
        prompts = [store.calls(each["id"])[0].request for each in (first, second)]
    assert prompts[0].prompt.startswith("coder/translate@")
    assert "marker 8152" in prompts[0].messages[-1].text
    system = prompts[1].messages[0].text
    assert prompts[1].prompt.startswith("coder/start@")
    assert "same task" in system
    assert "2.0f * x[i]" in system


@pytest.mark.parametrize(
    ("model", "flags", "words"),
    [
        ("anthropic:x", [], "ANTHROPIC_API_KEY"),
        ("http://127.0.0.1:1/v1#free", ["--budget", "1"], "needs the price"),
        ("openai:x", ["--judge", "openai"], "names no model"),
    ],
)
def test_a_model_that_can_not_be_used_is_told_before_anything_is_opened(
    asked: Callable[[str], None],
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    flags: list[str],
    words: str,
) -> None:
    """The task could not even be read in a process: it would be the first to complain."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    Path("ends.py").write_text(TASK + "\nimport os\nos._exit(3)\n")
    code, found = result(["optimize", "ends.py", "--model", model, *flags], capsys)
    assert (code, found["error"]["kind"]) == (2, "ConfigError")
    assert words in found["error"]["message"] + found["error"]["mend"]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["translate", "loop.c", "--reference", "task.py"], "MisuseError", "--model"),
        (["translate", "loop.txt", "--reference", "task.py", "--model", "openai:x"], "MisuseError", "ends"),
        (["translate", "gone.c", "--reference", "task.py", "--model", "openai:x"], "MisuseError", "can't be read"),
        (["translate", "large.c", "--reference", "task.py", "--model", "openai:x"], "MisuseError", "262,144"),
        (["translate", "bytes.c", "--reference", "task.py", "--model", "openai:x"], "MisuseError", "UTF-8"),
        (["translate", "empty.c", "--reference", "task.py", "--model", "openai:x"], "ConfigError", "empty"),
        (["optimize", "task.py", "--model", "gpt"], "ConfigError", "openai:NAME"),
        (["optimize", "task.py", "--model", "openai:x", "--budget", "-1"], "ConfigError", "--budget"),
        (["optimize", "task.py", "--model", "openai:x", "--budget", "much"], "ConfigError", "--budget"),
        (["optimize", "task.py", "--record", "a", "--replay", "b"], "MisuseError", "exclude"),
        (["optimize", "task.py", "--candidates", "0"], "ConfigError", "--candidates"),
        (["optimize", "task.py", "--budget", "1"], "MisuseError", "none is named"),
        (["optimize", "task.py", "--record", "kept"], "MisuseError", "none is named"),
        (["verify", "task.py", "loop.c"], "KernelError", "kernelwright translate"),
    ],
)
def test_misuse(asked: Callable[[str], None], capsys: Captured, arguments: list[str], kind: str, words: str) -> None:
    for name, data in {
        "loop.c": b"int x;",
        "loop.txt": b"x",
        "large.c": b"x" * 300_000,
        "bytes.c": b"\xff\xfe",
    }.items():
        Path(name).write_bytes(data)
    Path("empty.c").write_text("  \n")
    code, found = result(arguments, capsys)
    assert (code, found["error"]["kind"]) == (2, kind)
    assert words in found["error"]["message"] + found["error"]["mend"]
