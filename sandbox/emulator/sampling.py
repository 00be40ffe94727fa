"""Which blocks of a grid are run when only some are, and when that can't be."""

from __future__ import annotations

import random

from kernelwright.errors import LaunchError
from kernelwright.sandbox.emulator.emit import Translated

__all__ = ["chosen_blocks"]


def chosen_blocks(
    kernel: str, translated: Translated, grid: tuple[int, int, int], count: int | None, seed: int
) -> list[int] | None:
    """Linear numbers of the blocks to run, ascending: the first, the last and a random choice between; None for all.

    Raises:
        LaunchError: the blocks of this kernel depend on each other, so that some alone would do something else.
    """
    total = grid[0] * grid[1] * grid[2]
    if count is not None and count < 1:
        raise LaunchError(f"kernel {kernel}: {count} blocks of its grid were asked for; at least 1 must be run")
    if count is None or max(count, 2) >= total:
        return None
    if translated.cooperative:
        raise _depends(kernel, "it uses grid.sync()", None)
    if (site := translated.dependence) is not None:
        what = (
            "an atomic whose result is used" if site.opcode.startswith("atom") else "a volatile load of global memory"
        )
        raise _depends(kernel, what, site.where.line)
    between = random.Random(seed).sample(range(1, total - 1), max(count, 2) - 2)
    return [0, *sorted(between), total - 1]


def _depends(kernel: str, what: str, line: int | None) -> LaunchError:
    return LaunchError(
        f"kernel {kernel}: a sample of its blocks can't be run, since they depend on each other ({what})",
        mend="Run the whole grid, on a smaller shape if it takes too long.",
        line=line,
    )
