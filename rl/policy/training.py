"""Trains the policy by policy gradient on landscapes: what a choice brings is known, so nothing is run.

REINFORCE (Williams, Machine Learning 8, 1992) with a leave-one-out baseline (Kool, van Hoof and Welling, 2019) and an entropy
bonus. The reward is the natural logarithm of the speed-up over the built-in coder's first choice. With a bonus of weight T the
best policy is proportional to exp(reward / T), so that the scores, times T, are beliefs about times (see `policy.net`).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kernelwright.agents.builtin.policy.correction import Correction
from kernelwright.agents.builtin.policy.features import CHOICE, NAMES, features
from kernelwright.agents.builtin.policy.net import LAYERS, Policy
from kernelwright.errors import ConfigError
from kernelwright.rl.policy.landscape import KernelLandscape, Landscape
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Progress", "Recipe", "Trained", "agreement", "train"]

Array = npt.NDArray[np.float64]
Progress = Callable[[int, int, float], None]
"""Called with the epoch, their number and the mean reward of its draws."""

_WORST = -3.0
"""Reward of a choice that can't run, and of one that is more than twenty times slower than the first."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out."""

    seed: int = 0
    epochs: int = 300
    temperature: float = 0.1
    """Weight of the entropy bonus at the end; it begins ten times as large."""
    hidden: tuple[int, int] = (48, 24)
    batch: int = 48
    """Kernels, each on one GPU, of a step."""
    draws: int = 16
    """Of each kernel in a step."""
    rate: float = 4e-3
    """Of Adam, falling to a tenth by a cosine."""


@dataclass(frozen=True)
class Trained:
    """A policy and how it fared where it was trained."""

    policy: Policy
    reward: float
    """Mean reward of the policy's draws at the end."""
    best_reward: float
    """The same if every draw were the best choice known."""
    favourite: float
    """Mean reward of each kernel's highest score."""


@dataclass(frozen=True)
class _Problem:
    """One kernel on one GPU."""

    rows: Array
    """Features, shape (choices, features)."""
    rewards: Array
    """Shape (choices,)."""
    weight: float
    """Kernels of one task, and GPUs, share the weight of one task."""


def train(
    landscapes: Sequence[Landscape], gpus: Sequence[Gpu], recipe: Recipe, progress: Progress | None = None
) -> Trained:
    """Trains a policy; the same landscapes and recipe give the same weights on the same machine.

    Raises:
        ConfigError: there is nothing to train on.
    """
    problems = [p for landscape in landscapes for p in _problems(landscape, gpus)]
    if not problems:
        raise ConfigError(
            "none of these landscapes has a kernel with several choices on a known GPU.",
            mend="Price some: python benchmarks/landscapes.py FOLDER",
        )
    stacked = np.concatenate([p.rows for p in problems])
    mean, scale = stacked.mean(axis=0), stacked.std(axis=0)
    scale = np.where(scale < 1e-6, 1.0, scale)
    net, reward = _fit(problems, mean, scale, recipe, progress)
    policy = _policy(net, mean, scale, landscapes, recipe)
    scores = [policy.scores(p.rows) for p in problems]
    weights = np.array([p.weight for p in problems])

    def over(values: Sequence[float]) -> float:
        return float(np.average(np.array(values), weights=weights))

    favourite = over([float(p.rewards[int(np.argmax(s))]) for p, s in zip(problems, scores, strict=True)])
    policy = _with_correction(policy, problems, scores, recipe)
    return Trained(policy, reward, over([float(p.rewards.max()) for p in problems]), favourite)


def _problems(landscape: Landscape, gpus: Sequence[Gpu]) -> list[_Problem]:
    found = []
    for kernel in landscape.kernels:
        for gpu in gpus:
            problem = _problem(kernel, gpu)
            if problem is not None:
                found.append(problem)
    count = len(found)
    return [_Problem(p.rows, p.rewards, 1.0 / count) for p in found]


def _problem(kernel: KernelLandscape, gpu: Gpu) -> _Problem | None:
    # on another card than the coder wrote for, persistent grids have no time and are no choice
    usable = [p for p in kernel.priced if gpu.name in p.seconds or not p.seconds]
    if len(usable) < 2 or not any(p.seconds for p in usable):
        return None
    first = kernel.priced[0].seconds.get(gpu.name)
    if first is None:
        first = float(np.median([p.seconds[gpu.name] for p in usable if p.seconds]))
    rewards = [max(_WORST, math.log(first / p.seconds[gpu.name])) if p.seconds else _WORST for p in usable]
    return _Problem(
        features(kernel.facts, [p.choice for p in usable], gpu, kernel.priced[0].choice), np.array(rewards), 1.0
    )


def _fit(
    problems: Sequence[_Problem], mean: Array, scale: Array, recipe: Recipe, progress: Progress | None
) -> tuple[torch.nn.Sequential, float]:
    """The gradient ascent. Nothing random outside of a generator of its own; the number of threads does not matter."""
    generator = torch.Generator().manual_seed(recipe.seed)
    net = _net(len(mean), recipe.hidden, generator)
    rows = [torch.tensor((p.rows - mean) / scale, dtype=torch.float32) for p in problems]
    rewards = [torch.tensor(p.rewards, dtype=torch.float32) for p in problems]
    weights = torch.tensor([p.weight for p in problems], dtype=torch.float32)
    steps = max(1, math.ceil(len(problems) / recipe.batch)) * recipe.epochs
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, recipe.rate / 10)
    per_epoch = steps // recipe.epochs
    reward = 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order
    try:
        for step in range(steps):
            share = step / max(1, steps - 1)
            temperature = recipe.temperature * 10 ** (1 - min(1.0, 1.5 * share))
            chosen = torch.multinomial(weights, min(recipe.batch, len(problems)), generator=generator).tolist()
            loss, gained = _loss(
                net, [rows[i] for i in chosen], [rewards[i] for i in chosen], temperature, recipe, generator
            )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            reward += (gained - reward) / (1 + step % per_epoch)
            if progress is not None and (step + 1) % per_epoch == 0:
                progress((step + 1) // per_epoch, recipe.epochs, reward)
    finally:
        torch.set_num_threads(threads)
    return net, reward


def _net(count: int, hidden: tuple[int, int], generator: torch.Generator) -> torch.nn.Sequential:
    sizes = (count, *hidden, 1)
    layers: list[torch.nn.Module] = []
    for i, (inside, outside) in enumerate(itertools.pairwise(sizes)):
        layer = torch.nn.Linear(inside, outside)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(outside, inside, generator=generator) / math.sqrt(inside))
            layer.bias.zero_()
        layers += [layer, torch.nn.Tanh()] if i < len(hidden) else [layer]
    return torch.nn.Sequential(*layers)


def _loss(
    net: torch.nn.Sequential, rows: Sequence[torch.Tensor], rewards: Sequence[torch.Tensor], temperature: float, recipe: Recipe,
    generator: torch.Generator,
) -> tuple[torch.Tensor, float]:  # fmt: skip
    """Of one step: what REINFORCE differentiates, and the mean reward of the draws."""
    scores = net(torch.cat(list(rows)))[:, 0].split([len(each) for each in rows])
    # one row a kernel, the rest filled with what is never drawn
    logits = torch.nn.utils.rnn.pad_sequence(list(scores), batch_first=True, padding_value=-1e9)
    values = torch.nn.utils.rnn.pad_sequence(list(rewards), batch_first=True)
    logs = torch.log_softmax(logits, dim=1)
    drawn = torch.multinomial(logs.detach().exp(), recipe.draws, replacement=True, generator=generator)
    gains = values.gather(1, drawn)
    # each draw against the mean of the others: unbiased, and no critic to train
    baseline = (gains.sum(1, keepdim=True) - gains) / max(1, recipe.draws - 1)
    ascent = ((gains - baseline) * logs.gather(1, drawn)).mean(1)
    probabilities = logs.exp()
    entropy = -(probabilities * logs.clamp_min(-50.0)).sum(1)
    return -(ascent + temperature * entropy).mean(), float(gains.mean())


def _policy(
    net: torch.nn.Sequential, mean: Array, scale: Array, landscapes: Sequence[Landscape], recipe: Recipe
) -> Policy:
    tensors = [p.detach().numpy() for p in net.parameters()]
    # as the file will have them: the same scores before and after it is written
    weights = {name: each.astype(np.float32).astype(np.float64) for name, each in zip(LAYERS, tensors, strict=True)}
    about = {
        "features": list(NAMES), "temperature": recipe.temperature, "length": 0.5, "spread": 0.5, "noise": 0.02,
        "seed": recipe.seed, "epochs": recipe.epochs, "tasks": sorted(each.task for each in landscapes),
    }  # fmt: skip
    return Policy(
        mean.astype(np.float32).astype(np.float64), scale.astype(np.float32).astype(np.float64), weights, about
    )


_LENGTHS = (0.15, 0.25, 0.4, 0.6, 1.0, 1.6)
_NOISE = 0.02
_SHOWN = 24
"""Choices of each kernel that the correction is fitted on."""


def _with_correction(policy: Policy, problems: Sequence[_Problem], scores: Sequence[Array], recipe: Recipe) -> Policy:
    """The length and spread of the correction's covariance: those under which what the policy is wrong by is most likely."""
    rng = random.Random(recipe.seed)
    parts = []
    for problem, score in zip(problems, scores, strict=True):
        able = np.flatnonzero(problem.rewards > _WORST)
        if len(able) > 2:
            kept = sorted(rng.sample(able.tolist(), min(_SHOWN, len(able))))
            places = ((problem.rows[kept] - policy.mean) / policy.scale)[:, -len(CHOICE) :]
            parts.append((places, -problem.rewards[kept], -policy.temperature * score[kept]))
    parts = parts if len(parts) <= 120 else rng.sample(parts, 120)
    if not parts:
        return policy
    errors = np.concatenate([(y - p) - (y - p).mean() for _, y, p in parts])
    base = max(0.05, float(np.sqrt((errors**2).mean())))
    ranked = []
    for length in _LENGTHS:
        for spread in (0.7 * base, base, 1.4 * base):
            likely = sum(_likelihood(Correction(p, x, length, spread, _NOISE), y) for x, y, p in parts)
            ranked.append((likely, length, spread))
    _, length, spread = max(ranked)
    about = {**policy.about, "length": length, "spread": float(f"{spread:.4g}"), "noise": _NOISE}
    return Policy(policy.mean, policy.scale, policy.weights, about)


def _likelihood(model: Correction, values: Array) -> float:
    """Logarithm of the probability density of these observations of all its choices, up to a constant."""
    covariance = model.covariance()
    factor = np.linalg.cholesky(covariance)
    half = np.linalg.solve(factor, values - model.prior)
    return float(-0.5 * (half**2).sum() - np.log(np.diag(factor)).sum())


def agreement(ours: Policy, other: Policy) -> float:
    """Largest difference between weights of the two, relative to the largest weight of their layer; infinity for other shapes."""
    worst = 0.0
    pairs = [(ours.mean, other.mean), (ours.scale, other.scale)]
    pairs += [(ours.weights[name], other.weights[name]) for name in LAYERS]
    for a, b in pairs:
        if a.shape != b.shape:
            return float("inf")
        worst = max(worst, float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12)))
    return worst
