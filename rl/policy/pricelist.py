"""Prices of one task kept on disk while they are made: JSON lines, one a price, so that a killed process loses one at most.

The first line says what the file is about; each further line has a choice with its launch reports (counters), from which times for
any GPU are computed when the file is read. A line that was cut off by a kill is passed over.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelwright.agents.builtin.policy.candidates import key_of
from kernelwright.agents.builtin.policy.facts import ChoiceFacts, KernelFacts, Value
from kernelwright.rl.policy.landscape import KernelLandscape, Landscape, Priced
from kernelwright.rl.policy.pricing import price
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Entry", "Header", "PriceList", "Surveyed"]

_log = logging.getLogger(__name__)

_FORMAT = 1
_RESIDENT = "blocks_per_sm"


@dataclass(frozen=True)
class Surveyed:
    """A kernel function whose choices are priced."""

    facts: KernelFacts
    first: Mapping[str, Value]
    """The built-in coder's own first choice."""
    meant: int
    """Choices that are to be priced."""
    whole: bool
    """Whether these are all there are."""

    def to_json(self) -> list[Any]:
        """JSON; `from_json` reads it back."""
        return [self.facts.to_json(), dict(self.first), self.meant, self.whole]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Surveyed:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: that is something else.
        """
        facts, first, meant, whole = data
        return cls(KernelFacts.from_json(facts), dict(first), int(meant), bool(whole))


@dataclass(frozen=True)
class Header:
    """What a price list is about."""

    task: str
    family: str
    task_id: str
    gpu: str
    """The card that the coder wrote for."""
    sms: int
    kernels: tuple[Surveyed, ...]
    bound_seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return {
            "format": _FORMAT, "task": self.task, "family": self.family, "task_id": self.task_id, "gpu": self.gpu,
            "sms": self.sms, "kernels": [each.to_json() for each in self.kernels],
            "bound_seconds": dict(self.bound_seconds),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Header:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: that is something else.
        """
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']!r}")
        kernels = tuple(Surveyed.from_json(each) for each in data["kernels"])
        return cls(
            str(data["task"]), str(data["family"]), str(data["task_id"]), str(data["gpu"]), int(data["sms"]), kernels,
            {str(k): float(v) for k, v in data["bound_seconds"].items()},
        )  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One choice of one kernel: what it launched, or why it could not."""

    kernel: str
    choice: ChoiceFacts
    reports: tuple[LaunchReport, ...] = ()
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        reports = [report.to_json() for report in self.reports]
        return {"kernel": self.kernel, **self.choice.to_json(), "reports": reports, "why": self.why}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Entry:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: that is something else.
        """
        reports = tuple(LaunchReport.from_json(each) for each in data["reports"])
        return cls(str(data["kernel"]), ChoiceFacts.from_json(data), reports, str(data["why"]))


class PriceList:
    """The file of one task. One process writes it; others may read it meanwhile.

    Args:
        header: begins a new file where there is none, or where the one there is about another task.
    """

    def __init__(self, path: Path, header: Header | None = None) -> None:
        self.path = path
        lines = _lines(path)
        self.entries: list[Entry] = []
        self.header: Header | None = None
        if lines:
            try:
                self.header = Header.from_json(lines[0])
                self.entries = [Entry.from_json(line) for line in lines[1:]]
            except (KeyError, TypeError, ValueError) as error:
                _log.warning("%s is no price list and is begun anew: %r", path, error)
                self.header, self.entries = None, []
        if header is not None and (self.header is None or self.header.to_json() != header.to_json()):
            self.header, self.entries = header, []
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(header.to_json()) + "\n", encoding="utf-8")
            os.replace(fresh, path)
        self.known = {(entry.kernel, key_of(entry.choice.knobs)) for entry in self.entries}

    def add(self, entry: Entry) -> None:
        """Appends a price."""
        with self.path.open("rb+") as file:
            # a line that a kill cut off stays a line of its own
            file.seek(-1, os.SEEK_END)
            ended = file.read(1) == b"\n"
            file.seek(0, os.SEEK_END)
            file.write((b"" if ended else b"\n") + json.dumps(entry.to_json()).encode() + b"\n")
        self.entries.append(entry)
        self.known.add((entry.kernel, key_of(entry.choice.knobs)))

    def landscape(self, gpus: Sequence[Gpu]) -> Landscape | None:
        """The landscape of what is priced so far; None while some kernel has no price at all.

        A persistent grid is made for one number of SMs: on a card with another one its time is left out.
        """
        if self.header is None:
            return None
        kernels = []
        for surveyed in self.header.kernels:
            first = key_of(surveyed.first)
            mine = [entry for entry in self.entries if entry.kernel == surveyed.facts.name]
            in_order = [e for e in mine if key_of(e.choice.knobs) == first]
            in_order += [e for e in mine if key_of(e.choice.knobs) != first]
            priced = tuple(self._priced(entry, gpus) for entry in in_order)
            if not any(each.seconds for each in priced):
                return None
            whole = surveyed.whole and len(priced) == surveyed.meant
            kernels.append(KernelLandscape(surveyed.facts, priced, whole))
        return Landscape(self.header.task, self.header.family, tuple(kernels), self.header.bound_seconds)

    def _priced(self, entry: Entry, gpus: Sequence[Gpu]) -> Priced:
        assert self.header is not None
        seconds: dict[str, float] = {}
        for gpu in gpus if entry.reports else ():
            if entry.choice.knobs.get(_RESIDENT) and gpu.sms != self.header.sms:
                continue
            if (found := price(entry.reports, gpu)) is not None:
                seconds[gpu.name] = found
        return Priced(entry.choice, seconds, entry.why)


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            _log.warning("%s: a line was cut off and is passed over", path)
    return found
