"""Charts of steps: fast_p curves and records. Level, then down, whatever the figures; names of strangers stay text."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from judged_attempts import EVIL
from scoring_entries import DAY, of

from kernelwright.bench_tasks.scoring.board import sections
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.web.charts.fast_p import fast_p_chart
from kernelwright.web.charts.records import records_chart
from kernelwright.web.views.leaderboard import BoardRow, _section
from kernelwright.web.views.tasks import Record


def rows(*speedups: list[float | None], author: str = "ada") -> list[BoardRow]:
    found = sections([of(each, id=f"e{n}", author=author) for n, each in enumerate(speedups)])
    return _section(found[0], {}).rows


def record(number: int, seconds: float, gpu: str = "H200") -> Record:
    return Record(
        gpu=gpu, kind=TimingKind.MODELLED, created=DAY + timedelta(hours=number), seconds=seconds, baseline_seconds=1.0,
        kernel_id="k", evaluation_id="e", author="ada",
    )  # fmt: skip


@given(st.lists(st.none() | st.floats(0.02, 50.0), min_size=1, max_size=20), st.floats(0.0, 10.0))
def test_a_curve_falls_in_steps_within_its_frame(speedups: list[float | None], p: float) -> None:
    chart = fast_p_chart(rows(speedups), p)
    ElementTree.fromstring(chart)
    (points,) = re.findall(r'class="line curve-1" points="([^"]*)"', chart)
    places = [tuple(map(float, each.split(","))) for each in points.split()]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(places))
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted(y for _, y in places)
    assert all(0 <= x <= 640 and 0 <= y <= 280 for x, y in places)
    mark = re.search(r'class="mark" x1="([\d.]+)"', chart)
    assert mark is not None
    assert 48 <= float(mark[1]) <= 624


@given(st.lists(st.floats(1e-9, 10.0), min_size=1, max_size=12), st.sampled_from(["H200", EVIL]))
def test_records_lie_within_their_frame(times: list[float], gpu: str) -> None:
    falling = sorted(times, reverse=True)
    chart = records_chart([record(n, s, gpu) for n, s in enumerate(falling)] + [record(3, 1e-3, "other")])
    root = ElementTree.fromstring(chart)
    dots = [(float(e.get("cx", "")), float(e.get("cy", ""))) for e in root.iter("circle")]
    assert len(dots) == len(times) + 1
    assert all(72 <= x <= 544 and 14 <= y <= 220 for x, y in dots)
    assert "\u202e" not in chart


def test_strangers_names_are_text() -> None:
    chart = fast_p_chart(rows([2.0, 3.0], [1.0, None], author=EVIL), 1.0)
    assert {each.tag for each in ElementTree.fromstring(chart).iter()} == {
        "svg",
        "line",
        "text",
        "polygon",
        "polyline",
        "title",
    }


def test_nothing_to_draw() -> None:
    assert (fast_p_chart([], 1.0), records_chart([])) == ("", "")
