"""Modelled time of torch operations: what the module costs as eager PyTorch, and what a candidate left to torch.

Each ATen operation is one kernel launch with its bytes over bandwidth and its FLOPs over peak, on the same launch
overhead, achievable bandwidth and latency as `kernel_time`. Every operation reads from DRAM and writes to it, as every
launch in `kernel_time` does: no data stays in L2 from one launch to the next, on either side of the comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kernelwright.sandbox.launch import OpRecord
from kernelwright.verifier.model.analytic import join
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.traffic import loaded_dram_seconds
from kernelwright.verifier.model.uncertainty import interval

__all__ = ["EagerTime", "OpTime", "eager_time", "op_time"]

BANDWIDTH_SHARE = {
    "pointwise": 0.97,
    "copy": 0.90,
    "reduction": 0.90,
    "matmul": 0.95,
    "convolution": 0.85,
    "other": 0.75,
}
"""Of the achievable DRAM bandwidth, for large tensors. Estimates: torch's vectorised pointwise kernels are near a
plain copy; row reductions and strided copies reach about nine tenths; gathers, sorts and scans less."""
WARP_CLOCKS = 300.0
"""Clocks a warp of a torch kernel spends beside waiting for DRAM: index arithmetic and the work (estimate, about
150 instructions at two clocks)."""
TILES = ((256, 128, 0.95), (128, 128, 0.92), (128, 64, 0.85), (64, 64, 0.75), (64, 32, 0.60), (32, 32, 0.45))
"""Output tiles (rows, columns) a matrix-product library has, and the share of an SM's peak its inner loop reaches.
Estimates: large SIMT tiles reach over nine tenths on A100 (18.5 of 19.5 TFLOP/s in float32); small tiles are bound by
shared memory."""
TENSOR_SHARE = 0.80
"""Of that again on tensor cores: clocks drop under load and loads take longer to hide (estimate: published cuBLAS
figures of 650 to 750 of 989 TFLOP/s on H100)."""
ATTENTION_TILES = (128, 64)
"""Queries a block of a fused attention kernel has (FlashAttention-2 uses both, arXiv:2307.08691)."""
ATTENTION_SHARE = {"tensor": 0.60, "fp32": 0.65}
"""Share of an SM's peak that such a kernel reaches. Estimates: on tensor cores 50 to 73 % were published for FlashAttention-2 on
A100 (arXiv:2307.08691), 35 % for it and 75 % for its successor on H100 (arXiv:2407.08608); without them a product's
tiles of 64 rows, less a tenth for exponentials and rescaling."""
SPLITS = (1, 2, 4, 8, 16, 32)
"""Ways a library may cut the inner dimension so that more SMs take part."""
TILE_FILL = 64
"""Inner-dimension length that a tile loses to filling and draining its pipeline (estimate)."""


@dataclass(frozen=True)
class OpTime:
    """One operation: seconds, the largest of its terms (`dram`, `fp32`, `fp64`, `tensor`, `latency`, `launch`)."""

    name: str
    kind: str
    seconds: float
    seconds_low: float
    """The ends of its interval of 80 %: always the prior's, for samples are of kernels and not of torch's operations."""
    seconds_high: float
    limited_by: str
    terms: dict[str, float]
    bytes: int
    flops: int

    def to_json(self) -> dict[str, object]:
        """A row of a timing's breakdown."""
        return asdict(self)


@dataclass(frozen=True)
class EagerTime:
    """Total in seconds with its interval (operations are taken to err together), and one row per operation."""

    seconds: float
    seconds_low: float
    seconds_high: float
    rows: tuple[OpTime, ...]


def _matrix_sizes(op: OpRecord) -> tuple[int, int, int, int] | None:
    """Batch, rows, columns and inner length of a matrix product, from the shapes of its inputs."""
    matrices = [shape for shape in op.shapes if len(shape) >= 2]
    if len(matrices) < 2:
        return None
    left, right = matrices[-2], matrices[-1]
    rows, inner, columns = left[-2], left[-1], right[-1]
    if right[-2] != inner:
        return None
    batch = math.prod(left[:-2])
    # three factors, or two products in one operation: more than these sizes say
    if min(batch, rows, columns, inner) < 1 or not 0 < op.flops <= 2 * batch * rows * columns * inner:
        return None
    return batch, rows, columns, inner


def _on_tensor_cores(op: OpRecord, gpu: Gpu) -> bool:
    return op.dtype in ("float16", "bfloat16", "int8") or (op.dtype == "float64" and gpu.tensor_fp64 > 0)


def _matmul_seconds(op: OpRecord, gpu: Gpu) -> float:
    """The fastest tile and split, with wave quantisation: the busiest SM sets the time."""
    limit = gpu.matmul_peak(op.dtype) * (TENSOR_SHARE if _on_tensor_cores(op, gpu) else 1.0)
    sizes = _matrix_sizes(op) if op.kind == "matmul" else None
    if sizes is None:
        return op.flops / (limit * TILES[2][2])
    batch, rows, columns, inner = sizes
    best = math.inf
    for tile_rows, tile_columns, share in TILES:
        for split in SPLITS:
            length = -(-inner // split) + TILE_FILL
            tiles = batch * split * -(-rows // tile_rows) * -(-columns // tile_columns)
            per_sm = -(-tiles // gpu.sms)
            seconds = per_sm * 2.0 * tile_rows * tile_columns * length / (limit * share / gpu.sms)
            if split > 1:  # partial sums are written and read once more, in float32
                seconds += 8.0 * split * batch * rows * columns / gpu.l2_bandwidth
            best = min(best, seconds)
    return best


def _attention_seconds(op: OpRecord, gpu: Gpu) -> float:
    """A fused kernel: blocks of queries that pass over all keys, or over a part of them where there are few blocks."""
    on_tensor_cores = op.dtype in ("float16", "bfloat16")
    limit = gpu.matmul_peak(op.dtype) * ATTENTION_SHARE["tensor" if on_tensor_cores else "fp32"]
    queries, keys = op.shapes[0], op.shapes[1]
    heads, rows = math.prod(queries[:-2]), queries[-2]
    if min(heads, rows, keys[-2]) < 1:
        return 0.0
    best = math.inf
    for tile in ATTENTION_TILES:
        blocks = heads * -(-rows // tile)
        for split in SPLITS:
            per_sm = -(-blocks * split // gpu.sms)
            seconds = per_sm * op.flops * (blocks * tile / (heads * rows)) / (blocks * split) / (limit / gpu.sms)
            if split > 1:  # partial results are written and read once more, in float32
                seconds += 8.0 * split * heads * rows * queries[-1] / gpu.l2_bandwidth
            best = min(best, seconds)
    return best


def op_time(op: OpRecord, gpu: Gpu) -> OpTime:
    """One row: what this operation costs as a kernel of torch's own."""
    moved = op.bytes_read + op.bytes_written
    share = BANDWIDTH_SHARE.get(op.kind, BANDWIDTH_SHARE["other"])
    dram = moved / (gpu.achievable_bandwidth * share)
    pipe = "fp64" if op.dtype == "float64" else "fp32"
    if op.kind in ("matmul", "convolution"):
        fused = op.name.startswith("aten._scaled_dot_product") and "backward" not in op.name and len(op.shapes) >= 3
        compute = _attention_seconds(op, gpu) if fused else _matmul_seconds(op, gpu)
        if _on_tensor_cores(op, gpu):
            pipe = "tensor"
    else:
        # one operation an element, not fused: half of the multiply-add peak
        compute = op.flops / ((gpu.fp64_peak if pipe == "fp64" else gpu.fp32_peak) / 2)
    latency = loaded_dram_seconds(gpu) + WARP_CLOCKS / gpu.clock_hz if moved else 0.0
    terms = {"dram": dram, pipe: compute, "latency": latency, "launch": gpu.launch_seconds}
    seconds = join(max(dram, compute), latency, gpu.constants.overlap) + gpu.launch_seconds
    limiter = max(terms, key=lambda name: terms[name])
    return OpTime(op.name, op.kind, seconds, *interval(seconds, limiter), limiter, terms, moved, op.flops)


def eager_time(ops: Sequence[OpRecord], gpu: Gpu) -> EagerTime:
    """Modelled time of the operations one after another, each a launch of its own."""
    rows = tuple(op_time(op, gpu) for op in ops)
    low, high = sum(row.seconds_low for row in rows), sum(row.seconds_high for row in rows)
    return EagerTime(sum(row.seconds for row in rows), low, high, rows)
