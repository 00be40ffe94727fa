"""Attempts as an archive takes them in: real types, with what the emulator counts of a kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from search_doubles import EPOCH, TASK, Outcome, evaluation, run

from kernelwright.db.archive import DatabaseArchive
from kernelwright.db.store import Store
from kernelwright.rl.archive.islands import ArchiveSettings
from kernelwright.rl.run import Attempt
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Profile, Stage, StageStatus, TimingKind, Verdict

__all__ = ["an_archive", "attempt", "profile", "source"]


def source(number: int, body: str = "") -> str:
    """A module whose kernel differs from all others by a number; `body` is more CUDA."""
    return f'''import cupy
CODE = r"""
extern "C" __global__ void scale(const float* x, float* y, int n) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * {number}.0f;
    {body}
}}
"""
class ModelNew: code = CODE
'''


def profile(
    *, registers: int = 24, static_shared: int = 0, occupancy: float = 1.0, dram: float = 0.9, **counters: Any
) -> Profile:
    """Of one launch; `counters` are those of `LaunchReport`, `occupancy` and `dram` shares of 1."""
    launch = {
        "kernel": "scale",
        "grid": [128, 1, 1],
        "block": [256, 1, 1],
        "dynamic_shared": 0,
        "counters": {"global_load_requests": 10, "global_load_bytes": 1280, **counters},
        "resources": {"registers": registers, "static_shared": static_shared},
    }
    metrics = {
        "kernelwright__modelled_seconds": 1e-5,
        "kernelwright__dram_bandwidth.pct": 100.0 * dram,
        "sm__maximum_warps_per_active_cycle_pct": 100.0 * occupancy,
        "launch__waves_per_multiprocessor": 2.0,
    }
    return Profile(launches=[launch], metrics=[metrics])


def attempt(
    number: int, outcome: Outcome, *, run_id: str = "evolve-1", version: int | None = None, text: str | None = None,
    compiled: str = "", share: float | None = None, **shape: Any,
) -> Attempt:  # fmt: skip
    """Attempt `number`, of kernel `version` (by default one of its own), with this outcome.

    Args:
        compiled: the hash that the build stage tells.
        share: the error of a wrong one, over what is allowed.
        shape: of `profile`.
    """
    kernel = Kernel(source(number if version is None else version) if text is None else text, "scripted")
    judged = evaluation(kernel, outcome)
    stages = [Stage(name="build", status=StageStatus.PASSED, summary="", seconds=0.1, evidence={"compiled": compiled})]
    stages += judged.stages
    if share is not None:
        stages[-1] = stages[-1].model_copy(update={"evidence": {"calls": [{"share_of_allowed": share}]}})
    changes: dict[str, Any] = {"stages": stages}
    if not isinstance(outcome, Verdict):
        changes["profile"] = profile(**shape)
    judged = Evaluation.model_validate(judged.model_copy(update=changes).model_dump())
    return Attempt(run_id, number, f"version {number}", kernel, judged, None, EPOCH, 1.5)


def an_archive(store: Store, *, run_id: str = "evolve-1", name: str = "own", **settings: int) -> DatabaseArchive:
    """An archive with the run that feeds it."""
    if not store.has_run(run_id):
        store.create_run(replace(run(run_id), strategy="evolve", rounds=1000))
    return store.archive(TASK, "H200", TimingKind.MODELLED, name, ArchiveSettings(**settings))
