"""A model asked for an operator: each prompt says what is wanted of it, and the reply is taken for what it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from llm_doubles import BRIEFING, ScriptedModel, advice, fenced, module, past
from search_doubles import evaluation

from kernelwright.agents.llm.briefing import StartingPoint
from kernelwright.agents.llm.coder import LlmCoder
from kernelwright.agents.protocols import PastAttempt, Proposal, Turn
from kernelwright.rl.operators import Operator
from kernelwright.verifier.evaluation import Verdict

PARENT = replace(past(1, 2e-5), advice=advice("load 16 bytes at a time"))
SECOND = past(2, 3e-5)
HISTORY = (PARENT, SECOND)
TUNED = "PLAN: a three\n<<<<<<< SEARCH\n    if (i < n) y[i] = 1.0f * x[i];\n=======\n    if (i < n) y[i] = 3.0f * x[i];\n>>>>>>> REPLACE\n"
RENAMED = "PLAN: a name\n<<<<<<< SEARCH\n    if (i < n) y[i] = 1.0f * x[i];\n=======\n    if (i < n) y[i] = n * x[i];\n>>>>>>> REPLACE\n"


def asked(
    operator: str, reply: str = TUNED, *others: PastAttempt, parent: PastAttempt | None = PARENT
) -> tuple[Proposal, str, str]:
    """The proposal, the prompt's name without its version, and what the model was asked."""
    model = ScriptedModel([reply])
    said = None if parent is None else parent.advice
    proposal = LlmCoder(model, BRIEFING).propose(HISTORY, said, Turn(5, parent, operator, others))
    return proposal, model.asked[0].prompt.partition("@")[0], model.asked[0].messages[1].text


@pytest.mark.parametrize(
    ("operator", "says"),
    [
        ("tune", "change numbers in it and nothing else"),
        ("template", "in another way: another algorithm"),
        ("diff", "by one small change"),
        ("rewrite", "begin from the reference and not from its text"),
        ("crossover", "Make one module from the best parts of both"),
    ],
)
def test_each_operator_has_a_prompt_with_the_parent_its_figures_the_advice_and_the_history(
    operator: str, says: str
) -> None:
    reply = fenced(module(7)) if operator in {"template", "rewrite", "crossover"} else TUNED
    _, prompt, user = asked(operator, reply, SECOND)
    assert prompt == f"coder/{operator}"
    assert says in user
    for told in (PARENT.kernel.source.strip(), "20.0 µs modelled", "load 16 bytes at a time", "Attempt 2"):
        assert told in user
    blocks, whole = "<<<<<<< SEARCH" in user, "the whole module in one fenced block" in user
    assert (blocks, whole) == ((True, False) if operator in {"tune", "diff"} else (False, True))


@pytest.mark.parametrize("operator", ["tune", "diff"])
def test_blocks_are_applied_to_the_parent(operator: str) -> None:
    proposal, _, _ = asked(operator)
    assert proposal.kernel.source == module(3)
    assert proposal.kernel.parents == (PARENT.kernel.id,)
    assert proposal.notes == ()


def test_tuning_that_changed_more_than_numbers_is_taken_and_noted() -> None:
    proposal, _, _ = asked("tune", RENAMED)
    assert "y[i] = n * x[i]" in proposal.kernel.source
    assert proposal.notes == ("more than numbers was changed",)
    assert asked("diff", RENAMED)[0].notes == ()


def test_a_cross_shows_the_second_parent_whole_with_its_figures_and_comes_from_both() -> None:
    proposal, _, user = asked("crossover", fenced(module(7)), SECOND)
    first, second = user.split("# The second: attempt 2")
    assert PARENT.kernel.source.strip() in first
    assert SECOND.kernel.source.strip() in second
    assert "30.0 µs modelled" in second.split("The kernel:")[0]
    assert proposal.kernel.parents == (PARENT.kernel.id, SECOND.kernel.id)
    assert proposal.kernel.source == module(7)


@pytest.mark.parametrize("others", [(), (past(3, Verdict.WRONG),), (replace(PARENT, number=4),)])
def test_where_there_is_nothing_to_cross_with_the_parent_is_made_faster(others: tuple[PastAttempt, ...]) -> None:
    proposal, prompt, _ = asked("crossover", fenced(module(7)), *others)
    assert prompt == "coder/improve"
    assert proposal.kernel.parents == (PARENT.kernel.id,)


@pytest.mark.parametrize("operator", list(Operator))
def test_a_parent_that_failed_is_mended_whatever_is_asked_for(operator: Operator) -> None:
    assert asked(operator, fenced(module(7)), SECOND, parent=past(1, Verdict.WRONG))[1] == "coder/repair"


@pytest.mark.parametrize("operator", ["", "repair", "start"])
def test_other_turns_are_asked_for_as_ever(operator: str) -> None:
    assert asked(operator, fenced(module(7)))[1] == "coder/improve"
    assert asked(operator, fenced(module(7)), parent=None)[1] == "coder/start"


def test_a_parent_that_was_let_go_is_made_faster_and_the_model_is_told_why_it_was() -> None:
    kernel = past(1, 1e-5).kernel
    reason = "Right in the calls that were made, but it takes 30 µs, and the best takes 20 µs."
    slow = PastAttempt(1, kernel, evaluation(kernel, Verdict.OUTCLASSED, reason=reason))
    _, prompt, user = asked("", fenced(module(7)), parent=slow)
    assert prompt == "coder/improve"
    assert reason in user


def test_an_operator_that_starts_anew_translates_where_there_is_something_to_translate() -> None:
    model = ScriptedModel([fenced(module(2))])
    start = replace(BRIEFING, starting_point=StartingPoint("for (;;) {}", "c"))
    LlmCoder(model, start).propose((), None, Turn(1, operator="start"))
    assert model.asked[0].prompt.startswith("coder/translate@")
