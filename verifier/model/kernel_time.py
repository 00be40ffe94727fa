"""Modelled time of one kernel launch: the analytic model, and on it what was learned from samples of the card, if anything was.

A model, never a measurement. A learned correction counts only for launches like those it was trained on; elsewhere the analytic
time stands, and the time says so.
"""

from __future__ import annotations

import math
from dataclasses import replace

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.analytic import ModelledTime, analytic_time, join
from kernelwright.verifier.model.features import features
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.uncertainty import CONFIDENCE

__all__ = ["ModelledTime", "join", "kernel_time"]


def kernel_time(report: LaunchReport, gpu: Gpu) -> ModelledTime:
    """Modelled time of `report`'s launch on `gpu`, in seconds; counters of a block sample are scaled to the grid.

    A corrected time is never below what the launch's bytes need to cross the memory bus.

    Raises:
        LaunchError: one block does not fit on an SM, so a GPU would refuse the launch.
    """
    time = analytic_time(report, gpu)
    correction = gpu.correction
    if correction is None:
        return time
    values = features(report, time)
    if outside := correction.outside(values):
        why = f"{time.interval_source}; learned correction not used: {outside} is outside what it was trained on"
        return replace(time, interval_source=why)
    least = time.terms["dram"] + time.terms["launch"]
    seconds = max(least, time.seconds * math.exp(correction.predict(values)))
    spread = correction.spread
    note = gpu.calibration
    return replace(
        time,
        seconds=seconds,
        seconds_low=seconds * math.exp(spread.low),
        seconds_high=seconds * math.exp(spread.high),
        interval_source=f"{100 * CONFIDENCE:.0f} % interval over held-out samples, learned correction of "
        f"{correction.samples} samples{'' if note is None else f', {note.sentence()}'}",
    )
