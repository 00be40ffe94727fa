"""Constants of a task file: what is read of them, and that replacing one changes nothing else."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.bench_tasks.constants import constants_of, with_constants
from kernelwright.errors import TaskError

SOURCE = '''"""A task."""
import torch
ROWS, COLS = 8, 128  # ROWS = 9
DTYPE: str = "float32"
ÄPFEL = N = 3; TAIL = 4
SIZES = {"ROWS": 2}
MANY = [
    1,
]
COMPUTED = ROWS * 2


class Model(torch.nn.Module):
    ROWS = 5

    def forward(self, x):
        N = 1
        return x
'''


def test_only_literals_at_the_top_level_are_constants() -> None:
    assert constants_of(SOURCE) == {
        "ROWS": 8, "COLS": 128, "DTYPE": "float32", "ÄPFEL": 3, "N": 3, "TAIL": 4, "SIZES": {"ROWS": 2}, "MANY": [1],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "def (", "\0", "x = " + "(" * 5000])
def test_what_is_no_python_has_none(text: str) -> None:
    assert constants_of(text) == {}


def test_a_name_bound_again_to_no_literal_has_no_value() -> None:
    assert constants_of("N = 3\nN = N + 1\n") == {}


def test_replacing_keeps_every_other_character_and_line() -> None:
    made = with_constants(SOURCE, {"COLS": 7, "DTYPE": "float16", "TAIL": 5000})
    assert made == SOURCE.replace("128", "7").replace('"float32"', "'float16'").replace("TAIL = 4", "TAIL = 5000")


@given(st.dictionaries(st.sampled_from(["ROWS", "COLS", "TAIL"]), st.integers(0, 10**12)))
def test_what_was_put_in_is_read_again(values: dict[str, int]) -> None:
    made = with_constants(SOURCE, values)
    assert constants_of(made) == constants_of(SOURCE) | values
    assert len(made.splitlines()) == len(SOURCE.splitlines())
    assert ast.dump(ast.parse(made).body[-1]) == ast.dump(ast.parse(SOURCE).body[-1])


@pytest.mark.parametrize(
    ("source", "name", "why"),
    [
        (SOURCE, "MISSING", "no literal"),
        (SOURCE, "MANY", "several lines"),
        ("N = 3\nN = 4\n", "N", "several values"),
        ("def f():\n    N = 3\n", "N", "no literal"),
    ],
)
def test_a_name_that_can_not_be_replaced_is_told(source: str, name: str, why: str) -> None:
    with pytest.raises(TaskError, match=why) as caught:
        with_constants(source, {name: 1}, path="task.py")
    assert caught.value.path == "task.py"
    assert name in caught.value.mend


def test_whole_numbers_that_are_multiplied_out_are_literals():
    source = "N = 1024 * 2 + 1\nM = 2 ** 99\nK = N * 2\nT = ('a' * 10,)\nB = 3 * 2.0\nBIG = 9 * 9 * 9\n"
    found = constants_of(source)
    assert found == {"N": 2049, "BIG": 729}
    assert with_constants(source, {"N": 4}).startswith("N = 4\nM")
