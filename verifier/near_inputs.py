"""Inputs that hardly differ from those of an earlier call, to find outputs that were kept under an incomplete key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kernelwright.sandbox.trees import map_tensors

if TYPE_CHECKING:
    import torch

__all__ = ["nearly_same"]


def nearly_same(inputs: Sequence[Any]) -> list[Any]:
    """The inputs with the middle half of each floating tensor's elements moved on by one place.

    Shapes, strides, first and last elements, sums, extremes and every other symmetric checksum stay as they are, so a key made
    of them finds the outputs of the earlier call.
    """
    moved: list[Any] = map_tensors(list(inputs), _moved)
    return moved


def _moved(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    copy = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensor)
    quarter = max(1, tensor.numel() // 4)
    if not tensor.dtype.is_floating_point or tensor.numel() - 2 * quarter < 2:
        return copy
    flat = tensor.reshape(-1).clone()
    flat[quarter:-quarter] = flat[quarter:-quarter].roll(1)
    return copy.copy_(flat.reshape(tensor.shape))
