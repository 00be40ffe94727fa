"""Run ids: short, readable, unique."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.rl.ids import new_run_id


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("softmax", "softmax-"),
        ("Layer Norm (1024×768)", "layer-norm-1024-768-"),
        ("Café", "cafe-"),
        ("23_Softmax.py", "23-softmax-py-"),
        ("ソフト", "run-"),
        ("", "run-"),
        ("x" * 100, "x" * 32 + "-"),
    ],
)
def test_begins_with_the_task(name: str, begins: str) -> None:
    assert re.fullmatch(re.escape(begins) + "[0-9a-z]{6}", new_run_id(name))


@given(st.text(), st.integers())
def test_safe_everywhere(name: str, seed: int) -> None:
    """In a shell, a file name, a URL, and the 64 characters of the column."""
    made = new_run_id(name, random.Random(seed))
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", made)
    assert len(made) <= 39
    assert made == new_run_id(name, random.Random(seed))


def test_different_each_time() -> None:
    assert len({new_run_id("softmax") for _ in range(1000)}) >= 999
