"""Allowances: together never more than the budget, and none that is known to be too little."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from kernelwright.bench.money import Allowances


def test_without_a_budget_nothing_stops() -> None:
    money = Allowances(None)
    assert (money.left, money.shares(3), money.set_aside("a", 3)) == (None, 3, None)
    money.settle("a", Decimal(7))
    assert money.spent == 7


def test_what_one_did_not_need_goes_to_the_next() -> None:
    money = Allowances(Decimal(10), spent=Decimal(2))
    assert money.shares(2) == 2
    assert (money.set_aside("a", 2), money.set_aside("b", 1)) == (4, 4)
    assert money.shares(1) == 0
    money.settle("a", Decimal("0.5"))
    assert (money.left, money.set_aside("c", 1)) == (Decimal("3.5"), Decimal("3.5"))


def test_no_share_that_is_known_to_be_too_little() -> None:
    money = Allowances(Decimal(3))
    for who in ("a", "b"):
        money.set_aside(who, 2 if who == "a" else 1)
    money.settle("a", Decimal("0.5"), wanted_more=True)  # a dollar was too little
    assert money.shares(2) == 0  # there is one dollar
    money.settle("b", Decimal(1))
    assert money.shares(2) == 1  # there are 1.5: enough for one of them
    money.set_aside("a", 1)
    money.settle("a", Decimal("0.1"), wanted_more=True)
    assert money.shares(1) == 0


@given(st.lists(st.tuples(st.integers(1, 4), st.fractions(0, 1)), max_size=30), st.decimals(0, 100, places=3))
def test_never_more_than_the_budget(searches: list[tuple[int, object]], budget: Decimal) -> None:
    money = Allowances(budget)
    for number, (places, share) in enumerate(searches):
        count = money.shares(places)
        given_out = [money.set_aside((number, place), count - place) for place in range(count)]
        assert all(each is not None and each > 0 for each in given_out)
        for place, each in enumerate(given_out):
            cost = (each or Decimal(0)) * share.numerator / share.denominator  # type: ignore[attr-defined]
            money.settle((number, place), cost)
    assert money.spent <= budget
