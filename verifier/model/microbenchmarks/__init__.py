"""Micro-benchmarks: small CUDA kernels with their launches, each speaking of a constant of the performance model.

They run on every card of the GPU table as they are (48 KB of shared memory, no feature beyond compute capability 7.5, at most
256 MB), and on the emulator, which counts what they do. `calibrate` puts the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

__all__ = ["Array", "Microbenchmark", "Scalar", "host_arguments", "microbenchmarks"]


@dataclass(frozen=True)
class Array:
    """An array argument, contiguous; its address is a multiple of 128 bytes."""

    elements: int
    dtype: str
    """NumPy's name."""
    fill: str = "zeros"
    """`zeros`, or `ramp`: element i is i % 16."""
    output: bool = False
    """Whether the kernel writes it."""


@dataclass(frozen=True)
class Scalar:
    """A number argument."""

    value: int | float
    dtype: str
    """NumPy's name."""


_Arguments = tuple[Array | Scalar, ...]


@dataclass(frozen=True)
class Microbenchmark:
    """One launch of one kernel."""

    name: str
    """Unique: ``copy4 16777216``."""
    source: str
    """CUDA C++; compiles with NVRTC as it is."""
    kernel: str
    """Name of the kernel in it, which is `extern "C"`."""
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic_shared: int
    """Bytes a block, at most 48 KB."""
    arguments: _Arguments
    about: tuple[str, ...]
    """The constants of `constants.FITTED` that it speaks about most; empty for a check of what is not fitted."""


def host_arguments(benchmark: Microbenchmark) -> list[Any]:
    """The arguments as NumPy arrays and scalars, in order; arrays are new ones."""
    return [
        _array(each) if isinstance(each, Array) else np.dtype(each.dtype).type(each.value)
        for each in benchmark.arguments
    ]


def _array(spec: Array) -> np.ndarray:
    size = np.dtype(spec.dtype).itemsize
    raw = np.zeros(spec.elements * size + 128, np.uint8)
    begin = -raw.ctypes.data % 128
    made = raw[begin : begin + spec.elements * size].view(spec.dtype)
    if spec.fill == "ramp":
        made[:] = np.arange(spec.elements, dtype=np.int64) % 16
    return made


@cache
def _source(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.cu").read_text(encoding="utf-8")


def _int(value: int) -> Scalar:
    return Scalar(value, "int32")


def _out(elements: int, dtype: str = "float32") -> Array:
    return Array(elements, dtype, output=True)


def _one(
    file: str, kernel: str, size: str, blocks: int, threads: int, arguments: _Arguments, *about: str, shared: int = 0
) -> Microbenchmark:  # fmt: skip
    name = f"{kernel} {size}".strip()
    return Microbenchmark(name, _source(file), kernel, (blocks, 1, 1), (threads, 1, 1), shared, arguments, about)


def microbenchmarks() -> list[Microbenchmark]:
    """All of them, in a fixed order; names are unique."""
    return [*_memory(), *_arithmetic(), *_block()]


def _memory() -> list[Microbenchmark]:
    found: list[Microbenchmark] = []
    arguments: _Arguments
    for kernel, width, exponents in (("copy1", 1, (12, 16, 18, 20, 22)), ("copy4", 4, (14, 18, 20, 21, 22, 23, 24))):
        for n in (1 << e for e in exponents):
            arguments = (Array(n, "float32", "ramp"), _out(n), _int(n // width))
            about = (
                ("dram_share",)
                if n >= 1 << 22
                else ("loaded_latency", "overlap")
                if n >= 1 << 18
                else ("launch_seconds",)
            )
            found.append(_one("memory", kernel, str(n), n // width // 256, 256, arguments, *about))
    for stride in (2, 4, 8, 32):
        n = 1 << 19
        arguments = (Array(n * stride, "float32", "ramp"), _out(n), _int(n), _int(stride))
        found.append(_one("memory", "strided", str(stride), n // 256, 256, arguments, "dram_share", "l2_share"))
    for blocks, turns in ((1024, 16), (1024, 64), (4096, 32)):  # 2 MB, which the smallest L2 of the table (4 MB) holds
        arguments = (Array(1 << 19, "float32", "ramp"), _out(blocks * 256), _int(1 << 17), _int(turns))
        found.append(_one("memory", "reread", f"{blocks} {turns}", blocks, 256, arguments, "l2_share"))
    for kilobytes in (8, 16, 24, 48):  # fewer blocks fit an SM, so fewer loads are in flight
        n = 1 << 22
        arguments = (Array(n, "float32", "ramp"), _out(n), _int(n))
        size = f"{n} with {kilobytes} KB shared"
        found.append(
            _one("memory", "copy1", size, n // 64, 64, arguments, "loaded_latency", "overlap", shared=kilobytes << 10)
        )
    for threads, spread in ((1 << 20, 1 << 20), (1 << 20, 1 << 16), (1 << 22, 1 << 20)):
        arguments = (_out(spread, "int32"), _int(spread))
        found.append(
            _one("memory", "atomics", f"{threads} on {spread}", threads // 256, 256, arguments, "atomic_share")
        )
    return found


def _arithmetic() -> list[Microbenchmark]:
    found: list[Microbenchmark] = []
    arguments: _Arguments
    for blocks, threads, turns in ((1, 32, 4096), (132, 128, 4096), (1056, 256, 1024), (2112, 512, 512)):
        for kernel in ("fma_chain", "fma_four"):
            each = turns if kernel == "fma_chain" else turns // 4
            arguments = (_out(blocks * threads), Scalar(1.0, "float32"), Scalar(1.0, "float32"), _int(each))
            about = ("instruction_clocks",) if blocks <= 132 else ("overlap",)
            found.append(
                _one("arithmetic", kernel, f"{blocks} x {threads}, {each}", blocks, threads, arguments, *about)
            )
    for blocks, threads, turns in ((1, 32, 256), (132, 256, 128), (264, 256, 64)):
        arguments = (_out(blocks * threads // 32 * 4 * 256), _int(turns))
        found.append(
            _one("arithmetic", "mma_fp16", f"{blocks} x {threads}, {turns}", blocks, threads, arguments, "mma_share")
        )
    return found


def _block() -> list[Microbenchmark]:
    found: list[Microbenchmark] = []
    arguments: _Arguments
    for stride in (1, 2, 8, 32):
        arguments = (_out(528 * 256), _int(stride), _int(256))
        found.append(_one("block", "conflicts", str(stride), 528, 256, arguments))
    for blocks, threads, turns in ((132, 256, 128), (132, 1024, 128), (1056, 128, 64)):
        arguments = (_out(blocks * threads, "int32"), _int(turns))
        found.append(
            _one("block", "barriers", f"{blocks} x {threads}, {turns}", blocks, threads, arguments, "barrier_clocks")
        )
    for blocks in (1, 132, 1056):
        found.append(_one("block", "empty", str(blocks), blocks, 128, (), "launch_seconds"))
    return found
