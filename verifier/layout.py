"""Are a candidate's outputs laid out as a caller of the reference may expect?

Values, shapes and dtypes are compared before (`verifier.correctness`). Here: outputs that share memory with each other or
with themselves, strides, gradients and types. Everything is judged from shapes, strides and addresses, so it holds for
any device that can name them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernelwright.sandbox.places import Place
from kernelwright.sandbox.tensor_memory import extent

if TYPE_CHECKING:
    import torch

__all__ = ["dense", "layout_problem", "overlap", "overlaps_itself", "same_strides"]


def layout_problem(
    outputs: Sequence[torch.Tensor],
    places: Sequence[Place],
    expected: Sequence[torch.Tensor],
    expected_places: Sequence[Place],
    *,
    contiguous_inputs: bool,
) -> str:
    """What is wrong with the layout of the outputs, in a sentence; empty if nothing is.

    Args:
        outputs: the candidate's, of the shapes and dtypes of `expected`.
        places: where they lay in the candidate's process.
        expected: the reference's.
        expected_places: where those lay in the reference's process.
        contiguous_inputs: whether all inputs of the call were contiguous. If one was not, PyTorch's own output strides
            differ between operators and devices, so any dense layout is accepted.

    The rules:
        - two outputs share bytes only where the reference's two do;
        - no two elements of an output share bytes, unless the reference's strides are the same;
        - strides are the reference's, or those of a contiguous tensor;
        - an output requires a gradient, and is a `Parameter`, only where the reference's does or is.
    """
    if len(places) != len(outputs):
        return f"{len(outputs)} outputs came with {len(places)} places."
    for position, (mine, place, theirs, their_place) in enumerate(
        zip(outputs, places, expected, expected_places, strict=True)
    ):
        which = f"Output {position}" if len(outputs) > 1 else "The output"
        if place.kind != "Tensor" and place.kind != their_place.kind:
            return f"{which} is a {place.kind}; the reference returns a plain {their_place.kind}."
        if place.requires_grad and not their_place.requires_grad:
            return f"{which} requires a gradient, although the call is made under no_grad; the reference's does not."
        if same_strides(mine.shape, mine.stride(), theirs.stride()):
            continue
        strides = f"its strides are {_shown(mine.stride())}, the reference's {_shown(theirs.stride())}"
        if overlaps_itself(mine.shape, mine.stride()):
            return f"{which} overlaps itself: {strides}, so several of its elements share one place in memory."
        if not (mine.is_contiguous() or (not contiguous_inputs and dense(mine.shape, mine.stride()))):
            return f"{which} has other strides: {strides}. Return it contiguous, or with the reference's strides."
    for one in range(len(outputs)):
        for two in range(one + 1, len(outputs)):
            if overlap((outputs[one], places[one]), (outputs[two], places[two])) and not overlap(
                (expected[one], expected_places[one]), (expected[two], expected_places[two])
            ):
                return (
                    f"Outputs {one} and {two} share memory, so that changing one changes the other; "
                    "the reference's lie apart."
                )
    return ""


def _shown(strides: Sequence[int]) -> str:
    return "(" + ", ".join(map(str, strides)) + ("," if len(strides) == 1 else "") + ")"


def same_strides(shape: Sequence[int], one: Sequence[int], two: Sequence[int]) -> bool:
    """Whether two strides put the elements in the same places: those of dimensions of size 1 say nothing."""
    return 0 in shape or all(size == 1 or a == b for size, a, b in zip(shape, one, two, strict=True))


def dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether the elements fill a range of memory without a gap and without sharing: a permuted contiguous tensor."""
    expected = 1
    for step, size in sorted((step, size) for size, step in zip(shape, stride, strict=True) if size > 1):
        if step != expected:
            return False
        expected *= size
    return True


def overlaps_itself(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether two elements lie in one place. Memory: one byte per element of the range that is spanned."""
    if 0 in shape:
        return False
    reach = 0  # of the dimensions with smaller steps: when each step goes beyond it, nothing can meet
    for step, size in sorted((step, size) for size, step in zip(shape, stride, strict=True) if size > 1):
        if step == 0:
            return True
        if step <= reach:
            return _marked(shape, stride) < _count(shape)
        reach += (size - 1) * step
    return False


def overlap(one: tuple[torch.Tensor, Place], two: tuple[torch.Tensor, Place]) -> bool:
    """Whether two tensors share a byte; ranges that cross without sharing one, as of interleaved views, do not count."""
    import torch

    (first, place), (second, other) = one, two
    end, other_end = place.address + _bytes_spanned(first), other.address + _bytes_spanned(second)
    if place.address >= other_end or other.address >= end:
        return False
    base = min(place.address, other.address)
    marks = torch.zeros(max(end, other_end) - base, dtype=torch.uint8)
    _as_bytes(marks, first, place.address - base).fill_(1)
    return bool(_as_bytes(marks, second, other.address - base).any())


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _marked(shape: Sequence[int], stride: Sequence[int]) -> int:
    import torch

    marks = torch.zeros(extent(shape, stride), dtype=torch.bool)
    marks.as_strided(shape, stride).fill_(True)
    return int(marks.sum())


def _bytes_spanned(tensor: torch.Tensor) -> int:
    return extent(tensor.shape, tensor.stride()) * tensor.element_size()


def _as_bytes(marks: torch.Tensor, tensor: torch.Tensor, offset: int) -> torch.Tensor:
    size = tensor.element_size()
    return marks.as_strided((*tensor.shape, size), (*(step * size for step in tensor.stride()), 1), offset)
