"""LlmCoder: what is asked, how replies are read, and what becomes of those that can't be used."""

from __future__ import annotations

from dataclasses import replace

import pytest
from llm_doubles import (
    BRIEFING,
    ScriptedModel,
    advice,
    failed_stage,
    fenced,
    module,
    past,
    said,
    texts,
)

from kernelwright.agents.llm.briefing import StartingPoint
from kernelwright.agents.llm.coder import LlmCoder
from kernelwright.agents.models.protocol import Reply
from kernelwright.agents.protocols import PastAttempt, Proposal, Turn
from kernelwright.errors import BudgetReached, ConfigError
from kernelwright.verifier.evaluation import Verdict

SLOW = past(1, 2e-5)
WRONG = past(1, Verdict.WRONG, **failed_stage("correctness", "element [0, 7] is 1, should be 2", {}))
EDIT = "PLAN: a three\n<<<<<<< SEARCH\n    if (i < n) y[i] = 1.0f * x[i];\n=======\n    if (i < n) y[i] = 3.0f * x[i];\n>>>>>>> REPLACE\n"


def propose(
    *replies: str | Reply, parent: PastAttempt | None = None, number: int = 2, **options: object
) -> tuple[Proposal, ScriptedModel]:
    model = ScriptedModel(replies)
    coder = LlmCoder(model, BRIEFING, **options)  # type: ignore[arg-type]
    history = () if parent is None else (parent,)
    proposal = coder.propose(history, None if parent is None else parent.advice, Turn(number, parent))
    assert len(model.asked) == len(replies)
    return proposal, model


def test_the_first_kernel_is_written_from_the_reference() -> None:
    proposal, model = propose(fenced(module(2)), number=1, reasoning="high", temperature=0.7)
    assert proposal.kernel.source == module(2)
    assert (proposal.kernel.author, proposal.kernel.parents) == ("openai:scripted", ())
    assert (proposal.plan, proposal.notes) == ("read wider", ())
    (request,) = model.asked
    assert request.prompt.startswith("coder/start@")
    assert (str(request.place), request.reasoning, request.temperature) == ("1/coder/0", "high", 0.7)
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[0].cache
    assert BRIEFING.task.source.strip() in request.messages[0].text
    assert proposal.details == {"model": "scripted-1", "prompt": request.prompt, "reply": "full", "asked_again": 0}


def test_a_starting_point_is_translated() -> None:
    model = ScriptedModel([fenced(module(2))])
    loop = "for (int i = 0; i < n; i++) y[i] = 2 * x[i];"
    LlmCoder(model, replace(BRIEFING, starting_point=StartingPoint(loop, "c"))).propose((), None, Turn(1))
    assert model.asked[0].prompt.startswith("coder/translate@")
    assert "Translate this C code" in texts(model.asked[0])
    assert f"```c\n{loop}\n```" in model.asked[0].messages[1].text


@pytest.mark.parametrize(("source", "language"), [("x", "fortran"), ("  \n", "c")])
def test_a_starting_point_must_be_of_use(source: str, language: str) -> None:
    with pytest.raises(ConfigError):
        StartingPoint(source, language)  # type: ignore[arg-type]


def test_a_kernel_that_failed_is_mended_and_one_that_passed_made_faster() -> None:
    proposal, model = propose(fenced(module(2)), parent=WRONG)
    assert model.asked[0].prompt.startswith("coder/repair@")
    assert "element [0, 7] is 1, should be 2" in model.asked[0].messages[1].text
    assert proposal.kernel.parents == (WRONG.kernel.id,)
    parent = replace(SLOW, advice=advice("load 16 bytes at a time"))
    _, model = propose(fenced(module(2)), parent=parent)
    assert model.asked[0].prompt.startswith("coder/improve@")
    user = model.asked[0].messages[1].text
    assert parent.kernel.source.strip() in user
    assert "load 16 bytes at a time" in user
    assert "20.0 µs modelled" in user


def test_other_kernels_are_shown_from_slow_to_fast_where_wanted() -> None:
    slow, middle, fast = past(1, 3e-5), past(2, 2e-5), past(3, 1e-5)
    history = (middle, slow, WRONG, fast)
    for shown, wanted in ((1, []), (2, [2]), (5, [1, 2])):
        model = ScriptedModel([fenced(module(9))])
        LlmCoder(model, BRIEFING, kernels_shown=shown).propose(history, None, Turn(4, fast))
        user = model.asked[0].messages[1].text
        places = [user.find(f"y[i] = {n}.0f") for n in wanted]
        assert -1 not in places
        assert places == sorted(places)
        assert [n for n in (1, 2) if f"y[i] = {n}.0f" in user] == wanted


def test_the_evaluation_must_be_of_the_kernel_that_is_shown() -> None:
    mixed_up = PastAttempt(1, past(2, 1e-5).kernel, SLOW.evaluation)
    with pytest.raises(ValueError, match="the evaluation is of kernel"):
        propose(parent=mixed_up)


def test_a_change_of_the_parent_is_applied() -> None:
    proposal, _ = propose(EDIT, parent=SLOW)
    assert proposal.kernel.source == module(3)
    assert proposal.details["reply"] == "diff"
    assert proposal.plan == "a three"


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("", "it is empty"),
        (" \n\t", "it is empty"),
        ("I can't help with that.", "holds no code"),
        (said("I can't help with that.", "refusal"), "it is a refusal"),
        (said(fenced(module(3)), "refusal"), "it is a refusal"),
        (said("", "length"), "cut off at the limit of 16,384 tokens"),
        (said(fenced(module(3))[:250], "length"), "cut off at the limit of 16,384 tokens"),
        (said(module(3)[:-10], "length"), "cut off at the limit of 16,384 tokens"),
        ('```cuda\nextern "C" __global__ void k() {}\n```', "CUDA C++ but no Python module"),
        ("```rust\nfn main() {}\n```", "none of its code blocks"),
        (fenced(module(1)), "it is the kernel of attempt 1 again, which was judged passed"),
        (fenced(module(1).replace("\n", "  \n\n")), "it is the kernel of attempt 1 again"),
        (EDIT.replace("1.0f", "7.0f"), "the kernel has no line 'if (i < n) y[i] = 7.0f * x[i];'"),
        (EDIT.replace(">>>>>>> REPLACE", ""), "has no end"),
        (EDIT.replace("3.0f", "1.0f"), "it is the kernel of attempt 1 again"),
        (fenced(module(3) + "#" * 300_000), "over the limit of 262,144"),
    ],
)
def test_a_reply_that_can_not_be_used_goes_back(bad: str | Reply, told: str) -> None:
    proposal, model = propose(bad, fenced(module(5)), parent=SLOW)
    assert proposal.kernel.source == module(5)
    first, again = model.asked
    assert model.places == ["2/coder/0", "2/coder/1"]
    assert again.prompt.startswith("coder/unusable@")
    assert again.messages[: len(first.messages)] == first.messages
    assert [message.role for message in again.messages] == ["system", "user", "assistant", "user"]
    assert told in again.messages[-1].text
    assert again.messages[2].text
    assert len(proposal.notes) == 1
    assert proposal.notes[0].startswith("asked again: ")
    assert proposal.details["asked_again"] == 1


def test_a_change_without_a_kernel_to_change_goes_back() -> None:
    _, model = propose(EDIT, fenced(module(2)), number=1)
    assert "there is no kernel yet" in model.asked[1].messages[-1].text


def test_a_whole_kernel_is_taken_though_its_reply_was_cut_off_behind_it() -> None:
    proposal, _ = propose(said(fenced(module(3)) + "\nAnd then", "length"), parent=SLOW)
    assert proposal.kernel.source == module(3)


def test_a_whole_module_beside_a_change_is_taken_and_it_is_said() -> None:
    proposal, _ = propose(f"{EDIT}\nAltogether:\n{fenced(module(5))}", parent=SLOW)
    assert proposal.kernel.source == module(5)
    assert "the module was taken" in proposal.notes[0]


def test_after_three_replies_the_last_one_is_kept_as_it_is() -> None:
    proposal, model = propose("a", "b", "Sorry.\0\ud800", parent=SLOW)
    assert model.places == ["2/coder/0", "2/coder/1", "2/coder/2"]
    assert proposal.kernel.source == "Sorry.\ufffd?"
    assert proposal.kernel.parents == (SLOW.kernel.id,)
    assert proposal.plan.startswith("it holds no code.")
    assert proposal.details["reply"] == "unusable"
    assert len(proposal.notes) == 3
    assert len(model.asked[2].messages) == 6


def test_an_unusable_reply_of_any_size_can_be_kept() -> None:
    proposal, model = propose(*["x " * 500_000] * 3, number=1)
    assert len(proposal.kernel.source) <= 262_144
    assert all(len(texts(request)) < 120_000 for request in model.asked)


def test_a_reached_budget_ends_the_attempt() -> None:
    model = ScriptedModel([BudgetReached("the budget of $1.00 is used.")])
    with pytest.raises(BudgetReached):
        LlmCoder(model, BRIEFING).propose((), None, Turn(1))


def test_the_reply_format_is_what_was_asked_for() -> None:
    for replies, whole, blocks in (("full", True, False), ("diff", False, True), ("auto", True, True)):
        _, model = propose(fenced(module(2)), parent=SLOW, replies=replies)
        user = model.asked[0].messages[1].text
        assert ("the whole module in one fenced block" in user) is whole
        assert ("<<<<<<< SEARCH" in user) is blocks
    _, model = propose(fenced(module(2)), number=1, replies="diff")
    assert "<<<<<<< SEARCH" not in texts(model.asked[0])


def test_the_same_arguments_ask_the_same() -> None:
    (_, one), (_, two) = (propose(fenced(module(2)), parent=SLOW) for _ in range(2))
    assert one.asked == two.asked
