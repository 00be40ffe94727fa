"""Exemplar: a kernel that passed before, shown to a model as an example."""

from __future__ import annotations

from dataclasses import dataclass

from kernelwright.verifier.evaluation import TimingKind

__all__ = ["Exemplar"]


@dataclass(frozen=True)
class Exemplar:
    """A kernel of this or another task, with what it brought there."""

    task_name: str
    source: str
    """The whole module."""
    speedup: float
    """Baseline over kernel; above 1 is faster."""
    kind: TimingKind
    """Whether that was measured or modelled."""
    gpu: str
    """The GPU it was measured on or modelled for."""
    why: str
    """Why it is shown, in words: `same task`, `same operations, other shape`."""
