"""The statistical policy: a kernel for a task that draws random numbers is compared with many runs of the reference.

Where each element takes at most two values in the reference (a value times a mask), the kernel's must be one of them
within the numeric policy. Everything else is tested by statistics of the elements, each put in units of its own mean and
spread over the first half of the reference's runs. How a statistic scatters is taken from the second half, run for run, so
nothing is assumed of how the reference's random numbers depend on each other. A right kernel's statistic and those of
the second half are then draws of one distribution, close to normal, since outputs of fewer than `INDEPENDENT`
independent values are refused: Student's test tells them apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.sampling import DRAWS, SampledOutput, is_second, picked
from kernelwright.sandbox.trees import map_tensors, tensors_of
from kernelwright.verifier.correctness import Mismatch, Past, allowance, compare_outputs

if TYPE_CHECKING:
    import torch

__all__ = ["CALLS", "between_calls", "compare"]

CALLS = 4
"""Calls on the same inputs that are compared with each other."""
_HALF = DRAWS // 2
_LIMIT = 8.612
"""Student's t with `_HALF` - 1 = 31 degrees of freedom that is passed, on either side, once in 1e9: with the 1,000 tests that
a verdict may hold, a right kernel is called wrong once in a million."""
_CLIP = 5.0  # spreads: an element that is farther off counts as this far
_LEAST = 64  # varying elements that a statistic is made of
_LAGS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # a thread's vector, a warp, a block
_BINS = (-1.8, -0.5, 0.5, 1.8)
_FEW = 4.0  # elements beyond an edge that the spread of their share is at least taken from
_RARE = 0.45  # of runs: elements whose rarer value comes less often are told by it
_TAIL = 7.0  # standard deviations of a Poisson variable, and as many events, that are allowed above its mean


def compare(
    outputs: Any,
    reference: ReferenceResult,
    policy: NumericPolicy,
    *,
    nan_is_free: bool = False,
    past: Past | None = None,
) -> tuple[Mismatch | None, float]:
    """Checks every output tensor of one call: `compare_outputs`, and for a task that draws random numbers what it can't say.

    Returns:
        (the first mismatch or None, the largest error as a share of what is allowed).
    """
    got, native = tensors_of(outputs), tensors_of(reference.native)
    if reference.samples is None or [(t.shape, t.dtype) for t in got] != [(t.shape, t.dtype) for t in native]:
        return compare_outputs(outputs, reference, policy, nan_is_free=nan_is_free, past=past)
    settled = []
    for position, (mine, honest, output) in enumerate(zip(got, native, reference.samples, strict=True)):
        if not output.two_valued:
            if (mismatch := _outside(position, mine, output)) is not None:
                return mismatch, math.inf
            settled.append((honest, honest, honest, honest))
        else:
            settled.append(_settle(mine, output, policy))
    kept, values, exact, moved = (list(column) for column in zip(*settled, strict=True))
    expected = replace(reference, native=_rebuilt(reference.native, values), exact=exact, moved=moved, samples=None)
    mismatch, share = compare_outputs(_rebuilt(outputs, kept), expected, policy, nan_is_free=nan_is_free)
    if mismatch is not None:
        return replace(
            mismatch, what=f"{mismatch.what} (Of the values that the reference gives there, the nearest.)"
        ), share
    return _statistics(got, reference.samples), share


def between_calls(calls: Sequence[Any], reference: ReferenceResult) -> Mismatch | None:
    """Whether calls on the same inputs draw random numbers anew. None for a task that draws none.

    Args:
        calls: the outputs of each, in order, each of which was right by itself.
    """
    import torch

    trees = [tensors_of(call) for call in calls]
    for position, output in enumerate(reference.samples or ()):
        mean, spread, used = _units(output)
        if int(used.sum()) < _LEAST:
            continue
        signs = _signs(output, used).float()
        honest = _standard(output.draws[_HALF:], mean, spread, used) * signs
        mine = _standard(torch.stack([picked(tree[position]) for tree in trees]), mean, spread, used) * signs
        for shift in (0, 1, -1):
            found = _depend(honest, mine, shift)
            if found is not None:
                moved = f", moved by {abs(shift)} place" if shift else ""
                return Mismatch(
                    position,
                    f"the random values of calls {found[0]} and {found[1]} on the same inputs depend on each other{moved} "
                    f"(correlation {found[2]:.3f}): each call must draw its random numbers anew.",
                )
        for lag in (lag for lag in _LAGS if lag < mine.shape[1]):
            # a product has the same sign in every call where two elements share a random number, whatever the signs
            products = [(rows[:, lag:] * rows[:, :-lag]).clamp(-_CLIP, _CLIP) for rows in (honest, mine)]
            if int((products[1][0] != 0).sum()) >= _LEAST and _depend(products[0], products[1], 0) is not None:
                return Mismatch(position, f"its random values depend on each other: those {lag} elements apart.")
    return None


def _rebuilt(tree: Any, tensors: Sequence[torch.Tensor]) -> Any:
    following = iter(tensors)
    return map_tensors(tree, lambda _: next(following))


def _settle(
    mine: torch.Tensor, output: SampledOutput, policy: NumericPolicy
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(the outputs, and the values they must have natively, in float64, and moved by honest rounding)."""
    import torch

    assert output.first is not None
    assert output.second is not None
    second = is_second(mine, output)
    native = torch.where(second, output.second, output.first)
    if output.exact_first is None or output.exact_second is None or output.error is None:
        exact = moved = native
    else:
        exact = torch.where(second, output.exact_second, output.exact_first)
        moved = exact + output.error
    allowed = 0 if output.unseen < 1e-9 else math.ceil(output.unseen + _TAIL * math.sqrt(output.unseen) + _TAIL)
    if allowed:
        # a value that is rare may not have shown in the reference's runs; a few such elements say nothing
        never = (output.first == output.second) & mine.isfinite()
        if native.dtype.is_floating_point:
            far = never & ((mine.double() - exact.double()).abs() > allowance(native, exact, moved, policy))
        else:
            far = never & (mine != native)
        if int(far.sum()) <= allowed:
            mine = torch.where(far, native, mine)
    return mine, native, exact, moved


def _outside(position: int, mine: torch.Tensor, output: SampledOutput) -> Mismatch | None:
    """An element where none of the reference's runs has any."""
    if mine.dtype.is_complex:
        return None
    wide = mine.double()
    width = output.highest - output.lowest
    low, high = output.lowest - width, output.highest + width
    bad = (wide < low) | (wide > high) | (~wide.isfinite() & output.finite)
    if not bool(bad.any()):
        return None
    index = tuple(int(i) for i in bad.nonzero()[0])
    value = float(wide[index])
    where = f"[{', '.join(map(str, index))}]" if index else ""
    return Mismatch(
        position,
        f"element {where} is {value:.9g}; in {DRAWS} runs of the reference all lie from {output.lowest:.9g} to "
        f"{output.highest:.9g}. {int(bad.sum()):,} of {bad.numel():,} elements lie far outside.",
        index=index, got=value, wrong=int(bad.sum()), total=bad.numel(),
    )  # fmt: skip


def _units(output: SampledOutput) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(mean, spread, whether it varies) of each picked element."""
    known = output.draws[:_HALF].double()
    mean, spread = known.mean(0), known.std(0, unbiased=False)
    return mean, spread, (spread > 1e-6 * mean.abs()) & spread.isfinite() & mean.isfinite()


def _signs(output: SampledOutput, used: torch.Tensor) -> torch.Tensor:
    """-1 or 1 for each picked element: what makes the units of all point the same way, towards the value that is kept.

    A value times a mask lies above its mean where it is kept, if it is positive, and below if it is negative: without
    signs, faults of the mask would cancel out.
    """
    import torch

    known = output.draws[:_HALF].double()
    low, high = known.amin(0), known.amax(0)
    larger = torch.where(high.abs() >= low.abs(), 1.0, -1.0)
    if not output.two_valued or bool((low.abs().minimum(high.abs())[used] == 0).double().mean() > 0.9):
        return larger
    share = ((known - low).abs() > (known - high).abs()).double().mean(0)  # of runs at the higher value
    if float(share.minimum(1 - share)[used].mean()) >= _RARE:
        return larger
    return torch.where(share <= 0.5, 1.0, -1.0)


def _standard(values: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
    """In units of each element's spread, 0 where it never varies."""
    import torch

    return (
        torch.where(used, (values - mean) / spread, 0.0).nan_to_num_(0.0, _CLIP, -_CLIP).clamp_(-_CLIP, _CLIP).float()
    )


def _depend(honest: torch.Tensor, mine: torch.Tensor, shift: int) -> tuple[int, int, float] | None:
    """The first two rows of `mine` (calls, n), the second moved, that depend on each other as no two of `honest` do, and
    their correlation."""
    count = max(1, int((mine[0] != 0).sum()))
    usual = (honest[:-1] * honest[1:].roll(shift, 1)).sum(1) / count
    found = mine @ mine.roll(shift, 1).T / count
    for first, second in itertools.combinations(range(len(mine)), 2):
        if _far(float(found[first, second]), usual, count**-0.5):
            sizes = float(mine[first].norm() * mine[second].norm()) / count
            return first + 1, second + 1, float(found[first, second]) / max(sizes, 1e-30)
    return None


def _far(found: float, usual: torch.Tensor, floor: float) -> bool:
    """Whether `found` is no draw of what `usual` was drawn from, by Student's t; `floor` is the least spread believed."""
    usual = usual.double()
    spread = max(float(usual.std()), floor) * math.sqrt(1 + 1 / len(usual))
    return abs(found - float(usual.mean())) > _LIMIT * spread


def _statistics(got: Sequence[torch.Tensor], samples: Sequence[SampledOutput]) -> Mismatch | None:
    import torch

    standard: list[torch.Tensor | None] = []
    for position, (mine, output) in enumerate(zip(got, samples, strict=True)):
        mean, spread, used = _units(output)
        if int(used.sum()) < _LEAST:
            standard.append(None)
            continue
        drawn = picked(mine)
        rows = _standard(torch.cat([output.draws[_HALF:], drawn[None]]), mean, spread, used)
        standard.append(rows)
        row = mine.shape[-1] if mine.dim() > 1 else 0
        signs = _signs(output, used).float()
        tests = _of_one(rows, used, row)
        if bool((signs < 0).any()):
            standard[-1] = rows * signs
            tests = itertools.chain(_of_one(rows * signs, used, row), tests)
        for words, values, floor in tests:
            if _far(float(values[-1]), values[:-1], floor):
                words = words.format(got=float(values[-1]), usual=float(values[:-1].double().mean()))
                return Mismatch(position, words + _zeros(drawn, output, used))
    for one in range(len(standard)):
        for two in range(one + 1, len(standard)):
            a, b = standard[one], standard[two]
            if a is None or b is None or a.shape != b.shape:
                continue
            values, count = (a * b).mean(1), a.shape[1]
            if _far(float(values[-1]), values[:-1], 1 / math.sqrt(count)):
                return Mismatch(
                    two,
                    f"it does not go with output {one} as the reference's does: their random values correlate by "
                    f"{float(values[-1]):.3f}, the reference's by {float(values[:-1].mean()):.3f}.",
                )
    return None


def _of_one(rows: torch.Tensor, used: torch.Tensor, row: int) -> Iterator[tuple[str, torch.Tensor, float]]:
    """(words, the statistic of each run with the candidate's call last, the least spread to believe in)."""
    total, length = int(used.sum()), rows.shape[1]
    level = "its random values lie on average {got:+.3f} standard deviations from the reference's mean"
    yield f"{level}: look at the probability and at the scale.", rows.sum(1) / total, total**-0.5
    quarter = -(-length // 4)
    for part, name in enumerate(("first", "second", "third", "last")):
        here = slice(part * quarter, (part + 1) * quarter)
        if (count := int(used[here].sum())) >= _LEAST:
            yield f"in the {name} quarter of it {level}.", rows[:, here].sum(1) / count, count**-0.5
    for rest in range(4):
        if (count := int(used[rest::4].sum())) >= _LEAST:
            yield f"at every fourth element from {rest} on {level}.", rows[:, rest::4].sum(1) / count, count**-0.5
    words = "the variance of its values is {got:.3f} times the reference's ({usual:.3f} for the reference itself)."
    yield words, rows.square().sum(1) / total, total**-0.5
    for edge in _BINS:
        words = f"{{got:.1%}} of its values lie more than {edge:g} standard deviations above the mean, {{usual:.1%}} of the reference's."
        shares = ((rows > edge).sum(1) - (length - total) * (edge < 0)) / total
        usual = float(shares[:-1].mean())
        yield words, shares, math.sqrt(max(usual * (1 - usual), _FEW / total) / total)
    for lag in dict.fromkeys([*_LAGS, row] if row else _LAGS):
        both = used[lag:] & used[:-lag] if lag < length else used[:0]
        if (count := int(both.sum())) >= _LEAST:
            apart = "a row" if lag == row else "1 element" if lag == 1 else f"{lag} elements"
            words = f"its random values depend on each other: those {apart} apart correlate by {{got:.3f}}, "
            words += "the reference's by {usual:.3f}."
            yield words, (rows[:, lag:] * rows[:, :-lag]).sum(1) / count, count**-0.5
    words = "its random values repeat themselves: those some places apart correlate by {got:.3f}, the reference's by {usual:.3f} at most."
    yield words, _repetition(rows), total**-0.5


def _repetition(rows: torch.Tensor) -> torch.Tensor:
    """For each row the largest correlation with itself moved by at least one place and at most half of its length."""
    import torch

    length = rows.shape[1]
    found = []
    for row in rows:  # one by one, as the transform of all takes 64 times the memory
        spectrum = torch.fft.rfft(row, 2 * length)
        products = torch.fft.irfft(spectrum.abs().square_(), 2 * length)[1 : length // 2 + 1]
        pairs = length - torch.arange(1, length // 2 + 1)
        found.append((products / pairs).max() * length / row.square().sum().clamp(min=1))
    return torch.stack(found)


def _zeros(drawn: torch.Tensor, output: SampledOutput, used: torch.Tensor) -> str:
    """How many zeros there are among the elements that vary, where the reference has any."""
    mine = float((drawn[used] == 0).double().mean())
    honest = float((output.draws[_HALF:, used] == 0).double().mean())
    return f" {mine:.1%} of the elements that vary are 0, of the reference's {honest:.1%}." if honest else ""
