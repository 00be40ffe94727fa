"""Reads robust-kbench: a folder for each task, with `func_forward.py`, `func_backward.py` or both, and their configurations.

A task's own text stays as it is, line for line; behind it goes text of ours that binds the settings of its configuration.
"""

from __future__ import annotations

import ast
import re
import stat
import symtable
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kernelwright.bench_tasks.files import first_bytes, natural_key, shown, unique_names, walk
from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.readers.robust_settings import SettingsError, bind, parameters_of, settings_of
from kernelwright.bench_tasks.suite import Suite, SuiteTask, Unreadable
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError

__all__ = ["FORMAT", "read", "read_one", "recognises"]

FORMAT = "robust-kbench"
_FILES = {"func_forward.py": "config_forward.json", "func_backward.py": "config_backward.json"}
_LARGEST = 4 << 20  # bytes of a file
_LEVEL = re.compile(r"level[ _-]?(\d+)", re.IGNORECASE)
_SHAPE = (
    "A task of robust-kbench is a folder with func_forward.py (forward_fn, class Model whose forward takes fn, get_inputs) and "
    "config_forward.json; for gradients func_backward.py and config_backward.json."
)


def recognises(path: Path) -> bool:
    """Whether it is a task's folder or file, or a folder with some below it."""
    if path.is_dir():
        return bool(_found(path)[0])
    return path.name in _FILES and b"def forward_fn" in first_bytes(path, _LARGEST)


def read(path: Path) -> Suite:
    """The tasks of a folder: forward, then backward, of each folder in it; where the configuration has several single settings,
    one for each."""
    files, unreadable = ([path], []) if path.is_file() else _found(path)
    unreadable = list(unreadable)
    read_tasks: list[tuple[Path, list[SuiteTask]]] = []
    for file in files:
        try:
            read_tasks.append((file, _tasks(file)))
        except TaskError as error:
            why = error.message
            name = shown(file.parent.name) + _suffix(file)
            unreadable.append(Unreadable(name, shown(file), why, error.mend or _SHAPE, _level(file)))
    folders = list(dict.fromkeys(file.parent for file, _ in read_tasks))
    names = dict(zip(folders, unique_names([(each, _word(each.name)) for each in folders], path), strict=True))
    tasks = [
        replace(each, name=names[file.parent] + each.name.removeprefix(_word(file.parent.name)))
        for file, found in read_tasks
        for each in found
    ]
    return Suite(FORMAT, f"robust-kbench tasks of {shown(path)}", FORMAT, tuple(tasks), str(path), tuple(unreadable))


def read_one(path: Path) -> Task:
    """The task of a file; of a folder the one of `func_forward.py`, or of `func_backward.py` where there is no other.

    Raises:
        TaskError: it can't be read, or the folder has the folders of several.
    """
    if path.is_file():
        return _tasks(path)[0].task
    own = [path / name for name in _FILES if (path / name).is_file()]
    if not own:
        raise TaskError(
            "this is a collection of robust-kbench tasks, not one.",
            path=str(path),
            mend="Give the folder of one of them, or run all: kernelwright bench run PATH.",
        )
    return _tasks(own[0])[0].task


def _found(folder: Path) -> tuple[list[Path], list[Unreadable]]:
    files, left = walk(folder, *_FILES)
    kept = [file for file in files if file.name in _FILES and recognises(file)]
    key = [str(file.relative_to(folder).parent) for file in kept]
    order = sorted(
        zip(key, kept, strict=True), key=lambda pair: (natural_key(pair[0]), pair[1].name != "func_forward.py")
    )
    return [file for _, file in order], [each for each in left if Path(each.path).name in _FILES]


@dataclass(frozen=True)
class _Parts:
    tree: ast.Module
    model: ast.ClassDef
    make_inputs: ast.FunctionDef


def _tasks(file: Path) -> list[SuiteTask]:
    """One task for each single setting.

    Raises:
        TaskError: the file or its configuration is missing or is not as it should be.
    """
    path = str(file)
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise TaskError("the path of the file is not UTF-8.", path=shown(file), mend="Give it another name.") from error
    source = _text(file).rstrip("\n") + "\n"
    config = file.with_name(_FILES[file.name])
    parts = _parts(source, path)
    backward = file.name == "func_backward.py"
    init = next((n for n in parts.model.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    nothing = ast.parse("def __init__(self): pass").body[0]
    assert isinstance(nothing, ast.FunctionDef)
    takes = parameters_of(init or nothing, method=True), parameters_of(parts.make_inputs, method=False)
    configuration = _text(config)
    try:
        single, multi = (settings_of(configuration, kind, *takes) for kind in ("single", "multi"))
    except SettingsError as error:
        raise TaskError(f"{config.name}: {error}", path=path, mend=_SHAPE) from error
    taken = frozenset(symtable.symtable(source, path, "exec").get_identifiers())
    name, title = _word(file.parent.name), shown(_title(parts))
    tasks = []
    for number, own in enumerate(single, 1):
        text = source + bind(own, [*multi, *single], taken, config.name, backward=backward)
        key = f"_{number}" if number > 1 else ""
        task = task_from_source(text, name=name + _suffix(file).replace("@", "_") + key, path=path)
        variant = f"@setting{number}" if number > 1 else ""
        tasks.append(SuiteTask(name + _suffix(file) + variant, task, level=_level(file), title=title))
    return tasks


def _text(file: Path) -> str:
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise TaskError(f"{file.name} is no regular file.", path=shown(file), mend=_SHAPE)
        if status.st_size > _LARGEST:
            raise TaskError(
                f"{file.name} has {status.st_size:,} bytes, over the limit of {_LARGEST:,}.", path=shown(file)
            )
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError(f"{file.name} is not UTF-8 text.", path=shown(file), mend=_SHAPE) from error
    except OSError as error:
        raise TaskError(f"{file.name} can't be read: {error.strerror}.", path=shown(file), mend=_SHAPE) from error


def _parts(source: str, path: str) -> _Parts:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise TaskError(f"the file is not valid Python: {error.msg}.", path=path, line=error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise TaskError(f"the file is not valid Python: {error}.", path=path) from error
    model = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Model"), None)
    make = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "get_inputs"), None)
    if model is None or make is None:
        missing = "class Model" if model is None else "get_inputs()"
        raise TaskError(f"the file defines no {missing}.", path=path, mend=_SHAPE)
    return _Parts(tree, model, make)


def _title(parts: _Parts) -> str:
    """What `forward_fn` says of itself, or Model."""
    function = next((n for n in parts.tree.body if isinstance(n, ast.FunctionDef) and n.name == "forward_fn"), None)
    documented: Sequence[ast.FunctionDef | ast.ClassDef] = [n for n in (function, parts.model) if n is not None]
    for node in documented:
        if said := ast.get_docstring(node):
            line = said.strip().partition("\n")[0].strip()
            return line.partition(". ")[0].rstrip(".:")
    return ""


def _word(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "task"


def _suffix(file: Path) -> str:
    return "@backward" if file.name == "func_backward.py" else ""


def _level(file: Path) -> str:
    found = [match[1] for part in file.parts[:-1] if (match := _LEVEL.fullmatch(part))]
    return found[-1] if found else ""
