"""The folder of a stage of training: what was asked, checkpoints, the log of steps, the model that came out.

    training.json       what was asked, written once; --resume reads it
    checkpoints/        checkpoint-12, ...: weights, optimiser, random states; one counts once `complete.json` lies in it
    log.jsonl           one line a step
    model/              the model at the end, adapters merged in

A process that is killed at any moment leaves a folder that can be gone on with: files are written beside their place and moved
there, and a checkpoint without its mark is passed over and removed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kernelwright.errors import ConfigError, MisuseError, NotFoundError

__all__ = ["KEPT", "Folder"]

_ASKED = "training.json"
_COMPLETE = "complete.json"
_VERSION = 1
KEPT = 3
"""Checkpoints kept: the one being written, the last whole one, and one more."""


class Folder:
    """One stage's folder. Make it with `create` or `open`."""

    def __init__(self, path: Path, asked: Mapping[str, Any]) -> None:
        self.path = path
        self.asked = dict(asked)

    @classmethod
    def create(cls, path: Path, asked: Mapping[str, Any]) -> Folder:
        """A new folder that keeps `asked`, JSON.

        Raises:
            MisuseError: there is one already, or something else.
            ConfigError: it can't be written.
        """
        if (path / _ASKED).exists():
            raise MisuseError(
                f"{path} holds a stage of training already.",
                mend=f"Go on with it: --resume {path}, or name another folder.",
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise MisuseError(f"{path} is not empty.", mend="Name a new folder with --out.")
            _write(path / _ASKED, {"version": _VERSION, **asked})
        except OSError as error:
            raise ConfigError(f"it can't be written: {error.strerror}.", path=str(path)) from error
        return cls(path, asked)

    @classmethod
    def open(cls, path: Path, stage: str) -> Folder:
        """The folder of a stage that was begun.

        Raises:
            NotFoundError: there is none.
            ConfigError: its settings can't be read, or it is of another stage or version.
        """
        file = path / _ASKED
        try:
            asked = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFoundError(f"there is no stage of training in {path}.", mend="Check --resume.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"it can't be read: {error}.", path=str(file)) from error
        if not isinstance(asked, dict) or asked.get("version") != _VERSION:
            raise ConfigError("it is not of this version.", mend="Begin anew in another folder.", path=str(file))
        if asked.get("stage") != stage:
            raise ConfigError(
                f"it is a stage `{asked.get('stage')}`, not `{stage}`.",
                mend=f"Go on with: kernelwright train {asked.get('stage')} --resume {path}",
                path=str(file),
            )
        return cls(path, asked)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Where the model is written at the end."""
        return self.path / "model"

    @property
    def log(self) -> Path:
        """One JSON object a line, a line a step."""
        return self.path / "log.jsonl"

    @property
    def finished(self) -> bool:
        """Whether the model was written."""
        return (self.path / _COMPLETE).exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else trains in this folder meanwhile.

        Raises:
            MisuseError: another process does.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MisuseError(
                    f"another process trains in {self.path}.", mend="Let it end, or stop it with Ctrl-C first."
                ) from None
            yield
        finally:
            os.close(descriptor)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def mark(self, checkpoint: Path, state: Mapping[str, Any]) -> None:
        """Says that all of a checkpoint is written."""
        _write(checkpoint / _COMPLETE, state)

    def latest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest whole checkpoint and what was said of it; what is newer and not whole is removed."""
        found = sorted(self.checkpoints.glob("checkpoint-*"), key=_step, reverse=True)
        for checkpoint in found:
            try:
                state = json.loads((checkpoint / _COMPLETE).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                shutil.rmtree(checkpoint, ignore_errors=True)
                continue
            return checkpoint, state
        return None

    def rotate(self) -> None:
        """Removes all but the newest `KEPT` checkpoints."""
        for checkpoint in sorted(self.checkpoints.glob("checkpoint-*"), key=_step)[:-KEPT]:
            # its mark first: one that is removed in part only must not be gone on with
            (checkpoint / _COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(checkpoint, ignore_errors=True)

    def discard_if_unused(self) -> None:
        """Removes the folder if no step was made in it, so that the same command can be given again."""
        if self.checkpoints.exists() or self.read_log():
            return
        for name in (_ASKED, "lock", "rows.jsonl", self.log.name):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # something else lies there by now
            self.path.rmdir()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Says that the stage ended and its model is whole."""
        _write(self.path / _COMPLETE, result)

    @property
    def result(self) -> dict[str, Any]:
        """What `finish` was told."""
        found: dict[str, Any] = json.loads((self.path / _COMPLETE).read_text(encoding="utf-8"))
        return found

    # -- the log ------------------------------------------------------------------------------------------------

    def write_log(self, line: Mapping[str, Any]) -> None:
        """Adds a line."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """The lines, one a step: of a step that was done twice (after a kill) the later one; a torn line is passed over."""
        lines: dict[tuple[Any, Any], dict[str, Any]] = {}
        with suppress(FileNotFoundError):
            for text in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError):
                    line = json.loads(text)
                    if isinstance(line, dict):
                        lines[(line.get("kind"), line.get("step"))] = line
        return sorted(lines.values(), key=lambda line: (line.get("step", 0), str(line.get("kind"))))

    def cut_log(self, step: int) -> None:
        """Forgets lines of steps after `step`: they are done again."""
        kept = [line for line in self.read_log() if line.get("step", 0) <= step]
        beside = self.log.with_suffix(".new")
        beside.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        beside.replace(self.log)


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _write(path: Path, value: Mapping[str, Any]) -> None:
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
