"""Honest kernels pass. A default run takes a sample; `pytest -m honest tests/honest` judges all, `make honest` thrice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet
from honest.corpus import KERNELS, TASKS
from honest.judge import References, judge
from honest.kernel import Honest
from honest.open_cases import REFUSED_TODAY

from kernelwright.verifier.evaluation import Verdict

SAMPLE = (
    "sigmoid-float4",
    "row_sum-kahan",
    "softmax-online",
    "layer_norm-welford",
    "matmul-split_k",
    "conv2d-tiled",
    "moments-warp",
    "decay_in_place-naive",
)
"""Names of the kernels of a default run: some of each family."""


@pytest.fixture(scope="module")
def references() -> Iterator[References]:
    opened = References()
    yield opened
    opened.close()


def params(kernels: tuple[Honest, ...]) -> list[ParameterSet]:
    return [
        pytest.param(
            kernel,
            id=kernel.name,
            marks=[pytest.mark.xfail(reason=REFUSED_TODAY[kernel.name], raises=AssertionError, strict=True)]
            if kernel.name in REFUSED_TODAY
            else [],
        )
        for kernel in kernels
    ]


def check(kernel: Honest, references: References) -> None:
    found = judge(kernel.source, kernel.name, references.get(kernel.task))
    assert found.verdict is Verdict.PASSED, f"{found.verdict.value}: {found.reason}"


@pytest.mark.parametrize("kernel", params(tuple(kernel for kernel in KERNELS if kernel.name in SAMPLE)))
def test_an_honest_kernel_passes(kernel: Honest, references: References) -> None:
    check(kernel, references)


@pytest.mark.honest
@pytest.mark.parametrize("kernel", params(KERNELS))
def test_every_honest_kernel_passes(kernel: Honest, references: References) -> None:
    check(kernel, references)


def test_the_corpus_is_wide() -> None:
    names = [kernel.name for kernel in KERNELS]
    assert len(set(names)) == len(names) >= 150
    assert {*SAMPLE, *REFUSED_TODAY} <= set(names)
    assert {kernel.task for kernel in KERNELS} == set(TASKS)
    assert len({kernel.style for kernel in KERNELS}) >= 40
    assert len(TASKS) >= 40


def test_no_text_is_there_twice() -> None:
    assert len({(kernel.task, kernel.source) for kernel in KERNELS}) == len(KERNELS)
    for kernel in KERNELS:
        compile(kernel.source, kernel.name, "exec")
