"""The normal form of a source: what makes no difference is gone, and what makes one stays."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.rl.archive.source import normal_source

MODULE = '''"""A kernel."""
import torch
import cupy as cp
from torch import nn

CODE = r"""
#define WIDTH 4
template <typename T> __device__ T twice(T value) { return value * 2; }
// scales a row
extern "C" __global__ void __launch_bounds__(256) scale(const float4* x, float4* y, int count) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) { float4 v = x[at]; v.x = twice(v.x) + 1.0f; y[at] = v; }  /* store */
}
"""
_kernel = cp.RawModule(code=CODE).get_function("scale")

class ModelNew(nn.Module):
    """Docs."""
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)  # the result
        _kernel((4,), (256,), (x, out, x.numel() // 4))
        return out
'''


def test_names_comments_layout_and_the_writing_of_numbers_make_no_difference() -> None:
    other = (
        MODULE.replace("scale", "run_it").replace("twice", "f").replace("count", "n").replace("WIDTH", "W")
        .replace("_kernel", "launch").replace("cp", "cupy_module").replace("out", "result").replace("1.0f", "1.F")
        .replace("256", "0x100").replace("// scales a row", "").replace("/* store */", "\n\n").replace('"""Docs."""', "")
        .replace("# the result", "").replace("value", "v1").replace(" at", " idx").replace("[at]", "[idx]").replace("(at", "(idx")
        .replace("x: torch.Tensor) -> torch.Tensor", "x)")
    )  # fmt: skip
    assert other != MODULE
    assert normal_source(other).text == normal_source(MODULE).text
    assert normal_source(other).hash == normal_source(MODULE).hash


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1.0f", "1.0"),
        ("1.0f", "2.0f"),
        ("v.x = twice(v.x)", "v.y = twice(v.y)"),
        ("const float4* x, float4* y", "const float4* y, float4* x"),
        ("blockIdx.x", "blockIdx.y"),
        ("self.weight", "self.scale"),
        ("torch.empty_like", "torch.zeros_like"),
        ("// 4))", "// 2))"),
        ("WIDTH 4", "WIDTH 8"),
        ("if (at < count)", "if (at <= count)"),
        ("        return out", "    return out"),
        ("__launch_bounds__(256)", ""),
        ("_kernel((4,)", "_kernel((8,)"),
    ],
)
def test_what_makes_a_difference_stays(before: str, after: str) -> None:
    changed = MODULE.replace(before, after)
    assert changed != MODULE
    assert normal_source(changed).hash != normal_source(MODULE).hash


def test_a_name_that_a_caller_spells_is_kept() -> None:
    """Swapping what two parameters are called swaps what keyword arguments mean."""
    one = "def f(x, y): return x - y\nclass ModelNew: z = f(x=1, y=2)\n"
    two = "def f(y, x): return y - x\nclass ModelNew: z = f(x=1, y=2)\n"
    assert normal_source(one).hash != normal_source(two).hash


def test_parts_of_strings_made_at_run_time_keep_their_blanks() -> None:
    def text(gap: str) -> str:
        return f'n = 4\nCODE = f"__global__ void k() {{{{ int{gap}{{n}}x; }}}}"\nclass ModelNew: pass\n'

    assert normal_source(text("")).hash != normal_source(text(" ")).hash


@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", normal_source(text).hash)


@given(st.text(alphabet="(){}[]<>;/*\"'\\#\n\r 09.eExfn_a+-%&", max_size=120))
def test_no_cuda_is_too_strange(text: str) -> None:
    module = f"CODE = {'__global__ ' + text!r}\nclass ModelNew: pass\n"
    assert re.fullmatch(r"[0-9a-f]{16}", normal_source(module).hash)


def test_a_source_nested_too_deep_is_read_as_text() -> None:
    deep = "x = " + "(" * 5000 + ")" * 5000
    assert normal_source(deep).text == deep
