"""What an archive reads from an attempt."""

from __future__ import annotations

import math

import pytest
from archive_doubles import attempt
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.rl.archive.reading import UNPROFILED, nearness, read
from kernelwright.verifier.evaluation import Verdict

WRONG = Verdict.WRONG


def near(outcome: Verdict, share: float | None = None) -> float:
    found = nearness(attempt(1, outcome, share=share).evaluation)
    assert found is not None
    return found


@given(st.floats(1, 1e30), st.floats(1, 1e30))
def test_the_smaller_the_error_the_nearer_and_never_as_near_as_the_next_stage(one: float, other: float) -> None:
    a, b = sorted((one, other))
    assert near(WRONG) <= near(WRONG, b) <= near(WRONG, a) < near(WRONG) + 1


@pytest.mark.parametrize("share", [math.nan, math.inf, "much", None, -1.0, True])
def test_a_strange_share_is_no_trouble(share: object) -> None:
    assert near(WRONG) <= near(WRONG, share) <= near(WRONG) + 1  # type: ignore[arg-type]


def test_what_passed_and_what_cheats_is_not_to_be_mended() -> None:
    assert nearness(attempt(1, 1e-5).evaluation) is None
    assert nearness(attempt(1, Verdict.CHEATING).evaluation) is None


def test_only_what_passed_has_a_cell() -> None:
    assert read(attempt(1, 1e-5)).cell == "r0-s0-o50-d67-plain"
    assert read(attempt(1, WRONG)).cell is None
    bare = attempt(1, 1e-5)
    unprofiled = bare.evaluation.model_copy(update={"profile": None})
    assert read(bare.__class__(**{**vars(bare), "evaluation": unprofiled})).cell == UNPROFILED


def test_hashes() -> None:
    one, same, other = (
        read(attempt(1, 1e-5, compiled="ab" * 8)),
        read(attempt(2, WRONG, version=1)),
        read(attempt(2, 1e-5)),
    )
    assert (one.source_hash, one.code_hash, same.code_hash) == (same.source_hash, "ab" * 8, "")
    assert other.source_hash != one.source_hash
