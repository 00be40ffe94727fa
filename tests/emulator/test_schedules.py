"""The order in which blocks and warps get their turns."""

from __future__ import annotations

import numpy as np
import pytest

from kernelwright.errors import LaunchError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchOptions

SOURCE = """extern "C" __global__ void f(int* next, int* blocks, int* warps) {
  if (threadIdx.x % 32) return;
  int at = atomicAdd(next, 1);
  blocks[at] = blockIdx.x + gridDim.x * blockIdx.y; warps[at] = threadIdx.x / 32; }"""


def order(
    schedule: str, seed: int = 0, grid: tuple[int, int] = (7, 3), warps: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """The blocks and the warps as they ran."""
    count = grid[0] * grid[1] * warps
    blocks, ran = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    options = LaunchOptions(schedule=schedule, schedule_seed=seed)
    emulator.compile(SOURCE).launch(
        "f", grid, 32 * warps, (np.zeros(1, np.int32), blocks, ran),
        memory=emulator.Memory(), limits=emulator.LaunchLimits(options=options),
    )  # fmt: skip
    return blocks.reshape(-1, warps), ran.reshape(-1, warps)


def test_forward_and_reversed() -> None:
    blocks, warps = order("forward")
    np.testing.assert_array_equal(blocks, np.repeat(np.arange(21)[:, None], 4, 1))
    np.testing.assert_array_equal(warps, np.tile(np.arange(4), (21, 1)))
    blocks, warps = order("reversed")
    np.testing.assert_array_equal(blocks, np.repeat(np.arange(20, -1, -1)[:, None], 4, 1))
    np.testing.assert_array_equal(warps, np.tile(np.arange(3, -1, -1), (21, 1)))


@pytest.mark.parametrize("grid", [(1, 1), (2, 1), (7, 3), (64, 1), (65, 1), (1000, 1)])
def test_random_runs_every_block_and_warp_once(grid: tuple[int, int]) -> None:
    blocks, warps = order("random", 5, grid)
    np.testing.assert_array_equal(np.sort(blocks[:, 0]), np.arange(grid[0] * grid[1]))
    np.testing.assert_array_equal(np.sort(warps, 1), np.tile(np.arange(4), (len(warps), 1)))


def test_the_seed_decides() -> None:
    first, again, other = (order("random", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()
    assert (first[1] != other[1]).any()
    assert len({tuple(w) for w in first[1].tolist()}) > 1, "every block runs its warps in the same order"
    assert first[0][:, 0].tolist() != list(range(21))


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(LaunchError, match="no schedule 'backward'"):
        order("backward")
