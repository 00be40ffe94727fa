"""Persistent grids: as many blocks as the GPU holds at once, which share the work of a plain grid and take it one piece after the other.

The knob `blocks_per_sm` says how many blocks each SM gets; 0 is a plain grid, one block a piece. It is a choice only where the number of
SMs is known and a plain grid has more blocks than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from kernelwright.agents.builtin.emit import Code
from kernelwright.agents.builtin.generated import ceil_div
from kernelwright.agents.builtin.spec import KernelSpec
from kernelwright.sandbox.launch import LaunchReport

__all__ = ["KNOB", "fits", "pieces", "resident", "values", "with_blocks_per_sm"]

KNOB = "blocks_per_sm"
_VALUES = (1, 2, 4, 8, 16, 32)
"""32 is the most blocks that an SM of any architecture holds (CUDA C++ Programming Guide, table of technical specifications)."""


def values(spec: KernelSpec, most_blocks: int) -> tuple[int, ...]:
    """Legal values for a kernel whose plain grid has at most so many blocks."""
    return (0, *(v for v in _VALUES if spec.sms and v * spec.sms < most_blocks))


def fits(spec: KernelSpec, parameters: Mapping[str, int | str | bool], blocks: int) -> bool:
    """Whether the choice leaves every block more than one piece of a plain grid of so many blocks."""
    return not parameters.get(KNOB, 0) or bool(resident(spec, parameters, blocks))


def resident(spec: KernelSpec, parameters: Mapping[str, int | str | bool], blocks: int) -> int:
    """Blocks of the persistent grid; 0 for a plain one."""
    grid = int(parameters.get(KNOB, 0)) * spec.sms
    return grid if grid < blocks else 0


@contextmanager
def pieces(code: Code, grid: int, blocks: int, index: str, *, shared: bool) -> Iterator[str]:
    """Wraps a kernel's body in the loop over its pieces, where there is one; gives the C++ for the piece's number.

    Args:
        grid: as `resident` gives it.
        index: C++ type that holds the number of pieces.
        shared: whether the body uses shared memory, which all threads must be done with before the next piece.
    """
    if not grid:
        yield f"static_cast<{index}>(blockIdx.x)" if index != "int" else "blockIdx.x"
        return
    code.add(f"// {grid} blocks stay on the GPU and share {blocks} pieces of work.")
    code.open(f"for ({index} turn = blockIdx.x; turn < {blocks}; turn += gridDim.x) {{")
    if shared:
        code.add("__syncthreads();")
    yield "turn"
    code.close()


def with_blocks_per_sm(report: LaunchReport, old: int, new: int, sms: int) -> LaunchReport | None:
    """The launch with another number of blocks a SM: a forecast.

    None if it can't be told: back to a plain grid, whose size a persistent one does not show, or no fewer blocks than a plain one.
    """
    grid = report.grid[0] * report.grid[1] * report.grid[2]
    if new == 0 or (old == 0 and new * sms >= grid):
        return None
    after = new * sms
    c = report.counters
    share = after / grid
    # the busiest block takes its pieces one after the other; in a plain grid it had one
    longer = ceil_div(grid, after) if old == 0 else grid / after
    return replace(
        report,
        grid=(after, 1, 1),
        counters=replace(
            c,
            blocks=after if c.blocks == grid else max(1, round(c.blocks * share)),
            warps=max(1, round(c.warps * share)),
            longest_warp_instructions=round(c.longest_warp_instructions * longer),
            longest_warp_global_requests=round(c.longest_warp_global_requests * longer),
            longest_warp_barriers=round(c.longest_warp_barriers * longer),
        ),
    )
