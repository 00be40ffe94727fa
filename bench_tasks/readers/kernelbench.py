"""Reads a collection of KernelBench files: folders `level1`, `level2`, ..., or any folder of such files.

A file that has our literals besides (`TWIN`, `VARIANTS`, `FAMILY`) is read as one of our suites is (`kernelwright.bench_tasks.own`).
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import replace
from pathlib import Path

from kernelwright.bench_tasks.files import first_bytes, natural_key, shown, unique_names, walk
from kernelwright.bench_tasks.literals import has_own_literals
from kernelwright.bench_tasks.own import tasks_of_file
from kernelwright.bench_tasks.suite import Suite, SuiteTask, Unreadable
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError

__all__ = ["read", "recognises"]

_LEVEL = re.compile(r"level[ _-]?(\d+)", re.IGNORECASE)
_LOOK = 1 << 20  # bytes of a file that are looked at: the largest KernelBench file has 15 kB
_ALMOST = re.compile(rb"^(?:def get_inputs\(|(?:TWIN|VARIANTS)\b[^=\n]*=[^=])", re.MULTILINE)
"""What says that a file is meant as a task, though it has no `Model` or no `get_inputs`."""
_NO_TASK = "Mend that line, or take the file out of the folder."
_MEND = "A task file defines class Model(torch.nn.Module), get_inputs() and get_init_inputs()."


def recognises(path: Path) -> bool:
    """Whether it is a KernelBench file, or a folder with some."""
    if path.is_dir():
        files, left = _files(path)
        return bool(files or left)
    return path.suffix == ".py" and _like_a_task(first_bytes(path, _LOOK))


def read(path: Path) -> Suite:
    """The tasks of a folder, or those of one file, in the order of their numbers, each with its variants behind it.

    In folders called `level1` or the like every Python file is a task; where there is no such folder, a file is one if it
    mentions `Model` and `get_inputs`. The name of a task is that of its file.

    Raises:
        TaskError: `path` is a file, and no task.
    """
    if path.is_file():
        found = tasks_of_file(path)
        return _suite(path, _of_collection(found, found[0].name, ""), [])
    files, left = _files(path)
    read: list[tuple[Path, list[SuiteTask], str]] = []
    unreadable = list(left)
    for file in files:
        level = _level(file.relative_to(path))
        try:
            str(file).encode()
            read.append((file, tasks_of_file(file), level))
        except UnicodeEncodeError:
            why = "the name of the file is not UTF-8."
            unreadable.append(Unreadable(shown(file.stem), shown(file), why, "Give it another name.", level))
        except TaskError as error:
            unreadable.append(_refused(file, error, level))
    names = unique_names([(file, found[0].name) for file, found, _level in read], path)
    made = [
        each
        for name, (_file, found, level) in zip(names, read, strict=True)
        for each in _of_collection(found, name, level)
    ]
    return _suite(path, made, unreadable)


def _suite(path: Path, tasks: list[SuiteTask], unreadable: list[Unreadable]) -> Suite:
    return Suite(
        "kernelbench", f"KernelBench files of {shown(path)}", "kernelbench", tuple(tasks), str(path), tuple(unreadable)
    )


def _of_collection(found: list[SuiteTask], name: str, level: str) -> list[SuiteTask]:
    """The tasks of one file under the name that it has in the collection."""
    base = found[0]
    ours = has_own_literals(ast.parse(base.task.source))
    title = base.title if ours and base.title else _title(base.task)
    return [
        replace(
            each,
            name=name + each.name.removeprefix(base.name),
            level=level,
            family=shown(each.family),
            title=shown(title + each.title.removeprefix(base.title)),
        )
        for each in found
    ]


def _refused(file: Path, error: TaskError, level: str) -> Unreadable:
    line = f" (line {error.line})" if error.line else ""
    why = f"{error.message.removesuffix('.')}{line}." if line else error.message
    return Unreadable(shown(file.stem), shown(file), why, error.mend or _MEND, level)


def _files(folder: Path) -> tuple[list[Path], list[Unreadable]]:
    """The files that are to be tasks, and what could not be looked at or is no Python."""
    found, left = walk(folder, ".py")
    found = [file for file in found if file.name != "__init__.py"]
    chosen = [file for file in found if _level(file.relative_to(folder))]
    if not chosen and _LEVEL.fullmatch(folder.name):
        chosen = found
    if not chosen:
        for file in found:
            head = first_bytes(file, _LOOK)
            if _like_a_task(head) or _ALMOST.search(head):
                chosen.append(file)
            elif (error := _not_python(file, head)) is not None:
                left.append(error)
    return sorted(chosen, key=lambda file: natural_key(str(file.relative_to(folder)))), left


def _like_a_task(head: bytes) -> bool:
    return b"class Model" in head and b"get_inputs" in head and b"def forward_fn" not in head


def _not_python(file: Path, head: bytes) -> Unreadable | None:
    """What is wrong with a file of which nobody can say whether it was to be a task; None where it is Python, or too large to look."""
    if len(head) == _LOOK:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(head)
    except SyntaxError as error:
        refusal = TaskError(f"the file is not valid Python: {error.msg}.", line=error.lineno, mend=_NO_TASK)
        return _refused(file, refusal, "")
    except (ValueError, RecursionError, MemoryError) as error:
        return _refused(file, TaskError(f"the file is not valid Python: {error}.", mend=_NO_TASK), "")
    return None


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
