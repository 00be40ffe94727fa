"""A learned correction of modelled times: boosted regression trees as plain numbers, which carry no code.

Training (`learned.py`) needs scikit-learn; reading and applying them needs this file only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kernelwright.verifier.model.uncertainty import Spread

__all__ = ["Correction", "Tree"]

_MOST_TREES = 1000
_MOST_NODES = 1024
_SLACK = 1e-6
"""Of a feature's size: rounding that does not count as being outside."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Tree(_Plain):
    """One regression tree in arrays; node 0 is the root, and a node's children come after it."""

    feature: tuple[int, ...] = Field(min_length=1, max_length=_MOST_NODES)
    """The feature that a node asks about; -1 for a leaf."""
    threshold: tuple[float, ...]
    """Values up to this go left."""
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]
    """What a leaf adds."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        size = len(self.feature)
        if {len(self.threshold), len(self.left), len(self.right), len(self.value)} != {size}:
            raise ValueError("the arrays of a tree have different lengths")
        for node, feature in enumerate(self.feature):
            if feature >= 0 and not (node < self.left[node] < size and node < self.right[node] < size):
                raise ValueError(f"node {node} of a tree has no children behind it")
        return self

    def leaf(self, values: np.ndarray) -> float:
        """What this tree adds for `values`, float64 of shape (features,)."""
        node = 0
        while (feature := self.feature[node]) >= 0:
            node = self.left[node] if values[feature] <= self.threshold[node] else self.right[node]
        return self.value[node]


class Correction(_Plain):
    """Predicts log(measured / modelled) from what `features` says of a launch."""

    features: tuple[str, ...] = Field(min_length=1)
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    """The range of each feature in training. Outside of it nothing is predicted."""
    base: float
    trees: tuple[Tree, ...] = Field(max_length=_MOST_TREES)
    least: float = Field(ge=-12.0)
    most: float = Field(le=12.0)
    """The range of log(measured / modelled) in training: no prediction leaves it."""
    samples: int = Field(gt=0)
    held_out: float = Field(ge=0.0)
    """Mean of abs(log(measured / modelled)) with this correction, over kernels that it was not trained on."""
    analytic: float = Field(ge=0.0)
    """The same without it, on the same samples."""
    spread: Spread
    """Of what is left over, of held-out samples within the range."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not len(self.features) == len(self.lowest) == len(self.highest):
            raise ValueError("a correction has one range a feature")
        if self.least > self.most or any(a > b for a, b in zip(self.lowest, self.highest, strict=True)):
            raise ValueError("a range of the correction ends before it begins")
        if any(f >= len(self.features) for tree in self.trees for f in tree.feature):
            raise ValueError("a tree of the correction asks about a feature that is not there")
        return self

    @property
    def digest(self) -> str:
        """Names it in evidence: the beginning of the SHA-256 of its JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def outside(self, values: Mapping[str, float]) -> str:
        """The first feature whose value lies outside of what it was trained on; empty if none does."""
        for name, low, high in zip(self.features, self.lowest, self.highest, strict=True):
            value = values.get(name, math.nan)
            slack = _SLACK * max(1.0, abs(low), abs(high))
            if not low - slack <= value <= high + slack:
                return name
        return ""

    def predict(self, values: Mapping[str, float]) -> float:
        """log(measured / modelled), within what was seen in training; ask `outside` first.

        Raises:
            KeyError: a feature is missing.
        """
        # scikit-learn compares float32 values with float64 thresholds; NumPy would round the latter to the former
        array = np.array([values[name] for name in self.features], np.float32).astype(np.float64)
        total = self.base + sum(tree.leaf(array) for tree in self.trees)
        return min(max(total, self.least), self.most)
