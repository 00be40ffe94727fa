"""Votes rank proposals and never refuse one."""

from __future__ import annotations

import json
import threading
from itertools import permutations

import pytest
from llm_doubles import BRIEFING, ScriptedModel, module, said, texts

from kernelwright.agents.llm.votes import VERIFIERS, Vote, Voters, Votes, rank
from kernelwright.agents.models.protocol import Reply, Request
from kernelwright.agents.protocols import Proposal
from kernelwright.errors import BudgetReached, ModelError
from kernelwright.sandbox.kernel import Kernel

PROPOSAL = Proposal(Kernel(module(3), "openai:scripted"), "read wider")
YES = '{"why": "fine", "verdict": true, "confidence": 0.75}'
NO = '{"why": "line 7 is not guarded", "verdict": false, "confidence": 0.5}'


def votes(*weights: float | None) -> Votes:
    return Votes(tuple(Vote("compile", None if w is None else w >= 0, abs(w or 0.0), "") for w in weights))


def test_three_verifiers_are_asked() -> None:
    model = ScriptedModel([YES, NO, "I don't know."])
    found = Voters(model, BRIEFING).vote(PROPOSAL, 7)
    assert [v.verifier for v in found.votes] == list(VERIFIERS)
    assert [v.verdict for v in found.votes] == [True, False, None]
    assert found.score == pytest.approx((0.75 - 0.5) / 3)
    assert found.votes[1].why == "line 7 is not guarded"
    assert "could not be used" in found.votes[2].why
    assert model.places == ["7/votes/compile/0", "7/votes/memory/0", "7/votes/numerics/0"]
    for request, verifier in zip(model.asked, VERIFIERS, strict=True):
        assert request.prompt.startswith(f"votes/{verifier}@")
        assert "   7 |     if (i < n) y[i] = 3.0f * x[i];" in texts(request)
        assert "read wider" in texts(request)
    assert json.loads(json.dumps(found.to_json()))["votes"][0]["verdict"] is True


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "yes",
        said(YES, "refusal"),
        YES.replace("0.75", "7.5"),
        YES.replace("0.75", "NaN"),
        YES.replace("true", '"perhaps"'),
        ModelError("no reply came"),
    ],
)
def test_an_answer_that_can_not_be_used_is_an_abstention(reply: str | Reply | ModelError) -> None:
    found = Voters(ScriptedModel([reply, YES, YES]), BRIEFING).vote(PROPOSAL, 1)
    assert found.votes[0].verdict is None
    assert found.votes[0].weight == 0.0
    assert found.score == pytest.approx(0.5)


def test_a_reached_budget_is_no_abstention() -> None:
    with pytest.raises(BudgetReached):
        Voters(ScriptedModel([YES, BudgetReached("used")]), BRIEFING).vote(PROPOSAL, 1)


def test_ranking_is_stable_and_leaves_none_out() -> None:
    given = [
        ("a", votes(0.1, None, None)),
        ("b", votes(1.0, 1.0, -1.0)),
        ("c", votes(-1.0, -1.0, -1.0)),
        ("d", votes()),
        ("e", votes(None, None, 0.1)),
    ]
    for order in permutations(given):
        names = [name for name, _ in rank(order)]
        assert sorted(names) == list("abcde")
        assert (names[0], names[-2:]) == ("b", ["d", "c"])
        assert names.index("a") - names.index("e") == (1 if [n for n, _ in order if n in "ae"] == ["e", "a"] else -1)


class ByNumber:
    """Votes on attempt n with confidence n / 10; asked by several threads."""

    name = "openai:by-number"

    def __init__(self) -> None:
        self.places: set[str] = set()
        self.lock = threading.Lock()

    def complete(self, request: Request) -> Reply:
        with self.lock:
            self.places.add(str(request.place))
        if request.place.attempt == 9:
            raise BudgetReached("used")
        good = request.place.attempt != 5
        return said(json.dumps({"why": "", "verdict": good, "confidence": request.place.attempt / 10}))


def test_proposals_are_ranked_by_the_numbers_of_their_attempts() -> None:
    model = ByNumber()
    assert Voters(model, BRIEFING).rank([(n, PROPOSAL) for n in (3, 4, 5, 6)]) == [6, 4, 3, 5]
    assert len(model.places) == 12
    assert Voters(model, BRIEFING).rank([]) == []
    with pytest.raises(BudgetReached):
        Voters(model, BRIEFING).rank([(8, PROPOSAL), (9, PROPOSAL)])
