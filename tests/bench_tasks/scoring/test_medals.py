"""Places on one task: told apart by intervals, and shared where they overlap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scoring_entries import entry, of, refused, trial

from kernelwright.bench_tasks.scoring.medals import PLACES, medals, tally
from kernelwright.bench_tasks.scoring.results import Entry


def one(name: str, speedup: float | None, interval: tuple[float, float] | None = None) -> Entry:
    return entry([trial("t", speedup, speedup_interval=interval)], id=name)


def placed(*entries: Entry) -> list[tuple[str, int, bool]]:
    return [(each.entry_id, each.place, each.shared) for each in medals(entries, "t")]


def test_intervals_that_are_apart_make_places() -> None:
    found = placed(
        one("c", 1.0, (0.9, 1.1)), one("a", 3.0, (2.9, 3.1)), one("b", 2.0, (1.9, 2.1)), one("d", 0.5, (0.4, 0.6))
    )
    assert found == [("a", 1, False), ("b", 2, False), ("c", 3, False)]


def test_who_overlaps_the_first_of_a_place_shares_it_and_the_next_place_is_behind_them_all() -> None:
    found = placed(one("a", 3.0, (2.5, 3.5)), one("b", 2.8, (2.3, 3.3)), one("c", 2.0, (1.9, 2.1)))
    assert found == [("a", 1, True), ("b", 1, True), ("c", 3, False)]
    # a chain of overlaps is no tie of its ends: the second place begins where one is apart from the first
    found = placed(one("a", 3.0, (2.5, 3.5)), one("b", 2.4, (1.9, 2.9)), one("c", 1.9, (1.5, 2.3)))
    assert found == [("a", 1, True), ("b", 1, True), ("c", 3, False)]


def test_without_intervals_nothing_is_told_apart() -> None:
    assert placed(one("a", 9.0), one("b", 1.0)) == [("a", 1, True), ("b", 1, True)]
    assert placed(one("a", 9.0, (8.0, 9.5)), one("b", 1.0)) == [("a", 1, True), ("b", 1, True)]


def test_who_did_not_solve_it_or_was_refused_has_no_place() -> None:
    cheat = entry([refused(trial("t", 50.0, speedup_interval=(49.0, 51.0)))], id="cheat")
    assert placed(one("a", None), cheat, one("b", 1.5, (1.4, 1.6))) == [("b", 1, False)]
    assert placed(one("a", None)) == []


def test_a_speed_up_that_no_kernel_could_have_is_cut_off_and_told_from_none() -> None:
    tiny = entry([trial("t", 1000.0, share=500.0, speedup_interval=(999.0, 1001.0))], id="tiny")
    (first, second) = medals([tiny, one("a", 1.5, (1.4, 1.6))], "t")
    assert (first.entry_id, first.speedup, first.low, first.shared) == ("tiny", 2.0, None, True)
    assert (second.place, second.shared) == (1, True)


def test_repeats_count_with_their_median_and_the_hull_of_their_intervals() -> None:
    twice = entry(
        [trial("t", s, repeat=r, speedup_interval=(s - 0.1, s + 0.1)) for r, s in enumerate((1.0, 3.0, 2.0))], id="x"
    )
    (found,) = medals([twice], "t")
    assert (found.speedup, found.low, found.high) == (2.0, 0.9, 3.1)


def test_tally() -> None:
    entries = [of({"t": 3.0, "u": 1.0}, id="a"), of({"t": None, "u": None}, id="b")]
    assert tally(entries, ["t", "u"]) == {"a": [2, 0, 0]}


@given(st.lists(st.tuples(st.floats(0.1, 9.9), st.floats(0.0, 0.5)) | st.none(), min_size=1, max_size=12))
def test_places_are_in_order_of_speed_and_within_bounds(given_: list[tuple[float, float] | None]) -> None:
    entries = [
        one(f"e{n:02}", None)
        if each is None
        else one(f"e{n:02}", each[0], (each[0] * (1 - each[1]), each[0] * (1 + each[1])))
        for n, each in enumerate(given_)
    ]
    found = medals(entries, "t")
    assert [m.speedup for m in found] == sorted((m.speedup for m in found), reverse=True)
    assert [m.place for m in found] == sorted(m.place for m in found)
    assert all(1 <= m.place <= PLACES for m in found)
    assert bool(found) == any(each is not None for each in given_)
    for m in found:  # the place is one more than those strictly before it, however many share
        assert m.place == 1 + sum(other.place < m.place for other in found)
        assert m.shared == (sum(other.place == m.place for other in found) > 1)
