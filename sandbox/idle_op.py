"""An operation that does nothing, as the reference process tells the judge of it. No torch is needed to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["MOVES", "IdleOp"]

MOVES = frozenset(
    {"clone", "copy_", "_to_copy", "cat", "stack", "repeat", "contiguous", "fill_", "zero_", "zeros_like", "ones_like",
     "full_like", "new_zeros", "new_ones", "new_full", "flip", "roll", "select_scatter", "slice_scatter", "split_with_sizes_copy"}
)  # fmt: skip
"""Operations whose work is to move or make data: that values come out unchanged says nothing."""


@dataclass(frozen=True)
class IdleOp:
    """An operation without which the outputs would be the same."""

    op: str
    """For instance `aten.relu.default`."""
    line: int
    """Of the task's file; 0 where it is not known."""
    shapes: tuple[tuple[int, ...], ...]
    """Of its tensor arguments."""
    what: str
    """`identity` (it gives one of its inputs), `constant` (one value, whatever its inputs) or `unused` (nothing that is
    returned depends on it)."""
    always: bool
    """Whether that is so on every distribution that was tried, or on the task's own inputs only."""

    @property
    def moves(self) -> bool:
        """Whether all it does is to move or make data."""
        return self.op.removeprefix("aten.").partition(".")[0] in MOVES

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        shapes = tuple(tuple(map(int, shape)) for shape in data["shapes"])
        return cls(str(data["op"]), int(data["line"]), shapes, str(data["what"]), bool(data["always"]))
