"""The built-in coder first, then another."""

from __future__ import annotations

import pytest
from llm_doubles import BRIEFING, ScriptedModel, fenced, module, past
from search_doubles import ScriptedCoder

from kernelwright.agents.llm.coder import LlmCoder
from kernelwright.agents.llm.seeded import Seeded
from kernelwright.agents.protocols import Proposal, Turn
from kernelwright.errors import LoweringError, ModelError


def seeded(first: ScriptedCoder | None, count: int) -> Seeded:
    return Seeded(first, LlmCoder(ScriptedModel([fenced(module(9))]), BRIEFING), count)


def author(proposal: Proposal | None) -> str:
    assert proposal is not None
    return proposal.kernel.author


def test_each_has_its_attempts() -> None:
    coder = seeded(ScriptedCoder(9), 2)
    assert coder.name == "scripted, then openai:scripted"
    one = past(1, 1e-5)
    assert author(coder.propose((), None, Turn(1))) == "scripted"
    assert author(coder.propose((one,), None, Turn(2, one))) == "scripted"
    assert author(coder.propose((one, past(2, 1e-5)), None, Turn(3, one))) == "openai:scripted"


@pytest.mark.parametrize(
    "first", [None, ScriptedCoder(0), ScriptedCoder(9, errors={1: LoweringError("nothing can be lowered")})]
)
def test_the_second_steps_in_at_once(first: ScriptedCoder | None) -> None:
    assert author(seeded(first, 5).propose((), None, Turn(1))) == "openai:scripted"


def test_other_errors_go_up() -> None:
    coder = seeded(ScriptedCoder(9, errors={1: ModelError("no reply")}), 5)
    with pytest.raises(ModelError):
        coder.propose((), None, Turn(1))


def test_no_attempts_for_the_first_is_the_second_alone() -> None:
    coder = seeded(ScriptedCoder(9), 0)
    assert coder.name == "openai:scripted"
    assert author(coder.propose((), None, Turn(1))) == "openai:scripted"
