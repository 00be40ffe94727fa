"""Which tasks a client may name, and which files it may read: those inside the folders that were given, and what is stored."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelwright.bench_tasks.reading import read_any_task
from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.traits import traits_of
from kernelwright.db.lookup import Kind
from kernelwright.db.store import Store
from kernelwright.errors import KernelError, MisuseError, NotFoundError, TaskError
from kernelwright.mcp.answers import TaskLine, TaskList

__all__ = ["LARGEST_SOURCE", "Catalog", "check_source"]

LARGEST_SOURCE = 256 * 1024
"""Bytes of a kernel's source. The largest published kernel that we know of has 60 kB."""
_MOST_FILES = 5000
"""Python files that are looked at in all folders together."""
_MOST_LISTED = 200
_SHORTEST_ID = 4
"""Characters of an id that are enough to name a task."""


@dataclass(frozen=True)
class _Found:
    """A task file, as it was when it was read."""

    path: Path
    stamp: tuple[int, int]
    """Modification time in nanoseconds, and size."""
    task: Task | None
    """None for a Python file that is no task."""


class Catalog:
    """The tasks of some folders, read anew when a file changes, and those of a store.

    Args:
        folders: looked through with their subfolders; links that lead out of them are not followed.

    Raises:
        MisuseError: one of them is no folder.
    """

    def __init__(self, folders: Sequence[Path], store: Store) -> None:
        self.folders = tuple(folder.expanduser().resolve() for folder in folders)
        for folder in self.folders:
            if not folder.is_dir():
                raise MisuseError(
                    "there is no such folder of tasks.", path=str(folder), mend="Name one that exists: --tasks DIR."
                )
        self._store = store
        self._known: dict[Path, _Found] = {}

    def listed(self, text: str = "") -> TaskList:
        """The tasks whose name, file or operations have every word of `text`; files first, then what only the store has."""
        words = text.lower().split()
        lines = [_line(found.task, self._shown(found.path)) for found in self._files() if found.task is not None]
        here = {line.id for line in lines}
        for stored in self._store.tasks():
            if stored.id not in here:
                lines.append(_line(Task(stored.name, stored.source), "store", stored.id))
        chosen = [line for line in lines if all(word in _words_of(line) for word in words)]
        return TaskList(tasks=chosen[:_MOST_LISTED], left_out=max(0, len(chosen) - _MOST_LISTED))

    def task(self, name: str) -> tuple[Task, str]:
        """The task that `name` means (a name, an id or its beginning, a path inside the folders), and where it is.

        Raises:
            NotFoundError: there is none, or several.
            MisuseError: a path outside of the folders.
            TaskError: that file is no task.
        """
        name = name.strip()
        if not name:
            raise MisuseError("no task was named.", mend="Give a name or an id from list_tasks.")
        if name.endswith(".py") or "/" in name or "\\" in name:
            path = self._inside(name)
            return read_any_task(path), self._shown(path)
        files = [(found.task, found.path) for found in self._files() if found.task is not None]
        named = [pair for pair in files if pair[0].name == name]
        if not named and len(name) >= _SHORTEST_ID:
            named = [pair for pair in files if pair[0].id.startswith(name.lower())]
        if len({task.id for task, _ in named}) > 1:
            which = ", ".join(f"{task.id} ({self._shown(path)})" for task, path in named[:10])
            raise NotFoundError(f"{name!r} could be more than one task: {which}.", mend="Give the id of one.")
        if named:
            return named[0][0], self._shown(named[0][1])
        return self._stored(name, [task.name for task, _ in files]), "store"

    def kernel_text(self, path: str) -> str:
        """The text of a kernel's file inside the folders.

        Raises:
            MisuseError: it is outside of them.
            KernelError: it is missing, too large, or no text.
        """
        place = self._inside(path)
        if not place.is_file():
            raise KernelError("there is no such file.", path=path, mend="Send the text itself as `source`.")
        try:
            with place.open("rb") as file:
                data = file.read(LARGEST_SOURCE + 1)
        except OSError as error:
            raise KernelError(f"the file can't be read: {error.strerror}.", path=path) from error
        if len(data) > LARGEST_SOURCE:
            raise KernelError(f"the file has more than {LARGEST_SOURCE:,} bytes.", path=path, mend=_SMALLER)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise KernelError("the file is not UTF-8 text.", path=path, mend="Name a Python source file.") from error

    # -- inside -------------------------------------------------------------------------------------------------

    def _stored(self, name: str, others: list[str]) -> Task:
        stored = self._store.tasks()
        same = [task.id for task in stored if task.name == name]
        if len(same) == 1:
            return self._store.task(same[0])
        if same:
            raise NotFoundError(
                f"the store has several tasks named {name!r}: {', '.join(same[:10])}.", mend="Give the id of one."
            )
        if len(name) >= _SHORTEST_ID:
            try:
                return self._store.task(self._store.find(name, (Kind.TASK,)).id)
            except NotFoundError as error:
                if "more than one" in error.message:
                    raise
        near = difflib.get_close_matches(name, [*others, *(task.name for task in stored)], n=3, cutoff=0.5)
        raise NotFoundError(
            f"there is no task {name[:100]!r}.",
            mend=f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else "list_tasks says what there is.",
        )

    def _inside(self, path: str) -> Path:
        """The file that `path` names, relative to one of the folders or absolute, with links resolved.

        Raises:
            MisuseError: it leads out of every folder.
        """
        if "\0" in path or len(path) > 4096:
            raise MisuseError("this is no path.", mend="Give a path inside the tasks' folders.")
        inside = []
        for folder in self.folders:
            try:
                place = (folder / path).resolve()
            except (OSError, RuntimeError):
                continue
            if place.is_relative_to(folder):
                inside.append(place)
        if not inside:
            folders = ", ".join(map(str, self.folders)) or "none was given"
            raise MisuseError(
                f"{path[:200]!r} is outside of the folders that may be read ({folders}).",
                mend="Name a file inside one of them, or send a kernel's text as `source`.",
            )
        return next((place for place in inside if place.exists()), inside[0])

    def _files(self) -> list[_Found]:
        """The Python files of the folders; those that are no tasks are remembered too, so that they are read once."""
        found = []
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._known.get(path)
            if known is None or known.stamp != stamp:
                try:
                    task: Task | None = read_any_task(path)
                except TaskError:
                    task = None
                known = self._known[path] = _Found(path, stamp, task)
            found.append(known)
        return found

    def _paths(self) -> Iterator[Path]:
        seen: set[Path] = set()
        for folder in self.folders:
            for place, folders, files in os.walk(folder):
                folders[:] = sorted(each for each in folders if not each.startswith((".", "__")))
                for name in sorted(files):
                    path = Path(place, name)
                    if not name.endswith(".py") or path in seen:
                        continue
                    if path.is_symlink() and not any(path.resolve().is_relative_to(each) for each in self.folders):
                        continue
                    seen.add(path)
                    yield path
                    if len(seen) >= _MOST_FILES:
                        return

    def _shown(self, path: Path) -> str:
        for folder in self.folders:
            if path.is_relative_to(folder):
                return str(path.relative_to(folder))
        return path.name


_SMALLER = "A kernel is code only: no tables of data in its text."


def check_source(source: str) -> str:
    """`source`, if it can be a kernel's text.

    Raises:
        KernelError: it is empty, too large, or can't be stored as text.
    """
    if not source.strip():
        raise KernelError("the source is empty.", mend="Send a Python module that defines ModelNew.")
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        raise KernelError("the source has half of a surrogate pair in it.", mend="Send Unicode text.") from error
    if size > LARGEST_SOURCE:
        raise KernelError(f"the source has {size:,} bytes, over the limit of {LARGEST_SOURCE:,}.", mend=_SMALLER)
    return source


def _line(task: Task, where: str, known_id: str | None = None) -> TaskLine:
    traits = traits_of(task.source)
    return TaskLine(
        name=task.name,
        id=known_id or task.id,
        where=where,
        operations=sorted(traits.operations),
        shapes=[list(shape) for shape in traits.shapes],
        dtypes=sorted(traits.dtypes),
    )


def _words_of(line: TaskLine) -> str:
    return " ".join([line.name, line.where, line.id, *line.operations]).lower()
