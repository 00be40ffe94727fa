"""Occupancy against values of NVIDIA's occupancy calculator, and its monotonicity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.sandbox.launch import KernelResources
from kernelwright.verifier.model.gpus import all_gpus, find_gpu
from kernelwright.verifier.model.occupancy import occupancy

KB = 1024


@pytest.mark.parametrize(
    ("gpu", "threads", "registers", "shared", "blocks", "limited_by"),
    [
        # registers: 64 x 32 = 2048 a warp, 8 warps a sub-partition, 32 an SM
        ("H200", 256, 64, 0, 4, "registers"),
        ("H200", 256, 32, 0, 8, "warps"),
        ("H200", 256, 33, 0, 6, "registers"),  # 1280 a warp: 12 in each quarter, 48 an SM
        ("H200", 1024, 64, 0, 1, "registers"),
        ("H200", 1024, 65, 0, 0, "registers"),  # 32 x 2304 registers are more than an SM has
        ("H200", 128, 255, 0, 2, "registers"),  # 8192 a warp: 2 in each quarter
        ("H200", 32, 16, 0, 32, "blocks"),
        ("H200", 256, 32, 47 * KB, 4, "shared"),  # 48 KB with the reserve, of 228
        ("H200", 256, 32, 227 * KB, 1, "shared"),
        ("H200", 256, 32, 228 * KB, 0, "shared"),
        ("H200", 192, 40, 0, 8, "registers"),  # 1280 a warp: 48 warps, 6 a block
        ("A100", 256, 64, 0, 4, "registers"),
        ("A100", 512, 32, 40 * KB, 4, "warps"),  # 164 / 41 = 4 too
        ("RTX 3090", 256, 32, 0, 6, "warps"),  # 48 warps
        ("RTX 3090", 64, 32, 0, 16, "blocks"),
        ("RTX 4090", 64, 32, 0, 24, "warps"),
        ("RTX 4090", 1024, 32, 0, 1, "warps"),  # 1536 threads hold one block of 1024
        ("T4", 256, 64, 0, 4, "warps"),
        ("T4", 128, 32, 16 * KB, 4, "shared"),  # no reserve before 8.0
    ],
)
def test_published_rules(gpu, threads, registers, shared, blocks, limited_by):
    result = occupancy(KernelResources(registers), threads, shared, find_gpu(gpu))
    assert (result.blocks, result.limited_by) == (blocks, limited_by)
    assert result.warps == blocks * -(-threads // 32)
    assert result.fraction == pytest.approx(result.warps / find_gpu(gpu).max_warps)


def test_static_and_dynamic_shared_memory_add_up():
    gpu = find_gpu("H200")
    split = occupancy(KernelResources(32, static_shared=20 * KB), 256, 27 * KB, gpu)
    assert split.limits["shared"] == occupancy(KernelResources(32), 256, 47 * KB, gpu).limits["shared"] == 4


def test_unknown_resources_leave_the_other_limits():
    result = occupancy(None, 100, 0, find_gpu("H200"))
    assert (result.warps_per_block, result.blocks, result.limited_by) == (4, 16, "warps")


@given(
    st.sampled_from([g.name for g in all_gpus()]),
    st.integers(1, 1024),
    st.integers(1, 255),
    st.integers(0, 200 * KB),
    st.integers(0, 40),
    st.integers(0, 20 * KB),
)
def test_more_resources_never_raise_occupancy(name, threads, registers, shared, more_registers, more_shared):
    gpu = find_gpu(name)
    base = occupancy(KernelResources(registers), threads, shared, gpu)
    greedy = occupancy(KernelResources(min(255, registers + more_registers)), threads, shared + more_shared, gpu)
    assert greedy.blocks <= base.blocks
    assert base.warps <= gpu.max_warps
    assert base.blocks <= gpu.max_blocks
    if base.blocks:
        assert base.blocks * base.warps_per_block * registers * 32 <= gpu.registers
        assert base.blocks * shared <= gpu.shared_per_sm
