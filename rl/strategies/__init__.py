"""The strategies by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kernelwright.errors import ConfigError
from kernelwright.rl.strategies.best_of_n import BestOfN
from kernelwright.rl.strategies.fsr import FeatureSearch
from kernelwright.rl.strategies.refine import Refine
from kernelwright.rl.strategies.translate_evolve import TranslateEvolve
from kernelwright.rl.strategy import Strategy

__all__ = ["STRATEGIES", "strategy_named"]

STRATEGIES: Mapping[str, str] = MappingProxyType(
    {
        "refine": "correct, then optimise: each kernel is written with the judge's advice on the one before (CudaForge)",
        "fsr": "several candidates a round; the fastest correct one seeds the next round (CUDA-LLM)",
        "translate-evolve": "translate, then proposals from the best kernels so far, ranked by verifiers (robust-kbench)",
        "best-of-n": "kernels that know nothing of one another: the arm to compare the others with",
    }
)
"""What each one does, by the name that `--strategy` takes."""


def strategy_named(name: str, candidates: int | None = None, *, show_all: bool = False) -> Strategy:
    """The strategy of this name.

    Args:
        candidates: proposals of a round, for strategies that make several; None is the number that each is described with.
        show_all: whether `best-of-n` and `fsr` show their coder all earlier attempts, for one that learns from them.

    Raises:
        ConfigError: there is none.
    """
    if name == Refine.name:
        return Refine()
    several: dict[str, type[BestOfN] | type[FeatureSearch] | type[TranslateEvolve]] = {
        kind.name: kind for kind in (BestOfN, FeatureSearch, TranslateEvolve)
    }
    if name in several and show_all and name != TranslateEvolve.name:
        given = {} if candidates is None else {"candidates": candidates}
        return (
            FeatureSearch(**given, show_all=True)
            if name == FeatureSearch.name
            else BestOfN(*given.values(), show_all=True)
        )
    if name in several:
        return several[name]() if candidates is None else several[name](candidates)
    raise ConfigError(f"there is no strategy {name!r}.", mend=f"Choose one of {', '.join(STRATEGIES)}.")
