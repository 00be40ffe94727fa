"""Runs single PTX instructions, given as inline assembly, on arrays of operands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernelwright.sandbox import emulator

C_TYPES = {
    "u16": ("unsigned short", "h", np.uint16),
    "u32": ("unsigned int", "r", np.uint32),
    "u64": ("unsigned long long", "l", np.uint64),
    "f32": ("float", "f", np.float32),
    "f64": ("double", "d", np.float64),
}


def run_forms(
    forms: Sequence[str], result: str, operands: Sequence[tuple[str, np.ndarray]], *, arch: str = "sm_90"
) -> dict[str, np.ndarray]:
    """Results of each form on each row of operands.

    Args:
        forms: instructions such as `add.u32`, operands are appended; or whole texts with `%0`, `%1`.
        result: type of the destination, a key of C_TYPES.
        operands: (type, values) of each source operand, all of one length.
    """
    n = len(operands[0][1])
    lines = []
    for k, form in enumerate(forms):
        text = form if "%" in form else f"{form} %0, " + ", ".join(f"%{i + 1}" for i in range(len(operands))) + ";"
        inputs = ", ".join(f'"{C_TYPES[t][1]}"(x{i})' for i, (t, _) in enumerate(operands))
        lines.append(f'asm volatile("{text}" : "={C_TYPES[result][1]}"(d) : {inputs}); out[{k} * n + i] = d;')
    parameters = "".join(f"const {C_TYPES[t][0]}* a{i}, " for i, (t, _) in enumerate(operands))
    loads = "".join(f"{C_TYPES[t][0]} x{i} = a{i}[i]; " for i, (t, _) in enumerate(operands))
    source = (
        f'extern "C" __global__ void forms({parameters}{C_TYPES[result][0]}* out, int n) {{\n'
        f"int i = blockIdx.x * blockDim.x + threadIdx.x; if (i >= n) return;\n{loads}{C_TYPES[result][0]} d;\n"
        + "\n".join(lines)
        + "\n}"
    )
    out = np.zeros(len(forms) * n, C_TYPES[result][2])
    arrays = [np.ascontiguousarray(v, C_TYPES[t][2]) for t, v in operands]
    report = emulator.compile(source, arch=arch).launch(
        "forms", (n + 63) // 64, 64, (*arrays, out, np.int32(n)), memory=emulator.Memory()
    )
    assert not report.violations, report.violations
    return {form: out[k * n : (k + 1) * n] for k, form in enumerate(forms)}


def pairs(values: Sequence[int], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of the values as two arrays."""
    grid = np.array(values, dtype=dtype)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    return a.ravel().copy(), b.ravel().copy()


EDGES_32 = [
    0,
    1,
    2,
    3,
    7,
    31,
    32,
    33,
    0x55,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x12345678,
    0x7FFFFFFF,
    0x80000000,
    0x80000001,
    0xDEADBEEF,
    0xFFFFFFFF,
]
EDGES_64 = [
    0,
    1,
    3,
    63,
    64,
    65,
    0xFFFFFFFF,
    0x100000000,
    0x123456789ABCDEF0,
    0x7FFFFFFFFFFFFFFF,
    0x8000000000000000,
    0xFFFFFFFFFFFFFFFE,
    0xFFFFFFFFFFFFFFFF,
]
EDGES_16 = [0, 1, 2, 15, 16, 17, 0xFF, 0x100, 0x7FFF, 0x8000, 0x8001, 0xABCD, 0xFFFF]


def signed(value: int, bits: int) -> int:
    """The two's complement reading of an unsigned value."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def f32_edges() -> np.ndarray:
    """binary32 values that trip implementations: zeros, subnormals, limits, halves, infinities, NaN."""
    listed = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 1e-45, -1e-45, 1e-40, 1.1754944e-38, -1.1754942e-38]
    listed += [3.4028235e38, -3.4028235e38, np.inf, -np.inf, np.nan, 8388607.5, 16777217.0, 2147483648.0, -2147483648.0]
    listed += [4294967296.0, 1e20, 0.1, 0.3333333, np.pi, 123456.789, 255.5, -128.5, 65535.5, 32767.5]
    return np.array(listed, np.float32)


def f64_edges() -> np.ndarray:
    """binary64 values that trip implementations."""
    listed = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308]
    listed += [np.inf, -np.inf, np.nan, 9007199254740993.0, 9223372036854775808.0, -9223372036854775808.0, 1e300, 0.1]
    listed += [1 / 3, np.pi, 4294967295.5, 2147483647.5, -2147483648.5, 65504.0, 65520.0, 1e-8, 3.4028235677973366e38]
    return np.array(listed, np.float64)
