"""Reads a collection of KernelBench files: folders `level1`, `level2`, ..., or any folder of such files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from kernelwright.bench_tasks.files import first_bytes, natural_key, shown, unique_names, walk
from kernelwright.bench_tasks.kernelbench import read_task
from kernelwright.bench_tasks.suite import Suite, SuiteTask, Unreadable
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError

__all__ = ["read", "recognises"]

_LEVEL = re.compile(r"level[ _-]?(\d+)", re.IGNORECASE)
_LOOK = 1 << 20  # bytes of a file that are looked at: the largest KernelBench file has 15 kB
_MEND = "A task file defines class Model(torch.nn.Module), get_inputs() and get_init_inputs()."


def recognises(path: Path) -> bool:
    """Whether it is a KernelBench file, or a folder with some."""
    if path.is_dir():
        return bool(_files(path)[0])
    return path.suffix == ".py" and _like_a_task(path)


def read(path: Path) -> Suite:
    """The tasks of a folder, or the one in a file, in the order of their numbers.

    In folders called `level1` or the like every Python file is a task; where there is no such folder, a file is one if it
    mentions `Model` and `get_inputs`. The name of a task is that of its file.
    """
    files, left = _files(path) if path.is_dir() else ([path], [])
    tasks: list[tuple[Path, Task, str]] = []
    unreadable = list(left)
    for file in files:
        level = _level(file.relative_to(path) if file != path else Path(file.name))
        try:
            file_name = str(file)
            file_name.encode()
            tasks.append((file, read_task(file), level))
        except UnicodeEncodeError:
            why = "the name of the file is not UTF-8."
            unreadable.append(Unreadable(shown(file.stem), shown(file), why, "Give it another name.", level))
        except TaskError as error:
            unreadable.append(Unreadable(shown(file.stem), shown(file), error.message, error.mend or _MEND, level))
    names = unique_names([(file, task.name) for file, task, _level in tasks], path)
    made = tuple(
        SuiteTask(name, task, level=level, title=shown(_title(task)))
        for name, (_file, task, level) in zip(names, tasks, strict=True)
    )
    return Suite(
        "kernelbench", f"KernelBench files of {shown(path)}", "kernelbench", made, str(path), tuple(unreadable)
    )


def _files(folder: Path) -> tuple[list[Path], list[Unreadable]]:
    """The files that are to be tasks, and what could not be looked at."""
    found, left = walk(folder, ".py")
    found = [file for file in found if file.name != "__init__.py"]
    leveled = [file for file in found if _level(file.relative_to(folder))]
    if not leveled and _LEVEL.fullmatch(folder.name):
        leveled = found
    chosen = leveled or [file for file in found if _like_a_task(file)]
    return sorted(chosen, key=lambda file: natural_key(str(file.relative_to(folder)))), left


def _like_a_task(file: Path) -> bool:
    head = first_bytes(file, _LOOK)
    return b"class Model" in head and b"get_inputs" in head and b"def forward_fn" not in head


def _level(relative: Path) -> str:
    """`2` for what lies in a folder `level2` or `level_2`; empty where no folder says one."""
    found = [match[1] for part in relative.parts[:-1] if (match := _LEVEL.fullmatch(part))]
    return found[-1] if found else ""


def _title(task: Task) -> str:
    """The first line of what the class or the file says of itself; else the words of the name."""
    tree = ast.parse(task.source)
    model = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Model"), None)
    for node in (model, tree):
        if node is not None and (said := ast.get_docstring(node)):
            return said.strip().partition("\n")[0].strip().rstrip(".")
    return re.sub(r"^\d+_", "", task.name).replace("_", " ").strip()
