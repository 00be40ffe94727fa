"""A task that draws random numbers: its module is run many times on the same inputs, each time under another seed.

What is kept of the runs is what `kernelwright.verifier.statistical` compares a kernel's outputs with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.sandbox.trees import tensors_of

if TYPE_CHECKING:
    import torch

__all__ = ["DRAWS", "INDEPENDENT", "SampledOutput", "independent_values", "is_second", "picked", "sample"]

DRAWS = 64
"""Runs of the module, half to learn each element's mean and spread from, half to learn how statistics scatter."""
INDEPENDENT = 64
"""Independent random values that an output must hold for its statistics to say something."""
_EXACT = 8  # runs in float64, which tell the values that elements take without rounding
_DISTURBED = 3  # of these, runs with honest rounding too (`reference_worker._DRAWS`)
_RUNS = 4  # stretches of a large output that statistics are made of
_RUN = 1 << 16  # elements of one
_ALIKE = 8.0  # machine epsilons by which two values may differ that count as one


@dataclass(frozen=True)
class SampledOutput:
    """One output tensor of the module, over `DRAWS` runs. Whole tensors have the output's shape."""

    draws: torch.Tensor
    """`picked` elements of each run: (DRAWS, n), floating."""
    two_valued: bool
    """Whether each element takes at most two values, as a value times a mask does."""
    finite: bool
    """Whether no run gave an infinity or NaN."""
    unseen: float
    """Of a two-valued output: how many elements of one more run would show a value that no run has shown, expected."""
    lowest: float
    """The smallest and largest finite value of all runs."""
    highest: float
    first: torch.Tensor | None
    """Of a two-valued output: the values that each element takes, equal where it never varied, in the output's dtype."""
    second: torch.Tensor | None
    exact_first: torch.Tensor | None
    """The same in float64; None for integers."""
    exact_second: torch.Tensor | None
    error: torch.Tensor | None
    """How far honest rounding moves the element, float64."""

    def to_tree(self) -> dict[str, Any]:
        """A tree that a channel carries; `from_tree` reads it back."""
        return dict(vars(self))

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> SampledOutput:
        """Reads what `to_tree` wrote."""
        return cls(**tree)


def picked(tensor: torch.Tensor) -> torch.Tensor:
    """The elements that statistics are made of, flat and floating: all, or of a large output stretches over its length."""
    import torch

    flat = (torch.view_as_real(tensor) if tensor.dtype.is_complex else tensor).reshape(-1)
    if flat.numel() > _RUNS * _RUN:
        last = flat.numel() - _RUN
        starts = [last * run // (_RUNS - 1) for run in range(_RUNS)]
        flat = torch.cat([flat[start : start + _RUN] for start in starts])
    return flat.double() if flat.dtype in {torch.int32, torch.int64, torch.float64} else flat.float()


def independent_values(draws: torch.Tensor) -> float:
    """About how many independent random values there are among the elements of `draws`, (runs, n).

    Two runs of n independent values of spread 1 have a mean product of variance 1/n; values that share a random number
    scatter more, whatever their signs.
    """
    import torch

    half = len(draws) // 2
    spread = draws[:half].double().std(0, unbiased=False)
    used = (spread > 0) & spread.isfinite()
    if not bool(used.any()):
        return 0.0
    rows = draws[half:, used].double() / spread[used]
    rows = (rows - rows.mean(0)).clamp(-5, 5)
    products = rows @ rows.T / rows.shape[1]
    pairs = torch.triu_indices(len(rows), len(rows), 1)
    return min(float(used.sum()), 1 / max(float(products[pairs[0], pairs[1]].var()), 1e-12))


def sample(
    native: Callable[[], Any],
    exact: Callable[[], Any],
    disturbed: Callable[[], Any],
    reseed: Callable[[int], None],
    seed: int,
) -> list[SampledOutput]:
    """Runs the module.

    Args:
        native: one run in the task's own dtypes.
        exact: one in float64, None where the module can't.
        disturbed: one with honest rounding, in float64 where the module can.
        reseed: seeds every source of chance.
    """
    found: list[_Values] = []
    for run in range(DRAWS):
        reseed(seed + run)
        outputs = tensors_of(native())
        found = found or [_Values() for _ in outputs]
        for values, output in zip(found, outputs, strict=True):
            values.add(output)
    for run in range(_EXACT if any(values.rounds for values in found) else 0):
        reseed(seed + run)
        wide = tensors_of(exact())
        if not wide:
            reseed(seed + run)
            wide = tensors_of(native())
        near: list[Any] = [None] * len(wide)
        if run < _DISTURBED:
            reseed(seed + run)
            near = tensors_of(disturbed()) or near
        for values, one, other in zip(found, wide, near, strict=True):
            values.add_exact(one, other)
    return [values.result() for values in found]


class _Values:
    """What one output's elements were, over the runs so far."""

    def __init__(self) -> None:
        self.draws: list[torch.Tensor] = []
        self.two_valued = self.finite = True
        self.lowest, self.highest = float("inf"), float("-inf")
        self.first: Any = None
        self.second: Any = None
        self.seconds: Any = None  # runs in which each element took its second value
        self.exact_first: Any = None
        self.exact_second: Any = None
        self.error: Any = None

    @property
    def rounds(self) -> bool:
        """Whether float64 says more."""
        return bool(self.two_valued and self.first.dtype.is_floating_point)

    def add(self, output: torch.Tensor) -> None:
        import torch

        self.draws.append(picked(output).clone())
        self.two_valued &= not output.dtype.is_complex
        flat = self.draws[-1] if output.dtype.is_complex else output
        finite = flat[flat.isfinite()]
        self.finite &= finite.numel() == flat.numel()
        if finite.numel():
            self.lowest, self.highest = (
                min(self.lowest, float(finite.min())),
                max(self.highest, float(finite.max())),
            )
        if self.first is None:
            self.first, self.second = output.clone(), output.clone()
            self.seconds = torch.zeros(output.shape, dtype=torch.int16)
        elif self.two_valued:
            other = ~_alike(output, self.first)
            new = other & (self.seconds == 0)
            self.second = torch.where(new, output, self.second)
            self.seconds += other
            self.two_valued = bool(_alike(output, self.second)[other].all())

    def add_exact(self, wide: torch.Tensor, near: torch.Tensor | None) -> None:
        import torch

        if not self.rounds:
            return
        if self.exact_first is None:
            self.exact_first, self.exact_second = self.first.double(), self.second.double()
            self.error = torch.zeros_like(self.exact_first)
        at_second = is_second(wide.double(), self)
        self.exact_first = torch.where(at_second, self.exact_first, wide.double())
        self.exact_second = torch.where(at_second | (self.seconds == 0), wide.double(), self.exact_second)
        if near is not None:
            far = (near.double() - wide.double()).abs().nan_to_num_(0.0, 0.0, 0.0)
            alike = is_second(near.double(), self) == at_second
            self.error = torch.where(alike, far.maximum(self.error), self.error)

    def result(self) -> SampledOutput:
        import torch

        kept = self.two_valued
        return SampledOutput(
            draws=torch.stack(self.draws),
            two_valued=kept,
            finite=self.finite,
            unseen=self._unseen() if kept else 0.0,
            lowest=min(self.lowest, self.highest),
            highest=max(self.lowest, self.highest),
            first=self.first if kept else None,
            second=self.second if kept else None,
            exact_first=self.exact_first if kept else None,
            exact_second=self.exact_second if kept else None,
            error=self.error if kept else None,
        )

    def _unseen(self) -> float:
        import torch

        rarer = torch.minimum(self.seconds, DRAWS - self.seconds)[self.seconds > 0].double()
        if not rarer.numel():
            return 0.0
        # Good and Turing: what was seen once tells how much was not; and, where nothing was, the rate alike for all
        rate = float(rarer.mean()) / DRAWS
        missed = (1 - rate) ** DRAWS
        return max(float((rarer == 1).sum()) / DRAWS, rarer.numel() * missed / (1 - missed) * rate)


def is_second(values: torch.Tensor, of: Any) -> torch.Tensor:
    """Which of `values` are nearer to the element's second value (`of.second`) than to its first."""
    first, second = of.first.double(), of.second.double()
    values = values.double()
    nearer = (values - second).abs() < (values - first).abs()
    return (nearer | _alike(values, second)) & ~_alike(values, first) & ~_alike(first, second)


def _alike(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    import torch

    same = one == other
    if not one.dtype.is_floating_point or bool(same.all()):
        return same
    few = _ALIKE * torch.finfo(one.dtype).eps * one.abs().maximum(other.abs())
    close = ((one - other).abs() <= few) & few.isfinite()
    return same | close | (one.isnan() & other.isnan())
