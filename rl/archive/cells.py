"""Cells of an island: kernels in one cell use the GPU in the same way, and only the fastest of them is bred from.

The bounds are where the hardware changes how many warps fit, so that kernels on two sides of one differ in kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from kernelwright.rl.archive.features import Features

__all__ = ["all_cells", "cell_of"]

_REGISTERS = (32, 64, 128)
"""Registers a thread. A multiprocessor has 65,536 (CUDA C++ Programming Guide, compute capabilities 7.0 to 10.0) and holds
2,048 threads at most (7.5: 1,024; 8.6 and 8.9: 1,536): up to 32 all fit; each doubling halves how many do."""
_SHARED = (0, 16 << 10, 48 << 10)
"""Bytes of shared memory a block: none; a size of which some ten blocks fit on a multiprocessor (164 to 228 KiB from 8.0 on,
but 100 on 8.6 and 8.9); what a launch may have without asking for more (48 KiB)."""
_OCCUPANCY = (0.25, 0.5)
"""Shares of the warps that fit. By convention: how many are needed depends on the independent work within a thread (Volkov 2016,
Understanding Latency Hiding on GPUs), and kernels on two sides of these bounds rely on it to different degrees."""
_DRAM = (1 / 3, 2 / 3)
"""Shares of the time that DRAM is busy: bound by something else, by both, by memory."""
_TECHNIQUES = ("tensor_cores", "cp_async", "shared_tiling", "warp_shuffles", "vectorised")
"""Of these tags the first that a kernel has names its cell, `plain` if it has none. All eight would make 256 cells of each
other one, of which each kernel would be the only one."""


def cell_of(features: Features) -> str:
    """The cell's name: ``r64-s16k-o50-d33-shared_tiling``, each number the lower bound of its bin.

    ``r0`` is up to 32 registers a thread, ``r128`` more than 128; ``s0`` no shared memory, ``s1`` some, ``s16k`` and ``s48k`` more
    than so many KiB; ``o`` and ``d`` are per cent of occupancy and of the time that DRAM is busy.
    """
    registers = (0, *_REGISTERS)[_above(features.registers, _REGISTERS)]
    shared = ("0", "1", "16k", "48k")[_above(features.shared_bytes, _SHARED)]
    occupancy = (0, 25, 50)[_reached(features.occupancy, _OCCUPANCY)]
    dram = (0, 33, 67)[_reached(features.dram_share, _DRAM)]
    technique = next((tag for tag in _TECHNIQUES if tag in features.tags), "plain")
    return f"r{registers}-s{shared}-o{occupancy}-d{dram}-{technique}"


def all_cells() -> tuple[str, ...]:
    """The names of all cells there can be."""
    parts = ((0, *_REGISTERS), ("0", "1", "16k", "48k"), (0, 25, 50), (0, 33, 67), (*_TECHNIQUES, "plain"))
    return tuple(f"r{r}-s{s}-o{o}-d{d}-{t}" for r, s, o, d, t in product(*parts))


def _above(value: float, bounds: Sequence[float]) -> int:
    """How many of the bounds lie under the value: a bound belongs to the bin that it ends."""
    return sum(value > bound for bound in bounds)


def _reached(value: float, bounds: Sequence[float]) -> int:
    return sum(value >= bound for bound in bounds)
