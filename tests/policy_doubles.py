"""Landscapes made up for tests: one pointwise kernel each, whose times follow a known law."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from kernelwright.agents.builtin.policy.facts import ChoiceFacts, KernelFacts, LaunchFacts
from kernelwright.agents.builtin.policy.features import NAMES
from kernelwright.agents.builtin.policy.net import Policy
from kernelwright.rl.policy.landscape import KernelLandscape, Landscape, Priced

GPU = "H200"
Law = Callable[[int, int], float]
"""Seconds of (vector_width, threads)."""


def wide_and_small(width: int, threads: int) -> float:
    """Best at width 4 and 128 threads, by a factor for each step away."""
    steps = abs(math.log2(width) - 2) + abs(math.log2(threads) - 7)
    return 1e-5 * 1.3**steps


def kernel(name: str = "scale_pointwise", elements: int = 1 << 20, law: Law = wide_and_small) -> KernelLandscape:
    """All 20 choices of two knobs; the first is width 1 and 1024 threads."""
    numbers = {
        "rows": float(elements),
        "columns": 1.0,
        "read_bytes": 4.0 * elements,
        "write_bytes": 4.0 * elements,
        "item_bytes": 4.0,
    }
    priced = []
    for width, threads in itertools.product((1, 2, 4, 8), (1024, 512, 256, 128, 64)):
        launch = LaunchFacts(max(1, elements // (width * threads)), threads)
        choice = ChoiceFacts({"vector_width": width, "threads": threads}, (launch,))
        priced.append(Priced(choice, {GPU: law(width, threads)}))
    return KernelLandscape(KernelFacts(name, "pointwise", numbers), tuple(priced), whole=True)


def landscape(
    task: str = "core/scale", family: str = "pointwise", kernels: Sequence[KernelLandscape] = ()
) -> Landscape:
    """A task of these kernels, by default of one."""
    return Landscape(task, family, tuple(kernels) or (kernel(),), {GPU: 1e-6})


def flat_policy(**about: float) -> Policy:
    """Weights for which every choice has the same score."""
    count = len(NAMES)
    weights = {
        "w1": np.zeros((4, count)), "b1": np.zeros(4), "w2": np.zeros((3, 4)), "b2": np.zeros(3), "w3": np.zeros((1, 3)), "b3": np.zeros(1),
    }  # fmt: skip
    told = {
        "features": list(NAMES),
        "temperature": 0.1,
        "length": 0.5,
        "spread": 0.5,
        "noise": 0.02,
        "seed": 0,
        "epochs": 1,
    }
    return Policy(np.zeros(count), np.ones(count), weights, {**told, **about})


def leaning_policy(feature: str, weight: float) -> Policy:
    """Weights whose score grows with one feature, if `weight` is positive."""
    policy = flat_policy()
    policy.weights["w1"][0, NAMES.index(feature)] = 0.05
    policy.weights["w2"][0, 0] = 1.0
    policy.weights["w3"][0, 0] = 20 * weight
    return policy
