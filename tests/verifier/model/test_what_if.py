"""Forecasts: a changed knob moves the counters as the same kernel built with it would."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_reports import copy, softmax_rows, tiled_matmul

from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.what_if import KNOBS, what_if

H200 = find_gpu("H200")
N = 1 << 22


@pytest.mark.parametrize(("old", "new"), [(1, 2), (1, 4), (2, 4), (4, 1)])
def test_vector_width_of_a_streaming_kernel(old, new):
    forecast = what_if(copy(N, old), "vector_width", old, new, {"vector_width": old, "threads": 256})
    truth = copy(N, new)
    assert forecast.grid == truth.grid
    for name in ("global_load_requests", "global_load_sectors", "global_store_requests", "warps", "blocks"):
        assert getattr(forecast.counters, name) == getattr(truth.counters, name)
    assert kernel_time(forecast, H200).seconds == pytest.approx(kernel_time(truth, H200).seconds, rel=0.1)


@pytest.mark.parametrize(("old", "new"), [(256, 512), (256, 64), (1024, 128)])
def test_threads_of_a_streaming_kernel(old, new):
    forecast = what_if(copy(N, 4, old), "threads", old, new, {"threads": old})
    truth = copy(N, 4, new)
    assert (forecast.grid, forecast.block) == (truth.grid, truth.block)
    assert kernel_time(forecast, H200).seconds == pytest.approx(kernel_time(truth, H200).seconds, rel=0.05)


@pytest.mark.parametrize(("old", "new"), [(64, 128), (128, 512), (512, 128)])
def test_threads_of_a_row_kernel(old, new):
    choice = {"threads": old, "strategy": "registers"}
    forecast = what_if(softmax_rows(512, 8192, old), "threads", old, new, choice)
    truth = softmax_rows(512, 8192, new)
    assert (forecast.grid, forecast.block) == (truth.grid, truth.block)
    assert forecast.counters.warps == truth.counters.warps
    assert forecast.counters.barriers == truth.counters.barriers
    assert forecast.counters.longest_warp_global_requests == pytest.approx(
        truth.counters.longest_warp_global_requests, abs=2
    )
    assert kernel_time(forecast, H200).seconds == pytest.approx(kernel_time(truth, H200).seconds, rel=0.25)


def test_a_larger_tile_halves_part_of_the_traffic():
    report = tiled_matmul(1024, 64)
    forecast = what_if(report, "tile_m", 64, 128, {"tile_m": 64, "tile_n": 64})
    assert forecast.counters.global_load_bytes == 0.75 * report.counters.global_load_bytes
    assert forecast.counters.global_load_unique_bytes == report.counters.global_load_unique_bytes
    assert forecast.resources.static_shared > report.resources.static_shared


def test_a_tile_keeps_the_work_of_a_thread():
    """The coder's tiles have (tile_m / thread_m) x (tile_n / thread_n) threads."""
    report = tiled_matmul(1024, 32, 4)
    forecast = what_if(report, "tile_n", 32, 64, {"tile_m": 32, "tile_n": 32})
    assert forecast.block[0] == 2 * report.block[0]
    assert forecast.grid[0] == report.grid[0] // 2
    assert forecast.counters.warps == report.counters.warps
    assert what_if(tiled_matmul(1024, 128, 4), "tile_n", 128, 256, {"tile_m": 128, "tile_n": 128}) is None


@pytest.mark.parametrize(("old", "new"), [(1, 2), (1, 4), (4, 1)])
def test_unroll_of_a_streaming_kernel_is_more_elements_a_thread(old, new):
    report = copy(N, 4)
    forecast = what_if(report, "unroll", old, new, {"unroll": old, "vector_width": 4, "threads": 256})
    assert forecast.grid[0] == report.grid[0] * old // new
    assert forecast.counters.global_load_requests == report.counters.global_load_requests
    assert kernel_time(forecast, H200).loads_in_flight >= (
        kernel_time(report, H200).loads_in_flight if new > old else 1
    )


def test_fewer_threads_hold_more_of_a_row_in_registers():
    report = softmax_rows(512, 8192, 256, registers=52)
    choice = {"threads": 256, "strategy": "registers"}
    assert what_if(report, "threads", 256, 128, choice).resources.registers == 20 + 2 * 32
    assert what_if(report, "threads", 256, 128, {**choice, "strategy": "loop"}).resources.registers == 52


def test_splitting_fills_a_card_that_was_idle():
    report = softmax_rows(8, 1 << 18, 256)
    split = what_if(report, "split", 1, 16, {"split": 1, "strategy": "two_stage"})
    assert split.grid[0] == 128
    assert kernel_time(split, H200).seconds < kernel_time(report, H200).seconds / 3


@pytest.mark.parametrize(
    ("knob", "old", "new"),
    [("strategy", "online", "registers"), ("fast_math", False, True), ("unknown", 1, 2), ("threads", 0, 128), ("threads", 256, 2048)],
)  # fmt: skip
def test_what_cannot_be_forecast_is_none(knob, old, new):
    assert what_if(copy(N), knob, old, new, {knob: old}) is None


@pytest.mark.parametrize("knob", KNOBS)
@pytest.mark.parametrize("choice", [{}, {"strategy": "online"}, {"tile_m": 64}])
def test_every_knob_keeps_the_unique_bytes_and_launches(knob, choice):
    for report in (copy(N), softmax_rows(512, 4096), tiled_matmul(512)):
        for old, new in ((1, 2), (2, 1), (4, 1)):
            forecast = what_if(report, knob, old, new, {**choice, knob: old})
            if forecast is None:
                continue
            assert min(forecast.grid) >= 1
            assert 1 <= forecast.block[0] <= 1024
            assert forecast.counters.global_load_unique_bytes == report.counters.global_load_unique_bytes
            assert kernel_time(forecast, H200).seconds > 0


@pytest.mark.parametrize("knob", KNOBS)
@pytest.mark.parametrize("grid", [(1, 1, 1), (5, 1, 1), (1, 7, 3), (3, 5, 1)])
def test_a_counted_grid_stays_counted_whole(knob, grid):
    """Rounding of small grids must not look like a sample of blocks, which the model would scale up."""
    report = softmax_rows(grid[0] * grid[1] * grid[2], 1024)
    report = replace(report, grid=grid)
    for old, new in ((1, 2), (1, 4), (4, 1)):
        for choice in ({}, {"strategy": "loop", "threads": 256}, {"tile_m": 64}):
            forecast = what_if(report, knob, old, new, {**choice, knob: old})
            if forecast is not None:
                assert forecast.counters.blocks == forecast.grid[0] * forecast.grid[1] * forecast.grid[2]
