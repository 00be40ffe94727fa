"""Briefing: all that a model is told of a run and that stays the same from its first attempt to its last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from kernelwright.agents.llm.exemplar import Exemplar
from kernelwright.bench_tasks.graph import Graph
from kernelwright.bench_tasks.task import Task, TaskSignature
from kernelwright.errors import ConfigError
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Briefing", "Language", "StartingPoint"]

Language = Literal["c", "c++", "cuda", "python"]


@dataclass(frozen=True)
class StartingPoint:
    """Code that is to be translated or taken further, in place of a module to be written from the reference alone.

    Raises:
        ConfigError: the language is none of those there are, or there is no code.
    """

    source: str
    language: Language

    def __post_init__(self) -> None:
        if self.language not in get_args(Language):
            known = ", ".join(get_args(Language))
            raise ConfigError(f"a starting point can't be in {self.language!r}.", mend=f"Known: {known}.")
        if not self.source.strip():
            raise ConfigError("the starting point is empty.", mend="Give a file with code in it.")


@dataclass(frozen=True)
class Briefing:
    """What every prompt of a run rests on."""

    task: Task
    signature: TaskSignature
    gpu: Gpu
    """The card that times are of."""
    graph: Graph | None = None
    """The reference as a list of ATen operations; None where it could not be captured."""
    starting_point: StartingPoint | None = None
    exemplars: tuple[Exemplar, ...] = ()
    """The most useful first."""
