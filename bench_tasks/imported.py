"""Suites that were imported: a small file says where the collection lies and what its probe found; the tasks are read anew.

A task whose text has changed since the import is left out, with the reason: what the probe found is no longer about it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kernelwright.bench_tasks.files import shown
from kernelwright.bench_tasks.suite import Suite, SuiteTask, Unreadable
from kernelwright.errors import ConfigError, MisuseError, NotFoundError

__all__ = ["Imported", "ImportedTask", "apply_import", "check_name", "imported_names", "read_import", "write_import"]

_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AGAIN = "Import it again: kernelwright bench import PATH --name {name}."


@dataclass(frozen=True)
class ImportedTask:
    """What is known of one task of an imported collection."""

    id: str
    twin: Mapping[str, int] = field(default_factory=dict)
    full_only: str = ""
    """As `SuiteTask` has it."""
    why: str = ""
    """Why it could not be loaded; empty where it could."""
    mend: str = ""


@dataclass(frozen=True)
class Imported:
    """A collection that has a name."""

    name: str
    path: str
    """Absolute."""
    format: str
    title: str
    digest: str
    """Of the suite as it was imported."""
    tasks: Mapping[str, ImportedTask]


def check_name(name: str, taken: tuple[str, ...]) -> None:
    """Refuses a name that no suite may have.

    Raises:
        MisuseError: it is no word, or one of ours.
    """
    if not _NAME.fullmatch(name):
        raise MisuseError(
            f"{name!r} is no name for a suite.", mend="Use up to 64 letters, digits, dots, hyphens and underscores."
        )
    if name in taken:
        raise MisuseError(f"{name!r} is the name of one of our own suites.", mend="Give another one: --name NAME.")


def imported_names(folder: Path | None) -> tuple[str, ...]:
    """Names of what was imported, in order."""
    if folder is None or not folder.is_dir():
        return ()
    return tuple(sorted(file.stem for file in folder.glob("*.json") if _NAME.fullmatch(file.stem)))


def write_import(folder: Path, imported: Imported) -> Path:
    """Keeps it; the file is replaced in one step.

    Raises:
        ConfigError: the folder can't be written.
    """
    tasks = {
        name: {key: value for key, value in _plain(task).items() if value or key == "id"}
        for name, task in imported.tasks.items()
    }
    body = {
        "version": _VERSION, "path": imported.path, "format": imported.format, "title": imported.title,
        "digest": imported.digest, "tasks": tasks,
    }  # fmt: skip
    file = folder / f"{imported.name}.json"
    part = folder / f".{imported.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise ConfigError(
            f"the folder of imported suites can't be written: {error.strerror}.", path=str(folder),
            mend="Set `data` in the settings, or KERNELWRIGHT_DATA, to a folder that can be.",
        ) from error  # fmt: skip
    return file


def read_import(folder: Path, name: str) -> Imported:
    """What is kept under a name.

    Raises:
        NotFoundError: nothing is.
        ConfigError: the file is damaged, or of a newer version.
    """
    file = folder / f"{name}.json"
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        if body["version"] != _VERSION:
            raise ValueError(f"version {body['version']}")
        tasks = {str(key): _task(value) for key, value in body["tasks"].items()}
        texts = {key: str(body[key]) for key in ("path", "format", "title", "digest")}
    except FileNotFoundError as error:
        raise NotFoundError(f"no suite called {name!r} was imported.", mend="See: kernelwright bench list.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"the file of the imported suite {name!r} can't be read: {error}.", path=str(file),
            mend=_AGAIN.format(name=name),
        ) from error  # fmt: skip
    return Imported(name, tasks=tasks, **texts)


def apply_import(imported: Imported, read: Callable[[Path], Suite]) -> Suite:
    """The suite as it was imported, read anew from its place.

    Args:
        read: `read_collection`.

    Raises:
        NotFoundError: nothing is there any more, or something else.
    """
    path, again = Path(imported.path), _AGAIN.format(name=imported.name)
    if not path.exists():
        raise NotFoundError(
            f"the collection {imported.name!r} is no longer where it was imported from.", path=shown(path),
            mend=f"Put it back, or {again[0].lower()}{again[1:]}",
        )  # fmt: skip
    found = read(path)
    if found.format != imported.format:
        raise NotFoundError(
            f"{imported.name!r} was imported as {imported.format}, and now {found.format} lies there.",
            path=shown(path), mend=again,
        )  # fmt: skip
    tasks: list[SuiteTask] = []
    left = list(found.unreadable)
    for task in found.tasks:
        known = imported.tasks.get(task.name)
        where = task.task.path or imported.path
        if known is None:
            left.append(Unreadable(task.name, where, "it was added after the import.", again, task.level))
        elif known.id != task.task.id:
            left.append(Unreadable(task.name, where, "it has changed since the import.", again, task.level))
        elif known.why:
            left.append(Unreadable(task.name, where, known.why, known.mend, task.level))
        else:
            tasks.append(replace(task, twin=dict(known.twin), full_only=known.full_only))
    names = {task.name for task in found.tasks}
    gone = [name for name in imported.tasks if name not in names]
    left += [Unreadable(name, imported.path, "it is no longer there.", again) for name in gone]
    return replace(found, name=imported.name, tasks=tuple(tasks), unreadable=tuple(left))


def _plain(task: ImportedTask) -> dict[str, Any]:
    return {
        "id": task.id, "twin": dict(task.twin), "full_only": task.full_only, "why": task.why, "mend": task.mend
    }  # fmt: skip


def _task(value: Mapping[str, Any]) -> ImportedTask:
    twin = {str(name): int(number) for name, number in value.get("twin", {}).items()}
    return ImportedTask(str(value["id"]), twin, *(str(value.get(key, "")) for key in ("full_only", "why", "mend")))
