"""Coder, judge and voters through the providers' own SDKs, at a server that checks requests as the providers do."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_doubles import BRIEFING, fenced, module, past
from search_doubles import ScriptedJudge

from kernelwright.agents.llm.coder import LlmCoder
from kernelwright.agents.llm.judge import LlmJudge
from kernelwright.agents.llm.votes import Voters
from kernelwright.agents.model_server import serving
from kernelwright.agents.models.provider import Patience
from kernelwright.agents.models.spec import Models
from kernelwright.agents.protocols import Proposal, Turn
from kernelwright.config import Settings
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict

EDIT = "PLAN: a three\n<<<<<<< SEARCH\n    if (i < n) y[i] = 1.0f * x[i];\n=======\n    if (i < n) y[i] = 3.0f * x[i];\n>>>>>>> REPLACE\n"
IMPROVE = {
    "evidence": [{"metric": "dram__bytes_read.sum", "value": 16777216}],
    "limiter": "dram",
    "change": "load 16 bytes at a time",
    "expected_speedup": 1.4,
    "stop": False,
}
SCRIPT = {
    "faults": {"every": 5, "kinds": ["drop_mid", {"kind": "rate_limit", "retry_after": 0}]},
    "replies": [
        {"when": {"asks_schema": "limiter"}, "json": IMPROVE},
        {"when": {"asks_schema": "cause"}, "fault": "refusal"},
        {"when": {"asks_schema": "cause"}, "json": {"cause": "the sum", "line": 7, "fix": "add it up"}},
        {"when": {"asks_schema": "verdict"}, "json": {"why": "fine", "verdict": True, "confidence": 0.9}, "times": 2},
        {"when": {"asks_schema": "verdict"}, "text": "I can't tell."},
        {"when": {"user": "Write the first kernel"}, "fault": "empty"},
        {"when": {"user": "it is empty"}, "text": fenced(module(1))},
        {"when": {"user": "Make the kernel of attempt 1 faster"}, "text": EDIT},
    ],
}


@pytest.mark.parametrize("provider", ["openai", "anthropic", "compatible"])
def test_a_whole_round_with_faults(provider: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    monkeypatch.chdir(tmp_path)
    with serving(SCRIPT) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.anthropic_url)
        name = f"{server.openai_url}#m" if provider == "compatible" else f"{provider}:m"
        with Models(Settings(), patience=Patience(sleep=lambda _seconds: None)) as models:
            model = models.client(name)
            coder = LlmCoder(model, BRIEFING)
            first = coder.propose((), None, Turn(1))
            assert first.kernel.source == module(1)
            assert first.notes == ("asked again: it is empty.",)
            parent = past(1, 2e-5)
            assert coder.propose((parent,), None, Turn(2, parent)).kernel.source == module(3)
            judge = LlmJudge(model, BRIEFING, ScriptedJudge())
            advice = judge.advise(parent, ())
            assert (advice.mode, advice.limiter, advice.expected_speedup) == ("improve", "dram", 1.4)
            repair = judge.advise(past(2, Verdict.WRONG), (parent,))
            assert (repair.mode, repair.change, repair.evidence["line"]) == ("repair", "add it up", 7)
            votes = Voters(model, BRIEFING).vote(Proposal(Kernel(module(3), "x"), "plan"), 3)
            assert [vote.verdict for vote in votes.votes] == [True, True, None]
