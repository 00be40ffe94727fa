"""What each operator does to the built-in coder's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from llm_doubles import past
from operator_doubles import PRODUCT, ROWS, made, product_coder, seconds_of
from search_doubles import evaluation, failed_at

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.knobs import function_of, kind_of
from kernelwright.agents.builtin.operators import BuiltinOperators
from kernelwright.agents.builtin.space import Value
from kernelwright.agents.protocols import PastAttempt, Proposal, Turn
from kernelwright.rl.operators import Operator
from kernelwright.verifier.evaluation import Verdict

SEEDS = tuple(f"run-{n}" for n in range(6))
OWN = (Operator.TUNE, Operator.TEMPLATE, Operator.DIFF, Operator.REWRITE)


@pytest.fixture(scope="module")
def coder() -> BuiltinCoder:
    return product_coder()


@pytest.fixture(scope="module")
def parent(coder: BuiltinCoder) -> PastAttempt:
    return made(coder, 3, {PRODUCT: 5e-6, ROWS: 3e-6})


def carried_out(
    coder: BuiltinCoder, operator: str, parent: PastAttempt | None, *others: PastAttempt, number: int = 9,
    seed: str = "run-1", history: tuple[PastAttempt, ...] = (),
) -> Proposal | None:  # fmt: skip
    return BuiltinOperators(coder, seed).propose(history, None, Turn(number, parent, operator, others))


def changes(proposal: Proposal | None, parent: PastAttempt) -> dict[str, tuple[Value, Value]]:
    """Old and new values; the proposal is a legal kernel of its own."""
    assert proposal is not None
    ours, theirs = proposal.kernel.parameters, parent.kernel.parameters
    return {name: (theirs[name], ours[name]) for name in theirs if ours[name] != theirs[name]}


@pytest.mark.parametrize("operator", [o for o in Operator if o is not Operator.START])
def test_every_operator_gives_a_new_legal_kernel_of_its_parents_and_the_same_one_again(
    coder: BuiltinCoder, parent: PastAttempt, operator: Operator
) -> None:
    outcome = Verdict.WRONG if operator is Operator.REPAIR else {PRODUCT: 5e-6, ROWS: 3e-6}
    first = made(coder, 3, outcome)
    other = made(coder, 4, {PRODUCT: 4e-6, ROWS: 4e-6}, coder.conservative)
    proposal = carried_out(coder, operator, first, other)
    assert proposal == carried_out(coder, operator, first, other)
    assert changes(proposal, first)
    assert proposal is not None
    choice = proposal.kernel.parameters
    assert coder.changed(choice, choice) == choice
    assert proposal.kernel.parents[0] == first.kernel.id
    assert (len(proposal.kernel.parents) == 2) == (operator is Operator.CROSSOVER)
    again = carried_out(coder, operator, first, other, history=(PastAttempt(8, proposal.kernel, first.evaluation),))
    assert again is None or again.kernel.id not in {proposal.kernel.id, first.kernel.id, other.kernel.id}


@pytest.mark.parametrize("seed", SEEDS)
def test_tuning_leaves_the_code_what_it_is(coder: BuiltinCoder, parent: PastAttempt, seed: str) -> None:
    for name, (old, new) in changes(carried_out(coder, "tune", parent, seed=seed), parent).items():
        assert not isinstance(old, (str, bool))
        assert kind_of(name, old) == kind_of(name, new)


@pytest.mark.parametrize("seed", SEEDS)
def test_another_template_is_another_kind_of_code_in_one_function(
    coder: BuiltinCoder, parent: PastAttempt, seed: str
) -> None:
    found = changes(carried_out(coder, "template", parent, seed=seed), parent)
    assert len({function_of(name) for name in found}) == 1
    assert any(kind_of(name, old) != kind_of(name, new) for name, (old, new) in found.items())


def test_other_templates_are_found_as_long_as_there_are_any(coder: BuiltinCoder, parent: PastAttempt) -> None:
    history: tuple[PastAttempt, ...] = ()
    for number in range(10, 30):
        proposal = carried_out(coder, "template", parent, number=number, history=history)
        assert proposal is not None
        assert proposal.kernel.id not in {a.kernel.id for a in history}
        history += (PastAttempt(number, proposal.kernel, parent.evaluation),)
    words = {a.kernel.parameters[f"{ROWS}.strategy"] for a in history}
    assert words == {"registers", "loop", "online"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_small_change_moves_one_knob_or_two_by_one_step(coder: BuiltinCoder, parent: PastAttempt, seed: str) -> None:
    found = changes(carried_out(coder, "diff", parent, seed=seed), parent)
    asked = [name for name, (old, new) in found.items() if _steps(coder, name, old, new) == 1]
    assert asked
    assert len(found) <= 2 + 2 * 3  # two steps, and at most three knobs that make each legal


def _steps(coder: BuiltinCoder, name: str, old: Value, new: Value) -> int:
    values = coder.space[name]
    return 1 if isinstance(old, (str, bool)) else abs(values.index(old) - values.index(new))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rewrite_keeps_little_of_its_parent(coder: BuiltinCoder, parent: PastAttempt, seed: str) -> None:
    found = changes(carried_out(coder, "rewrite", parent, seed=seed), parent)
    assert len(found) > len(coder.space) / 2


def test_a_cross_takes_each_function_from_the_parent_in_which_it_is_faster(coder: BuiltinCoder) -> None:
    one = made(coder, 3, {PRODUCT: 2e-6, ROWS: 9e-6})
    other = made(coder, 4, {PRODUCT: 8e-6, ROWS: 1e-6}, coder.conservative)
    proposal = carried_out(coder, "crossover", one, other)
    assert proposal is not None
    for name, value in proposal.kernel.parameters.items():
        better = one if function_of(name) == PRODUCT else other
        assert value == better.kernel.parameters[name]
    assert proposal.plan.endswith("(from attempts 3 and 4, the faster of each function)")
    # tried already: from then on either by chance, and nothing that is in neither
    next_one = carried_out(coder, "crossover", one, other, history=(PastAttempt(5, proposal.kernel, one.evaluation),))
    assert next_one is not None
    assert all(
        value in {a.kernel.parameters[name] for a in (one, other)} or name.startswith((PRODUCT, ROWS))
        for name, value in next_one.kernel.parameters.items()
    )


def test_there_is_no_cross_of_a_kernel_with_itself_or_with_a_models(coder: BuiltinCoder, parent: PastAttempt) -> None:
    """What can't be crossed is drawn at random instead, so that the turn is not lost."""
    for others in ((replace(parent, number=4),), (past(4, 1e-6),), ()):
        proposal = carried_out(coder, "crossover", parent, *others)
        assert proposal is not None
        assert proposal.plan.endswith("(drawn at random)")
        assert proposal.kernel.id != parent.kernel.id


def test_a_repair_makes_the_failing_function_plain_and_leaves_the_other(coder: BuiltinCoder) -> None:
    kernel = made(coder, 1, Verdict.UNSAFE).kernel
    failed = PastAttempt(1, kernel, failed_at(kernel, Verdict.UNSAFE, {"kernel": ROWS}))
    proposal = carried_out(coder, "repair", failed)
    assert proposal is not None
    for name, value in proposal.kernel.parameters.items():
        assert value == (coder.conservative if function_of(name) == ROWS else coder.defaults)[name]


def test_repairs_come_to_the_plainest_kernels_and_go_on_from_there(coder: BuiltinCoder) -> None:
    failed = made(coder, 1, Verdict.WRONG)
    history: tuple[PastAttempt, ...] = (failed,)
    for number in range(2, 12):
        proposal = carried_out(coder, "repair", failed, number=number, history=history)
        assert proposal is not None
        history += (PastAttempt(number, proposal.kernel, evaluation(proposal.kernel, Verdict.WRONG)),)
    assert len({a.kernel.id for a in history}) == len(history)
    assert any(a.kernel.parameters == coder.conservative for a in history[:5])


def test_a_run_starts_with_the_usual_choice_then_the_plainest_then_any(coder: BuiltinCoder) -> None:
    choices: list[Mapping[str, Value]] = []
    for number in range(1, 6):
        proposal = carried_out(coder, "start", None, number=number)
        assert proposal is not None
        assert proposal.kernel.parents == ()
        choices.append(proposal.kernel.parameters)
    assert choices[:2] == [coder.defaults, coder.conservative]
    assert len({frozenset(choice.items()) for choice in choices}) == 5


@pytest.mark.parametrize("operator", OWN)
def test_in_place_of_a_models_kernel_the_best_of_its_own_is_changed(coder: BuiltinCoder, operator: Operator) -> None:
    own = made(coder, 2, {PRODUCT: 5e-6, ROWS: 3e-6}, coder.conservative)
    proposal = carried_out(coder, operator, past(5, 1e-6), history=(own,))
    assert proposal is not None
    assert proposal.kernel.parents == (own.kernel.id,)
    from_nothing = carried_out(coder, operator, past(5, 1e-6))
    assert from_nothing is not None
    assert from_nothing.kernel.parents == ()


def test_an_operator_that_does_not_exist_is_a_mistake_of_the_caller(coder: BuiltinCoder, parent: PastAttempt) -> None:
    with pytest.raises(ValueError, match="no operator 'guess'"):
        carried_out(coder, "guess", parent)


def test_a_turn_without_an_operator_is_drawn_at_random(coder: BuiltinCoder) -> None:
    proposal = carried_out(coder, "", None)
    assert proposal is not None
    assert "drawn at random" in proposal.plan


def test_the_times_of_the_harness_are_least_at_the_best_choice(coder: BuiltinCoder) -> None:
    assert seconds_of(coder, coder.defaults, coder.defaults) == {PRODUCT: 1e-6, ROWS: 1e-6}
