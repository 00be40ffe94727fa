"""The strategies by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kernelwright.errors import ConfigError
from kernelwright.rl.strategies.best_of_n import BestOfN
from kernelwright.rl.strategies.evolve import Evolution, Evolve
from kernelwright.rl.strategies.fsr import FeatureSearch
from kernelwright.rl.strategies.refine import Refine
from kernelwright.rl.strategies.translate_evolve import TranslateEvolve
from kernelwright.rl.strategy import Strategy

__all__ = ["SHOWN_ALL", "STRATEGIES", "strategy_named"]

STRATEGIES: Mapping[str, str] = MappingProxyType(
    {
        "refine": "correct, then optimise: each kernel is written with the judge's advice on the one before (CudaForge)",
        "fsr": "several candidates a round; the fastest correct one seeds the next round (CUDA-LLM)",
        "translate-evolve": "translate, then proposals from the best kernels so far, ranked by verifiers (robust-kbench)",
        "evolve": "kernels bred on islands from an archive of the best of each kind; a bandit chooses how",
        "best-of-n": "kernels that know nothing of one another: the arm to compare the others with",
    }
)
"""What each one does, by the name that `--strategy` takes."""
SHOWN_ALL: Mapping[str, type[BestOfN] | type[FeatureSearch]] = MappingProxyType(
    {kind.name: kind for kind in (BestOfN, FeatureSearch)}
)
"""Strategies that show what an attempt begins from and nothing else, unless they are told to show all."""


def strategy_named(
    name: str, candidates: int | None = None, evolution: Evolution | None = None, *, show_all: bool = False
) -> Strategy:
    """The strategy of this name.

    Args:
        candidates: proposals of a round, for strategies that make several; None is the number that each is described with.
        evolution: what `evolve` works on; the others need none.
        show_all: whether `best-of-n` and `fsr` show their coder all earlier attempts, for one that learns from them.

    Raises:
        ConfigError: there is none.
        ValueError: `evolve` is asked for and has nothing to work on.
    """
    if name == Evolve.name:
        if evolution is None:
            raise ValueError("the strategy evolve needs an archive")
        return Evolve(evolution) if candidates is None else Evolve(evolution, candidates)
    if name == Refine.name:
        return Refine()
    if name == TranslateEvolve.name:
        return TranslateEvolve() if candidates is None else TranslateEvolve(candidates)
    if name in SHOWN_ALL:
        kind = SHOWN_ALL[name]
        return kind(show_all=show_all) if candidates is None else kind(candidates, show_all)
    raise ConfigError(f"there is no strategy {name!r}.", mend=f"Choose one of {', '.join(STRATEGIES)}.")
