"""What a run has shown, weighed against what the policy expected: a Gaussian process over the choices of one kernel.

Its mean is the policy's belief, up to an unknown constant; its covariance says that choices with like features are wrong by like
amounts. So a prior that is right needs few evaluations, and one that is wrong is overruled by them. The next choice is the one with the
largest expected improvement (Jones, Schonlau and Welch, J. Global Optimization 13, 1998) of the logarithm of the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Correction"]

Array = npt.NDArray[np.float64]

_CONSTANT = 4.0
"""Variance of the unknown constant: the policy knows ratios of times only, and they differ by what the task costs at all."""


@dataclass(frozen=True)
class Correction:
    """The model of one kernel's times.

    Args:
        prior: what the policy believes of the logarithm of each choice's time, up to a constant; shape (choices,).
        places: standardised features of the choices, shape (choices, features).
        length: distance, over the square root of the number of features, at which choices have little to do with each other.
        spread: standard deviation of the policy's error of the logarithm of a time.
        noise: of an observation; modelled times have none, but like features do not mean like times.
    """

    prior: Array
    places: Array
    length: float
    spread: float
    noise: float

    def believed(self, seen: Sequence[int], values: Sequence[float]) -> tuple[Array, Array]:
        """Mean and standard deviation of the logarithm of every choice's time, after `values` were observed of `seen`."""
        if not seen:
            return self.prior, np.full(len(self.prior), self.spread)
        at = np.array(seen)
        known = self.covariance(at)
        across = self._covariance(self.places, self.places[at]) + _CONSTANT
        factor = np.linalg.cholesky(known)
        half = np.linalg.solve(factor, across.T)
        residual = np.linalg.solve(factor, np.array(values) - self.prior[at])
        mean: Array = self.prior + half.T @ residual
        variance = self.spread**2 + _CONSTANT - (half**2).sum(axis=0)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def covariance(self, at: npt.NDArray[np.intp] | None = None) -> Array:
        """Of observations of the choices `at`, by default of all."""
        places = self.places if at is None else self.places[at]
        known = self._covariance(places, places) + _CONSTANT
        known[np.diag_indices(len(places))] += self.noise**2
        return known

    def improvement(self, seen: Sequence[int], values: Sequence[float]) -> Array:
        """Expected improvement over the least observed value, for every choice; those seen have none."""
        mean, deviation = self.believed(seen, values)
        gap = min(values) - mean
        ratio = gap / deviation
        normal = np.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
        below = 0.5 * (1 + np.array([math.erf(x / math.sqrt(2)) for x in ratio]))
        gain: Array = gap * below + deviation * normal
        gain[np.array(seen)] = -1.0
        return gain

    def _covariance(self, a: Array, b: Array) -> Array:
        squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
        squared = np.maximum(squared, 0.0) / (a.shape[1] * self.length**2)
        result: Array = self.spread**2 * np.exp(-np.sqrt(squared))  # Matern 1/2: times jump where a limit is crossed
        return result
