"""Compiles and launches kernels on arrays, and what tests of whole kernels share."""

from __future__ import annotations

import numpy as np

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport

RANDOM = np.random.default_rng(2026)
N = np.int32

WARP = r"""
__device__ __forceinline__ float warp_sum(float v) { for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o); return v; }
__device__ __forceinline__ float warp_max(float v) { for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(~0u, v, o)); return v; }
"""


def run(source: str, name: str, grid: object, block: object, args: tuple[object, ...], **more: object) -> LaunchReport:
    """Compiles and launches; no violation is expected."""
    shared = more.pop("shared", 0)
    module = emulator.compile(source, **more)
    report = module.launch(name, grid, block, args, shared=shared, memory=emulator.Memory())
    assert not report.violations, report.violations
    return report


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def close(got: np.ndarray, exact: np.ndarray, tolerance: float = 1e-5) -> None:
    scale = np.abs(exact).max() or 1.0
    assert np.abs(got.astype(np.float64) - exact).max() <= tolerance * scale
