"""Reads archives of kernels that others have published: JSON lines in which an entry has a task, a kernel and what is claimed of it.

Nothing in an entry is believed, and nothing of it is run here. Known without being told are the fields of

- CUDA-L1's release [deepreinforce-ai/CUDA-L1]: `level_id`, `task_id`, `ref_code`, `custom_code`, `score_default`;
- the archive of the AI CUDA Engineer [SakanaAI/AI-CUDA-Engineer-Archive]: `Op_Name`, `Level_ID`, `Task_ID`, `Kernel_Name`, `CUDA_Code`,
  `PyTorch_Code_Module`, `PyTorch_Code_Functional`, `CUDA_Speedup_Native`, `Correct`;
- outputs of KernelBench and of what is built on it: `ref_arch_src`, `kernel_src`, `level`, `problem_id`, `correctness`, `speedup`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelwright.errors import MisuseError

__all__ = ["FIELDS", "Archive", "Entry", "Malformed", "read_archive"]

_LONGEST_LINE = 16 << 20  # bytes; the largest known entry has half a megabyte
_LARGEST_TEXT = 1 << 20  # characters of a task or a kernel
_SHOWN = 8  # fields of an entry that are named
_LARGEST_ARRAY = 512 << 20  # bytes of a file that is one JSON array, which has to be read at once

FIELDS: Mapping[str, tuple[str, ...]] = {
    "task": ("ref_code", "PyTorch_Code_Module", "ref_arch_src", "reference_code", "pytorch_code", "reference", "task_source"),
    "functional": ("PyTorch_Code_Functional",),
    "kernel": ("custom_code", "CUDA_Code", "cuda_code", "kernel_src", "kernel_code", "generated_code", "custom_kernel", "kernel", "kernel_source"),
    "name": ("Op_Name", "problem_name", "task_name", "op_name", "name"),
    "level": ("level_id", "Level_ID", "level"),
    "problem": ("task_id", "Task_ID", "problem_id"),
    "speedup": ("score_default", "CUDA_Speedup_Native", "speedup", "speedup_vs_ref", "speedup_eager"),
    "correct": ("Correct", "correctness", "correct", "is_correct"),
}  # fmt: skip
"""What an entry has, and the names that it goes by, the first that is there."""


@dataclass(frozen=True)
class Entry:
    """One kernel of an archive."""

    line: int
    """1-based; of an array, the place."""
    name: str
    task: str
    """Source of the task."""
    functional: str
    """The same with the function that a bare .cu kernel stands for as an argument of `forward`; empty where there is none."""
    kernel: str
    speedup: float | None
    """Claimed."""
    correct: bool | None
    """Claimed."""

    def claim(self) -> dict[str, Any]:
        """A JSON object."""
        return {"line": self.line, "speedup": self.speedup, "correct": self.correct}


@dataclass(frozen=True)
class Malformed:
    """A line that is no entry."""

    line: int
    why: str


@dataclass(frozen=True)
class Archive:
    """What was read of a file."""

    path: Path
    digest: str
    """SHA-256 of the file, 64 hex digits."""
    entries: tuple[Entry, ...]
    malformed: tuple[Malformed, ...]
    without_kernel: int = 0
    """Lines that name a task and have no kernel: the archive says that it found none."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The names that were used, for people."""


def read_archive(path: Path, given: Mapping[str, str] | None = None) -> Archive:
    """Reads a file of JSON lines, or of one JSON array. What is malformed is told and passed over.

    Args:
        given: names of fields, by the keys of `FIELDS`; they come before the known ones.

    Raises:
        MisuseError: there is no such file, it can't be read, or a key is none.
    """
    for key in given or {}:
        if key not in FIELDS:
            raise MisuseError(f"an entry has no {key!r}.", mend=f"There are {', '.join(FIELDS)}: --field kernel=NAME.")
    if not path.is_file():
        what = "this is not a regular file." if path.exists() else "there is no such file."
        what = "this is a directory, not a file." if path.is_dir() else what
        raise MisuseError(what, path=str(path), mend="Give a file of JSON lines.")
    reader = _Reader(
        {key: (*([given[key]] if given and key in given else []), *names) for key, names in FIELDS.items()}
    )
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        for line, value in _values(path):
            reader.take(line, value)
    except OSError as error:
        raise MisuseError(f"the file can't be read: {error.strerror}.", path=str(path)) from error
    return Archive(
        path, digest.hexdigest(), tuple(reader.entries), tuple(reader.malformed), reader.without_kernel, dict(reader.used)
    )  # fmt: skip


class _Reader:
    """Entries of one file."""

    def __init__(self, names: Mapping[str, tuple[str, ...]]) -> None:
        self.names = names
        self.entries: list[Entry] = []
        self.malformed: list[Malformed] = []
        self.without_kernel = 0
        self.used: dict[str, str] = {}

    def take(self, line: int, value: Any) -> None:
        if isinstance(value, Malformed):
            self.malformed.append(value)
            return
        if not isinstance(value, Mapping):
            self.malformed.append(Malformed(line, "it is no JSON object"))
            return
        task, kernel = self._text(value, "task"), self._text(value, "kernel")
        if task and self._present(value, "kernel") and not kernel:
            self.without_kernel += 1
            return
        missing = [key for key, text in (("task", task), ("kernel", kernel)) if not text]
        if missing:
            there = ", ".join(repr(str(name)[:40]) for name in list(value)[:_SHOWN]) or "nothing"
            self.malformed.append(Malformed(line, f"it has no {' and no '.join(missing)} that is text; it has {there}"))
            return
        if max(len(task), len(kernel)) > _LARGEST_TEXT:
            self.malformed.append(Malformed(line, f"its task or kernel is longer than {_LARGEST_TEXT:,} characters"))
            return
        self.entries.append(
            Entry(
                line, self._name(value), task, self._text(value, "functional")[:_LARGEST_TEXT], kernel,
                self._number(value), self._truth(value),
            )
        )  # fmt: skip

    def _find(self, value: Mapping[str, Any], key: str) -> Any:
        for name in self.names[key]:
            if value.get(name) is not None:
                self.used.setdefault(key, name)
                return value[name]
        return None

    def _present(self, value: Mapping[str, Any], key: str) -> bool:
        return any(name in value for name in self.names[key])

    def _text(self, value: Mapping[str, Any], key: str) -> str:
        found = self._find(value, key)
        if not isinstance(found, str):
            return ""
        return found.encode("utf-8", "replace").decode().replace("\0", "\ufffd") if found.strip() else ""

    def _name(self, value: Mapping[str, Any]) -> str:
        level, problem, name = (self._find(value, key) for key in ("level", "problem", "name"))
        words = [
            str(each) for each in (f"level{level}" if level is not None else None, problem, name) if each is not None
        ]
        plain = "_".join("".join(c if c.isascii() and c.isalnum() else "_" for c in word) for word in words)
        return plain[:80].strip("_") or "task"

    def _number(self, value: Mapping[str, Any]) -> float | None:
        found = self._find(value, "speedup")
        if isinstance(found, bool) or not isinstance(found, int | float | str):
            return None
        try:
            number = float(found)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) and number > 0 else None

    def _truth(self, value: Mapping[str, Any]) -> bool | None:
        found = self._find(value, "correct")
        return found if isinstance(found, bool) else None


def _values(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        if _first(file) == b"[":
            yield from _array(path)
            return
        file.seek(0)
        line = 0
        while raw := file.readline(_LONGEST_LINE):
            line += 1
            if len(raw) >= _LONGEST_LINE and not raw.endswith(b"\n"):
                while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield line, Malformed(line, f"it is longer than {_LONGEST_LINE:,} bytes")
            elif raw.strip():
                yield line, _loaded(line, raw)


def _array(path: Path) -> Iterator[tuple[int, Any]]:
    if path.stat().st_size > _LARGEST_ARRAY:
        yield (
            1,
            Malformed(1, f"it is one JSON array of more than {_LARGEST_ARRAY:,} bytes: write a line for each entry"),
        )
        return
    found = _loaded(1, path.read_bytes())
    if isinstance(found, Malformed):
        yield 1, found
    else:
        yield from enumerate(found, start=1)


def _first(file: Any) -> bytes:
    return bytes(file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1])


def _loaded(line: int, raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Malformed(line, "it is not UTF-8 text")
    except RecursionError:
        return Malformed(line, "it is nested too deeply")
    except ValueError as error:
        return Malformed(line, f"it is no JSON: {str(error)[:100]}")
