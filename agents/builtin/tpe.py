"""Drawing parameters by Optuna's TPE: values like those of fast kernels, unlike those of slow ones.

The tree-structured Parzen estimator (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011) in its multivariate
form. Each kernel function is a study of its own, on the seconds of its own launches: what one function's knobs do to its time
does not depend on another's, so a call of three kernels says three things at once. Studies live for one draw: they are made of
the history anew, so that a resumed run draws the same.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.drawing import RandomDrawer
from kernelwright.agents.builtin.knobs import by_function, kind_of, own_choice, own_seconds
from kernelwright.agents.builtin.space import Choice, Value
from kernelwright.agents.protocols import PastAttempt
from kernelwright.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

__all__ = ["STARTUP", "TpeDrawer"]

STARTUP = 6
"""Different choices of a function's knobs that must have been tried before the estimator is asked; Optuna's own default is 10,
over half of a run of 16 attempts."""
_FAILED = math.log(2.0)
"""A choice that did not pass counts as twice as slow as the slowest that did."""
_ASKED = 8
"""Samples among which a legal one is looked for, before one is mended."""


class TpeDrawer:
    """A `Drawer` that learns from the attempts shown to it; at random until there are enough of them.

    Raises:
        ConfigError: Optuna is not installed.
    """

    name = "tpe"
    learns = True

    def __init__(self, coder: BuiltinCoder) -> None:
        _optuna()  # said before anything is paid
        self._coder = coder
        self._random = RandomDrawer(coder)

    def draw(
        self,
        base: Mapping[str, Value],
        free: Mapping[str, tuple[Value, ...]],
        history: Sequence[PastAttempt],
        rng: random.Random,
    ) -> Choice:
        """See `drawing.Drawer`."""
        choice = dict(base)
        functions = by_function(self._coder.defaults)
        for function, names in by_function(sorted(free)).items():
            seen = self._seen(function, functions, names, base, free, history)
            drawn = {name: free[name] for name in names}
            if len(seen) < STARTUP:
                choice = self._random.draw(choice, drawn, (), rng)
            else:
                choice = self._asked(choice, drawn, seen, rng)
        return choice

    def _seen(
        self, function: str, functions: Mapping[str, Sequence[str]], names: Sequence[str], base: Mapping[str, Value],
        free: Mapping[str, tuple[Value, ...]], history: Sequence[PastAttempt],
    ) -> list[tuple[Choice, float]]:  # fmt: skip
        """What each choice of this function brought, as the logarithm of its seconds; where one was tried again, the last.

        Attempts in which a value lies outside of what may be drawn, or makes other code than `base`, say nothing.
        """
        timed: dict[tuple[Value, ...], float] = {}
        failed: list[tuple[Value, ...]] = []
        kept = [name for name in functions[function] if name not in free]
        for attempt in history:
            own = own_choice(attempt, self._coder.defaults)
            if own is None or any(own[n] not in free[n] for n in names):
                continue
            if any(kind_of(n, own[n]) != kind_of(n, base[n]) for n in kept):
                continue
            values = tuple(own[name] for name in names)
            took = own_seconds(attempt, function, functions)
            if took is None:
                failed.append(values)
            elif took > 0:
                timed[values] = math.log(took)
        worst = max(timed.values(), default=0.0) + _FAILED
        # with several functions, the choice of one that did pass elsewhere is not what the attempt failed for
        scored = {**dict.fromkeys(failed, worst), **timed} if timed else {}
        return [(dict(zip(names, values, strict=True)), score) for values, score in scored.items()]

    def _asked(
        self,
        choice: Choice,
        free: Mapping[str, tuple[Value, ...]],
        seen: Sequence[tuple[Choice, float]],
        rng: random.Random,
    ) -> Choice:
        optuna = _optuna()
        sampler = optuna.samplers.TPESampler(
            seed=rng.getrandbits(32), multivariate=True, constant_liar=True, n_startup_trials=1
        )
        study = optuna.create_study(sampler=sampler)
        axes = {name: _Axis(values) for name, values in free.items()}
        distributions = {name: axis.distribution for name, axis in axes.items()}
        study.add_trials([_trial(axes, distributions, tried, score) for tried, score in seen])
        known = [tried for tried, _ in seen]
        first: Choice | None = None
        for _ in range(_ASKED):
            asked = study.ask(distributions)
            wanted = {name: axes[name].value(asked.params[name]) for name in free}
            trial = self._coder.changed({**choice, **wanted}, wanted)
            if trial is not None and wanted not in known:
                return trial
            first = first or (wanted if wanted not in known else None)
        return self._mended(choice, first or wanted, rng)

    def _mended(self, choice: Choice, wanted: Choice, rng: random.Random) -> Choice:
        for name in rng.sample(sorted(wanted), len(wanted)):
            choice = self._coder.changed(choice, {name: wanted[name]}) or choice
        return choice


class _Axis:
    """One parameter as Optuna has it: numbers by their place among the values, since those grow by factors of two."""

    def __init__(self, values: tuple[Value, ...]) -> None:
        distributions = _optuna().distributions
        self.values = values
        self.ordered = not isinstance(values[0], (str, bool))
        self.distribution: BaseDistribution = (
            distributions.IntDistribution(0, len(values) - 1)
            if self.ordered
            else distributions.CategoricalDistribution(values)
        )

    def place(self, value: Value) -> Value:
        """The value as Optuna has it."""
        return self.values.index(value) if self.ordered else value

    def value(self, place: Any) -> Value:
        """And back."""
        return self.values[place] if self.ordered else place


def _trial(
    axes: Mapping[str, _Axis], distributions: Mapping[str, BaseDistribution], tried: Choice, score: float
) -> FrozenTrial:
    return _optuna().trial.create_trial(
        params={name: axes[name].place(value) for name, value in tried.items()},
        distributions=dict(distributions),
        value=score,
    )


@cache
def _optuna() -> ModuleType:
    """Optuna, which says nothing of the studies that are made for a moment.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "the sampler `tpe` needs Optuna, which is not installed.",
            mend="Install it: pip install 'kernelwright[search]', or use --sampler random.",
        ) from error
    # this logger alone: the verbosity of all of Optuna is its other users' business
    logging.getLogger("optuna.storages._in_memory").setLevel(logging.WARNING)
    return optuna
