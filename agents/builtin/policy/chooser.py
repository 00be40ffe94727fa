"""Which choice of each kernel to try next: the policy's belief, corrected by what a run has shown. Knows numbers only.

The kernels of a task are chosen side by side: an evaluation that says how long each launch took says something about all of them.
Where it says no more than the whole time (a measured one), one kernel changes at a time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kernelwright.agents.builtin.policy.candidates import key_of
from kernelwright.agents.builtin.policy.correction import Correction
from kernelwright.agents.builtin.policy.facts import ChoiceFacts, KernelFacts, Value
from kernelwright.agents.builtin.policy.features import CHOICE, features
from kernelwright.agents.builtin.policy.net import Policy
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Chooser", "KernelChooser", "Observed"]

Knobs = Mapping[str, Value]
Array = npt.NDArray[np.float64]

_FAILED = math.log(4.0)
"""A choice that failed counts as four times as slow as the slowest that did not: to be kept away from, not impossible."""
_EXPLORE = 1e-3
"""Expected improvement of the whole time, relative, below which a kernel of several keeps the best choice it has."""


@dataclass(frozen=True)
class Observed:
    """One finished attempt."""

    knobs: Mapping[str, Knobs]
    """By kernel function."""
    seconds: float | None
    """Of the whole call; None if it did not pass."""
    by_kernel: Mapping[str, float]
    """Seconds of each kernel's launches; empty where that is not known."""


class KernelChooser:
    """The candidates of one kernel function on one GPU, scored once.

    Args:
        choices: all there is to choose from, each once; the first is the coder's own.
    """

    def __init__(self, facts: KernelFacts, choices: Sequence[ChoiceFacts], gpu: Gpu, policy: Policy) -> None:
        self.facts = facts
        self.choices = tuple(choices)
        self.place = {key_of(choice.knobs): i for i, choice in enumerate(self.choices)}
        self._rows = features(facts, list(self.choices), gpu)
        self._policy = policy
        self.scores: Array = policy.scores(self._rows)

    @cached_property
    def correction(self) -> Correction:
        """The model of its times before anything is seen."""
        about = self._policy.about
        standardised = (self._rows - self._policy.mean) / self._policy.scale
        return Correction(
            -self._policy.temperature * self.scores,
            standardised[:, -len(CHOICE) :],
            float(about["length"]),
            float(about["spread"]),
            float(about["noise"]),
        )

    def drawn(self, rng: random.Random, sharpness: float = 1.0) -> list[int]:
        """All candidates in the order in which the policy's softmax draws them without repetition (Gumbel's trick).

        Args:
            sharpness: the scores' weight against chance; infinity puts the best score first.
        """
        if math.isinf(sharpness):
            return [int(i) for i in np.argsort(-self.scores, kind="stable")]
        noise = [-math.log(-math.log(max(rng.random(), 1e-300))) for _ in self.choices]
        return [int(i) for i in np.argsort(-(sharpness * self.scores + np.array(noise)), kind="stable")]


@dataclass(frozen=True)
class Chooser:
    """All kernels of a task."""

    kernels: tuple[KernelChooser, ...]

    def first(self, place: int, seed: str) -> dict[str, Knobs]:
        """Proposal number `place` (0-based) of those made without seeing any result: the policy's own favourite, then draws from it.

        Those of different places differ in some kernel as long as there are choices.
        """
        found: dict[str, Knobs] = {}
        for kernel in self.kernels:
            best = kernel.drawn(random.Random(), math.inf)[0]
            drawn = kernel.drawn(random.Random(f"{seed}/{kernel.facts.name}"))
            order = [best, *(i for i in drawn if i != best)]
            found[kernel.facts.name] = kernel.choices[order[place % len(order)]].knobs
        return found

    def next(self, observed: Sequence[Observed]) -> dict[str, Knobs] | None:
        """What to try after these results; None when every candidate of every kernel has been tried."""
        told = [o for o in observed if o.seconds is None or o.by_kernel]
        if len(self.kernels) > 1 and len(told) < len(observed):
            return self._one_at_a_time(observed)
        wishes = [self._wish(kernel, observed) for kernel in self.kernels]
        if all(wish.new is None for wish in wishes):
            return None
        total = sum(math.exp(wish.best_log) for wish in wishes)
        found: dict[str, Knobs] = {}
        most = max((w for w in wishes if w.new is not None), key=lambda w: w.gain * math.exp(w.best_log))
        for kernel, wish in zip(self.kernels, wishes, strict=True):
            share = math.exp(wish.best_log) / total
            explore = wish.new is not None and (wish is most or wish.gain * share >= _EXPLORE)
            at = wish.new if explore and wish.new is not None else wish.best
            found[kernel.facts.name] = kernel.choices[at].knobs
        return found

    def expected(self, wanted: Mapping[str, Knobs], observed: Sequence[Observed]) -> Observed:
        """The result that is believed in for a kernel that is being judged, so that others can be chosen meanwhile."""
        times: dict[str, float] = {}
        for kernel in self.kernels:
            name = kernel.facts.name
            seen = self._times(kernel, observed)
            at = kernel.place.get(key_of(wanted[name]))
            if seen and at is not None:
                mean, _ = kernel.correction.believed(list(seen), [math.log(t) for t in seen.values()])
                times[name] = seen.get(at, math.exp(mean[at]))
        if len(times) == len(self.kernels):
            return Observed(wanted, sum(times.values()), times)
        return Observed(wanted, None, {})

    def _times(self, kernel: KernelChooser, observed: Sequence[Observed]) -> dict[int, float]:
        """Least seconds of each candidate of a kernel that has a time."""
        name = kernel.facts.name
        times: dict[int, float] = {}
        for each in observed:
            at = kernel.place.get(key_of(each.knobs.get(name, {})))
            if at is None or each.seconds is None:
                continue
            spent = each.by_kernel.get(name, each.seconds if len(self.kernels) == 1 else 0.0)
            if spent > 0:
                times[at] = min(spent, times.get(at, math.inf))
        return times

    def _wish(self, kernel: KernelChooser, observed: Sequence[Observed]) -> _Wish:
        name = kernel.facts.name
        times = self._times(kernel, observed)
        at_all = [kernel.place.get(key_of(o.knobs.get(name, {}))) for o in observed if o.seconds is None]
        failed = {at for at in at_all if at is not None}
        failed -= set(times)
        if not times:
            order = [i for i in kernel.drawn(random.Random(), math.inf) if i not in failed]
            return _Wish(order[0] if order else None, math.inf, order[0] if order else 0, 0.0)
        best = min(times, key=lambda i: (times[i], i))
        seen, values = list(times), [math.log(times[i]) for i in times]
        worst = max(values) + _FAILED
        seen, values = [*seen, *sorted(failed)], [*values, *[worst] * len(failed)]
        gain = kernel.correction.improvement(seen, values)
        new = int(np.argmax(gain))
        if len(seen) == len(kernel.choices):
            return _Wish(None, 0.0, best, math.log(times[best]))
        return _Wish(new, float(gain[new]), best, math.log(times[best]))

    def _one_at_a_time(self, observed: Sequence[Observed]) -> dict[str, Knobs] | None:
        """From the best attempt, the one change of one kernel that promises most, where only whole times are known."""
        passed = [o for o in observed if o.seconds is not None]
        if not passed:
            return self.first(len(observed), "")
        base = min(passed, key=lambda o: o.seconds or math.inf)
        tried = {frozenset((name, key_of(knobs)) for name, knobs in o.knobs.items()) for o in observed}
        best: tuple[float, dict[str, Knobs]] | None = None
        for kernel in self.kernels:
            name = kernel.facts.name
            times: dict[int, float] = {}
            for each in passed:
                same = all(key_of(each.knobs[n]) == key_of(base.knobs[n]) for n in base.knobs if n != name)
                at = kernel.place.get(key_of(each.knobs.get(name, {})))
                if same and at is not None and each.seconds is not None:
                    times[at] = each.seconds
            if not times:
                continue
            gain = kernel.correction.improvement(list(times), [math.log(t) for t in times.values()])
            for at in np.argsort(-gain, kind="stable"):
                wanted = {**base.knobs, name: kernel.choices[int(at)].knobs}
                if frozenset((n, key_of(knobs)) for n, knobs in wanted.items()) not in tried:
                    if best is None or gain[at] > best[0]:
                        best = float(gain[at]), wanted
                    break
        return None if best is None else best[1]


@dataclass(frozen=True)
class _Wish:
    """What one kernel would try."""

    new: int | None
    """A candidate not tried before; None when all have been."""
    gain: float
    """Expected improvement of the logarithm of its time."""
    best: int
    """The fastest so far, or the policy's favourite."""
    best_log: float
    """Logarithm of its seconds."""
