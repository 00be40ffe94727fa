"""Learns a correction of modelled times from samples: gradient-boosted trees on what `features` says of a launch.

The target is log(measured / modelled). Sources are held out in turn, with the constants fitted to the rest alone; the correction is
kept only if that held-out error is below the analytic model's on the same samples. Needs scikit-learn (extra `[model]`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelwright.errors import ConfigError
from kernelwright.verifier.model.calibration import Fold
from kernelwright.verifier.model.features import FEATURES, features
from kernelwright.verifier.model.fit import Observation, residuals
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.trees import Correction, Tree
from kernelwright.verifier.model.uncertainty import Spread, spread_of

__all__ = ["LEAST_SAMPLES", "LEAST_SOURCES", "Learned", "learn"]

LEAST_SAMPLES = 40
LEAST_SOURCES = 8
"""Fewer make trees that know the samples by heart."""
_SETTINGS = {
    "n_estimators": 150, "learning_rate": 0.06, "max_depth": 3, "min_samples_leaf": 4, "subsample": 0.7,
    "loss": "huber", "random_state": 0,
}  # fmt: skip
"""Shallow and slow, as few noisy samples want it; the seed makes the same samples give the same trees."""
_BOUND = 12.0


@dataclass(frozen=True)
class Learned:
    """What came of learning."""

    correction: Correction | None
    """None where it is not used."""
    held_out: float | None
    """Mean abs(log(measured / modelled)) with the correction, over kernels held out; None where nothing was trained."""
    analytic: float | None
    """The same without."""
    reason: str
    """Why it is used or not, one sentence."""


def _regressor() -> Any:
    try:
        from sklearn.ensemble import GradientBoostingRegressor
    except ImportError:
        raise ConfigError(
            "learning a correction needs scikit-learn, which is not installed.",
            mend="pip install 'kernelwright[model]'",
        ) from None
    return GradientBoostingRegressor(**_SETTINGS)


def _table(observations: Sequence[Observation], card: Gpu) -> tuple[np.ndarray, np.ndarray]:
    """Features, float32 of shape (samples, features), and targets, float64 of shape (samples,)."""
    found = residuals(observations, card)
    rows = [features(each.report, time) for each, (time, _) in zip(observations, found, strict=True)]
    values = np.array([[row[name] for name in FEATURES] for row in rows], np.float32)
    return values, np.clip(np.array([residual for _, residual in found]), -_BOUND, _BOUND)


def _trained(observations: Sequence[Observation], card: Gpu) -> dict[str, Any]:
    """The fields of a `Correction` that training gives."""
    values, targets = _table(observations, card)
    model = _regressor().fit(values, targets)
    trees = []
    for (regressor,) in model.estimators_:
        tree = regressor.tree_
        leaf = tree.children_left < 0
        trees.append(
            Tree(
                feature=tuple(int(f) for f in np.where(leaf, -1, tree.feature)),
                threshold=tuple(float(t) for t in tree.threshold),
                left=tuple(int(n) for n in tree.children_left),
                right=tuple(int(n) for n in tree.children_right),
                value=tuple(float(v) * model.learning_rate for v in tree.value[:, 0, 0]),
            )
        )
    return {
        "features": FEATURES,
        "lowest": tuple(float(v) for v in values.min(axis=0)),
        "highest": tuple(float(v) for v in values.max(axis=0)),
        "base": float(np.ravel(model.init_.predict(values[:1]))[0]),
        "trees": tuple(trees),
        "least": float(targets.min()),
        "most": float(targets.max()),
        "samples": len(observations),
    }


def _left_over(fold: Fold) -> list[tuple[float, float, bool]]:
    """Of each held-out sample: what is left without the correction, with it, and whether the correction spoke at all."""
    blank = {"held_out": 0.0, "analytic": 0.0, "spread": Spread(samples=1, low=0.0, high=0.0)}
    correction = Correction.model_validate(_trained(fold.train, fold.card) | blank)
    found = []
    for each, (time, residual) in zip(fold.held_out, residuals(fold.held_out, fold.card), strict=True):
        values = features(each.report, time)
        inside = not correction.outside(values)
        found.append((residual, residual - correction.predict(values) if inside else residual, inside))
    return found


def learn(observations: Sequence[Observation], card: Gpu, folds: Sequence[Fold]) -> Learned:
    """Trains a correction, and says whether it is worth having.

    Args:
        card: fitted to all of `observations`.
        folds: each fitted to its own training part.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    sources = len({each.source for each in observations})
    if len(observations) < LEAST_SAMPLES or sources < LEAST_SOURCES:
        _regressor()
        why = f"{len(observations)} samples of {sources} sources are too few to learn from ({LEAST_SAMPLES} of {LEAST_SOURCES})"
        return Learned(None, None, None, f"no correction: {why}")
    left = [each for fold in folds for each in _left_over(fold)]
    analytic = statistics.fmean(abs(before) for before, _, _ in left)
    held_out = statistics.fmean(abs(after) for _, after, _ in left)
    spread = spread_of([after for _, after, inside in left if inside])
    if held_out >= analytic or spread is None:
        why = (
            "too few held-out kernels are like those it was trained on"
            if spread is None
            else "it does no better on kernels held out"
        )
        return Learned(None, held_out, analytic, f"no correction: {why}")
    figures = {"held_out": held_out, "analytic": analytic, "spread": spread}
    correction = Correction.model_validate(_trained(observations, card) | figures)
    return Learned(correction, held_out, analytic, "the correction does better on kernels held out, so it is used")
