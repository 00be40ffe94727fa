"""Mutants that compute the same function: by the compiler's word, or by an argument written down here."""

from __future__ import annotations

import ast
import re

from kernelwright.errors import BuildError
from kernelwright.sandbox.build import build_cuda

__all__ = ["BY_ARGUMENT", "same_machine_code"]

BY_ARGUMENT: dict[str, str] = {
    "causal_attention-thread/wrong_identity/1": "the first step multiplies the sum it starts from by exp(-inf), which is 0",
    "embedding-rows/wrong_step/0": "32 threads take all 14 columns in one step; the step is never taken",
    "row_prod-two_level/short_reduction/1": "only the first 3 lanes hold anything but the identity; offsets from 8 reach them",
    "row_norm-two_level/short_reduction/1": "only the first 3 lanes hold anything but the identity; offsets from 8 reach them",
    "sigmoid-unrolled/wrong_identity/0": "what stands in for elements beyond the end is never stored",
    "tanh-unrolled/wrong_identity/0": "what stands in for elements beyond the end is never stored",
    "gelu_tanh-staged/wrong_identity/0": "what stands in for elements beyond the end is never stored",
    "scaled_add_bf16-hfma/constant_0.02_percent/0": "the constant is rounded to bfloat16, where 0.5001 is 0.5 (the next is 0.50390625)",
    "softmax_backward-block/missing_barrier/2": "nothing writes the shared memory after that barrier: there is one reduction only",
    "row_min-two_level/wrong_step/0": "96 threads take all 77 columns in one step; the step is never taken",
}
"""Mutant name: why it computes the same function as the honest kernel it is made from."""

_LOCATION = re.compile(r"^\s*(?:\.loc|\.file|//|\$L__(?:tmp|func|info|pc)).*$|\s*//.*$", re.MULTILINE)


def same_machine_code(before: str, after: str) -> bool:
    """Whether two modules are the same but for CUDA sources that NVRTC makes the same PTX of (lines apart)."""
    parts = [_split(text) for text in (before, after)]
    if parts[0][0] != parts[1][0] or "load_inline" in before:
        return False
    compiled = [_ptx(cuda, names) for _, cuda, names in parts]
    return compiled[0] is not None and compiled[0] == compiled[1]


def _split(text: str) -> tuple[str, str, tuple[str, ...]]:
    """The host's Python, the CUDA source, and the name expressions of a module."""
    tree = ast.parse(text)
    cuda, names = "", ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "CUDA":
            assert isinstance(node.value, ast.Constant)
            cuda, node.value.value = str(node.value.value), ""
        if isinstance(node, ast.keyword) and node.arg == "name_expressions":
            names = ast.literal_eval(node.value)
    return ast.dump(tree), cuda, names


def _ptx(cuda: str, names: tuple[str, ...]) -> str | None:
    try:
        ptx = build_cuda(cuda, name_expressions=names).ptx
    except BuildError:
        return None
    return re.sub(r"\n+", "\n", _LOCATION.sub("", ptx.split(".section")[0]))
