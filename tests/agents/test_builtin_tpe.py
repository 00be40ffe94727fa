"""The sampler `tpe`: it learns from the attempts that it is shown, function by function, and touches nothing else."""

from __future__ import annotations

import builtins
import io
import logging
import random
import sys
from collections.abc import Mapping

import numpy as np
import pytest
from llm_doubles import past
from operator_doubles import PRODUCT, ROWS, let_go, made, product_coder, seconds_of, timed

from kernelwright.agents.builtin import tpe
from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.drawers import drawer_named
from kernelwright.agents.builtin.drawing import RandomDrawer
from kernelwright.agents.builtin.knobs import kind_of, numbers, own_seconds
from kernelwright.agents.builtin.operators import BuiltinOperators
from kernelwright.agents.builtin.sampler import BuiltinSampler
from kernelwright.agents.builtin.space import Choice, Value
from kernelwright.agents.builtin.tpe import STARTUP, TpeDrawer
from kernelwright.agents.protocols import PastAttempt, Turn
from kernelwright.errors import ConfigError
from kernelwright.verifier.evaluation import Verdict


@pytest.fixture(scope="module")
def coder() -> BuiltinCoder:
    return product_coder()


def some(coder: BuiltinCoder, count: int, best: Mapping[str, Value] | None = None) -> tuple[PastAttempt, ...]:
    """Attempts drawn at random, timed by how far they are from `best`."""
    drawer, rng, found = RandomDrawer(coder), random.Random(3), []
    for number in range(1, count + 1):
        choice = drawer.draw(coder.defaults, coder.space, (), rng)
        found.append(made(coder, number, seconds_of(coder, choice, best or coder.defaults), choice))
    return tuple(found)


def searched(coder: BuiltinCoder, sampler: str, best: Mapping[str, Value], seed: str, attempts: int) -> list[float]:
    """Seconds of every attempt of a run."""
    writer, history = BuiltinSampler(coder, seed, drawer_named(sampler, coder)), ()
    for number in range(1, attempts + 1):
        proposal = writer.propose(history, None, Turn(number))
        assert proposal is not None
        rows = seconds_of(coder, proposal.kernel.parameters, best)
        history += (PastAttempt(number, proposal.kernel, timed(proposal.kernel, rows)),)
    return [a.evaluation.timing.seconds for a in history if a.evaluation.timing is not None]


def test_it_comes_nearer_to_the_best_than_chance_does_with_the_same_attempts(coder: BuiltinCoder) -> None:
    rng, wins, learned, lucky = random.Random(11), 0, 0.0, 0.0
    for seed in range(4):
        best = RandomDrawer(coder).draw(coder.defaults, coder.space, (), rng)
        by_tpe, by_chance = (min(searched(coder, name, best, f"run-{seed}", 24)) for name in ("tpe", "random"))
        wins += by_tpe < by_chance
        learned, lucky = learned + by_tpe - 2e-6, lucky + by_chance - 2e-6
    assert wins >= 3
    assert learned < 0.8 * lucky  # seconds above the best there are


def test_the_same_history_and_number_draw_the_same_and_the_history_counts(coder: BuiltinCoder) -> None:
    drawer, history = TpeDrawer(coder), some(coder, STARTUP + 6)

    def drawn(shown: tuple[PastAttempt, ...], seed: int = 5) -> Choice:
        return drawer.draw(coder.defaults, coder.space, shown, random.Random(seed))

    assert drawn(history) == drawn(history)
    assert drawn(history) != drawn(history, 6)
    other = some(coder, STARTUP + 6, coder.conservative)  # the same kernels, other times
    assert [a.kernel.id for a in other] == [a.kernel.id for a in history]
    assert any(drawn(history, seed) != drawn(other, seed) for seed in range(4))


def test_before_there_is_enough_to_learn_from_it_draws_at_random(coder: BuiltinCoder) -> None:
    history = (*some(coder, STARTUP - 1), past(99, 1e-6))  # a model's kernel has no knobs
    by_chance, rng, chance = RandomDrawer(coder), random.Random(1), random.Random(1)
    choice = dict(coder.defaults)
    for function in (PRODUCT, ROWS):
        free = {name: values for name, values in coder.space.items() if name.startswith(f"{function}.")}
        choice = by_chance.draw(choice, free, (), chance)
    assert TpeDrawer(coder).draw(coder.defaults, coder.space, history, rng) == choice


def test_neither_output_nor_logging_nor_any_shared_source_of_chance_is_touched(
    coder: BuiltinCoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, level = io.StringIO(), logging.getLogger("optuna").level
    monkeypatch.setattr(sys, "stderr", errors)
    random.seed(1)
    np.random.seed(1)
    ours, theirs = random.getstate(), np.random.get_state()
    TpeDrawer(coder).draw(coder.defaults, coder.space, some(coder, STARTUP + 2), random.Random(2))
    assert random.getstate() == ours
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), theirs, strict=True))
    assert errors.getvalue() == ""
    assert logging.getLogger("optuna").level == level


def test_tuning_moves_numbers_only_and_learns_from_kernels_of_the_same_code_only(coder: BuiltinCoder) -> None:
    history = some(coder, 12)
    parent = history[-1]
    proposal = BuiltinOperators(coder, "run", TpeDrawer(coder)).propose(history, None, Turn(13, parent, "tune"))
    assert proposal is not None
    assert proposal.plan.endswith("(tuned by tpe)")
    for name, value in proposal.kernel.parameters.items():
        assert kind_of(name, value) == kind_of(name, parent.kernel.parameters[name])
    free = numbers(coder.space, parent.kernel.parameters)
    drawer = TpeDrawer(coder)
    functions = {name: [n for n in coder.defaults if n.startswith(f"{name}.")] for name in (PRODUCT, ROWS)}
    names = [name for name in free if name.startswith(f"{ROWS}.")]
    seen = drawer._seen(ROWS, functions, names, parent.kernel.parameters, free, history)
    strategy = f"{ROWS}.strategy"
    alike = [a for a in history if a.kernel.parameters[strategy] == parent.kernel.parameters[strategy]]
    assert 1 <= len(seen) <= len(alike)


def test_what_failed_is_worse_than_all_that_passed_and_what_was_let_go_has_its_modelled_time(
    coder: BuiltinCoder,
) -> None:
    passed = made(coder, 1, {PRODUCT: 2e-6, ROWS: 1e-6})
    wrong = made(coder, 2, Verdict.WRONG, coder.conservative)
    other = coder.changed(coder.defaults, {f"{ROWS}.strategy": "online"})
    slow = made(coder, 3, Verdict.WRONG, other)
    slow = PastAttempt(3, slow.kernel, let_go(slow.kernel, {PRODUCT: 2e-6, ROWS: 4e-6}))
    functions = {name: [n for n in coder.defaults if n.startswith(f"{name}.")] for name in (PRODUCT, ROWS)}
    names = [name for name in coder.space if name.startswith(f"{ROWS}.")]
    seen = TpeDrawer(coder)._seen(ROWS, functions, names, coder.defaults, coder.space, (passed, wrong, slow))

    def score(attempt: PastAttempt) -> float:
        return next(s for choice, s in seen if choice == {name: attempt.kernel.parameters[name] for name in names})

    assert score(passed) == pytest.approx(np.log(1e-6))
    assert score(slow) == pytest.approx(np.log(4e-6))
    assert score(wrong) == pytest.approx(np.log(8e-6))
    assert len(seen) == 3


def test_a_functions_time_is_that_of_its_own_launches(coder: BuiltinCoder) -> None:
    attempt = made(coder, 1, {PRODUCT: 2e-6, f"{PRODUCT}_finish": 1e-6, ROWS: 4e-6, "aten.cumsum": 9e-6})
    assert own_seconds(attempt, PRODUCT, (PRODUCT, ROWS)) == pytest.approx(3e-6)
    assert own_seconds(attempt, PRODUCT, (PRODUCT, f"{PRODUCT}_finish")) == pytest.approx(2e-6)
    assert own_seconds(attempt, "elsewhere", (PRODUCT, ROWS, "elsewhere")) == pytest.approx(16e-6)
    assert own_seconds(made(coder, 2, Verdict.CRASHED), PRODUCT, (PRODUCT,)) is None


def test_without_optuna_it_says_what_to_install(coder: BuiltinCoder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: object, **more: object) -> object:
        if name.partition(".")[0] == "optuna":
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    tpe._optuna.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match="needs Optuna"):
        TpeDrawer(coder)
    monkeypatch.undo()
    tpe._optuna.cache_clear()


def test_a_sampler_that_does_not_exist_is_refused(coder: BuiltinCoder) -> None:
    with pytest.raises(ConfigError, match="no sampler 'annealing'"):
        drawer_named("annealing", coder)
