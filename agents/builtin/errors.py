"""Why something is not turned into CUDA; the coder leaves it to torch or tries another way."""

from __future__ import annotations

__all__ = ["CannotFold", "NeedSplit", "NotLowered"]


class NotLowered(Exception):
    """An operation, or a form of it, for which no kernel is written; the message names it."""


class CannotFold(Exception):
    """A view that is no affine map of the loop indices; `node` is what must be in memory first (an ir.Node or None)."""

    def __init__(self, message: str, node: object = None) -> None:
        super().__init__(message)
        self.node = node


class NeedSplit(Exception):
    """The loop dimension `dim` must become two, the inner one of extent `inner`, for a reshape to be affine."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__(f"dimension {dim} needs an inner part of {inner}")
        self.dim = dim
        self.inner = inner
