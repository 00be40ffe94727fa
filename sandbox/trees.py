"""Inputs and outputs of a module: nested lists, tuples and dicts with tensors at their leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["construct", "map_tensors", "same_bits", "seed_torch", "tensors_of"]


def tensors_of(tree: Any) -> list[torch.Tensor]:
    """The tensors of a tree, in order."""
    import torch

    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, list | tuple):
        return [t for item in tree for t in tensors_of(item)]
    if isinstance(tree, dict):
        return [t for item in tree.values() for t in tensors_of(item)]
    return []


def map_tensors(tree: Any, function: Callable[[torch.Tensor], Any]) -> Any:
    """The same tree with `function` of each tensor in its place."""
    import torch

    if isinstance(tree, torch.Tensor):
        return function(tree)
    if isinstance(tree, list | tuple):
        mapped = [map_tensors(item, function) for item in tree]
        return mapped if isinstance(tree, list) else tuple(mapped)
    if isinstance(tree, dict):
        return {key: map_tensors(item, function) for key, item in tree.items()}
    return tree


def same_bits(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two tensors hold the same bits."""
    import torch

    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    return torch.equal(one.contiguous().reshape(-1).view(torch.uint8), two.contiguous().reshape(-1).view(torch.uint8))


def construct(factory: Callable[..., Any], arguments: Any) -> Any:
    """Calls it by KernelBench's habit: a list of positional arguments; some files give a dict, or [args, kwargs]."""
    if isinstance(arguments, dict):
        return factory(**arguments)
    if (
        isinstance(arguments, list | tuple) and len(arguments) == 2
        and isinstance(arguments[0], list | tuple) and isinstance(arguments[1], dict)
    ):  # fmt: skip
        return factory(*arguments[0], **arguments[1])
    return factory(*arguments)


def seed_torch(seed: int) -> None:
    """Seeds torch's default generator; `torch.manual_seed` would import torch._dynamo, 2 s at the start of a worker."""
    import torch

    torch.default_generator.manual_seed(seed)
