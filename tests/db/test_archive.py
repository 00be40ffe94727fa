"""The archive in the database: what it takes in, what it keeps as the best, what it draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from archive_doubles import an_archive, attempt, source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_doubles import EPOCH, TASK
from search_doubles import run as a_run
from sqlalchemy import select, text

from kernelwright.agents.ranking import NOTICEABLE
from kernelwright.db.archive import DatabaseArchive
from kernelwright.db.archive_models import DrawParentRow, EliteRow, EntryRow, IslandRow
from kernelwright.db.store import Store
from kernelwright.errors import StoreError
from kernelwright.rl.archive.protocol import Draw, Standing
from kernelwright.rl.bandit import LARGEST_GAIN, Arm
from kernelwright.rl.operators import Operator
from kernelwright.rl.run import Attempt
from kernelwright.verifier.evaluation import TimingKind, Verdict

RUN = "evolve-1"
WRONG = Verdict.WRONG


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as store:
        yield store


def feed(store: Store, archive: DatabaseArchive, *attempts: Attempt) -> None:
    for one in attempts:
        store.add_attempt(one)
    archive.absorb(attempts)


def entries(store: Store, archive: DatabaseArchive) -> list[EntryRow]:
    with store._reading() as session:
        return list(session.scalars(select(EntryRow).where(EntryRow.archive_id == archive.id).order_by(EntryRow.id)))


def elites(store: Store, archive: DatabaseArchive) -> dict[tuple[int, int], int]:
    """(island, number of the entry) to offspring."""
    with store._reading() as session:
        rows = session.execute(
            select(EliteRow.island, EntryRow.number, EliteRow.offspring)
            .join(EntryRow, EntryRow.id == EliteRow.entry_id)
            .where(EliteRow.archive_id == archive.id)
        )
        return {(island, number): offspring for island, number, offspring in rows}


def numbers(draw: Draw) -> list[int]:
    return [parent.number for parent in draw.parents]


def test_an_archive_is_found_again_and_keeps_its_settings(store: Store) -> None:
    first = an_archive(store, islands=3)
    again = an_archive(store, islands=5)
    assert (again.id, again.islands, again.settings) == (first.id, 3, first.settings)
    others = {
        store.archive(TASK, "A100", TimingKind.MODELLED, "own").id,
        store.archive(TASK, "H200", TimingKind.MEASURED, "own").id,
        store.archive(TASK, "H200", TimingKind.MODELLED, "shared").id,
        store.archive(replace(TASK, source="class Model: pass\n"), "H200", TimingKind.MODELLED, "own").id,
    }
    assert len(others | {first.id}) == 5


def test_an_entry_says_what_the_attempt_was(store: Store) -> None:
    archive = an_archive(store, islands=1)
    feed(store, archive, attempt(1, 3e-5, registers=40, compiled="ab" * 8), attempt(2, WRONG, share=7.0))
    one, two = entries(store, archive)
    assert (one.run_id, one.number, one.verdict, one.seconds, one.generation) == (RUN, 1, "passed", 3e-5, 0)
    assert one.score == pytest.approx(0.0)  # the doubles' baseline is 30 µs
    assert one.cell == "r32-s0-o50-d67-plain"
    assert one.features is not None
    assert one.features["registers"] == 40
    assert one.code_hash == "ab" * 8
    assert one.gain == LARGEST_GAIN
    assert (two.verdict, two.seconds, two.cell, two.score, two.gain) == ("wrong", None, None, None, 0.0)
    assert two.nearness is not None
    assert 2.0 < two.nearness < 3.0  # build and static passed, correctness did not quite
    assert archive.standing(0) == Standing(0, passed=1, failed=1, best_seconds=3e-5, since_gain=1)


def test_absorbing_again_changes_nothing(store: Store) -> None:
    archive = an_archive(store)
    feed(store, archive, attempt(1, 3e-5), attempt(2, WRONG))
    before = [(e.id, e.number) for e in entries(store, archive)], archive.standing(0), archive.standing(1)
    archive.absorb([attempt(1, 3e-5), attempt(2, WRONG)])
    assert ([(e.id, e.number) for e in entries(store, archive)], archive.standing(0), archive.standing(1)) == before


def test_attempts_of_another_task_or_not_stored_are_refused_and_nothing_is_taken_in(store: Store) -> None:
    archive = an_archive(store)
    other = replace(TASK, source="class Model: pass\n")
    strange = attempt(2, 2e-5)
    strange = replace(strange, evaluation=strange.evaluation.model_copy(update={"task_id": other.id}))
    store.add_attempt(attempt(1, 3e-5))
    with pytest.raises(StoreError, match="is about task"):
        archive.absorb([attempt(1, 3e-5), strange])
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        archive.absorb([attempt(1, 3e-5), attempt(9, 1e-5)])
    assert entries(store, archive) == []
    assert archive.problems() == []


def test_times_of_another_kind_or_gpu_are_passed_over(store: Store) -> None:
    archive = an_archive(store)
    passed = attempt(1, 3e-5)
    assert passed.evaluation.timing is not None
    elsewhere = passed.evaluation.model_copy(
        update={"timing": passed.evaluation.timing.model_copy(update={"gpu": "A100"})}
    )
    feed(store, archive, replace(passed, evaluation=elsewhere))
    assert entries(store, archive) == []


def test_the_same_kernel_in_other_words_is_kept_and_marked_and_never_bred_from(store: Store) -> None:
    archive = an_archive(store, islands=1)
    plain = source(1)
    renamed = "# mine\n" + plain.replace("scale", "times").replace("1.0f", "1.f")
    feed(store, archive, attempt(1, 3e-5, text=plain), attempt(2, 1e-5, text=renamed), attempt(3, 3e-5))
    one, two, three = entries(store, archive)
    assert (one.duplicate_of, two.duplicate_of, three.duplicate_of) == (None, one.id, None)
    assert elites(store, archive) == {(0, 1): 0}  # not 2, though faster; 3 is no faster
    standing = archive.standing(0)
    assert (standing.passed, standing.best_seconds, standing.since_gain) == (2, 3e-5, 2)
    drawn = {n for i in range(10, 40) for n in numbers(archive.draw(RUN, i, 0, Operator.CROSSOVER, "", "s"))}
    assert drawn == {1, 3}


def test_the_same_compiled_code_is_a_duplicate_too_but_not_with_another_verdict(store: Store) -> None:
    archive = an_archive(store, islands=1)
    code = "0123456789abcdef"
    feed(
        store, archive, attempt(1, WRONG, compiled=code), attempt(2, 2e-5, compiled=code), attempt(3, 2e-5, compiled=code),
        attempt(4, 2e-5, compiled=""), attempt(5, 2e-5, compiled=""),
    )  # fmt: skip
    found = entries(store, archive)
    assert [e.duplicate_of for e in found] == [None, None, found[1].id, None, None]


def test_alike_sources_are_duplicates_only_with_the_same_cell_and_time(store: Store) -> None:
    pytest.importorskip("datasketch")
    archive = an_archive(store, islands=1)
    long = " ".join(f"y[{i}] += x[{i}];" for i in range(200))
    texts = [source(1, long + f"y[0] = {i}.0f;") for i in range(4)]
    feed(
        store, archive, attempt(1, 3e-5, text=texts[0]), attempt(2, 3e-5, text=texts[1]), attempt(3, 2e-5, text=texts[2]),
        attempt(4, 3e-5, text=texts[3], registers=200),
    )  # fmt: skip
    found = entries(store, archive)
    assert [e.duplicate_of for e in found] == [None, found[0].id, None, None]


def test_the_elite_of_a_cell_is_the_noticeably_fastest(store: Store) -> None:
    archive = an_archive(store, islands=1)
    feed(
        store, archive, attempt(1, 3e-5), attempt(2, 3e-5 / (NOTICEABLE - 0.001)), attempt(3, 9e-5, registers=100),
        attempt(4, 2e-5),
    )  # fmt: skip
    assert elites(store, archive) == {(0, 3): 0, (0, 4): 0}
    assert archive.standing(0).since_gain == 0
    feed(store, archive, attempt(5, 1.999e-5))
    assert elites(store, archive) == {(0, 3): 0, (0, 4): 0}
    assert archive.standing(0).since_gain == 1


def test_a_draw_is_made_once_and_counted_as_offspring(store: Store) -> None:
    archive = an_archive(store, islands=1)
    feed(store, archive, attempt(1, 3e-5))
    assert archive.drawn(RUN, 2) is None
    draw = archive.draw(RUN, 2, 0, Operator.TUNE, "someone", "s")
    assert (draw.operator, draw.author, draw.island, numbers(draw)) == (Operator.TUNE, "someone", 0, [1])
    assert draw.parents[0].kernel == attempt(1, 3e-5).kernel
    assert draw.parents[0].evaluation == attempt(1, 3e-5).evaluation
    assert archive.drawn(RUN, 2) == draw
    assert archive.draw(RUN, 2, 0, Operator.REWRITE, "other", "t") == draw
    assert elites(store, archive) == {(0, 1): 1}
    feed(store, archive, attempt(2, 2e-5))
    child = entries(store, archive)[1]
    # "someone" was asked, and let another one write it
    assert (child.operator, child.author, child.generation) == ("tune", "scripted", 1)
    assert archive.outcomes()[0].arm == Arm(Operator.TUNE, "scripted")


def test_a_start_has_no_parent_and_what_is_lacking_is_said(store: Store) -> None:
    archive = an_archive(store, islands=1)
    assert archive.draw(RUN, 1, 0, Operator.START, "", "s").parents == ()
    nothing = archive.draw(RUN, 2, 0, Operator.DIFF, "", "s")
    assert (nothing.operator, nothing.parents) == (Operator.START, ())
    assert "nothing to diff" in nothing.notes[0]
    feed(store, archive, attempt(1, 3e-5))
    alone = archive.draw(RUN, 3, 0, Operator.CROSSOVER, "", "s")
    assert (alone.operator, numbers(alone)) == (Operator.DIFF, [1])
    assert "no second parent" in alone.notes[0]


def test_a_crossover_has_two_parents_of_different_cells_where_there_are_some(store: Store) -> None:
    archive = an_archive(store, islands=1)
    feed(store, archive, attempt(1, 3e-5), attempt(2, 3e-5, registers=100), attempt(3, 9e-5))
    draws = [numbers(archive.draw(RUN, i, 0, Operator.CROSSOVER, "", "s")) for i in range(10, 30)]
    assert {tuple(sorted(pair)) for pair in draws} == {(1, 2)}
    feed(store, archive, attempt(4, 3e-5, registers=101))


def test_the_failure_nearest_to_correct_is_mended_first(store: Store) -> None:
    archive = an_archive(store, islands=1)
    feed(
        store, archive, attempt(1, Verdict.COMPILE_ERROR), attempt(2, WRONG, share=1e6), attempt(3, WRONG, share=1.5),
        attempt(4, Verdict.CHEATING),
    )  # fmt: skip
    assert archive.standing(0).failed == 3
    draws = [numbers(archive.draw(RUN, i, 0, Operator.REPAIR, "", "s"))[0] for i in range(10, 60)]
    count = {n: draws.count(n) for n in (1, 2, 3, 4)}
    assert count[3] > count[2] > 0
    assert count[4] == 0
    assert 2 * count[3] < len(draws) + 20  # every try makes the next one less likely


def test_the_best_of_the_neighbour_comes_after_some_attempts(store: Store) -> None:
    archive = an_archive(store, islands=2, migrate_every=2)
    for number, island in ((1, 0), (2, 1), (3, 0), (4, 1)):
        archive.draw(RUN, number, island, Operator.START, "", "s")
    feed(store, archive, attempt(1, 3e-5), attempt(2, 9e-5), attempt(3, 1e-5, registers=100), attempt(4, 8e-5))
    migrant = archive.draw(RUN, 5, 1, Operator.TUNE, "", "s")
    assert (numbers(migrant), migrant.notes) == ([3], ("migrated from island 0",))
    assert numbers(archive.draw(RUN, 7, 1, Operator.TUNE, "", "s")) == [4]
    feed(store, archive, attempt(5, 7e-5))
    with store._reading() as session:
        assert session.get_one(IslandRow, (archive.id, 1)).entries == 3  # the child stays on the island that asked


def test_a_stagnant_island_draws_from_other_cells_and_then_begins_anew(store: Store) -> None:
    archive = an_archive(store, islands=2, migrate_every=1000, stagnant_after=2, restart_after=4)
    shapes: dict[int, tuple[float, int]] = {1: (1e-5, 24), 2: (3e-5, 24), 3: (1e-5, 24), 4: (9e-5, 100)}
    for number in range(1, 12):
        archive.draw(RUN, number, (number - 1) % 2, Operator.START, "", "s")
    for number, (seconds, registers) in shapes.items():
        feed(store, archive, attempt(number, seconds, registers=registers))
    assert archive.standing(1).since_gain == 1
    feed(store, archive, attempt(6, WRONG))
    assert numbers(archive.draw(RUN, 20, 1, Operator.TUNE, "", "s")) == [4]  # not the fastest, 2
    feed(store, archive, attempt(8, WRONG), attempt(10, Verdict.CRASHED))
    again = archive.draw(RUN, 22, 1, Operator.TUNE, "", "s")
    assert numbers(again) == [1]
    assert again.notes == ("island begun anew: drawn from island 0",)
    assert all(island == 0 for island, _ in elites(store, archive))
    assert archive.standing(1) == Standing(1, passed=2, failed=3, best_seconds=3e-5, since_gain=0)
    assert archive.draw(RUN, 24, 1, Operator.TUNE, "", "s").notes == ("island empty: drawn from island 0",)
    feed(store, archive, attempt(22, 5e-5))
    assert elites(store, archive)[1, 22] == 0
    # the island with the best kernel is never begun anew, however long nothing better comes
    feed(store, archive, *[attempt(n, WRONG) for n in (5, 7, 9, 11, 13)])
    assert "begun anew" not in str(archive.draw(RUN, 31, 0, Operator.TUNE, "", "s").notes)
    assert archive.problems() == []


def test_archives_of_runs_do_not_mix(store: Store) -> None:
    one, two = an_archive(store, name="one"), an_archive(store, name="two")
    store.add_attempt(attempt(1, 3e-5))
    one.absorb([attempt(1, 3e-5)])
    assert entries(store, two) == []
    assert two.draw(RUN, 2, 0, Operator.TUNE, "", "s").operator is Operator.START
    assert one.drawn(RUN, 2) is None


def test_what_is_written_can_not_be_changed(store: Store) -> None:
    archive = an_archive(store)
    feed(store, archive, attempt(1, 3e-5))
    archive.draw(RUN, 2, 0, Operator.START, "", "s")
    for table in ("archive_entries", "archive_draws"):
        for change in (f"UPDATE {table} SET island = 1", f"DELETE FROM {table}"):
            with pytest.raises(StoreError, match="immutable"), store._writing() as session:
                session.execute(text(change))
    with pytest.raises(StoreError, match="immutable"), store._writing() as session:
        session.delete(session.scalars(select(EntryRow)).one())
    assert len(entries(store, archive)) == 1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1e-5, 1.001e-5, 2e-5, 5e-5, WRONG, Verdict.COMPILE_ERROR, Verdict.CHEATING]),
            st.integers(1, 9),  # the kernel: few, so that some are duplicates
            st.sampled_from([24, 100]),
            st.sampled_from(list(Operator)),
        ),
        max_size=24,
    ),
    st.integers(1, 3),
)
def test_elites_and_islands_are_what_the_entries_say_and_the_seed_decides_the_draws(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[tuple[float | Verdict, int, int, Operator]], islands: int
) -> None:
    made = []
    for twice in (False, True):  # as a process does that was killed after every attempt and goes on
        with Store(tmp_path_factory.mktemp("a") / "k.db", clock=lambda: EPOCH) as store:
            archive = an_archive(store, islands=islands, migrate_every=3, stagnant_after=3, restart_after=5)
            draws = []
            for number, (outcome, version, registers, operator) in enumerate(steps, 1):
                draws.append(archive.draw(RUN, number, number % islands, operator, "", "seed"))
                feed(store, archive, attempt(number, outcome, version=version, registers=registers))
                if twice:
                    archive.absorb([attempt(number, outcome, version=version, registers=registers)])
                    assert archive.draw(RUN, number, 0, Operator.START, "", "other") == draws[-1]
            assert archive.problems() == []
            assert [archive.drawn(RUN, draw.number) for draw in draws] == draws
            found = entries(store, archive)
            originals = {e.id for e in found if e.duplicate_of is None}
            assert {e.duplicate_of for e in found} - {None} <= originals
            with store._reading() as session:
                bred = set(session.scalars(select(DrawParentRow.entry_id)))
            assert bred <= originals
            made.append(draws)
    assert made[0] == made[1]


def test_the_check_finds_what_is_wrong(store: Store) -> None:
    archive = an_archive(store, islands=1)
    feed(store, archive, attempt(1, 3e-5))
    with store._writing() as session:
        session.execute(text("UPDATE archive_elites SET offspring = 7"))
        session.execute(text("UPDATE archive_islands SET passed = 4"))
    assert [line.split(":")[0] for line in archive.problems()] == ["island 0", "island 0, cell r0-s0-o50-d67-plain"]


def test_a_run_that_is_not_there_can_not_draw(store: Store) -> None:
    archive = an_archive(store)
    with pytest.raises(StoreError):
        archive.draw("nobody", 1, 0, Operator.START, "", "s")
    with pytest.raises(ValueError, match="islands 0 to 1"):
        archive.draw(RUN, 1, 2, Operator.START, "", "s")
    store.create_run(a_run("other-1"))
    assert archive.draw("other-1", 1, 0, Operator.START, "", "s").run_id == "other-1"
