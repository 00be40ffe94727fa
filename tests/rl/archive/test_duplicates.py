"""How alike two sources are."""

from __future__ import annotations

import pytest
from archive_doubles import attempt, source

from kernelwright.rl.archive.duplicates import ALIKE, code_hash, similarity, sketch
from kernelwright.rl.same_kernel import normal_source

LINES = [f"y[{i}] = x[{i}] * {i % 5} + x[{7 * i}];" for i in range(120)]


def test_the_code_hash_is_the_build_stages() -> None:
    assert code_hash(attempt(1, 1e-5, compiled="ab" * 8).evaluation) == "ab" * 8
    assert code_hash(attempt(1, 1e-5).evaluation) == ""
    odd = attempt(1, 1e-5).evaluation
    odd = odd.model_copy(update={"stages": [odd.stages[0].model_copy(update={"evidence": {"compiled": 7}})]})
    assert code_hash(odd) == ""
    assert code_hash(odd.model_copy(update={"stages": []})) == ""


def test_sketches_tell_alike_from_different() -> None:
    pytest.importorskip("datasketch")

    def of(lines: list[str]) -> bytes:
        made = sketch(normal_source(source(1, "\n".join(lines))))
        assert made is not None
        assert len(made) == 512
        return made

    plain = of(LINES)
    assert similarity(plain, of(LINES)) == 1.0
    assert similarity(plain, of([*LINES[60:], *LINES[:60]])) >= ALIKE
    assert similarity(plain, of([*LINES[:-1], "y[0] = 3;"])) >= ALIKE
    assert similarity(plain, of([f"y[{i}] = fmaf(x[{i}], a[{i}], sum);" for i in range(120)])) < 0.5
    assert sketch(normal_source("")) is not None


def test_sketches_of_two_lengths_are_not_compared() -> None:
    with pytest.raises(ValueError, match="two lengths"):
        similarity(b"1234", b"12345678")
