"""What a kernel does with the GPU, in a few numbers and tags: what tells the kernels of an archive apart.

They come from the emulator's counters and from what ptxas said, which every evaluation that passed carries; the source is
asked only for what no counter tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kernelwright.rl.same_kernel import NormalSource, normal_source
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation

__all__ = ["TAGS", "Features", "features"]

TAGS: Mapping[str, str] = {
    "vectorised": "an access of a thread to global memory moves more than 4 bytes, or two 16-bit numbers at once",
    "shared_tiling": "at least half as many bytes are read from shared memory as from global memory: data is used again there",
    "tensor_cores": "matrix products on tensor cores",
    "cp_async": "copies from global to shared memory that do not pass through registers",
    "warp_shuffles": "lanes of a warp exchange values (shfl, vote, match, redux)",
    "atomics": "atomic operations on global or shared memory",
    "persistent_grid": "one wave of blocks, each of which goes over several parts of the work",
    "several_launches": "more than one kernel is launched",
}
"""Techniques, and how each is told."""

_SCALAR_BYTES = 32 * 4
"""Bytes that one request of a whole warp moves when each lane asks for one 32-bit number."""
_WIDE_SCALAR_BYTES = 32 * 8
"""The same for 64-bit numbers."""
_VECTOR_WORDS = frozenset({
    "float2", "float4", "double2", "int2", "int4", "uint2", "uint4", "half2", "__half2", "nv_bfloat162", "__nv_bfloat162",
    "longlong2", "short4", "ushort4",
})  # fmt: skip
_ASYNC_WORDS = frozenset({"memcpy_async", "__pipeline_memcpy_async", "cp_async", "pipeline", "cuda_pipeline"})


@dataclass(frozen=True)
class Features:
    """Of the kernel's costliest launch, where no other is said; made from one call on the task's own workload."""

    registers: int
    """A thread."""
    shared_bytes: int
    """Static and dynamic shared memory a block, in bytes."""
    occupancy: float
    """Warps that fit on a multiprocessor at once, over those that it can hold: in [0, 1]."""
    dram_share: float
    """Time that the bytes from and to DRAM need at full bandwidth, over the modelled time, of all launches: in [0, 1]."""
    launches: int
    """Of one call."""
    tags: tuple[str, ...]
    """Of `TAGS`, in their order."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return {**asdict(self), "tags": list(self.tags)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Features:
        """Reads what `to_json` wrote."""
        return cls(**{**data, "tags": tuple(map(str, data["tags"]))})


def features(kernel: Kernel, evaluation: Evaluation) -> Features | None:
    """The features of a kernel that passed; None of one that did not, or of which nothing was counted."""
    profile = evaluation.profile
    if not evaluation.passed or profile is None or not profile.launches:
        return None
    metrics = [*profile.metrics, *({} for _ in profile.launches)][: len(profile.launches)]
    at = max(range(len(metrics)), key=lambda i: (metrics[i].get("kernelwright__modelled_seconds", 0.0), -i))
    launch, chosen = profile.launches[at], metrics[at]
    resources = launch.get("resources") or {}
    static = int(resources.get("static_shared", 0))
    return Features(
        registers=int(resources.get("registers", chosen.get("launch__registers_per_thread", 0))),
        shared_bytes=static + int(launch.get("dynamic_shared", 0)),
        occupancy=_share(chosen.get("sm__maximum_warps_per_active_cycle_pct", 0.0) / 100.0),
        dram_share=_dram_share(metrics),
        launches=len(profile.launches),
        tags=_tags(launch, chosen, len(profile.launches), normal_source(kernel.source)),
    )


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _dram_share(metrics: list[dict[str, float]]) -> float:
    """The shares of the launches, each weighted by its time without what launching costs, over the time with it."""
    total = sum(m.get("kernelwright__modelled_seconds", 0.0) for m in metrics)
    if total <= 0.0:
        return 0.0
    busy = sum(
        m.get("kernelwright__modelled_seconds", 0.0) * _share(m.get("kernelwright__dram_bandwidth.pct", 0.0) / 100.0)
        for m in metrics
    )
    return _share(busy / total)


def _tags(
    launch: Mapping[str, Any], metrics: Mapping[str, float], launches: int, source: NormalSource
) -> tuple[str, ...]:
    counters: Mapping[str, Any] = launch.get("counters") or {}

    def count(name: str) -> int:
        return int(counters.get(name, 0))

    def issued(kind: str) -> int:
        return int((counters.get("warp_instructions") or {}).get(kind, 0))

    flops: Mapping[str, int] = counters.get("flops") or {}
    requests = count("global_load_requests") + count("global_store_requests")
    moved = count("global_load_bytes") + count("global_store_bytes")
    scalar = _WIDE_SCALAR_BYTES if flops.get("fp64") else _SCALAR_BYTES
    asynchronous = bool(source.words & _ASYNC_WORDS) or any("cp.async" in token for token in source.tokens)
    found = {
        "vectorised": bool(requests and moved > scalar * requests) or bool(source.words & _VECTOR_WORDS),
        "shared_tiling": 0 < count("global_load_bytes") <= 2 * count("shared_load_bytes"),
        "tensor_cores": issued("tensor") > 0,
        "cp_async": asynchronous,
        "warp_shuffles": issued("shuffle") > 0,
        "atomics": issued("atomic") + count("global_atomic_requests") + count("shared_atomic_requests") > 0,
        "persistent_grid": "gridDim" in source.words
        and 0.0 < metrics.get("launch__waves_per_multiprocessor", 0.0) <= 1.0,
        "several_launches": launches > 1,
    }
    return tuple(tag for tag in TAGS if found[tag])
