"""Answers that are kept: made once however many ask, old ones given while the next is made, and never longer than was said."""

from __future__ import annotations

import threading

import pytest
from server_doubles import Ticks

from kernelwright.web.kept import Kept


def until_renewed(kept: Kept) -> None:
    """Waits for the threads beside."""
    for thread in threading.enumerate():
        if thread.name == "kernelwright-kept":
            thread.join(10)


def test_it_is_made_once_however_many_ask() -> None:
    kept, made, begun = Kept(), [], threading.Event()

    def make() -> int:
        begun.wait(10)
        made.append(1)
        return 7

    found: list[int] = []
    asking = [threading.Thread(target=lambda: found.append(kept.get("x", make, seconds=1.0).value)) for _ in range(8)]
    for thread in asking:
        thread.start()
    begun.set()
    for thread in asking:
        thread.join(10)
    assert (found, made) == ([7] * 8, [1])


def test_an_old_one_is_given_while_the_next_is_made() -> None:
    clock, kept, values = Ticks(), None, iter(range(9))
    kept = Kept(clock=clock)

    def ask() -> int:
        assert kept is not None
        return kept.get("x", lambda: next(values), seconds=5.0).value

    assert [ask(), ask()] == [0, 0]
    clock.now += 5.0
    assert ask() == 0
    until_renewed(kept)
    assert ask() == 1


def test_one_that_is_too_old_is_not_given() -> None:
    clock, values = Ticks(), iter(range(9))
    kept = Kept(clock=clock)
    for wanted in (0, 1, 2):
        assert kept.get("x", lambda: next(values), seconds=5.0, oldest=5.0).value == wanted
        clock.now += 5.0


def test_it_is_made_anew_only_when_what_it_rests_on_has_changed() -> None:
    clock, values, state = Ticks(), iter(range(9)), ["a"]
    kept = Kept(clock=clock)

    def ask() -> int:
        found = kept.get("x", lambda: next(values), seconds=1.0, state=lambda: state[0]).value
        until_renewed(kept)
        return found

    ask()
    for now, wanted in (("a", 0), ("a", 0), ("b", 0), ("b", 1)):
        state[0] = now
        clock.now += 1.0
        assert ask() == wanted


def test_who_will_not_wait_is_told_and_it_goes_on_being_made() -> None:
    kept, may = Kept(), threading.Event()

    def make() -> int:
        may.wait(10)
        return 1

    assert kept.soon("x", make, seconds=1.0, patience=0.0) is None
    may.set()
    until_renewed(kept)
    found = kept.soon("x", make, seconds=1e9, patience=0.0)
    assert found is not None
    assert found.value == 1


def test_an_error_is_told_the_first_time_and_forgotten_then() -> None:
    clock = Ticks()
    kept = Kept(clock=clock)
    with pytest.raises(ZeroDivisionError):
        kept.get("x", lambda: 1 // 0, seconds=1.0)
    assert kept.get("x", lambda: 1, seconds=1.0).value == 1
    clock.now += 1.0
    kept.get("x", lambda: 1 // 0, seconds=1.0)
    until_renewed(kept)
    assert kept.get("x", lambda: 2, seconds=1e9).value == 1


def test_the_longest_unused_goes() -> None:
    kept, made = Kept(), []
    for number in range(500):
        kept.get(number, lambda number=number: made.append(number), seconds=1e9)
        kept.get(0, lambda: made.append(-1), seconds=1e9)
    assert -1 not in made
    kept.get(1, lambda: made.append(-1), seconds=1e9)
    assert made[-1] == -1
