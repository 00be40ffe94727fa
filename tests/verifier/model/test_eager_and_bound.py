"""Eager times, the roofline bound, the assembled timing and the metrics."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_reports import bank_conflicts, copy, naive_matmul, softmax_rows

from kernelwright.bench_tasks.task import TaskSignature, TensorSpec
from kernelwright.sandbox.launch import OpRecord
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.eager import eager_time, op_time
from kernelwright.verifier.model.gpus import all_gpus, find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.metrics import metrics
from kernelwright.verifier.model.roofline import task_bound

H200 = find_gpu("H200")
MB64 = 64 << 20


def pointwise(nbytes: int, name: str = "aten.mul.Tensor") -> OpRecord:
    return OpRecord(name, nbytes, nbytes, nbytes // 4, "float32", "pointwise", ((nbytes // 4,),))


def matmul(m: int, n: int, k: int, dtype: str = "float32") -> OpRecord:
    size = 2 if "16" in dtype else 4
    return OpRecord(
        "aten.mm.default", size * k * (m + n), size * m * n, 2 * m * n * k, dtype, "matmul", ((m, k), (k, n))
    )


def spec(
    name: str, shape: tuple[int, ...], dtype: str = "float32", stride: tuple[int, ...] | None = None
) -> TensorSpec:
    return TensorSpec(name, shape, dtype, stride or torch.empty(shape, device="meta").stride())


@pytest.mark.parametrize("gpu", all_gpus(), ids=lambda gpu: gpu.name)
def test_a_large_pointwise_operation_costs_what_the_same_copy_kernel_costs(gpu):
    """The comparison is fair: a plain kernel of ours and torch's for the same bytes are within 6 % of each other."""
    ours = kernel_time(copy(MB64 // 4, 4), gpu).seconds
    assert op_time(pointwise(MB64), gpu).seconds == pytest.approx(ours, rel=0.06)


def test_a_small_operation_costs_a_launch_and_a_latency():
    row = op_time(pointwise(4096), H200)
    assert row.limited_by == "launch"
    assert H200.launch_seconds < row.seconds < 2 * H200.launch_seconds
    ours = kernel_time(copy(1024, 4), H200).seconds
    assert row.seconds == pytest.approx(ours, rel=0.25)


def test_operations_add_up():
    ops = [pointwise(MB64), pointwise(4096), matmul(512, 512, 512)]
    total = eager_time(ops, H200)
    assert total.seconds == pytest.approx(sum(row.seconds for row in total.rows))
    assert [row.name for row in total.rows] == [op.name for op in ops]
    assert eager_time([], H200).seconds == 0


@pytest.mark.parametrize("gpu", all_gpus(), ids=lambda gpu: gpu.name)
def test_a_large_matmul_nears_the_float32_peak(gpu):
    op = matmul(8192, 8192, 8192)
    share = op.flops / op_time(op, gpu).seconds / gpu.fp32_peak
    assert 0.80 < share < 0.96


def test_matmul_knows_wave_quantisation_and_small_sizes():
    share = {n: 2 * n**3 / op_time(matmul(n, n, n), H200).seconds / H200.fp32_peak for n in (128, 512, 2048, 8192)}
    assert share[128] < share[512] < share[2048] < share[8192]
    assert share[128] < 0.1
    # one tile more than fills the card costs visibly more than its share of the work
    exact, beyond = matmul(128 * 132, 128, 4096), matmul(128 * 132 + 1, 128, 4096)
    assert op_time(beyond, H200).seconds >= op_time(exact, H200).seconds


def test_half_precision_uses_tensor_cores():
    full, half = op_time(matmul(4096, 4096, 4096), H200), op_time(matmul(4096, 4096, 4096, "bfloat16"), H200)
    assert half.seconds < full.seconds / 5
    assert (full.limited_by, half.limited_by) == ("fp32", "tensor")


def test_double_precision_products_use_tensor_cores_where_they_can():
    op = matmul(4096, 4096, 4096, "float64")
    assert op_time(op, H200).limited_by == "tensor"
    assert op_time(op, H200).seconds > op.flops / H200.tensor_fp64
    ada = find_gpu("L40S")
    assert op_time(op, ada).limited_by == "fp64"
    assert op_time(op, ada).seconds > op.flops / ada.fp64_peak
    assert task_bound(1, 1, 1, {"tensor_float64": op.flops}, H200).seconds < op_time(op, H200).seconds


def test_a_convolution_is_never_read_as_a_matrix_product():
    """Its shapes may look like one: an image as wide as the filter is high."""
    flops = 2 * 64 * 64 * 3 * 3 * 64
    op = OpRecord("aten.convolution.default", 1, 1, flops, "float32", "convolution", ((1, 64, 64, 3), (64, 64, 3, 3)))
    other = replace(op, shapes=((1, 64, 64, 4), (64, 64, 3, 3)))
    assert op_time(op, H200).seconds == op_time(other, H200).seconds


@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 4096), st.sampled_from(["H200", "T4", "RTX 4090"]))
def test_matmul_is_never_faster_than_the_peaks(m, n, k, name):
    gpu = find_gpu(name)
    op = matmul(m, n, k)
    seconds = op_time(op, gpu).seconds
    assert seconds >= op.flops / gpu.fp32_peak + gpu.launch_seconds
    assert seconds >= (op.bytes_read + op.bytes_written) / gpu.achievable_bandwidth + gpu.launch_seconds


def attention(heads: int, queries: int, keys: int, width: int, dtype: str = "float16") -> OpRecord:
    size = {"float16": 2, "float32": 4}[dtype]
    q, k = (heads, queries, width), (heads, keys, width)
    read, written = size * heads * width * (queries + 2 * keys), size * heads * width * queries
    flops = 4 * heads * queries * keys * width
    name = "aten._scaled_dot_product_flash_attention_for_cpu.default"
    return OpRecord(name, read, written, flops, dtype, "matmul", (q, k, k))


@given(st.integers(1, 64), st.integers(1, 4096), st.integers(1, 4096), st.sampled_from([16, 64, 128, 256]))
def test_fused_attention_is_never_faster_than_the_peaks(heads, queries, keys, width):
    for dtype in ("float16", "float32"):
        op = attention(heads, queries, keys, width, dtype)
        assert op_time(op, H200).seconds > op.flops / H200.matmul_peak(dtype)


def test_fused_attention_of_long_sequences_reaches_its_share_and_beats_stored_scores():
    op = attention(64, 4096, 4096, 64)
    fused = op_time(op, H200)
    assert 0.5 < op.flops / fused.seconds / H200.tensor_fp16 < 0.6
    scores = pointwise(2 * 64 * 4096 * 4096)
    assert fused.seconds < op_time(scores, H200).seconds


def test_fused_attention_splits_keys_where_queries_are_few():
    few = op_time(attention(8, 1, 16384, 128), H200).seconds
    assert few < 20 * op_time(attention(8, 1, 128, 128), H200).seconds


def test_bound_of_a_streaming_task_is_dram():
    least = task_bound(MB64, 0, MB64, {"fp32": 1000}, H200)
    assert least.by == "dram"
    assert least.seconds == pytest.approx(2 * MB64 / (0.9 * 4.8e12) + 2e-6)


def test_bound_of_a_matmul_is_arithmetic():
    flops = 2 * 4096**3
    least = task_bound(4 * 4096**2, 4 * 4096**2, 4 * 4096**2, {"fp32": flops}, H200)
    assert least.by == "fp32"
    assert least.seconds == pytest.approx(flops / H200.fp32_peak + 2e-6)
    assert task_bound(1, 1, 1, {"tensor_bfloat16": flops}, H200).seconds < least.seconds / 5
    assert task_bound(4, 0, 4, {}, H200).by == "launch"


def test_bound_refuses_an_unknown_pipe():
    with pytest.raises(ValueError, match="unknown pipes \\['tf32'\\]"):
        task_bound(1, 1, 1, {"tf32": 1}, H200)


@pytest.mark.parametrize(
    ("tensor", "nbytes"),
    [
        (spec("x", (3, 5)), 60),
        (spec("x", (3, 5), "float64"), 120),
        (spec("x", (3, 5), "bool"), 15),
        (spec("x", (1000, 5), stride=(0, 1)), 20),  # expanded
        (spec("x", (0, 5)), 0),
        (spec("x", ()), 4),
    ],
)
def test_storage_bytes(tensor, nbytes):
    assert assemble.storage_bytes(tensor) == nbytes


def test_every_torch_dtype_of_the_table_has_torchs_size():
    for name, size in assemble._ITEM_BYTES.items():
        assert getattr(torch, name).itemsize == size


def test_unknown_dtype_is_named():
    with pytest.raises(ValueError, match="'x' has dtype 'quint8'"):
        assemble.storage_bytes(spec("x", (1,), "quint8"))


SOFTMAX = TaskSignature((spec("x", (4096, 1024)),), (spec("out", (4096, 1024)),), ())
NBYTES = 4 * 4096 * 1024


def softmax_op() -> OpRecord:
    return OpRecord("aten._softmax.default", NBYTES, NBYTES, NBYTES // 4, "float32", "reduction", ((4096, 1024),))


def test_timing_of_a_softmax():
    timing = assemble.timing([softmax_rows(4096, 1024)], [], [softmax_op()], SOFTMAX, H200)
    assert timing.kind is TimingKind.MODELLED
    assert timing.gpu == "H200"
    assert timing.bound_by == "dram"
    assert timing.bound_seconds == pytest.approx(2 * NBYTES / H200.achievable_bandwidth + 2e-6)
    assert timing.bound_seconds <= timing.seconds <= timing.baseline_seconds
    assert 0.8 < timing.roofline_share <= 1
    (row,) = timing.breakdown
    assert (row["name"], row["limited_by"]) == ("softmax", "dram")
    assert row["terms"]["dram"] <= row["seconds"]
    assert row["occupancy"]["blocks_per_sm"] == 8
    assert timing.baseline_breakdown[0]["name"] == "aten._softmax.default"
    assert type(timing).model_validate_json(timing.model_dump_json()) == timing


def test_what_stays_in_torch_is_part_of_the_candidate():
    alone = assemble.timing([softmax_rows(4096, 1024)], [], [softmax_op()], SOFTMAX, H200)
    mixed = assemble.timing([softmax_rows(4096, 1024)], [pointwise(NBYTES)], [softmax_op()], SOFTMAX, H200)
    assert mixed.seconds == pytest.approx(alone.seconds + op_time(pointwise(NBYTES), H200).seconds)
    assert [row["name"] for row in mixed.breakdown] == ["softmax", "aten.mul.Tensor"]


def test_a_candidate_that_stays_in_torch_equals_the_baseline():
    timing = assemble.timing([], [softmax_op()], [softmax_op()], SOFTMAX, H200)
    assert timing.speedup == 1.0


def test_bound_counts_only_what_eager_reads_of_a_table():
    signature = TaskSignature((spec("ids", (8,), "int64"),), (spec("out", (8, 64)),), (spec("weight", (100_000, 64)),))
    embedding = OpRecord("aten.embedding.default", 64 + 2048, 2048, 0, "float32", "copy", ((100_000, 64), (8,)))
    assert assemble.bound(signature, [embedding], H200).terms["dram"] == pytest.approx(
        (64 + 2048 + 2048) / H200.achievable_bandwidth
    )


def test_nothing_to_time_is_an_error():
    with pytest.raises(ValueError, match="made no launch"):
        assemble.timing([], [], [softmax_op()], SOFTMAX, H200)
    with pytest.raises(ValueError, match="no baseline"):
        assemble.timing([softmax_rows(4096, 1024)], [], [], SOFTMAX, H200)


def test_metrics_under_nsight_names():
    report = softmax_rows(4096, 1024, registers=40)
    m = metrics(report, None, H200, kernel_time(report, H200))
    assert m["launch__registers_per_thread"] == 40
    assert m["launch__grid_size"] == 4096
    assert m["launch__block_size"] == 256
    assert m["launch__occupancy_limit_registers"] == 6
    assert m["sm__maximum_warps_per_active_cycle_pct"] == 75.0
    assert m["launch__waves_per_multiprocessor"] == pytest.approx(4096 / (132 * 6))
    assert m["l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio"] == 16  # float4 a lane
    assert m["smsp__thread_inst_executed_per_inst_executed.ratio"] == 32
    assert m["dram__bytes_read.sum"] == NBYTES
    assert m["dram__bytes_write.sum"] == NBYTES
    assert all(isinstance(value, float) for value in m.values())


def test_metrics_count_wasted_bytes_and_conflicts():
    scattered = copy(1 << 20, 1, scattered=True)
    m = metrics(scattered, None, H200, kernel_time(scattered, H200))
    assert m["smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio"] == 4  # of 32
    report = bank_conflicts(8, accesses=10)
    m = metrics(report, None, H200, kernel_time(report, H200))
    accesses = 4096 * 8 * 10
    assert m["l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum"] == 7 * accesses
    assert m["l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum"] == 8 * accesses


def test_metrics_of_a_sample_are_those_of_the_grid():
    report = naive_matmul(512)
    c = report.counters
    half = replace(c, blocks=c.blocks // 2, global_load_requests=c.global_load_requests // 2)
    m = metrics(replace(report, counters=half), None, H200, kernel_time(report, H200))
    assert m["l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum"] == c.global_load_requests


def test_profile_round_trip():
    profile = assemble.profile([softmax_rows(8, 1024)], [softmax_op()], H200)
    assert profile.launches[0]["kernel"] == "softmax"
    assert profile.torch_ops[0]["kind"] == "reduction"
    assert len(profile.metrics) == 1
