"""Agreement of modelled and measured times, against published figures and properties of rank correlation."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.verifier.model.agreement import agreement, median_error, spearman

# IQ and hours of television a week, the example of Wikipedia's article on Spearman's coefficient: rho = -29 / 165
IQ = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
HOURS = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]


def test_a_published_value() -> None:
    assert spearman(IQ, HOURS) == pytest.approx(-29 / 165, abs=1e-12)


def test_ties_take_the_mean_of_their_ranks() -> None:
    # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: Pearson's r of these is 4.5 / sqrt(4.5 * 5)
    assert spearman([1, 2, 2, 3], [10, 30, 20, 40]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


times = st.lists(st.floats(1e-7, 1e-2), min_size=3, max_size=30, unique=True)


@given(times, st.floats(0.1, 10), st.floats(0.5, 3))
def test_only_the_order_counts(values: list[float], factor: float, power: float) -> None:
    moved = [factor * value**power for value in values]
    if len(set(moved)) == len(values):
        assert spearman(values, moved) == pytest.approx(1.0)
        assert spearman(values, [-value for value in moved]) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("first", "second"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([], [])]
)
def test_where_it_is_not_defined(first: list[float], second: list[float]) -> None:
    assert spearman(first, second) is None


def test_errors_are_relative_to_what_was_measured() -> None:
    assert median_error([1.0, 2.0, 30.0], [1.0, 4.0, 10.0]) == pytest.approx(0.5)
    found = agreement([1.0, 2.0, 30.0], [1.0, 4.0, 10.0], [(0.9, 1.1), (1, 3), (5, 40)])
    assert (found.pairs, found.spearman, found.median_error) == (3, 1.0, 0.5)
    assert found.worst_error == pytest.approx(3.0)
    assert found.within == pytest.approx(2 / 3)
    assert found.to_json()["within_interval"] == found.within
    assert agreement([1.0], [2.0]).spearman is None


@pytest.mark.parametrize(
    ("modelled", "measured", "said"),
    [
        ([], [], "at least one pair"),
        ([1.0], [1.0, 2.0], "1 values against 2"),
        ([0.0], [1.0], "not positive"),
        ([1.0], [-1.0], "not positive"),
        ([math.nan], [1.0], "no finite"),
        ([1.0], [math.inf], "no finite"),
    ],
)
def test_what_is_no_pair_of_times(modelled: list[float], measured: list[float], said: str) -> None:
    for function in (median_error, agreement):
        with pytest.raises(ValueError, match=said):
            function(modelled, measured)
    with pytest.raises(ValueError, match="1 intervals of 2"):
        agreement([1.0, 2.0], [1.0, 2.0], [(1, 2)])
