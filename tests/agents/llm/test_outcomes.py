"""What advice promised beside what it brought, and the table of attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from llm_doubles import advice, past

from kernelwright.agents.llm.history import MOST_ROWS, history_table
from kernelwright.agents.llm.outcomes import outcomes, parents_of
from kernelwright.verifier.evaluation import TimingKind, Verdict

FIRST = replace(past(1, 4e-5), advice=advice("tile it", 3.0))
BETTER = replace(past(2, 2e-5, parent=FIRST), advice=advice("unroll it", None))
BROKEN = past(3, Verdict.WRONG, parent=BETTER)
SIBLING = past(4, 8e-5, parent=FIRST)


def test_an_outcome_is_that_of_the_attempt_made_from_the_advice() -> None:
    found = outcomes([SIBLING, FIRST, BROKEN, BETTER])
    assert [(o.advised_after, o.attempt, o.predicted, o.verdict) for o in found] == [
        (1, 2, 3.0, "passed"),
        (2, 3, None, "wrong"),
        (1, 4, 3.0, "passed"),
    ]
    assert [o.happened for o in found] == [pytest.approx(2.0), None, pytest.approx(0.5)]


def test_measured_and_modelled_times_are_not_compared() -> None:
    timing = BETTER.evaluation.timing
    assert timing is not None
    device = BETTER.evaluation.device.model_copy(update={"kind": "cuda"})
    measured = timing.model_copy(update={"kind": TimingKind.MEASURED})
    evaluation = BETTER.evaluation.model_copy(update={"timing": measured, "device": device})
    assert outcomes([FIRST, replace(BETTER, evaluation=evaluation)])[0].happened is None


def test_without_advice_or_a_parent_in_sight_there_is_no_outcome() -> None:
    assert outcomes([]) == []
    assert outcomes([replace(FIRST, advice=None), BETTER]) == []
    assert outcomes([BETTER]) == []


def test_of_a_kernel_that_was_tried_twice_the_later_attempt_is_the_parent() -> None:
    again = replace(FIRST, number=5)
    child = replace(past(6, 1e-5), kernel=replace(past(6, 1e-5).kernel, parents=(FIRST.kernel.id,)))
    assert parents_of([child, again, FIRST])[6].number == 5
    assert parents_of([replace(child, number=4), again, FIRST])[4].number == 1


def test_the_table_says_what_was_tried_and_what_it_brought() -> None:
    table = history_table([FIRST, replace(BETTER, plan="tiles of 32 x 32"), BROKEN])
    lines = table.split("\n")
    assert lines[0] == "Attempt 1: passed, 40.0 µs modelled, 0.75x against eager, 18 % of the roofline bound"
    assert lines[1].startswith("Attempt 2 from attempt 1: passed, 20.0 µs")
    assert lines[2:5] == ["  tried: tiles of 32 x 32", "  advised: tile it", "  predicted 3.00x; happened 2.00x"]
    assert lines[5] == "Attempt 3 from attempt 2: wrong. it is wrong"
    assert lines[6:] == ["  advised: unroll it", "  no speed-up was predicted; it came out wrong"]
    assert history_table([]) == ""


def test_of_many_attempts_the_latest_and_those_that_passed_are_shown() -> None:
    attempts = [past(n, 1e-5 if n == 3 else Verdict.WRONG) for n in range(1, 101)]
    table = history_table(attempts)
    shown = [int(line.split()[1].rstrip(":")) for line in table.split("\n") if line.startswith("Attempt")]
    assert len(shown) == MOST_ROWS
    assert shown == sorted(shown)
    assert 3 in shown
    assert set(range(90, 101)) <= set(shown)
    assert table.startswith(f"({100 - MOST_ROWS} earlier attempts are not shown)")
