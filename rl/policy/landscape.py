"""Landscapes: what each choice of a kernel's knobs costs in modelled time, on several GPUs at once.

A modelled time is that of each launch by itself, so the kernels of a task can be looked at one by one: the time of a task is the
sum of its kernels' times. That makes a task of three kernels with a hundred choices each three hundred prices, not a million.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from kernelwright.agents.builtin.policy.candidates import key_of
from kernelwright.agents.builtin.policy.facts import ChoiceFacts, KernelFacts
from kernelwright.errors import ConfigError

__all__ = ["KernelLandscape", "Landscape", "Priced", "read_landscapes", "shipped_landscapes", "write_landscapes"]

_SHIPPED = "landscapes.json.gz"
_FORMAT = 1
"""Raise when the meaning of a file changes."""
_MOST_BYTES = 256 * 2**20
"""Of a file after unpacking: ours has a few MB."""


@dataclass(frozen=True)
class Priced:
    """One choice of one kernel, with what it costs."""

    choice: ChoiceFacts
    seconds: Mapping[str, float]
    """Modelled, of all its launches, by the name of the GPU; none for a GPU that would refuse it or that it is not for."""
    why: str = ""
    """Why there is no time at all; else empty."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back. Times have six digits."""
        row: dict[str, Any] = self.choice.to_json()
        row["seconds"] = {gpu: float(f"{seconds:.6g}") for gpu, seconds in self.seconds.items()}
        return row | ({"why": self.why} if self.why else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Priced:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: that is something else.
        """
        seconds = {str(gpu): float(value) for gpu, value in data["seconds"].items()}
        if not all(0 < value < float("inf") for value in seconds.values()):
            raise ValueError("a time is no positive number")
        return cls(ChoiceFacts.from_json(data), seconds, str(data.get("why", "")))


@dataclass(frozen=True)
class KernelLandscape:
    """One kernel function of a task. The first of `priced` is the built-in coder's own first choice."""

    facts: KernelFacts
    priced: tuple[Priced, ...]
    whole: bool
    """Whether these are all legal choices there are."""

    @cached_property
    def by_key(self) -> Mapping[tuple[tuple[str, str], ...], Priced]:
        """The choices by `candidates.key_of` of their knobs."""
        return {key_of(each.choice.knobs): each for each in self.priced}

    def best_seconds(self, gpu: str) -> float:
        """The least known; infinity if nothing runs there."""
        return min((p.seconds[gpu] for p in self.priced if gpu in p.seconds), default=float("inf"))


@dataclass(frozen=True)
class Landscape:
    """All kernels of a task that the built-in coder lowers whole."""

    task: str
    """``core/softmax@half``."""
    family: str
    kernels: tuple[KernelLandscape, ...]
    bound_seconds: Mapping[str, float] = field(default_factory=dict)
    """The roofline bound of the task by GPU."""

    @property
    def base(self) -> str:
        """The task without its variant: variants of one task are alike."""
        return self.task.partition("@")[0]

    def best_seconds(self, gpu: str) -> float:
        """Of the best known choice of every kernel."""
        return sum(kernel.best_seconds(gpu) for kernel in self.kernels)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        kernels = [
            {"facts": k.facts.to_json(), "whole": k.whole, "priced": [p.to_json() for p in k.priced]}
            for k in self.kernels
        ]
        bounds = {gpu: float(f"{seconds:.6g}") for gpu, seconds in self.bound_seconds.items()}
        return {"task": self.task, "family": self.family, "bound_seconds": bounds, "kernels": kernels}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Landscape:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: that is something else.
        """
        kernels = tuple(
            KernelLandscape(
                KernelFacts.from_json(each["facts"]),
                tuple(Priced.from_json(row) for row in each["priced"]),
                bool(each["whole"]),
            )
            for each in data["kernels"]
        )
        if not kernels or not all(kernel.priced for kernel in kernels):
            raise ValueError("a landscape without a choice")
        bounds = {str(gpu): float(value) for gpu, value in data["bound_seconds"].items()}
        return cls(str(data["task"]), str(data["family"]), kernels, bounds)


def write_landscapes(path: Path, landscapes: Iterable[Landscape]) -> None:
    """Writes a file that `read_landscapes` reads; the same landscapes give the same bytes."""
    rows = sorted(landscapes, key=lambda each: each.task)
    text = json.dumps({"format": _FORMAT, "landscapes": [each.to_json() for each in rows]}, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def read_landscapes(path: Path) -> tuple[Landscape, ...]:
    """The landscapes of a file, or of every file ``*.json.gz`` in a folder.

    Raises:
        ConfigError: nothing is there, or it is no file of landscapes.
    """
    files = sorted(path.glob("*.json.gz")) if path.is_dir() else [path]
    if not files:
        raise ConfigError("no landscapes are in this folder.", mend="They are files NAME.json.gz.", path=str(path))
    return tuple(landscape for file in files for landscape in _read(file))


def shipped_landscapes() -> tuple[Landscape, ...]:
    """Those that come with the package: what the shipped policy was trained on.

    Raises:
        ConfigError: there are none.
    """
    with resources.as_file(resources.files("kernelwright.rl.policy").joinpath(_SHIPPED)) as path:
        if not path.exists():
            raise ConfigError(
                "no landscapes came with this copy of the program.",
                mend="Make some: python benchmarks/landscapes.py FOLDER --export FILE",
            )
        return tuple(_read(path))


def _read(path: Path) -> Iterator[Landscape]:
    try:
        with gzip.open(path) as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"it unpacks to more than {_MOST_BYTES // 2**20} MiB")
        data = json.loads(text)
        if data["format"] != _FORMAT:
            raise ValueError(f"its format is {data['format']!r}, and this version reads {_FORMAT}")
        found: Sequence[Landscape] = [Landscape.from_json(each) for each in data["landscapes"]]
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"this is no file of landscapes: {type(error).__name__}: {error}.",
            mend="`kernelwright train policy` reads what benchmarks/landscapes.py writes.",
            path=str(path),
        ) from None
    yield from found
