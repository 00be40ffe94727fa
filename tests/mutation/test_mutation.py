"""Mutants are refused: a sample of them, of each family of faults; `make mutation-test` judges all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from honest.corpus import KERNELS
from honest.judge import References
from mutation.equivalent import BY_ARGUMENT, same_machine_code
from mutation.explained import EXPLAINED
from mutation.mutants import Mutant, all_mutants, chosen_mutants
from mutation.operators import OPERATORS
from mutation.report import PAGE, RESULTS, page
from mutation.run import judge_mutant

SAMPLE = (
    "sigmoid-float4/constant_0.02_percent/0",
    "matmul-split_k/bf16_operand/0",
    "row_min-block/small_grid/0",
    "log_softmax-registers/works_in_the_input/0",
    "matmul-naive/stale_output/0",
    "row_sum-atomic/plain_for_atomic/0",
    "tanh-unrolled/approximate_tanh/0",
    "batch_norm-grid_stride/wrong_epsilon/0",
    "matmul_half-wmma/missing_warp_barrier/0",
)
"""Names of the mutants of a default run, with verdicts of several kinds."""


@pytest.fixture(scope="module")
def references() -> Iterator[References]:
    opened = References()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def mutants() -> dict[str, Mutant]:
    return {mutant.name: mutant for operator in OPERATORS for mutant in all_mutants(operator)}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_mutant_is_refused(name: str, mutants: dict[str, Mutant], references: References) -> None:
    line = judge_mutant(mutants[name], references)
    assert line["verdict"] not in {"passed", "compile_error"}, line["reason"]


def test_a_run_has_the_same_mutants_each_time(mutants: dict[str, Mutant]) -> None:
    chosen = chosen_mutants()
    assert [m.key for m in chosen] == [m.key for m in chosen_mutants()]
    assert len({m.key for m in chosen}) == len(chosen) >= 320
    assert {*SAMPLE, *BY_ARGUMENT, *EXPLAINED} <= set(mutants)
    by_operator = Counter(m.operator.name for m in chosen)
    assert {operator.name for operator in OPERATORS} == set(by_operator)
    assert len({m.kernel.task for m in chosen}) >= 50


def test_every_mutant_is_another_module_that_python_compiles(mutants: dict[str, Mutant]) -> None:
    for name, mutant in mutants.items():
        assert mutant.source != mutant.kernel.source, name
        assert mutant.diff.count("\n+") + mutant.diff.startswith("+") >= 1 or "\n-" in "\n" + mutant.diff, name
        compile(mutant.source, name, "exec")


def test_machine_code_tells_an_equivalent_mutant() -> None:
    kernel = next(kernel for kernel in KERNELS if kernel.name == "relu-naive")
    commented = kernel.source.replace("int i =", "// the element\n    int i =")
    assert same_machine_code(kernel.source, commented)
    assert not same_machine_code(kernel.source, kernel.source.replace("i < n", "i < n - 1"))
    assert not same_machine_code(kernel.source, kernel.source.replace("(256,)", "(128,)"))


def test_the_page_says_what_the_results_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(json.loads(RESULTS.read_text(encoding="utf-8")))
