"""Fits the model's constants to measured launches: least squares in logarithms, drawn towards the priors, deaf to outliers.

Minimised over theta = log(constant / prior) is

    sum of huber(log(measured / modelled(theta)) / sigma) + sum of (theta / spread)^2 / 2

with sigma the model's own error and the measurement's, by Levenberg-Marquardt with reweighting. It is the largest posterior under
a normal prior of each theta, so a constant that no sample speaks about stays where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.analytic import ModelledTime, analytic_time
from kernelwright.verifier.model.constants import FITTED
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["MODEL_ERROR", "Fit", "Observation", "fit_constants", "residuals"]

MODEL_ERROR = 0.10
"""Relative error of a modelled time with the right constants, at best (estimate): what keeps one exact measurement from
bending all constants to itself."""
_HUBER = 2.0  # standard deviations beyond which a sample counts less
_STEP = 0.02  # of theta, for the derivatives: the model has kinks, so not too small
_ROUNDS = 40
_MOST = 400  # samples that a fit looks at; nine constants need no more, and each costs some 60 us a look

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """A launch and what it took."""

    report: LaunchReport
    seconds: float
    relative_error: float
    """Standard error of `seconds` over `seconds`."""
    source: str
    """Launches of one source are held out together."""


@dataclass(frozen=True)
class Fit:
    """Fitted constants by name, and how sure each is."""

    values: dict[str, float]
    errors: dict[str, float]
    """Standard error of the constant's logarithm: 0.1 is about 10 %. Near the prior's where samples say little."""


def residuals(observations: Sequence[Observation], gpu: Gpu) -> list[tuple[ModelledTime, float]]:
    """The modelled time of each and log(measured / modelled).

    Raises:
        LaunchError: a launch that does not fit on this GPU.
    """
    found = []
    for each in observations:
        time = analytic_time(each.report, gpu)
        found.append((time, math.log(each.seconds / time.seconds)))
    return found


class _Problem:
    """Residuals in standard deviations as a function of theta; the last rows are the prior's."""

    def __init__(self, observations: Sequence[Observation], gpu: Gpu) -> None:
        self.observations, self.gpu = observations, gpu
        self.priors = [gpu.fitted(each.name) for each in FITTED]
        self.spreads = np.array([each.spread for each in FITTED])
        self.low = np.array([math.log(each.low / prior) for each, prior in zip(FITTED, self.priors, strict=True)])
        self.high = np.array([math.log(each.high / prior) for each, prior in zip(FITTED, self.priors, strict=True)])
        self.sigma = np.array([math.hypot(MODEL_ERROR, each.relative_error) for each in observations])

    def values(self, theta: Array) -> dict[str, float]:
        found = {}
        for each, prior, shift in zip(FITTED, self.priors, theta, strict=True):
            found[each.name] = min(max(prior * math.exp(shift), each.low), each.high)
        return found

    def __call__(self, theta: Array) -> Array:
        card = self.gpu.with_fitted(self.values(theta))
        errors = np.array([residual for _, residual in residuals(self.observations, card)])
        return np.concatenate([errors / self.sigma, -theta / self.spreads])

    def jacobian(self, theta: Array) -> Array:
        columns = []
        for at in range(len(theta)):
            up, down = theta.copy(), theta.copy()
            up[at], down[at] = min(theta[at] + _STEP, self.high[at]), max(theta[at] - _STEP, self.low[at])
            columns.append((self(up) - self(down)) / (up[at] - down[at]))
        return np.stack(columns, axis=1)

    def weights(self, r: Array) -> Array:
        """Huber's, for samples; the prior's rows count in full."""
        w = np.ones_like(r)
        data = np.abs(r[: len(self.observations)])
        w[: len(data)] = np.where(data > _HUBER, _HUBER / np.maximum(data, 1e-300), 1.0)
        return w

    def cost(self, r: Array) -> float:
        data, prior = np.abs(r[: len(self.observations)]), r[len(self.observations) :]
        huber = np.where(data <= _HUBER, data**2 / 2, _HUBER * (data - _HUBER / 2))
        return float(huber.sum() + (prior**2).sum() / 2)


def _evenly(observations: Sequence[Observation]) -> list[Observation]:
    """At most `_MOST` of them, every n-th in order of source and time."""
    ordered = sorted(observations, key=lambda each: (each.source, each.seconds))
    if len(ordered) <= _MOST:
        return ordered
    return [ordered[at * len(ordered) // _MOST] for at in range(_MOST)]


def fit_constants(observations: Sequence[Observation], gpu: Gpu) -> Fit:
    """The constants of `FITTED` that explain these launches best.

    Args:
        gpu: with the priors.

    Raises:
        LaunchError: a launch that does not fit on this GPU.
    """
    problem = _Problem(_evenly(observations), gpu)
    theta = np.zeros(len(FITTED))
    r = problem(theta)
    cost, damping = problem.cost(r), 1e-2
    for _ in range(_ROUNDS):
        slope = problem.jacobian(theta)
        w = problem.weights(r)
        gradient = slope.T @ (w * r)
        curvature = slope.T @ (w[:, None] * slope)
        # at a bound, a constant that would go further stays
        free = ~(((theta <= problem.low) & (gradient > 0)) | ((theta >= problem.high) & (gradient < 0)))
        moved = False
        while damping < 1e8 and free.any():
            hill = curvature[np.ix_(free, free)]
            step = np.zeros_like(theta)
            step[free] = np.linalg.solve(hill + damping * np.diag(np.diag(hill)), -gradient[free])
            ahead = np.clip(theta + step, problem.low, problem.high)
            r_ahead = problem(ahead)
            if (found := problem.cost(r_ahead)) < cost - 1e-12:
                moved = found < cost - 1e-6 * max(1.0, cost)
                theta, r, cost, damping = ahead, r_ahead, found, damping / 3
                break
            damping *= 4
        if not moved:
            break
    return Fit(problem.values(theta), _errors(problem, theta, r))


def _errors(problem: _Problem, theta: Array, r: Array) -> dict[str, float]:
    """From the curvature at the best fit; wider where samples scatter more than sigma says."""
    slope, w = problem.jacobian(theta), problem.weights(r)
    data = len(problem.observations)
    excess = max(1.0, float((w[:data] * r[:data] ** 2).sum()) / max(1, data - len(theta)))
    w[:data] /= excess
    spread = np.sqrt(np.diag(np.linalg.inv(slope.T @ (w[:, None] * slope))))
    return {each.name: float(error) for each, error in zip(FITTED, spread, strict=True)}
