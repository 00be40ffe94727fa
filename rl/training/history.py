"""History: the kernels of one task that passed, as prompts, jumps and the scale of the reward look at them."""

from __future__ import annotations

from collections.abc import Iterable

from kernelwright.agents.protocols import PastAttempt
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.contrastive.reward import Scale, scale_of, speedup_of
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import NOTHING_AGAINST, Evaluation

__all__ = ["History", "variant_of"]


def variant_of(kernel: Kernel, evaluation: Evaluation) -> Variant | None:
    """The kernel with its score; None if it did not pass, or its times make no finite score."""
    speedup = speedup_of(evaluation)
    if evaluation.timing is None or speedup is None:
        return None
    return Variant(kernel.id, kernel.source, speedup, evaluation.timing.seconds, evaluation.timing.kind)


class History:
    """Grows while a model is trained; its scale does not change.

    Args:
        variants: what was there when the stage began, all of one kind of time and one GPU.
        scale: as the stage began with, for one that is gone on with; taken from `variants` by default.
    """

    def __init__(self, variants: Iterable[Variant] = (), scale: Scale | None = None) -> None:
        self._variants: dict[str, Variant] = {}
        self._found_out: set[str] = set()
        for variant in variants:
            self._keep(variant)
        self.scale = scale or scale_of(variant.score for variant in self._variants.values())

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Each kernel once, with its lowest score, in the order they came."""
        return tuple(self._variants.values())

    @property
    def best(self) -> float | None:
        """The highest score; None while nothing passed."""
        return max((variant.score for variant in self._variants.values()), default=None)

    def add(self, attempt: PastAttempt) -> None:
        """Takes in a judged kernel, if it passed. One that is found out now is no variant any more, as in the store."""
        if attempt.evaluation.verdict not in NOTHING_AGAINST:
            self._found_out.add(attempt.kernel.id)
            self._variants.pop(attempt.kernel.id, None)
        variant = variant_of(attempt.kernel, attempt.evaluation)
        if variant is not None:
            self._keep(variant)

    def _keep(self, variant: Variant) -> None:
        known = self._variants.get(variant.kernel_id)
        if variant.kernel_id not in self._found_out and (known is None or variant.score < known.score):
            self._variants[variant.kernel_id] = variant
