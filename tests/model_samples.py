"""Samples made by the model itself with other constants and some noise: what calibration is tested against."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from model_reports import bank_conflicts, copy, naive_matmul, softmax_rows, tiled_matmul

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.analytic import analytic_time
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.samples import Sample, sample_of

WHEN = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def textbook() -> list[tuple[str, LaunchReport]]:
    """Source and launch of some forty launches of a dozen kernels, large and small."""
    found: list[tuple[str, LaunchReport]] = []
    for exponent in (12, 16, 19, 20, 21, 22, 24):
        found += [(f"copy{width}", copy(1 << exponent, width)) for width in (1, 4)]
    found += [("scattered", copy(1 << exponent, 1, scattered=True)) for exponent in (18, 20, 22)]
    found += [("starved", copy(1 << 22, 1, registers=registers)) for registers in (64, 128, 168, 255)]
    for rows, columns in ((64, 1024), (512, 1024), (4096, 1024), (1056, 8192)):
        found += [(f"softmax{passes}", softmax_rows(rows, columns, passes=passes)) for passes in (1, 3)]
    found += [("naive", naive_matmul(n)) for n in (256, 512, 1024)]
    found += [("tiled", tiled_matmul(n)) for n in (256, 512, 1024, 2048)]
    found += [("wide tiles", tiled_matmul(n, tile=128, per_thread=8)) for n in (512, 1024)]
    found += [("conflicts", bank_conflicts(ways, accesses=50)) for ways in (1, 4, 32)]
    return found


def simulated(
    truth: Gpu,
    launches: Sequence[tuple[str, LaunchReport]] | None = None,
    *,
    noise: float = 0.03,
    seed: int = 0,
    bias: Mapping[str, float] | None = None,
    gpu: str = "NVIDIA H200",
) -> list[Sample]:
    """What a card with the constants of `truth` would have measured.

    Args:
        noise: standard deviation of the measured time's logarithm.
        bias: factors by source: something that no constant of the model explains.
    """
    rng = random.Random(seed)
    return [
        measured(report, source, analytic_time(report, truth).seconds * (bias or {}).get(source, 1.0) * math.exp(rng.gauss(0, noise)), gpu)
        for source, report in (launches or textbook())
    ]  # fmt: skip


def measured(report: LaunchReport, source: str, seconds: float, gpu: str = "NVIDIA H200") -> Sample:
    """One sample."""
    return sample_of(
        report, gpu=gpu, driver="580.65.06", source=source, seconds=seconds, repeats=100,
        standard_error=0.01 * seconds, date=WHEN,
    )  # fmt: skip


def lines(samples: Iterable[Sample]) -> str:
    """The text of a file of samples."""
    return "".join(each.model_dump_json(by_alias=True) + "\n" for each in samples)
