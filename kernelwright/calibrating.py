"""Calibrating the performance model: samples from a file and from the store, the fit, and where it is kept."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kernelwright.config import Settings
from kernelwright.db.store import MeasuredRow, Store
from kernelwright.errors import ConfigError, MisuseError
from kernelwright.jobs import utc_now
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.calibration import Calibration, calibrate, save
from kernelwright.verifier.model.learned import Learned, learn
from kernelwright.verifier.model.samples import Sample, sample_of

__all__ = ["Outcome", "calibrate_model", "measure_here", "no_gpu", "stored_samples"]


@dataclass(frozen=True)
class Outcome:
    """What calibrating came to."""

    calibration: Calibration
    learned: Learned | None
    """None where nothing was to be learned."""
    path: Path | None
    """Where it was kept; None in a dry run."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object for `kernelwright calibrate --json`: without the trees."""
        found = self.calibration.model_dump(mode="json", exclude={"correction"})
        learned = None
        if self.learned is not None:
            learned = {
                "used": self.learned.correction is not None,
                "held_out": self.learned.held_out,
                "analytic": self.learned.analytic,
                "reason": self.learned.reason,
            }
        return {**found, "learned": learned, "path": None if self.path is None else str(self.path)}


def calibrate_model(
    samples: Sequence[Sample],
    settings: Settings,
    *,
    gpu: str | None = None,
    with_learning: bool = False,
    dry_run: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> Outcome:
    """Calibrates on these samples and keeps what came out in the data folder.

    Args:
        gpu: take those of this GPU alone.
        dry_run: keep nothing.

    Raises:
        MisuseError, NotFoundError: see `calibration.calibrate`.
        ConfigError: the data folder can't be written, or learning was asked for without scikit-learn.
    """
    learned: list[Learned] = []

    def learning(*given: Any) -> Any:
        learned.append(learn(*given))
        return learned[0].correction

    found = calibrate(samples, now=clock(), gpu=gpu, learn=learning if with_learning else None)
    path = None if dry_run else save(found, settings.data)
    return Outcome(found, learned[0] if learned else None, path)


def stored_samples(store: Store) -> list[Sample]:
    """Samples of the measured evaluations in the store: those of kernels whose call is one launch and nothing of torch's.

    Of others it is not known which launch took how long.

    Raises:
        MisuseError: there is none.
    """
    every = store.measured()
    found = [sample for row in every if (sample := _sample(row)) is not None]
    if not found:
        what = (
            f"{len(every)} measured evaluations, none of a kernel that is one launch"
            if every
            else "no measured evaluation"
        )
        raise MisuseError(
            f"the store holds {what}.", mend="Judge kernels on a GPU first, or give samples with --from FILE."
        )
    return found


def _sample(row: MeasuredRow) -> Sample | None:
    evaluation = row.evaluation
    timing, profile = evaluation.timing, evaluation.profile
    if timing is None or profile is None or len(profile.launches) != 1 or profile.torch_ops:
        return None
    taken = [call.seconds for call in timing.own_calls] if timing.calls else []
    repeats, error = max(1, len(taken)), statistics.stdev(taken) / len(taken) ** 0.5 if len(taken) > 1 else 0.0
    if (measured := timing.measurement) is not None:
        repeats, error = measured.calls.get("candidate", 1), measured.standard_error * timing.seconds
    try:
        return sample_of(
            LaunchReport.from_json(profile.launches[0]),
            gpu=evaluation.device.name,
            driver=evaluation.device.versions.get("driver", "unknown"),
            source=evaluation.kernel_id,
            seconds=timing.seconds,
            repeats=repeats,
            standard_error=error,
            date=row.created,
        )
    except (
        MisuseError,
        ValueError,
        TypeError,
        KeyError,
    ):  # a launch without counters, of which the model can say nothing
        return None


def measure_here(settings: Settings, *, progress: Callable[[int, str], None], runtime: str = "cuda") -> list[Sample]:
    """Runs the micro-benchmarks on this machine's GPU.

    Args:
        progress: told the number and the name of each before it runs.
        runtime: as `GpuProcess` has it.

    Raises:
        ConfigError: it is not in the table.
        GpuError, BaselineFailed: it does not run them.
    """
    from kernelwright.jobs import resolve_target, utc_now
    from kernelwright.sandbox.cuda.driver import driver_version
    from kernelwright.verifier.measured.microbench import measure_microbenchmarks
    from kernelwright.verifier.model.microbenchmarks import microbenchmarks

    kind = "cuda" if runtime == "cuda" else "emulator"
    target = resolve_target(settings.model_copy(update={"device": kind}))
    return measure_microbenchmarks(
        microbenchmarks(), target.device, driver=driver_version() or "unknown", now=utc_now, limits=target.limits,
        runtime=runtime, progress=progress,
    )  # fmt: skip


def no_gpu(problem: str) -> ConfigError:
    """The error of calibrating without samples where no kernel can be measured.

    Args:
        problem: why no GPU can be used.
    """
    return ConfigError(
        f"calibrating without samples measures the micro-benchmarks on a GPU, and {problem}.",
        mend="Give samples that were measured elsewhere: kernelwright calibrate --from FILE (docs/calibration.md).",
    )
