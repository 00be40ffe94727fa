"""Rules that need no run."""

from __future__ import annotations

import pytest

from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.static import check

HONEST = '''
import torch, cupy
CUDA = r"""
// do not pass a null pointer; try: nothing
extern "C" __global__ void k(float* y) { y[threadIdx.x] = 1.0f; }
"""
class ModelNew(torch.nn.Module):
    """pass"""
    def forward(self, x):
        return x
'''


def test_honest_code_with_odd_words_in_comments_is_not_hurt():
    assert check(Kernel(HONEST, "t")) is None


@pytest.mark.parametrize(
    ("source", "verdict", "line"),
    [
        ("def f(:\n", Verdict.COMPILE_ERROR, 1),
        ("x = '\0'", Verdict.COMPILE_ERROR, None),
        ("", Verdict.REJECTED, None),
        (HONEST.replace("class ModelNew", "class Modelnew"), Verdict.REJECTED, None),
        (HONEST.replace("torch.nn.Module", "Model"), Verdict.REJECTED, 7),
        (HONEST.replace("torch.nn.Module", "reference.Model"), Verdict.REJECTED, 7),
        (HONEST.replace("__global__", "__device__"), Verdict.REJECTED, None),
        (HONEST.replace('r"""', '"x" # """').replace('\n"""\n', "\n"), Verdict.COMPILE_ERROR, None),
    ],
)
def test_each_rule(source, verdict, line):
    finding = check(Kernel(source, "t"))
    assert finding is not None
    assert finding.verdict is verdict
    if line is not None:
        assert finding.line == line


def test_a_name_bound_by_assignment_counts():
    assert check(Kernel(HONEST.replace("class ModelNew", "class Fast") + "\nModelNew = Fast\n", "t")) is None
