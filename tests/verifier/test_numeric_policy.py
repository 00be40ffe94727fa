"""The numeric policy on many functions: every honest way of computing passes everywhere, every fault is found somewhere."""

from __future__ import annotations

import math

import numeric_narrow
import pytest
import torch
from numeric_cases import CASES, Case, faults, inputs_of, reference_of, share

from kernelwright.bench_tasks.task import DEFAULT_WORKLOADS, Distribution, NumericPolicy
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.verifier.correctness import compare_outputs

SEED = 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_honest_ways_pass_and_faults_are_found(case: Case):
    missed = set(faults(case))
    for distribution in dict.fromkeys(workload.distribution for workload in DEFAULT_WORKLOADS):
        inputs = inputs_of(case, distribution.value, SEED)
        expected = reference_of(case.function, inputs)
        for name, variant in case.honest.items():
            assert share(variant, inputs, expected) <= 1, f"{name} on {distribution.value}"
        missed -= {name for name in missed if math.isinf(share(faults(case)[name], inputs, expected))}
    assert not missed


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("distribution", [Distribution.AS_GIVEN, Distribution.NORMAL, Distribution.TINY])
def test_in_half_precision_sums_in_float32_pass_and_sums_in_half_do_not(dtype, distribution):
    case = next(case for case in CASES if case.name == "row sums")
    rows = inputs_of(case, distribution.value, SEED)[0].to(dtype)
    expected = reference_of(lambda x: torch.softmax(x, -1), [rows])
    e = torch.exp(rows.float() - rows.float().amax(-1, keepdim=True))
    honest = (e / e.sum(-1, keepdim=True)).to(dtype)
    total = torch.zeros(rows.shape[0], dtype=dtype)
    for column in e.to(dtype).t():
        total = total + column
    assert share_of(honest, expected) <= 1
    assert math.isinf(share_of((e / total[:, None].float()).to(dtype), expected))


@pytest.mark.parametrize("dtype", numeric_narrow.DTYPES)
@pytest.mark.parametrize("name", ["softmax", "layer norm", "matmul K=64", "matmul K=1024", "gelu", "silu", "conv 3x3"])
def test_in_half_precision_operands_of_8_bits_are_found_and_honest_ways_have_room(name, dtype):
    """Rounded by chance, such operands err without a bias: the root mean square has to find them."""
    case = next(case for case in CASES if case.name == name)
    rows = [numeric_narrow.shares(case, dtype, distribution) for distribution in ("as_given", "normal", "one_hot")]
    assert max(row[way] for row in rows for way in case.honest) < 0.5
    for fault in ("the same, dithered", "times 1.03"):
        assert max(row[fault] for row in rows) > 1.2, fault


def share_of(output: torch.Tensor, expected: ReferenceResult) -> float:
    mismatch, found = compare_outputs(output, expected, NumericPolicy())
    return math.inf if mismatch is not None else found
