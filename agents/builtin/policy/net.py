"""The policy's net: a score for each choice from its features, in float64 NumPy; `kernelwright.rl.policy.train` makes the weights.

    score = W3 tanh(W2 tanh(W1 (x - mean) / scale + b1) + b2) + b3

A softmax over the scores of a kernel's legal choices is the policy. It was trained with an entropy bonus of weight `temperature` on
rewards that are logarithms of speed-ups, whose optimum is proportional to exp(reward / temperature): so `temperature` times a
difference of scores is what the policy believes of a ratio of times.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelwright.agents.builtin.policy.features import NAMES
from kernelwright.errors import ConfigError

__all__ = ["LAYERS", "Policy", "load_policy", "shipped_policy"]

LAYERS = ("w1", "b1", "w2", "b2", "w3", "b3")
_SHIPPED = "weights.npz"

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Policy:
    """Weights with where they came from."""

    mean: Array
    scale: Array
    """Of each feature over the training choices."""
    weights: dict[str, Array]
    """By the names in `LAYERS`; matrices are (out, in)."""
    about: dict[str, Any]
    """`temperature`, `length`, `spread` and `noise` of the correction, `features`, and how it was trained."""

    @property
    def temperature(self) -> float:
        """Natural logarithm of a speed-up for each unit of score."""
        return float(self.about["temperature"])

    def scores(self, rows: Array) -> Array:
        """One score a row of `features.features`."""
        w = self.weights
        hidden = np.tanh((rows - self.mean) / self.scale @ w["w1"].T + w["b1"])
        hidden = np.tanh(hidden @ w["w2"].T + w["b2"])
        result: Array = (hidden @ w["w3"].T + w["b3"])[:, 0]
        return result

    @property
    def digest(self) -> str:
        """Content hash of the weights rounded to float32, 16 hex digits."""
        parts = hashlib.sha256()
        for array in (self.mean, self.scale, *(self.weights[name] for name in LAYERS)):
            parts.update(np.ascontiguousarray(array, np.float32).tobytes())
        return parts.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Writes a file that `load_policy` reads: float32, no pickle; the same policy gives the same bytes."""
        arrays = {"mean": self.mean, "scale": self.scale, **self.weights}
        about = np.frombuffer(json.dumps({**self.about, "digest": self.digest}, sort_keys=True).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, about=about, **{name: array.astype(np.float32) for name, array in arrays.items()})  # type: ignore[arg-type]


def load_policy(path: Path) -> Policy:
    """Reads the weights of a file.

    Raises:
        ConfigError: there is none, it is something else, or it is for other features than this version has.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = {name: data[name].astype(np.float64) for name in ("mean", "scale", *LAYERS)}
            about = json.loads(bytes(data["about"]).decode())
        policy = Policy(arrays.pop("mean"), arrays.pop("scale"), arrays, about)
        _check(policy)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"these are no weights of a policy: {error}.",
            mend="`kernelwright train policy --out FILE` makes some.",
            path=str(path),
        ) from None
    return policy


def _check(policy: Policy) -> None:
    if list(policy.about["features"]) != list(NAMES):
        raise ValueError("they are for other features than this version computes")
    count, w = len(NAMES), policy.weights
    hidden, second = w["w1"].shape[0], w["w2"].shape[0]
    shapes = {
        "w1": (hidden, count),
        "b1": (hidden,),
        "w2": (second, hidden),
        "b2": (second,),
        "w3": (1, second),
        "b3": (1,),
    }
    if (
        policy.mean.shape != (count,)
        or policy.scale.shape != (count,)
        or any(w[k].shape != v for k, v in shapes.items())
    ):
        raise ValueError("their shapes do not fit each other")
    if (
        not all(np.isfinite(array).all() for array in (policy.mean, policy.scale, *w.values()))
        or (policy.scale <= 0).any()
    ):
        raise ValueError("a weight is no finite number")
    for name in ("temperature", "length", "spread", "noise"):
        if not 0 < float(policy.about[name]) < float("inf"):
            raise ValueError(f"its {name} is no positive number")
    if policy.about["digest"] != policy.digest:
        raise ValueError("their digest is not the one that is written in the file")


def shipped_policy() -> Policy:
    """The weights that come with the package, trained on all of `kernelwright.rl.policy.landscape.shipped_landscapes`.

    Raises:
        ConfigError: there are none, or they are for other features.
    """
    with resources.as_file(resources.files("kernelwright.agents.builtin.policy").joinpath(_SHIPPED)) as path:
        if not path.exists():
            raise ConfigError(
                "no trained weights came with this copy of the program.",
                mend="Make some (make policy, or kernelwright train policy --stored) and name the file in the setting `policy`.",
            )
        return load_policy(path)
