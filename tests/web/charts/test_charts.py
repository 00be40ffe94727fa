"""Charts: well-formed, inert whatever names are in them, and with everything where its number says."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_attempts import EVIL

from kernelwright.verifier.evaluation import Verdict
from kernelwright.web.charts.frame import linear, logarithmic, prefixed
from kernelwright.web.charts.intervals import Bar, bars
from kernelwright.web.charts.lineage import LETTERS, Node, tree
from kernelwright.web.charts.roofline import Place, roofline
from kernelwright.web.charts.spread import spread

TIMES = st.floats(1e-9, 10.0)
NAMES = st.text(max_size=30) | st.just(EVIL)


def parsed(chart: str) -> ElementTree.Element:
    """As a browser's parser of XML would have it."""
    found = ElementTree.fromstring(chart)
    for each in found.iter():
        assert each.tag in {"svg", "title", "desc", "line", "text", "rect", "path", "circle", "polyline", "a"}, each.tag
        assert not [name for name in each.attrib if name.startswith("on") or name == "style"]
    return found


@given(TIMES, TIMES)
def test_ticks_lie_in_the_axis_and_rise(a: float, b: float) -> None:
    low, high = sorted((a, b))
    for axis in (linear(low, high, 0, 100), logarithmic(low, high, 0, 100)):
        places = [axis.place(tick) for tick in axis.ticks]
        assert places == sorted(places)
        assert all(-0.01 <= place <= 101 for place in places), places  # a hundredth of a pixel is rounding
        assert len(axis.ticks) <= 20


def test_an_axis_of_logarithms_begins_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        logarithmic(0.0, 1.0, 0, 1)


@pytest.mark.parametrize(("value", "said"), [(1e13, "10 T"), (2.5e9, "2.5 G"), (0.1, "0.1"), (1000.0, "1 k")])
def test_prefixes(value: float, said: str) -> None:
    assert prefixed(value) == said


@given(st.lists(st.tuples(NAMES, TIMES), min_size=1, max_size=5), NAMES)
def test_bars_are_as_long_as_times(rows: list[tuple[str, float]], gpu: str) -> None:
    found = parsed(bars([Bar(name, seconds, seconds / 2, seconds * 2) for name, seconds in rows], "modelled", gpu))
    widths = [float(each.attrib["width"]) for each in found.iter("rect")]
    longest = max(seconds for _, seconds in rows)
    for width, (_, seconds) in zip(widths, rows, strict=True):
        assert width == pytest.approx(max(1.0, max(widths) * seconds / longest), abs=0.11)
    assert "modelled" in "".join(found.itertext())


@given(st.dictionaries(NAMES, st.lists(TIMES, max_size=6), max_size=5))
def test_every_time_has_its_dot(groups: dict[str, list[float]]) -> None:
    chart = spread(groups, "verified calls, modelled")
    if not any(groups.values()):
        assert chart == ""
        return
    found = parsed(chart)
    assert len(list(found.iter("circle"))) == sum(map(len, groups.values()))
    assert all(130 <= float(each.attrib["cx"]) <= 460 for each in found.iter("circle"))


@given(st.lists(st.tuples(NAMES, st.floats(1e-3, 1e5), st.floats(1e6, 1e15)), min_size=1, max_size=9))
def test_kernels_stand_inside_the_picture(kernels: list[tuple[str, float, float]]) -> None:
    places = [Place(name, intensity, achieved, "fp32") for name, intensity, achieved in kernels]
    found = parsed(roofline(places, 4.8e12, {"fp32": 6e13, "fp64": 3e13}, "measured", "H200"))
    marks = [each for each in found.iter("path") if "mark" in each.attrib["class"]]
    assert len(marks) == len(kernels)
    for mark in marks:
        x, y = map(float, re.findall(r"-?[\d.]+", mark.attrib["transform"]))
        assert 56 <= x <= 464
        assert 28 <= y <= 296
    said = "".join(found.itertext())
    assert "fp32 peak 60 TFLOP/s" in said
    assert "fp64" not in said  # no kernel stands under that roof


def test_kernels_of_one_picture_differ_in_shape() -> None:
    places = [Place(str(n), 1.0, 1e12, "fp32") for n in range(6)]
    found = parsed(roofline(places, 4.8e12, {"fp32": 6e13}, "modelled", "H200"))
    assert len({each.attrib["d"] for each in found.iter("path")}) == 6


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Verdict)), NAMES, st.lists(st.integers(0, 9), max_size=2)),
        min_size=1,
        max_size=9,
    )
)
def test_a_tree_has_a_link_for_each_attempt_and_a_line_for_each_known_parent(
    rows: list[tuple[Verdict, str, list[int]]],
) -> None:
    nodes = [
        Node(number, tuple(dict.fromkeys(parents)), verdict.value, 2.0 if verdict is Verdict.PASSED else None, False, f"/a/{number}", name)
        for number, (verdict, name, parents) in enumerate(rows)
    ]  # fmt: skip
    found = parsed(tree(nodes, "modelled"))
    assert [each.attrib["href"] for each in found.iter("a")] == [node.href for node in nodes]
    known = sum(parent < len(rows) and parent != node.number for node in nodes for parent in node.parents)
    assert sum(each.attrib["class"] == "edge" for each in found.iter("path")) == known


def test_a_verdict_is_told_without_its_colour() -> None:
    assert LETTERS.keys() == {verdict.value for verdict in Verdict}
    marked = [letter for letter in LETTERS.values() if letter]
    assert len(set(marked)) == len(marked) == len(Verdict) - 1


def test_the_faster_stands_higher() -> None:
    nodes = [Node(n, (), "passed", speedup, False, "/", "") for n, speedup in ((1, 0.5), (2, 1.0), (3, 4.0))]
    heights = [float(each.attrib["cy"]) for each in parsed(tree(nodes, "modelled")).iter("circle")]
    assert heights == sorted(heights, reverse=True)


def test_nothing_is_drawn_of_nothing() -> None:
    assert (bars([], "modelled", "H200"), spread({}, ""), roofline([], 1.0, {}, "modelled", ""), tree([], "")) == (
        "",
        "",
        "",
        "",
    )
