"""Modelled times: the textbook cases come out as the textbook says, and the model is monotone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_reports import bank_conflicts, copy, naive_matmul, softmax_rows, tiled_matmul

from kernelwright.errors import LaunchError
from kernelwright.sandbox.launch import Counters, KernelResources, LaunchReport
from kernelwright.verifier.model.gpus import all_gpus, find_gpu
from kernelwright.verifier.model.kernel_time import join, kernel_time

H200 = find_gpu("H200")
MB64 = 16 * 1024 * 1024  # elements of float32
gpus = pytest.mark.parametrize("gpu", all_gpus(), ids=lambda gpu: gpu.name)


def bandwidth(report, gpu=H200):
    c = report.counters
    moved = c.global_load_unique_bytes + c.global_store_unique_bytes
    return moved / (kernel_time(report, gpu).seconds - gpu.launch_seconds)


@gpus
def test_coalesced_copy_comes_near_the_achievable_bandwidth(gpu):
    time = kernel_time(copy(MB64, 4), gpu)
    assert time.limited_by == "dram"
    assert 0.93 * gpu.achievable_bandwidth <= bandwidth(copy(MB64, 4), gpu) <= gpu.achievable_bandwidth


def test_scattered_copy_is_several_times_slower():
    assert kernel_time(copy(MB64, 1, scattered=True), H200).limited_by == "l2"
    assert bandwidth(copy(MB64, 1, scattered=True)) < bandwidth(copy(MB64, 1)) / 2.5


@gpus
@pytest.mark.parametrize("elements", [1 << 12, 1 << 16, 1 << 20, MB64])
def test_wider_vectors_are_never_slower_in_a_streaming_kernel(gpu, elements):
    times = [kernel_time(copy(elements, width), gpu).seconds for width in (1, 2, 4)]
    filled = elements >= 1 << 20
    slack = 1.0 if filled else 1.01  # a grid of a few blocks uses fewer SMs when each block does more
    assert times[0] * slack >= times[1]
    assert times[1] * slack >= times[2]


def test_bank_conflicts_are_bound_by_shared_memory():
    free, conflicting = kernel_time(bank_conflicts(1), H200), kernel_time(bank_conflicts(32), H200)
    assert conflicting.limited_by == "shared"
    assert conflicting.terms["shared"] == pytest.approx(32 * free.terms["shared"])
    # 4096 blocks x 8 warps x 200 accesses x 32 passes over 132 SMs (the busiest has 32 blocks), one pass a clock
    assert conflicting.terms["shared"] == pytest.approx(32 * 8 * 200 * 32 / H200.clock_hz)
    assert conflicting.seconds > 5 * free.seconds


def test_a_tiny_kernel_is_bound_by_its_launch():
    time = kernel_time(copy(1024, 4), H200)
    assert time.limited_by == "launch"
    assert time.seconds < 2 * H200.launch_seconds


@gpus
@pytest.mark.parametrize("n", [512, 1024, 4096])
def test_naive_matmul_is_slower_than_tiled(gpu, n):
    naive, tiled = kernel_time(naive_matmul(n), gpu), kernel_time(tiled_matmul(n), gpu)
    assert naive.seconds > 1.5 * tiled.seconds
    peak = 2 * n**3 / gpu.fp32_peak
    assert tiled.seconds > peak


def test_larger_tiles_help_a_large_matmul():
    small = kernel_time(tiled_matmul(4096, tile=32, per_thread=2), H200).seconds
    large = kernel_time(tiled_matmul(4096, tile=128, per_thread=8), H200).seconds
    assert large < small


def test_naive_matmul_is_within_reach_of_a_published_figure():
    """2.0 TFLOP/s for 4096 x 4096 by a coalesced naive kernel on an RTX A6000 (GA102, 84 SMs), as S. Boehm reports in
    "How to Optimize a CUDA Matmul Kernel"; the RTX 3090 is the nearest card in the table."""
    gpu = find_gpu("RTX 3090")
    rate = 2 * 4096**3 / kernel_time(naive_matmul(4096), gpu).seconds
    assert 1.3e12 < rate < 3e12


def test_softmax_in_one_pass_is_within_a_quarter_of_its_bound():
    time = kernel_time(softmax_rows(4096, 1024), H200)
    bound = 2 * 4 * 4096 * 1024 / H200.achievable_bandwidth + H200.launch_seconds
    assert bound <= time.seconds <= 1.25 * bound
    assert kernel_time(softmax_rows(4096, 1024, passes=3), H200).seconds > time.seconds


def test_rereads_that_fit_l2_do_not_reach_dram():
    small = kernel_time(naive_matmul(512), H200)
    assert small.traffic.dram_read == 8 * 512 * 512
    assert small.traffic.l2_read > 10 * small.traffic.dram_read
    t4 = find_gpu("T4")
    large = kernel_time(naive_matmul(4096), t4)
    assert large.traffic.dram_read >= 8 * 4096 * 4096


def test_low_occupancy_lowers_bandwidth():
    lean, fat = copy(MB64, 1, registers=32), copy(MB64, 1, registers=168)
    assert kernel_time(fat, H200).occupancy.fraction < 0.25
    assert bandwidth(fat) < 0.7 * bandwidth(lean)
    assert kernel_time(fat, H200).limited_by == "latency"


def test_few_blocks_leave_most_sms_idle():
    wide, narrow = softmax_rows(132 * 8, 8192), softmax_rows(4, 8192)
    per_row_wide = kernel_time(wide, H200).seconds / (132 * 8)
    per_row_narrow = kernel_time(narrow, H200).seconds / 4
    assert per_row_narrow > 20 * per_row_wide


def test_one_block_beyond_a_full_wave_costs_a_wave_of_latency():
    report = bank_conflicts(8, grid=132 * 8)
    full = kernel_time(report, H200)
    more = bank_conflicts(8, grid=132 * 8 + 1)
    time = kernel_time(more, H200)
    assert full.waves == 1.0
    assert full.tail_seconds == pytest.approx(0.0, abs=0.05 * full.seconds)
    assert time.seconds > full.seconds
    assert time.tail_seconds > 0


def test_a_sample_of_blocks_is_scaled_to_the_grid():
    whole = softmax_rows(4096, 1024)
    c = whole.counters
    quarter = {
        name: value // 4
        for name, value in c.to_json().items()
        if isinstance(value, int) and not name.startswith("longest")
    }
    sampled = replace(
        c,
        warp_instructions={k: v // 4 for k, v in c.warp_instructions.items()},
        thread_instructions={k: v // 4 for k, v in c.thread_instructions.items()},
        flops={k: v // 4 for k, v in c.flops.items()},
        **quarter,
    )
    assert kernel_time(replace(whole, counters=sampled), H200).seconds == pytest.approx(
        kernel_time(whole, H200).seconds
    )


def test_spills_cost_time():
    report = softmax_rows(4096, 1024)
    spilling = replace(report, resources=replace(report.resources, spill_stores=400, spill_loads=400))
    assert kernel_time(spilling, H200).seconds > 1.2 * kernel_time(report, H200).seconds


def test_a_block_that_cannot_launch_is_an_error():
    with pytest.raises(LaunchError, match="does not fit on an SM of H200: registers"):
        kernel_time(copy(MB64, 4, threads=1024, registers=128), H200)


def test_an_empty_report_costs_a_launch():
    time = kernel_time(LaunchReport("nothing", (1, 1, 1), (32, 1, 1), 0, Counters()), H200)
    assert time.seconds == H200.launch_seconds
    assert time.limited_by == "launch"


def test_tensor_work_is_priced_at_the_tensor_peak():
    counters = Counters(flops={"tensor": 2 * 4096**3}, warp_instructions={"tensor": 1000}, warps=1056, blocks=132)
    time = kernel_time(LaunchReport("mma", (132, 1, 1), (256, 1, 1), 0, counters, KernelResources(64)), H200)
    assert time.limited_by == "tensor"
    assert time.terms["tensor"] == pytest.approx(2 * 4096**3 / H200.tensor_fp16 / H200.mma_share)


@pytest.mark.parametrize(
    ("kind", "slower"), [("bf16", 1), ("tf32", 2), ("fp8", 0.5), ("int8", 0.5), ("fp64", 989.4 / 66.9)]
)
def test_each_tensor_type_is_priced_at_its_own_peak(kind, slower):
    def seconds(**flops):
        counters = Counters(flops={"tensor": 2 * 4096**3}, warp_instructions={"tensor": 1000}, warps=1056, blocks=132)
        report = LaunchReport("mma", (132, 1, 1), (256, 1, 1), 0, replace(counters, tensor_flops=flops))
        return kernel_time(report, H200).terms["tensor"]

    assert seconds(**{kind: 2 * 4096**3}) == pytest.approx(slower * seconds(fp16=2 * 4096**3), rel=1e-3)
    # half of each type; what an older version stored without types counts as fp16
    half = {kind: 4096**3}
    assert seconds(**half) == pytest.approx((1 + slower) / 2 * seconds(), rel=1e-3)


def test_counters_of_an_older_version_still_load():
    stored = softmax_rows(64, 1024).to_json()
    del stored["counters"]["tensor_flops"]
    assert LaunchReport.from_json(stored) == softmax_rows(64, 1024)


positive = st.floats(1e-9, 1e-2)


@given(positive, positive)
def test_join_lies_between_the_larger_and_the_sum(a, b):
    assert max(a, b) <= join(a, b) <= (a + b) * (1 + 1e-12)
    assert join(a, 0.0) == a
    assert join(0.0, b) == b


COUNTS = [
    "global_load_requests",
    "global_load_sectors",
    "global_store_sectors",
    "shared_load_wavefronts",
    "shared_store_wavefronts",
    "shared_atomic_requests",
    "global_atomic_sectors",
    "barriers",
    "local_load_bytes",
    "longest_warp_instructions",
    "longest_warp_global_requests",
]


@given(
    st.sampled_from(COUNTS),
    st.integers(2, 50),
    st.sampled_from(["H200", "RTX 4090", "T4"]),
    st.sampled_from([copy(1 << 20, 4), softmax_rows(4096, 1024), softmax_rows(64, 4096, passes=2), tiled_matmul(512)]),
)
def test_more_of_a_cost_is_never_faster(name, factor, gpu, report):
    if name in ("global_load_requests", "barriers"):
        # the model reads both as structure too (loads between barriers), so hold that fixed
        report = replace(report, resources=replace(report.resources, registers=20))
    c = report.counters
    dearer = replace(report, counters=replace(c, **{name: max(1, getattr(c, name)) * factor}))
    card = find_gpu(gpu)
    assert kernel_time(dearer, card).seconds >= kernel_time(report, card).seconds * (1 - 1e-9)


@given(st.sampled_from(["fp32", "int", "sfu", "fp64", "shuffle", "convert", "control"]), st.integers(2, 1000))
def test_more_instructions_are_never_faster(name, factor):
    report = softmax_rows(512, 1024)
    c = report.counters
    count = max(1, c.warp_instructions.get(name, 0)) * factor
    dearer = replace(report, counters=replace(c, warp_instructions={**c.warp_instructions, name: count}))
    assert kernel_time(dearer, H200).seconds >= kernel_time(report, H200).seconds
