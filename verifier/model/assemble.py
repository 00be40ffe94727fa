"""Puts a modelled `Timing` together: the candidate's launches and torch operations, the eager baseline, the bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from kernelwright.bench_tasks.task import TaskSignature, TensorSpec
from kernelwright.sandbox.launch import LaunchReport, OpRecord
from kernelwright.verifier.evaluation import Profile, Timing, TimingKind
from kernelwright.verifier.model.eager import eager_time
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.metrics import metrics
from kernelwright.verifier.model.roofline import Bound, task_bound
from kernelwright.verifier.model.uncertainty import interval_source

__all__ = ["bound", "call_bytes", "candidate_seconds", "launch_row", "profile", "rows", "storage_bytes", "timing"]

_ITEM_BYTES = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2,
    "int32": 4, "uint32": 4, "float32": 4,
    "int64": 8, "uint64": 8, "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Bytes of one element by torch dtype."""


def storage_bytes(spec: TensorSpec) -> int:
    """Bytes of memory a tensor's elements lie in: an expanded dimension (stride 0) counts once.

    Raises:
        ValueError: an unknown dtype.
    """
    try:
        count = _ITEM_BYTES[spec.dtype]
    except KeyError:
        raise ValueError(f"tensor {spec.name!r} has dtype {spec.dtype!r}, whose size is not known") from None
    for extent, stride in zip(spec.shape, spec.stride, strict=True):
        if extent == 0:
            return 0
        count *= extent if stride != 0 else 1
    return count


def call_bytes(signature: TaskSignature) -> int:
    """Bytes that a call gives: outputs as they lie in memory, and gradients, which may be expanded, in full."""
    gradients = (replace(spec, stride=(1,) * len(spec.shape)) for spec in signature.gradients)
    return _total(signature.outputs) + _total(gradients)


def _total(specs: Iterable[TensorSpec]) -> int:
    return sum(storage_bytes(spec) for spec in specs)


def _pipe(op: OpRecord) -> str:
    if op.kind in ("matmul", "convolution") and op.dtype in ("float16", "bfloat16", "int8", "float64"):
        return f"tensor_{op.dtype}"
    if op.dtype == "float64":
        return "fp64"
    # torch computes half-precision pointwise operations in float32
    return "int" if op.dtype.startswith(("int", "uint", "bool")) else "fp32"


def bound(signature: TaskSignature, eager_ops: Sequence[OpRecord], gpu: Gpu) -> Bound:
    """The roofline bound of a task.

    Bytes come from the signature. Where eager PyTorch itself reads less than all inputs and weights (an embedding, an
    unused buffer), its figure is taken, since no more is needed. FLOPs are those of the eager operations.
    """
    bytes_in, bytes_weights = _total(signature.inputs), _total(signature.parameters)
    if any(any(spec.stride) or not spec.shape for spec in signature.gradients):
        bytes_in += _total(signature.cotangents)  # else it may hand them on unread
    if eager_ops:
        needed = sum(op.bytes_read for op in eager_ops)
        bytes_in = min(bytes_in, needed)
        bytes_weights = min(bytes_weights, needed - bytes_in)
    flops: Counter[str] = Counter()
    for op in eager_ops:
        flops[_pipe(op)] += op.flops
    return task_bound(bytes_in, bytes_weights, _total(signature.outputs) + _total(signature.gradients), flops, gpu)


def launch_row(report: LaunchReport, gpu: Gpu) -> dict[str, Any]:
    """One breakdown row of a launch: name, seconds and their interval, limited_by, terms, occupancy, waves, grid, block."""
    time = kernel_time(report, gpu)
    return {
        "name": report.kernel,
        "kind": "kernel",
        "seconds": time.seconds,
        "seconds_low": time.seconds_low,
        "seconds_high": time.seconds_high,
        "interval_source": time.interval_source,
        "analytic_seconds": time.analytic_seconds,
        "limited_by": time.limited_by,
        "terms": dict(time.terms),
        "occupancy": time.occupancy.to_json(),
        "waves": time.waves,
        "tail_seconds": time.tail_seconds,
        "dram_bytes": time.traffic.dram,
        "l2_bytes": time.traffic.l2,
        "grid": list(report.grid),
        "block": list(report.block),
    }


def candidate_seconds(launches: Sequence[LaunchReport], torch_ops: Sequence[OpRecord], gpu: Gpu) -> float:
    """Modelled seconds of one forward call; 0 if it does nothing.

    Raises:
        LaunchError: a launch that the GPU would refuse for its resources.
    """
    return sum(row["seconds"] for row in rows(launches, torch_ops, gpu))


def rows(launches: Sequence[LaunchReport], torch_ops: Sequence[OpRecord], gpu: Gpu) -> list[dict[str, Any]]:
    """The breakdown of one forward call: a row for each launch, then one for each torch operation.

    Raises:
        LaunchError: a launch that the GPU would refuse for its resources.
    """
    return [launch_row(report, gpu) for report in launches] + [row.to_json() for row in eager_time(torch_ops, gpu).rows]


def _interval_source(parts: Sequence[dict[str, Any]]) -> str:
    """Where the intervals of these rows are from, each source once."""
    return "; ".join(dict.fromkeys(row.get("interval_source") or interval_source(None) for row in parts))


def timing(
    launches: Sequence[LaunchReport],
    torch_ops: Sequence[OpRecord],
    eager_ops: Sequence[OpRecord],
    signature: TaskSignature,
    gpu: Gpu,
) -> Timing:
    """The modelled timing of one forward call. Launches are taken to err together, so the ends of their intervals add up.

    Args:
        launches: the candidate's own launches, in order.
        torch_ops: what the candidate left to torch.
        eager_ops: what the reference does.
        signature: the tensors of the task, for the bound.

    Raises:
        LaunchError: a launch that the GPU would refuse for its resources.
        ValueError: the candidate or the reference does nothing at all.
    """
    if not launches and not torch_ops:
        raise ValueError("the candidate made no launch and ran no torch operation: there is nothing to time")
    if not eager_ops:
        raise ValueError("the reference ran no torch operation that moves data: there is no baseline")
    parts = rows(launches, torch_ops, gpu)
    baseline = eager_time(eager_ops, gpu)
    least = bound(signature, eager_ops, gpu)
    return Timing(
        kind=TimingKind.MODELLED,
        gpu=gpu.name,
        seconds=sum(row["seconds"] for row in parts),
        seconds_low=sum(row["seconds_low"] for row in parts),
        seconds_high=sum(row["seconds_high"] for row in parts),
        interval_source=_interval_source(parts),
        baseline_seconds=baseline.seconds,
        baseline_seconds_low=baseline.seconds_low,
        baseline_seconds_high=baseline.seconds_high,
        baseline="eager",
        bound_seconds=least.seconds,
        bound_by=least.by,
        breakdown=parts,
        baseline_breakdown=[row.to_json() for row in baseline.rows],
    )


def profile(launches: Sequence[LaunchReport], torch_ops: Sequence[OpRecord], gpu: Gpu) -> Profile:
    """The profile of one forward call: reports, torch operations, metrics per launch.

    Raises:
        LaunchError: a launch that the GPU would refuse for its resources.
    """
    return Profile(
        # the build stage says what was compiled; a profile is read by earlier versions too
        launches=[replace(report, fingerprint="").to_json() for report in launches],
        torch_ops=[op.to_json() for op in torch_ops],
        metrics=[metrics(report, report.resources, gpu, kernel_time(report, gpu)) for report in launches],
    )
