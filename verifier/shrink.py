"""Makes a wrong call small: the simplest inputs that a few more calls find for which the kernel is still wrong.

Shapes stay as they are, since a kernel may be made for them; values become zero, then equal, then whole, and as few as possible
stay. Only floating-point inputs change: others may be indices.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.errors import KernelwrightError
from kernelwright.sandbox.candidate import CandidateFailure
from kernelwright.sandbox.trees import map_tensors, tensors_of
from kernelwright.verifier.correctness import Mismatch

if TYPE_CHECKING:
    import torch

__all__ = ["SECONDS", "Shrunk", "Trial", "shrink"]

_LOG = logging.getLogger(__name__)

SECONDS = 3.0
"""Wall time for all further calls: what a person accepts on top of a verdict."""
_TRIALS = 12  # further calls; a small kernel's take 20 ms each
_HALVED = 1 << 22  # values among which halving looks; more would take longer than a call
_SHOWN = 6  # values quoted of one input
_ENDS = (CandidateFailure, KernelwrightError, RuntimeError, ValueError, TypeError, OSError)
"""What a trial may raise: the kernel fails in another way on these inputs. Then it stays at what was found before."""

Trial = Callable[[list[Any]], Mismatch | None]
"""Calls the kernel and the reference on inputs; how their outputs differ, None if they agree."""


@dataclass(frozen=True)
class Shrunk:
    """The simplest call found that is wrong."""

    inputs: list[Any]
    """Arguments of forward."""
    mismatch: Mismatch
    """Of that call."""
    steps: tuple[str, ...]
    """What was made simpler, in order; empty if nothing could be."""
    trials: int
    """Further calls that were made."""
    names: tuple[str, ...] = ()
    """What the input tensors are called, where that is not ``input 0`` and so on."""

    @property
    def sentence(self) -> str:
        """For people and models."""
        inputs = "; ".join(_words(entry) for entry in self._described())
        if not self.steps:
            return f"No simpler inputs were found that show it. There, {inputs}."
        return f"The simplest inputs found that show it: {inputs}; then {self.mismatch.what}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "simpler": bool(self.steps),
            "steps": list(self.steps),
            "trials": self.trials,
            "inputs": self._described(),
            "mismatch": self.mismatch.to_json(),
        }

    def _described(self) -> list[dict[str, Any]]:
        entries = [
            _describe(place, tensor, self.mismatch.index or ()) for place, tensor in enumerate(tensors_of(self.inputs))
        ]
        for entry, name in zip(entries, self.names, strict=False):
            entry["name"] = name
        return entries


def shrink(
    inputs: Sequence[Any],
    mismatch: Mismatch,
    shape: Sequence[int],
    fails: Trial,
    *,
    seconds: float = SECONDS,
    expected_seconds: float = 0.0,
    names: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Shrunk:
    """Tries simpler inputs for which the kernel is still wrong. Never raises what `fails` raises for the kernel's sake.

    Args:
        inputs: arguments of forward with which it was seen; they are not changed.
        mismatch: what was seen. Without an index (a wrong shape, say) nothing is tried.
        shape: of the output that is wrong.
        seconds: no trial begins that would probably end later.
        expected_seconds: what one trial will take.
        names: what the tensors of `inputs` are called, where that is not ``input 0`` and so on.
        clock: in seconds.
    """
    search = _Search(list(inputs), mismatch, fails, clock() + seconds, expected_seconds, clock)
    if mismatch.index is not None and search.floats:
        try:
            search.run(tuple(shape))
        except (_NoMoreTrials, *_ENDS) as end:
            _LOG.debug("shrinking ended: %s", end)
    return Shrunk(search.rebuilt(search.values), search.mismatch, tuple(search.steps), search.trials, tuple(names))


class _NoMoreTrials(Exception):
    """The budget is spent."""


class _Search:
    """One shrinking in progress."""

    def __init__(
        self, inputs: list[Any], mismatch: Mismatch, fails: Trial, deadline: float, expected: float,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self.inputs, self.mismatch, self.fails = inputs, mismatch, fails
        self.deadline, self.expected, self.clock = deadline, expected, clock
        self.floats = [tensor for tensor in tensors_of(inputs) if tensor.dtype.is_floating_point]
        self.values = self.floats
        self.steps: list[str] = []
        self.trials = 0

    def run(self, shape: tuple[int, ...]) -> None:
        """Zeros first; then fewer values, then plainer ones, then as few as halving finds."""
        import torch

        index = self.mismatch.index or ()
        if self.accepts([torch.zeros_like(v) for v in self.values], "all values are 0"):
            return
        for kept in _regions([tuple(v.shape) for v in self.values], shape, index):
            masked = [_only(v, where) for v, where in zip(self.values, kept, strict=True)]
            if self.accepts(masked, "only what feeds that element is not 0"):
                break
        used = [v != 0 for v in self.values]
        zeros = [torch.zeros_like(v) for v in self.values]
        plainer: list[tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = [
            ("values are 1", torch.ones_like),
            ("values are 1 and -1", torch.sign),
            ("values are whole numbers", _whole),
        ]
        for words, function in plainer:
            plain = [torch.where(u, function(v), z) for u, v, z in zip(used, self.values, zeros, strict=True)]
            if self.accepts(plain, words):
                break
        self.halve()

    def halve(self) -> None:
        """Puts half of the values that are left to 0 as long as one half still shows it."""
        import torch

        while sum(v.numel() for v in self.values) <= _HALVED:
            flat = torch.cat([v.double().reshape(-1) for v in self.values])
            left = flat.nonzero().reshape(-1)
            if len(left) < 2:
                return
            middle = len(left) // 2
            for gone in (left[middle:], left[:middle]):
                if self.accepts(_without(self.values, gone), "fewer values are not 0"):
                    break
            else:
                return

    def accepts(self, values: list[torch.Tensor], words: str) -> bool:
        """Whether the kernel is wrong on these inputs too; then they are kept."""
        import torch

        if all(torch.equal(a, b) for a, b in zip(values, self.values, strict=True)):
            return False
        start = self.clock()
        if self.trials >= _TRIALS or start + self.expected > self.deadline:
            raise _NoMoreTrials
        self.trials += 1
        found = self.fails(self.rebuilt(values))
        self.expected = max(self.expected, self.clock() - start)
        if found is None or found.index is None:
            return False
        self.values, self.mismatch = values, found
        if words not in self.steps:
            self.steps.append(words)
        return True

    def rebuilt(self, values: list[torch.Tensor]) -> list[Any]:
        """The arguments with `values` as their floating-point tensors."""
        following = iter(values)
        rebuilt: list[Any] = map_tensors(self.inputs, lambda t: next(following) if t.dtype.is_floating_point else t)
        return rebuilt


def _regions(
    shapes: list[tuple[int, ...]], output: tuple[int, ...], index: tuple[int, ...]
) -> Iterator[list[tuple[Any, ...]]]:
    """Parts of the inputs that may be all that the output's element `index` depends on, the smallest first.

    An input whose dimensions begin or end as the output's do is taken to share its leading or trailing indices.
    """
    seen = []
    for used in range(len(index), 0, -1):
        region = []
        for shape in shapes:
            same = 0
            while same < min(used, len(shape), len(output)) and shape[same] == output[same]:
                same += 1
            if same:
                region.append(index[:same])
            elif used == len(index) and shape == output[len(output) - len(shape) :] and shape:
                region.append(index[len(output) - len(shape) :])
            else:
                region.append(())
        if region not in seen and any(region):
            seen.append(region)
            yield list(region)


def _only(values: torch.Tensor, where: tuple[int, ...]) -> torch.Tensor:
    import torch

    if not where:
        return values
    kept = torch.zeros_like(values)
    kept[where] = values[where]
    return kept


def _without(values: list[torch.Tensor], gone: torch.Tensor) -> list[torch.Tensor]:
    """`values` with 0 at the places `gone`, counted through all of them."""
    left, start = [], 0
    for tensor in values:
        here = gone[(gone >= start) & (gone < start + tensor.numel())] - start
        flat = tensor.reshape(-1).clone()
        flat[here] = 0
        left.append(flat.reshape(tensor.shape))
        start += tensor.numel()
    return left


def _whole(values: torch.Tensor) -> torch.Tensor:
    """Rounded away from zero, so that nothing becomes 0."""
    import torch

    return torch.sign(values) * torch.ceil(values.abs())


def _describe(place: int, tensor: torch.Tensor, index: tuple[int, ...]) -> dict[str, Any]:
    """One input: how many of its values are not 0, and the first of those nearest to the wrong element."""
    entry: dict[str, Any] = {
        "input": place,
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "elements": tensor.numel(),
    }
    if tensor.dtype.is_complex or tensor.numel() == 0:
        return entry
    used = tensor != 0
    entry["nonzero"] = int(used.sum())
    first = tensor.reshape(-1)[0]
    if bool((tensor == first).all()):
        entry["all"] = first.item()
        return entry
    row = index[:1] if index and tensor.dim() and index[0] < tensor.shape[0] and bool(used[index[0]].any()) else ()
    places = used[row].nonzero()[:_SHOWN] if row else used.nonzero()[:_SHOWN]
    entry["values"] = [
        {"index": [*row, *spot], "value": tensor[(*row, *spot)].item()} for spot in (tuple(map(int, p)) for p in places)
    ]
    return entry


def _words(entry: dict[str, Any]) -> str:
    name = entry.get("name", f"input {entry['input']}")
    if "all" in entry:
        return f"{name} is {entry['all']:g} everywhere" if entry["elements"] > 1 else f"{name} is {entry['all']:g}"
    if "values" not in entry:
        return f"{name} has the shape {tuple(entry['shape'])}"
    shown = ", ".join(f"{value['index']} = {value['value']:.9g}" for value in entry["values"])
    if entry["nonzero"] == len(entry["values"]):
        return f"{name} is 0 but for {shown}"
    if entry["nonzero"] == entry["elements"]:
        return f"{name} has {shown}, ..."
    return f"{name} is 0 but for {entry['nonzero']:,} of {entry['elements']:,} elements: {shown}, ..."
