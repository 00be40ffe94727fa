"""The table of metrics: every one has a unit and says how far it may be trusted; the metrics of a source line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from model_reports import bank_conflicts, copy, softmax_rows

from kernelwright.sandbox.launch import LaunchReport, LineCounters
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.metric_table import Exactness, Metric, describe, line_metrics, metric_table
from kernelwright.verifier.model.metrics import metrics

H200 = find_gpu("H200")


def rows(report: LaunchReport) -> dict[str, Metric]:
    return {row.name: row for row in metric_table(report, None, H200, kernel_time(report, H200))}


@pytest.mark.parametrize("report", [softmax_rows(64, 1024, registers=40), bank_conflicts(8, accesses=10)])
def test_every_metric_has_a_row(report: LaunchReport) -> None:
    values = metrics(report, None, H200, kernel_time(report, H200))
    assert {name: row.value for name, row in rows(report).items()} == values


def test_units_and_exactness() -> None:
    table = rows(softmax_rows(64, 1024, registers=40))
    assert table["launch__registers_per_thread"] == Metric(
        "launch__registers_per_thread", 40.0, "register/thread", Exactness.EXACT
    )
    assert table["dram__bytes_read.sum"].exactness is Exactness.MODELLED
    assert table["kernelwright__modelled_seconds"].unit == "s"
    issued = table["smsp__inst_executed.sum"]
    assert (issued.unit, issued.exactness) == ("inst", Exactness.PTX)
    assert issued.value == table["kernelwright__ptx_warp_instructions.sum"].value
    assert table["smsp__warps_launched.sum"].value == 64 * 8
    sectors = table["l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"].value
    assert table["l1tex__t_bytes_pipe_lsu_mem_global_op_ld.sum"].value == 32 * sectors
    with pytest.raises(KeyError):
        describe("smsp__nothing_of_the_kind.sum")


def test_a_sample_says_so() -> None:
    whole = copy(1 << 20, 1)
    part = replace(whole, counters=replace(whole.counters, blocks=whole.counters.blocks // 2))
    table = rows(part)
    assert table["smsp__inst_executed.sum"].exactness is Exactness.SAMPLED
    assert table["launch__grid_size"].exactness is Exactness.EXACT


def test_a_line_under_the_names_of_the_source_page() -> None:
    line = LineCounters(
        line=3,
        warp_instructions=40,
        thread_instructions=1280,
        global_load_sectors=320,
        global_load_ideal_sectors=40,
        global_store_sectors=8,
        global_store_ideal_sectors=8,
        shared_load_requests=10,
        shared_load_wavefronts=80,
        shared_load_bytes=1280,
        shared_store_requests=2,
        shared_store_wavefronts=8,
        shared_store_bytes=1024,
    )
    assert line_metrics(line) == {
        "inst_executed": 40,
        "thread_inst_executed": 1280,
        "memory_l2_theoretical_sectors_global": 328,
        "memory_l2_theoretical_sectors_global_ideal": 48,
        "memory_l1_wavefronts_shared": 88,
        "memory_l1_wavefronts_shared_ideal": 18,
    }
