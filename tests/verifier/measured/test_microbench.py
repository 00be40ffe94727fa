"""The micro-benchmarks through the GPU's worker, with the emulator in a GPU's place: all but the times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kernelwright.sandbox import emulator
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.process import Limits
from kernelwright.verifier.measured.microbench import counted, measure_microbenchmarks
from kernelwright.verifier.model.microbenchmarks import host_arguments, microbenchmarks
from kernelwright.verifier.model.samples import read_samples, write_samples

DEVICE = Device("cuda", "H200", "sm_90", "process")
NOW = datetime(2026, 5, 4, tzinfo=UTC)
CHOSEN = [b for b in microbenchmarks() if b.name in {"empty 1", "copy4 16384", "copy1 4096"}]


def test_each_gives_a_sample_with_the_emulators_counters(tmp_path) -> None:
    told = []
    found = measure_microbenchmarks(
        CHOSEN, DEVICE, driver="580.1", now=lambda: NOW, limits=Limits(call_seconds=30), calls=4, runtime="emulated",
        progress=lambda number, name: told.append((number, name)),
    )  # fmt: skip
    assert told == [(i, each.name) for i, each in enumerate(CHOSEN)]
    assert len(found) == 3
    for sample, each in zip(found, CHOSEN, strict=True):
        report = sample.report()
        assert (report.kernel, report.grid, report.block) == (each.kernel, each.grid, each.block)
        assert (sample.repeats, sample.driver, sample.date, sample.source) == (4, "580.1", NOW, each.kernel)
        assert sample.seconds > 0
    copied = next(s.report() for s in found if s.source == "copy4")
    assert copied.counters.global_load_bytes == copied.counters.global_store_bytes == 4 * 16384
    write_samples(found, tmp_path / "samples.jsonl")
    assert read_samples(tmp_path / "samples.jsonl") == found


@pytest.mark.parametrize("each", CHOSEN, ids=lambda each: each.name)
def test_what_is_counted_is_the_launch_itself(each) -> None:
    module = emulator.compile(each.source, arch="sm_90")
    report = module.launch(each.kernel, each.grid, each.block, host_arguments(each), shared=each.dynamic_shared)
    assert counted(each, "sm_90").counters == report.counters
