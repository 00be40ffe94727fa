"""What several subjects share: oracles in higher precision, and the frame of a kernel of one expression after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from emulator.corpus.case import Array, Plan, run


def t64(x: Array) -> torch.Tensor:
    """A float64 tensor: the oracle's precision."""
    return torch.from_numpy(x.astype("f8"))


def of_torch(name: str, *x: Array) -> Array:
    """torch's function of that name, in float64."""
    function = getattr(torch.special if hasattr(torch.special, name) else torch, name)
    return np.asarray(function(*(t64(v) for v in x)).numpy())


def rows(*want: Array) -> Array:
    """What each row of an output must hold."""
    return np.stack(want)


def to_tf32(x: Array) -> Array:
    """Rounds to 10 bits of fraction, nearest, ties away from zero (cvt.rna.tf32.f32)."""
    bits = x.view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)


def each(dtype: str, f: Callable[..., int], *columns: Array) -> Array:
    """`f` over rows of Python ints, wrapped to `dtype`."""
    mask = 2 ** (8 * np.dtype(dtype).itemsize) - 1
    rows = zip(*(c.tolist() for c in columns), strict=True)
    return np.array([f(*row) & mask for row in rows], "u8").astype(dtype)


def kernel(name: str, kind: str, *expressions: str) -> str:
    """The source of a kernel of `x` and `y` that writes one row of `o` for each expression."""
    lines = "\n".join(f"    o[{i} * n + i] = {e};" for i, e in enumerate(expressions))
    return f"""
extern "C" __global__ void {name}(const {kind}* a, const {kind}* b, {kind}* o, int n) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    {kind} x = a[i], y = b[i];
{lines}
}}
"""


def go(name: str, a: Array, b: Array, out: Array) -> Plan:
    """The launch of such a kernel over all elements."""
    return run(name, (a.size + 127) // 128, 128, a, b, out, a.size)
