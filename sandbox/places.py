"""Where tensors lie in memory, as plain numbers that a worker process can tell its judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch

__all__ = ["Place", "places_of"]


@dataclass(frozen=True)
class Place:
    """One returned tensor, besides its shape, strides, dtype and values."""

    address: int
    """Of its first byte in the process that made it; 0 for an empty tensor."""
    requires_grad: bool
    kind: str
    """Name of its Python type: `Tensor`, `Parameter`, or a subclass of either."""

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
        Place(tensor.data_ptr() if tensor.numel() else 0, bool(tensor.requires_grad), type(tensor).__name__)
        for tensor in tensors
    ]
