"""Sizes of a launch: grid, block, shared memory and registers, within what CUDA allows."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.errors import LaunchError
from kernelwright.sandbox.emulator.lower import Lowered
from kernelwright.sandbox.emulator.residency import REGISTER_UNIT, REGISTERS, SHARED_LIMITS
from kernelwright.sandbox.launch import KernelResources

__all__ = ["check_sizes", "triple"]

_MAX_THREADS = 1024
_MAX_BLOCK = (1024, 1024, 64)
_MAX_GRID = (2**31 - 1, 65535, 65535)
_MAX_FRAME = 512 * 1024
"""Bytes of local memory of a thread (CUDA C++ Programming Guide, table of technical specifications)."""


def triple(sizes: Sequence[int] | int, what: str) -> tuple[int, int, int]:
    """One to three sizes as three.

    Raises:
        LaunchError: none, or more than three.
    """
    listed = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    if not 1 <= len(listed) <= 3:
        raise LaunchError(f"a {what} has one to three sizes, not {len(listed)}")
    x, y, z = (int(n) for n in (*listed, 1, 1)[:3])
    return x, y, z


def check_sizes(
    kernel: str,
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    shared: int,
    lowered: Lowered,
    resources: KernelResources | None,
    arch: str,
) -> None:
    """The limits of the CUDA C++ Programming Guide, table of technical specifications per compute capability.

    Raises:
        LaunchError: one is passed; the message names the size and the limit.
    """
    for what, sizes, most in (("grid", grid, _MAX_GRID), ("block", block, _MAX_BLOCK)):
        for axis, size, limit in zip("xyz", sizes, most, strict=True):
            if not 1 <= size <= limit:
                raise LaunchError(f"kernel {kernel}: {what}.{axis} is {size}; CUDA allows 1 to {limit}")
    threads = block[0] * block[1] * block[2]
    if threads > _MAX_THREADS:
        raise LaunchError(f"kernel {kernel}: a block of {threads} threads; CUDA allows {_MAX_THREADS}")
    if lowered.max_threads is not None and threads > lowered.max_threads:
        raise LaunchError(
            f"kernel {kernel}: a block of {threads} threads, but its __launch_bounds__ say {lowered.max_threads}"
        )
    if lowered.frame_bytes > _MAX_FRAME:
        raise LaunchError(
            f"kernel {kernel}: {lowered.frame_bytes} bytes of local arrays a thread; CUDA allows {_MAX_FRAME}"
        )
    static = resources.static_shared if resources else 0
    capability = int("".join(c for c in arch if c.isdigit()))
    limit = SHARED_LIMITS.get(capability, 227) * 1024
    if shared < 0 or static + shared > limit:
        raise LaunchError(
            f"kernel {kernel}: {static} bytes of static and {shared} of dynamic shared memory; {arch} allows {limit}"
        )
    if resources:
        warps = -(-threads // 32)
        a_warp = -(-resources.registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
        if warps * a_warp > REGISTERS:
            raise LaunchError(
                f"kernel {kernel}: {resources.registers} registers a thread for {threads} threads are more than the "
                f"{REGISTERS} of a block",
                mend=f"Use fewer threads, or `__launch_bounds__({threads})`.",
            )
