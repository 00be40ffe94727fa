"""Where tensors lie in memory, as plain numbers that a worker process can tell its judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch

__all__ = ["Place", "places_of", "shared_storage"]


@dataclass(frozen=True)
class Place:
    """One returned tensor, besides its shape, strides, dtype and values."""

    address: int
    """Of its first byte in the process that made it; 0 for an empty tensor."""
    requires_grad: bool
    kind: str
    """`Tensor` or `Parameter`; of a subclass of either its module and name."""

    @property
    def plain(self) -> bool:
        """Whether it is no subclass, whose values may be computed when somebody looks."""
        return self.kind in {"Tensor", "Parameter"}

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(int(data["address"]), bool(data["requires_grad"]), str(data["kind"]))


def places_of(tensors: Sequence[torch.Tensor]) -> list[Place]:
    """The places of strided tensors, in the same order."""
    return [
        Place(tensor.data_ptr() if tensor.numel() else 0, bool(tensor.requires_grad), _kind(type(tensor)))
        for tensor in tensors
    ]


def shared_storage(outputs: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]) -> list[list[int]]:
    """Pairs (output, input) of tensors that share storage."""
    return [
        [i, j]
        for i, out in enumerate(outputs)
        for j, given in enumerate(inputs)
        if out.numel() and out.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
    ]


def _kind(made: type) -> str:
    import torch

    return made.__name__ if made in {torch.Tensor, torch.nn.Parameter} else f"{made.__module__}.{made.__qualname__}"
