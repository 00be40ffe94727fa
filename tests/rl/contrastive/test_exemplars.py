"""Exemplars: from distinct buckets, by the published odds, the same for the same seed."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unhurried import unhurried

from kernelwright.rl.contrastive.exemplars import Variant, buckets, chances, draw
from kernelwright.verifier.evaluation import TimingKind


def variant(name: str, score: float) -> Variant:
    return Variant(name, f"source of {name}", score, 1e-5 / score, TimingKind.MODELLED)


variants = st.lists(
    st.tuples(st.integers(0, 30), st.floats(0.01, 100)).map(lambda pair: variant(f"k{pair[0]}", pair[1])), max_size=30
)


@unhurried
@given(variants, st.integers(0, 5), st.randoms(use_true_random=False))
def test_drawn_are_distinct_kernels_of_distinct_buckets_slowest_first(
    given_: list[Variant], count: int, rng: random.Random
) -> None:
    drawn = draw(given_, rng, count=count)
    known = buckets(given_)
    assert len(drawn) == min(count, len(known))
    places = [next(place for place, members in known.items() if each in members) for each in drawn]
    assert places == sorted(set(places))
    assert len({each.kernel_id for each in drawn}) == len(drawn)


@unhurried
@given(variants, st.integers(0, 2**32))
def test_the_order_of_the_history_does_not_matter(given_: list[Variant], seed: int) -> None:
    mixed = random.Random(1).sample(given_, len(given_))
    assert draw(given_, random.Random(seed)) == draw(mixed, random.Random(seed))


@unhurried
@given(variants)
def test_a_kernel_is_in_one_bucket_with_its_lowest_score(given_: list[Variant]) -> None:
    members = [each for bucket in buckets(given_).values() for each in bucket]
    lowest: dict[str, float] = {}
    for each in given_:
        lowest[each.kernel_id] = min(each.score, lowest.get(each.kernel_id, math.inf))
    assert {each.kernel_id: each.score for each in members} == lowest
    assert len(members) == len(lowest)


def test_chances_are_the_published_ones() -> None:
    means, tau = [0.5, 1.0, 2.0], 0.7
    mu = sum(means) / 3
    weights = [math.exp((mean - mu) / tau) for mean in means]
    assert chances(means, tau) == pytest.approx([w / sum(weights) for w in weights])


@unhurried
@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=20), st.floats(0.01, 100))
def test_chances_sum_to_one_however_far_apart_scores_are(means: list[float], tau: float) -> None:
    found = chances(means, tau)
    assert sum(found) == pytest.approx(1)
    assert max(range(len(means)), key=lambda i: means[i]) in {i for i, c in enumerate(found) if c == max(found)}


def test_better_buckets_are_drawn_more_often_and_worse_ones_too() -> None:
    rng = random.Random(0)
    given_ = [variant("slow", 0.5), variant("mid", 1.0), variant("fast", 1.5)]
    drawn = Counter(draw(given_, rng, count=1)[0].kernel_id for _ in range(3000))
    wanted = chances([0.5, 1.0, 1.5])
    for name, chance in zip(("slow", "mid", "fast"), wanted, strict=True):
        assert drawn[name] / 3000 == pytest.approx(chance, abs=0.04)


def test_kernels_of_a_bucket_have_equal_chances() -> None:
    rng = random.Random(0)
    given_ = [variant(f"k{i}", 1.0 + 0.001 * i) for i in range(4)]
    drawn = Counter(draw(given_, rng)[0].kernel_id for _ in range(2000))
    assert all(abs(drawn[f"k{i}"] - 500) < 100 for i in range(4))


def test_what_is_no_score_is_no_variant() -> None:
    for score in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="score"):
            Variant("k", "", score, 1.0, TimingKind.MODELLED)
    with pytest.raises(ValueError, match="temperature"):
        chances([1.0], 0.0)
    assert draw([], random.Random(0)) == ()
