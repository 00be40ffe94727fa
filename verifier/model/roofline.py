"""The roofline bound of a task: the least time any kernel could take for it, under stated assumptions.

Counted: every byte of inputs, weights and outputs crosses DRAM once, at the *achievable* bandwidth (data sheet times
`dram_share`); the operations run at the full peak of the pipe their dtype needs; the two overlap
perfectly; plus one launch.
Not counted: any intermediate (a perfect kernel keeps them on the chip), and data that might already lie in L2.
float32 work counts at the float32 peak, never at tf32's: tensor cores round more than the verifier accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Bound", "task_bound"]


@dataclass(frozen=True)
class Bound:
    """The bound in seconds (launch included), what makes it, and its parts."""

    seconds: float
    by: str
    """`dram`, `launch`, or the pipe with the most work: `fp32`, `fp64`, `tensor_fp16`, ..."""
    terms: dict[str, float]


def task_bound(bytes_in: int, bytes_weights: int, bytes_out: int, flops_by_kind: Mapping[str, int], gpu: Gpu) -> Bound:
    """The roofline bound.

    Args:
        bytes_in: bytes of the inputs that must be read.
        bytes_weights: bytes of parameters and buffers that must be read.
        bytes_out: bytes that must be written.
        flops_by_kind: operations by pipe: `fp32`, `fp64`, `fp16`, `int`, `tensor_float16`, `tensor_bfloat16`,
            `tensor_int8`, `tensor_float64`. A multiply-add counts two.

    Raises:
        ValueError: an unknown pipe.
    """
    peaks = {"fp32": gpu.fp32_peak, "fp64": gpu.fp64_peak, "fp16": gpu.fp16_peak, "int": gpu.int_peak}
    peaks |= {f"tensor_{dtype}": gpu.matmul_peak(dtype) for dtype in ("float16", "bfloat16", "int8", "float64")}
    if unknown := set(flops_by_kind) - set(peaks):
        raise ValueError(f"unknown pipes {sorted(unknown)}; known: {sorted(peaks)}")
    terms = {"dram": (bytes_in + bytes_weights + bytes_out) / gpu.achievable_bandwidth}
    terms |= {name: flops / peaks[name] for name, flops in flops_by_kind.items() if flops}
    work = max(terms.values())
    terms["launch"] = gpu.launch_seconds
    return Bound(work + gpu.launch_seconds, max(terms, key=lambda name: terms[name]), terms)
