"""Kernel: a candidate's source text, with where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Kernel"]


@dataclass(frozen=True)
class Kernel:
    """One Python module defining `ModelNew`, its CUDA C++ inside.

    `author` is who wrote it (`builtin`, `openai:NAME`, a person); `parents` are ids of the kernels it came from;
    `parameters` are the choices a parameterised coder made (empty for other authors).
    """

    source: str
    author: str
    parents: tuple[str, ...] = ()
    parameters: Mapping[str, int | str | bool] = field(default_factory=dict)
    path: str | None = None

    @property
    def id(self) -> str:
        """Content hash of the source; 16 hex digits."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]
