"""How many blocks of a kernel a GPU holds at once."""

from __future__ import annotations

from kernelwright.sandbox.launch import KernelResources

__all__ = ["REGISTERS", "REGISTER_UNIT", "SHARED_LIMITS", "resident_blocks"]

SHARED_LIMITS = {
    75: 64, 80: 163, 86: 99, 87: 163, 88: 99, 89: 99, 90: 227, 100: 227, 101: 227, 103: 227, 110: 227, 120: 99, 121: 99,
}  # fmt: skip
"""Largest shared memory of a block by compute capability, in KiB (CUDA C++ Programming Guide, table of technical
specifications per compute capability, "maximum amount of shared memory per thread block")."""

REGISTERS = 65536
"""32-bit registers of a block and of a multiprocessor, every supported compute capability (same table)."""

REGISTER_UNIT = 256
"""Registers are allotted to a warp in units of this many (same table's footnotes and the occupancy calculator)."""

_MULTIPROCESSORS = {
    75: 72, 80: 108, 86: 84, 87: 16, 89: 142, 90: 132, 100: 148, 103: 148, 110: 20, 120: 188, 121: 48,
}  # fmt: skip
"""Of the largest common board of each compute capability (NVIDIA's architecture papers): T4's big sister RTX 8000, A100,
A40, Orin, L40S, H100 SXM, B200, B300, Thor, RTX PRO 6000, GB10."""

_WARPS = {75: 32, 86: 48, 87: 48, 89: 48, 110: 48, 120: 48, 121: 48}
"""Warps a multiprocessor holds, where it is not 64 (same table as SHARED_LIMITS)."""

_BLOCKS = {75: 16, 86: 16, 87: 16, 89: 24, 110: 24, 120: 24, 121: 24}
"""Blocks a multiprocessor holds, where it is not 32 (same table)."""

_RESERVED = 1024
"""Bytes of shared memory that the system takes from every block (compute capability 8.0 and later, same table)."""


def resident_blocks(arch: str, block: tuple[int, int, int], shared: int, resources: KernelResources | None) -> int:
    """Blocks of `block` threads and `shared` bytes of dynamic shared memory that fit on the architecture's GPU at once."""
    capability = int("".join(c for c in arch if c.isdigit()))
    warps = -(-block[0] * block[1] * block[2] // 32)
    fit = min(_BLOCKS.get(capability, 32), _WARPS.get(capability, 64) // warps)
    if resources is not None:
        a_warp = max(1, -(-resources.registers * 32 // REGISTER_UNIT)) * REGISTER_UNIT
        fit = min(fit, REGISTERS // (a_warp * warps))
        room = SHARED_LIMITS.get(capability, 227) * 1024 + _RESERVED
        fit = min(fit, room // (resources.static_shared + shared + _RESERVED))
    return max(1, fit) * _MULTIPROCESSORS.get(capability, 132)
