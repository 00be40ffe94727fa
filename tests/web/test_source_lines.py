"""Sources as lines and differences of sources: nothing is lost, nothing is markup, against Python's own rules."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_attempts import EVIL
from web_pages import Page

from kernelwright.web.source_lines import difference, source_lines, visible

TEXTS = st.text(st.characters(codec="utf-8"), max_size=200) | st.lists(
    st.sampled_from(
        ["x = 1", 'CUDA = r"""', "__global__ void k() {", "}", '"""', "", "</code>", "\u202e", "# <b>", "\t", "\r"]
    )
).map("\n".join)


@given(TEXTS)
def test_every_character_comes_out_as_text(text: str) -> None:
    text = text.replace("\r\n", "\n")
    lines = source_lines(text)
    expected = text.split("\n")[: -1 if text.endswith("\n") or not text else None]
    assert len(lines) == len(expected)
    for line, said in zip(lines, expected, strict=True):
        page = Page(str(line))
        assert {tag for tag, _ in page.tags} <= {"span"}
        assert page.text == str(Page(str(visible(said))).text)


def test_strings_of_cuda_are_coloured_as_cuda() -> None:
    lines = source_lines('CODE = r"""\n__global__ void k(int n) { return; }  // why\n"""\nname = "text"\n')
    assert '<span class="k">return</span>' in lines[1]
    assert '<span class="c">// why</span>' in lines[1]
    assert '<span class="s">&#34;text&#34;</span>' in lines[3] or '<span class="s">text</span>' in lines[3]


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\x00", "\x1b", "\u200b", "\ufeff"])
def test_what_is_not_seen_is_shown(character: str) -> None:
    assert unicodedata.category(character) in {"Cf", "Cc"}
    (line,) = source_lines(f"a{character}b")
    assert character not in line
    assert f"U+{ord(character):04X}" in line


def test_long_lines_and_long_texts_are_cut_and_say_so() -> None:
    (line,) = source_lines("x" * 1_000_000)
    assert len(line) < 3000
    assert "998,000 more" in line
    lines = source_lines("\n" * 50_000)
    assert len(lines) < 7000
    assert "left out" in lines[-1]


LINES = st.lists(st.sampled_from(["a", "b", "c", EVIL, ""]), max_size=12)


@given(LINES, LINES)
def test_a_difference_gives_back_both_sources(old: list[str], new: list[str]) -> None:
    found = difference("\n".join(old), "\n".join(new), around=1000)
    if old == new or "\n".join(old) == "\n".join(new):
        assert (found.lines, found.added, found.removed) == ([], 0, 0)
        assert "the same" in found.omitted
        return
    kept = {kind: [line for line in found.lines if line.kind in {"same", kind}] for kind in ("removed", "added")}
    assert [line.text for line in kept["removed"]] == "\n".join(old).split("\n")
    assert [line.text for line in kept["added"]] == "\n".join(new).split("\n")
    assert [line.old for line in kept["removed"]] == list(range(1, len(kept["removed"]) + 1))
    assert [line.new for line in kept["added"]] == list(range(1, len(kept["added"]) + 1))


def test_far_changes_have_a_gap_between_them() -> None:
    old = [str(n) for n in range(100)]
    new = ["first", *old[1:50], "middle", *old[51:]]
    found = difference("\n".join(old), "\n".join(new))
    assert [line.text for line in found.lines if line.kind == "added"] == ["first", "middle"]
    assert sum(line.kind == "gap" for line in found.lines) == 1
    assert len(found.lines) == 4 + 1 + 1 + 8


def test_sources_too_long_are_not_compared() -> None:
    assert "too long" in difference("a\n" * 5000, "b\n" * 5000).omitted
