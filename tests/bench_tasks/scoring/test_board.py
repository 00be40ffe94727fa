"""The leaderboard as data: what is never in one table, and what every row says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scoring_entries import DAY, entry, of, refused, trial

from kernelwright.bench_tasks.scoring.board import environment_hash, row_of, sections
from kernelwright.bench_tasks.scoring.results import NOT_RUN, Integrity
from kernelwright.bench_tasks.suite import Scale
from kernelwright.leaderboard.cells import cells

USUAL = of([2.0, 3.0, None])


@pytest.mark.parametrize(
    "other",
    [
        replace(USUAL, timing_kind="measured", device="cuda"),
        replace(USUAL, gpu="A100"),
        replace(USUAL, scale=Scale.FULL),
        replace(USUAL, suite_digest="f" * 16),
        replace(USUAL, suite="fusion"),
        replace(USUAL, baseline="compile"),
        replace(USUAL, claimed=True),
        replace(USUAL, suite_size=4),
        of([2.0, 3.0], suite_size=3),
    ],
    ids=["kind", "gpu", "scale", "digest", "suite", "baseline", "claimed", "suite size", "part"],
)
def test_what_can_not_be_compared_shares_no_table(other) -> None:  # type: ignore[no-untyped-def]
    found = sections([USUAL, other])
    assert [len(section.rows) for section in found] == [1, 1]
    assert found[0].ground.slug != found[1].ground.slug
    assert found[0].ground.heading != found[1].ground.heading or found[0].ground.digest != found[1].ground.digest


def test_a_section_is_ranked_by_the_headline() -> None:
    """One is far ahead, two are alike; who solved the same with less is no better."""
    ahead = of([4.0 + i / 10 for i in range(20)], id="ahead")
    near = [of([2.0 + i / 10 for i in range(20)], id=f"near{i}", created=DAY.replace(day=i + 1)) for i in range(2)]
    (section,) = sections([near[1], ahead, near[0]])
    assert [(row.entry.id, row.rank) for row in section.rows] == [("ahead", 1), ("near0", 2), ("near1", 2)]
    assert section.rows[0].behind is None
    assert section.rows[1].behind is not None
    assert section.rows[1].behind.differ


def test_an_entry_of_few_tasks_does_not_pass_one_of_all() -> None:
    part, whole = of([9.0, 9.0], suite_size=30, id="part"), of([2.0] * 30, id="whole")
    found = sections([part, whole])
    assert [(s.rows[0].entry.id, s.ground.heading) for s in found] == [
        ("whole", "core, all 30 tasks, twins (scaled down), modelled for H200, against eager"),
        ("part", "core, 2 of 30 tasks (t0, t1), twins (scaled down), modelled for H200, against eager"),
    ]


def test_a_row_says_everything() -> None:
    one = entry(
        [
            trial("a", 2.0, share=2.0),  # twice as fast as the bound allows
            replace(trial("b", 3.0), integrity=Integrity.SUSPECT),
            refused(trial("c", 50.0)),
            trial("d", None),
        ],
        ["a", "b", "c", "d", "e"],
        environment={"torch": "2", "commit": "abc"},
    )
    row = row_of(one, p=1.5, seed=0)
    told = json.loads(json.dumps(row.to_json()))
    assert told["coverage"] == {"tried": 4, "asked": 5, "suite": 5, "solved": 2, "repeats": 1}
    assert told["correctness"]["value"] == pytest.approx(0.4)
    assert told["fast_1"]["value"] == told["fast_p"]["value"] == pytest.approx(0.2)
    assert told["integrity"] == {"clean": 2, "suspect": 1, "refused": 1}
    assert told["geomean"]["value"] == pytest.approx(3.0**0.2)  # the first one was cut to 1x
    assert told["cut_at_roofline"] == 1
    assert told["costs"]["dollars_per_solved"] == pytest.approx(0.2)
    assert told["environment_hash"] == environment_hash(one)
    assert environment_hash(replace(one, environment={"commit": "abc", "torch": "2"})) == environment_hash(one)
    assert environment_hash(replace(one, environment={"torch": "3"})) != environment_hash(one)


def test_a_search_that_wrote_nothing_was_tried_and_has_no_integrity() -> None:
    one = entry([trial("a", 2.0), trial("b", problem="It can't be written."), trial("c", problem=NOT_RUN)])
    told = row_of(one, p=1.0, seed=0).to_json()
    assert told["coverage"]["tried"] == 2
    assert told["integrity"] == {"clean": 1, "suspect": 0, "refused": 0}
    assert told["without_kernel"] == 2
    assert cells(row_of(entry([trial("b", problem="It can't be written.")]), p=1.0, seed=0))["integrity"] == ("-", "")
