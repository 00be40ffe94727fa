"""The micro-benchmarks do on the emulator what they say, break no rule, and tell the constants of the model apart."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.analytic import analytic_time
from kernelwright.verifier.model.constants import FITTED
from kernelwright.verifier.model.fit import Observation, fit_constants
from kernelwright.verifier.model.gpus import all_gpus, find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.microbenchmarks import Array, Microbenchmark, host_arguments, microbenchmarks

BENCHMARKS = microbenchmarks()
H200 = find_gpu("H200")


def wanted(benchmark: Microbenchmark) -> np.ndarray:
    """What the kernel leaves in its output, worked out without it."""
    threads = benchmark.grid[0] * benchmark.block[0]
    thread = np.arange(threads)
    values = [a.value for a in benchmark.arguments if not isinstance(a, Array)]
    match benchmark.kernel:
        case "copy1" | "copy4":
            return np.arange(benchmark.arguments[1].elements) % 16
        case "strided":
            return thread * values[1] % 16
        case "reread":
            n, turns = values
            total = np.zeros(threads, np.int64)
            for turn in range(turns):
                first = 4 * ((thread + turn * 2048) & (n - 1))
                total += sum((first + i) % 16 for i in range(4))
            return total
        case "atomics":
            return np.bincount(thread & (values[0] - 1), minlength=values[0])
        case "fma_chain":
            return thread % benchmark.block[0] % 16 + values[2]
        case "fma_four":
            return 4 * (thread % benchmark.block[0] % 16 + values[2]) + 6
        case "mma_fp16":
            start = np.tile(np.repeat(np.arange(4), 256), threads // 32)
            return start + 16 * values[0]
        case "conflicts":
            stride, turns = values
            lane = thread % benchmark.block[0]
            return sum(((lane * stride + turn) & 1023) % 16 for turn in range(turns))
        case "barriers":
            return (thread % benchmark.block[0] + values[0]) % benchmark.block[0]
    raise AssertionError(f"no oracle for {benchmark.kernel}")


@pytest.fixture(scope="module")
def reports() -> dict[str, LaunchReport]:
    """Every micro-benchmark run on the emulator, its output compared, with every check on."""
    found = {}
    for benchmark in BENCHMARKS:
        arguments = host_arguments(benchmark)
        module = emulator.compile(benchmark.source)
        report = module.launch(
            benchmark.kernel, benchmark.grid, benchmark.block, arguments, shared=benchmark.dynamic_shared
        )
        assert not report.violations, (benchmark.name, report.violations)
        for spec, array in zip(benchmark.arguments, arguments, strict=True):
            if isinstance(spec, Array) and spec.output:
                np.testing.assert_array_equal(array, wanted(benchmark), err_msg=benchmark.name)
        found[benchmark.name] = report
    return found


def test_they_run_and_compute_what_they_should(reports: dict[str, LaunchReport]) -> None:
    assert list(reports) == [each.name for each in BENCHMARKS]
    assert len(set(reports)) == len(BENCHMARKS)


@pytest.mark.parametrize("gpu", all_gpus(), ids=lambda gpu: gpu.name)
def test_they_fit_on_every_card(reports: dict[str, LaunchReport], gpu) -> None:
    assert max(each.dynamic_shared for each in BENCHMARKS) <= 48 << 10
    for benchmark in BENCHMARKS:
        assert kernel_time(reports[benchmark.name], gpu).seconds > 0
        moved = sum(a.elements * np.dtype(a.dtype).itemsize for a in benchmark.arguments if isinstance(a, Array))
        assert moved <= 256 << 20


def test_each_speaks_of_its_constants(reports: dict[str, LaunchReport]) -> None:
    """Moving a constant moves the time of what is about it, and every constant has something about it."""
    bounds = {each.name: each for each in FITTED}
    assert {name for each in BENCHMARKS for name in each.about} == set(bounds)
    for benchmark in BENCHMARKS:
        for name in benchmark.about:
            ends = [
                analytic_time(reports[benchmark.name], H200.with_fitted({name: v})).seconds
                for v in (bounds[name].low, bounds[name].high)
            ]
            assert abs(math.log(ends[0] / ends[1])) > 0.05, (benchmark.name, name)


@pytest.mark.parametrize("seed", range(3))
def test_constants_come_back_from_times_made_with_others(reports: dict[str, LaunchReport], seed: int) -> None:
    rng = random.Random(seed)
    truth = {
        each.name: min(max(H200.fitted(each.name) * math.exp(rng.gauss(0, each.spread)), each.low), each.high)
        for each in FITTED
    }
    card = H200.with_fitted(truth)
    observations = [
        Observation(report, analytic_time(report, card).seconds * math.exp(rng.gauss(0, 0.03)), 0.01, name.split()[0])
        for name, report in reports.items()
    ]
    fit = fit_constants(observations, H200)
    for name, value in fit.values.items():
        assert abs(math.log(value / truth[name])) < 2.5 * fit.errors[name], name
    # what the benchmarks settle is settled: closer than the prior, and well
    for name, most in {
        "launch_seconds": 0.06,
        "dram_share": 0.08,
        "l2_share": 0.12,
        "loaded_latency": 0.12,
        "mma_share": 0.15,
    }.items():
        assert fit.errors[name] < most, name
