"""Text by strangers in a prompt: it stays in its fence, nothing in it is invisible, and what is left out is said."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kernelwright.agents.llm.text import fenced, numbered, one_line, shortened, visible

NASTY = st.text(alphabet=st.sampled_from("`~ab \n\t\r\0\u202e\ufeff\u2028#|") | st.characters(), max_size=400)


@given(NASTY, NASTY)
def test_no_text_ends_its_fence(text: str, after: str) -> None:
    prompt = f"Look:\n\n{fenced(text, 200, 'python')}\n\nTHE END"
    tokens = MarkdownIt().parse(prompt)
    assert [token.type for token in tokens] == [
        "paragraph_open", "inline", "paragraph_close", "fence", "paragraph_open", "inline", "paragraph_close",
    ]  # fmt: skip
    assert tokens[3].info == "python"
    assert tokens[-2].content == "THE END"


@given(NASTY)
def test_what_nobody_sees_is_shown(text: str) -> None:
    shown = visible(text)
    hidden = [c for c in shown if unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"} and c not in "\n\t"]
    assert hidden == []
    for mark in "\u200b\u202e\u2066\ufeff\U000e0041\u00ad":
        assert mark not in shown
    shown.encode()


def test_visible_text_is_left_as_it_is() -> None:
    text = 'float x = 1.0f;\t// größer, "π" &lt; 日本語\n'
    assert visible(text) == text
    assert visible("a\r\nb") == "a\nb"
    assert visible("a\0b\x1b[31m\u202e") == "a\\x00b\\x1b[31m\\u202e"


@given(st.text(max_size=3000), st.integers(64, 500))
def test_what_is_left_out_is_counted(text: str, most: int) -> None:
    cut = shortened(text, most)
    assert len(cut) <= max(most, 0)
    if len(text) <= most:
        assert cut == text
        return
    head, number, tail = re.fullmatch(r"(?s)(.*)\n\[\.\.\. ([\d,]+) characters left out \.\.\.\]\n(.*)", cut).groups()  # type: ignore[union-attr]
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + len(tail) + int(number.replace(",", "")) == len(text)


def test_a_run_of_backticks_does_not_become_the_prompt() -> None:
    block = fenced("`" * 100_000, 50_000)
    assert len(block) < 300
    assert "[... 99,969 backticks left out ...]" in block


def test_lines_are_numbered_from_one() -> None:
    assert numbered("a\nb\n") == "   1 | a\n   2 | b"
    assert numbered("") == ""


@pytest.mark.parametrize("text", ["a\nb\tc", "```x```", "a | b", "x" * 1000, "\u202e\0", "\ud800"])
def test_one_line_breaks_out_of_nothing(text: str) -> None:
    line = one_line(text, 100)
    assert len(line) <= 100
    assert not set(line) & set("\n`|\u202e")
    line.encode()
