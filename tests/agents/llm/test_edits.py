"""Search/replace blocks: applied exactly, or an error that says why not."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernelwright.agents.llm.edits import EditProblem, apply_edits, find_edits, has_edits, without_edits

SOURCE = "import torch\n\nA = 1\nB = 2\n\ndef f():\n    return A\n\ndef g():\n    return A\n"
LINES = st.lists(st.sampled_from(["a", "b", "  a", "", "c = 1", "d"]), min_size=1, max_size=20)


def block(search: str, replace: str) -> str:
    return f"<<<<<<< SEARCH\n{search}\n=======\n{replace + chr(10) if replace else ''}>>>>>>> REPLACE\n"


def edited(reply: str, source: str = SOURCE) -> str:
    return apply_edits(source, find_edits(reply))


def test_a_line_is_replaced() -> None:
    assert edited(f"PLAN: two\n\n```\n{block('B = 2', 'B = 3')}```\n") == SOURCE.replace("B = 2", "B = 3")


def test_lines_are_added_and_taken_out() -> None:
    assert edited(block("B = 2", "B = 2\nC = 3")) == SOURCE.replace("B = 2\n", "B = 2\nC = 3\n")
    assert edited(block("B = 2", "")) == SOURCE.replace("B = 2\n", "")


def test_blanks_at_line_ends_do_not_matter_and_others_do() -> None:
    assert edited(block("A = 1  \nB = 2\t", "A = 9")) == SOURCE.replace("A = 1\nB = 2\n", "A = 9\n")
    assert edited(block("A = 1", "A = 9"), SOURCE.replace("A = 1", "A = 1   ")) == SOURCE.replace("A = 1", "A = 9")
    with pytest.raises(EditProblem, match=r"no line 'return A' with that indentation \(line 7 has another\)"):
        edited(block("return A", "return B"))
    with pytest.raises(EditProblem, match="no line 'A  = 1'"):
        edited(block("A  = 1", "A = 2"))


def test_several_blocks_refer_to_the_kernel_as_it_was() -> None:
    swapped = edited(block("A = 1", "B = 2") + "and\n" + block("B = 2", "A = 1"))
    assert swapped == SOURCE.replace("A = 1\nB = 2", "B = 2\nA = 1")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (block("    return A", "    return B"), r"occur 2 times in the kernel \(at lines 7, 10\)"),
        (block("C = 3", ""), "the kernel has no line 'C = 3'"),
        (block("B = 2\nA = 1", ""), "not one after the other"),
        (block("\n", "x"), "searches for nothing"),
        (block("A = 1\nB = 2", "x") + block("B = 2", "y"), "blocks 1 and 2 overlap"),
        ("<<<<<<< SEARCH\nA = 1\n=======\nA = 2\n", "block 1 has no end: the reply stops inside it"),
        ("<<<<<<< SEARCH\nA = 1\n>>>>>>> REPLACE\n", "no line of ======="),
        ("<<<<<<< SEARCH\nA = 1\n<<<<<<< SEARCH\n", "no end before the next"),
        ("<<<<<<< SEARCH\nA = 1\n=======\nx\n=======\ny\n>>>>>>> REPLACE\n", "more than one line of ======="),
        (block("A = 1", "A = 2") * 300, "too many"),
    ],
)
def test_what_does_not_apply_is_an_error_that_says_why(reply: str, message: str) -> None:
    with pytest.raises(EditProblem, match=message):
        edited(reply)


@given(LINES, LINES, st.integers(0, 19), st.integers(1, 5))
def test_an_edit_is_the_slice_it_says(lines: list[str], new: list[str], start: int, size: int) -> None:
    assume(start + size <= len(lines))
    search = lines[start : start + size]
    assume(any(search))
    places = [n for n in range(len(lines) - size + 1) if lines[n : n + size] == search]
    reply = block("\n".join(search), "\n".join(new)) if any(new) else block("\n".join(search), "")
    wanted = [*lines[:start], *(new if any(new) else []), *lines[start + size :]]
    if len(places) == 1:
        assert edited(reply, "\n".join(lines)) == "\n".join(wanted)
    else:
        with pytest.raises(EditProblem, match=f"occur {len(places)} times"):
            edited(reply, "\n".join(lines))


def test_what_stands_around_blocks_is_left() -> None:
    reply = f"before\n{block('A', 'B')}after"
    assert has_edits(reply)
    assert without_edits(reply) == "before\nafter"
    assert not has_edits("a << SEARCH\n<<<<<<< HEAD\n")


def test_a_kernel_with_other_line_ends_can_be_changed() -> None:
    assert edited(block("B = 2", "B = 3"), SOURCE.replace("\n", "\r\n")) == SOURCE.replace("B = 2", "B = 3")
