"""Reads GPU MODE problems: folders with `task.yml`, `reference.py` (`ref_kernel`, `generate_input`), `task.py` and `utils.py`.

The first benchmark of `task.yml` is the task that is timed; its tests and other benchmarks are further workloads. The text of
`reference.py` is carried over with its lines in their places, what it imports from its own files travels as attachments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernelwright.bench_tasks.files import first_bytes, natural_key, shown, unique_names, walk
from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.readers.gpu_mode_source import check_reference, source_of
from kernelwright.bench_tasks.readers.gpu_mode_specs import settings_of
from kernelwright.bench_tasks.suite import Suite, SuiteTask, Unreadable
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError

__all__ = ["read", "read_one", "recognises"]

FORMAT = "gpu-mode"
_NAMES = ("task.yml", "task.yaml")
_LARGEST = 1 << 20  # bytes of any file of a problem; the largest that we know of has 24 kB
_LARGEST_YAML = 1 << 16  # bytes; the largest that we know of has 4 kB, and reading a megabyte takes minutes
_DEEPEST = 20  # lists and mappings in one another
_MOST_FILES = 32  # of one problem
_SHAPE = "A problem is a folder with task.yml (files, tests, benchmarks), reference.py (ref_kernel, generate_input) and what they name."
_UP = 2  # folders above a problem's own from which it may take files: `../utils.py`, `../../pmpp_v2/utils.py`


@dataclass(frozen=True)
class _Problem:
    """What a `task.yml` says."""

    files: Mapping[str, str]
    """Where the files of the problem lie, by the names under which they are imported."""
    tests: Sequence[Mapping[str, Any]]
    benchmarks: Sequence[Mapping[str, Any]]
    title: str
    description: str


def recognises(path: Path) -> bool:
    """Whether it is a problem, its `task.yml`, or a folder with some."""
    if path.is_file():
        return path.name in _NAMES and b"files" in first_bytes(path, _LARGEST)
    return bool(_problem_file(path)) or bool(walk(path, *_NAMES)[0])


def read_one(path: Path) -> Task:
    """The task of one problem, given as its folder or its `task.yml`.

    Raises:
        TaskError: it can't be read, or there are several.
    """
    if path.is_file() or _problem_file(path):
        return _task(path if path.is_file() else path / _problem_file(path), {}).task
    suite = read(path)
    if len(suite.tasks) == 1:
        return suite.tasks[0].task
    if not suite.tasks and suite.unreadable:
        first = suite.unreadable[0]
        raise TaskError(first.why, path=first.path, mend=first.mend)
    raise TaskError(
        f"this is a collection of {len(suite.tasks)} problems, not one.",
        path=shown(path),
        mend="Give the folder of one problem, or run all: kernelwright bench run PATH.",
    )


def read(path: Path) -> Suite:
    """Every problem below `path`, or the one that it is."""
    files, left = ([path], []) if path.is_file() else walk(path, *_NAMES)
    files = [file for file in files if file.name in _NAMES]
    root = path.parent if path.is_file() else path
    files.sort(key=lambda file: natural_key(str(file)))
    boards = _leaderboards(root)
    tasks: list[tuple[Path, SuiteTask]] = []
    unreadable = list(left)
    for file in files:
        folder = file.parent
        level = shown(folder.parent.name) if folder not in {root, root.parent} and folder.parent != root else ""
        level = level or (shown(root.name) if folder.parent == root else "")
        try:
            str(file).encode()
            tasks.append((folder, replace(_task(file, boards), level=level)))
        except UnicodeEncodeError:
            why = "the name of the folder is not UTF-8."
            unreadable.append(Unreadable(shown(folder.name), shown(file), why, "Give it another name.", level))
        except TaskError as error:
            unreadable.append(
                Unreadable(shown(folder.name), shown(error.path or file), error.message, error.mend, level)
            )
    names = unique_names([(folder, task.name) for folder, task in tasks], root)
    made = tuple(replace(task, name=name) for name, (_folder, task) in zip(names, tasks, strict=True))
    return Suite("gpu-mode", f"GPU MODE problems of {shown(path)}", FORMAT, made, str(path), tuple(unreadable))


def _problem_file(folder: Path) -> str:
    return next((name for name in _NAMES if (folder / name).is_file()), "")


def _leaderboards(root: Path) -> dict[Path, str]:
    """Names that leaderboards (`problems/*.yaml`) give to folders."""
    found: dict[Path, str] = {}
    for folder in (root, root / "problems", root.parent):
        if not folder.is_dir():
            continue
        for file in sorted(folder.glob("*.yaml"))[:200]:
            try:
                data = _yaml(file)
            except TaskError:
                continue
            problems = data.get("problems")
            for each in problems if isinstance(problems, list) else []:
                if (
                    isinstance(each, dict)
                    and isinstance(each.get("directory"), str)
                    and isinstance(each.get("name"), str)
                ):
                    found.setdefault(folder / each["directory"], each["name"])
    return found


def _task(file: Path, boards: Mapping[Path, str]) -> SuiteTask:
    """The task of one problem.

    Raises:
        TaskError: it can't be read.
    """
    path, folder = str(file), file.parent
    problem = _problem(file)
    texts = {
        name: _text(folder, place, path)
        for name, place in problem.files.items()
        if name not in {"submission.py", "eval.py"}
    }
    if "reference.py" not in texts:
        raise TaskError("task.yml lists no reference.py.", path=path, mend=_SHAPE)
    reference_path = str(_inside(folder, problem.files["reference.py"], path))
    if "float4_e2m1fn_x2" in texts["reference.py"] and "_scaled_mm" in texts["reference.py"]:
        raise TaskError(
            "its reference multiplies in float4, which torch does on a GPU of the newest kind only.", path=path
        )
    checked = check_reference(texts["reference.py"], reference_path)
    settings = settings_of(problem.benchmarks, problem.tests, checked, path)
    source, attachments = source_of(texts, settings, checked, reference_path, problem.description)
    name = re.sub(r"\W+", "_", folder.name).strip("_") or "problem"
    task = replace(task_from_source(source, name=name, path=reference_path), attachments=attachments)
    title = boards.get(folder, "").replace("_", " ")
    title = f"{title}: {problem.title}" if title and problem.title else title or problem.title or name.replace("_", " ")
    return SuiteTask(name, task, title=shown(title[:300]), twin=settings.twin)


def _problem(file: Path) -> _Problem:
    path = str(file)
    data = _yaml(file)
    if data.get("multi_gpu"):
        raise TaskError("it asks for several GPUs; one kernel on one device is judged here.", path=path)
    if (language := data.get("lang", "py")) != "py":
        raise TaskError(f"its language is {str(language)[:20]!r}; problems in Python are read.", path=path)
    listed = data.get("files")
    if not isinstance(listed, list) or not 1 <= len(listed) <= _MOST_FILES:
        raise TaskError("task.yml has no list of files.", path=path, mend=_SHAPE)
    files: dict[str, str] = {}
    for each in listed:
        name, place = (each.get("name"), each.get("source")) if isinstance(each, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(place, str) or not re.fullmatch(r"[\w.-]{1,80}", name):
            raise TaskError("an entry of files has no name and source.", path=path, mend=_SHAPE)
        if place != "@SUBMISSION@" and name.endswith(".py"):
            files[name] = place
    tests, benchmarks = (_specs(data.get(key), key, path) for key in ("tests", "benchmarks"))
    if not tests and not benchmarks:
        raise TaskError("task.yml has neither tests nor benchmarks, so no sizes.", path=path, mend=_SHAPE)
    description = data.get("description")
    text = description if isinstance(description, str) else ""
    first = re.split(r"(?<=[.:])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".:")[:200]
    return _Problem(files, tests, benchmarks, first, text)


def _specs(data: Any, key: str, path: str) -> list[Mapping[str, Any]]:
    rows = [] if data is None else data
    if not isinstance(rows, list) or len(rows) > 1000:
        raise TaskError(f"{key} of task.yml is no list.", path=path, mend=_SHAPE)
    for row in rows:
        if not isinstance(row, dict) or not all(isinstance(name, str) and name.isidentifier() for name in row):
            raise TaskError(f"an entry of {key} is no dictionary of names and values.", path=path, mend=_SHAPE)
        if not all(_plain(value) for value in row.values()):
            raise TaskError(
                f"an entry of {key} has a value that is no number, text or list of such.", path=path, mend=_SHAPE
            )
    return rows


def _plain(value: Any, depth: int = 0) -> bool:
    if isinstance(value, list) and depth < 4:
        return len(value) <= 1000 and all(_plain(each, depth + 1) for each in value)
    return value is None or isinstance(value, bool | int | float | str)


def _yaml(file: Path) -> dict[str, Any]:
    import yaml

    raw = first_bytes(file, _LARGEST_YAML + 1)
    if len(raw) > _LARGEST_YAML:
        raise TaskError(f"the file has more than {_LARGEST_YAML} bytes.", path=str(file))
    try:
        # without aliases, nine of which in a row can stand for a billion entries
        text = raw.decode("utf-8-sig")
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):
                raise TaskError("the file has aliases (*name), which are not read.", path=str(file))
            name = type(token).__name__
            depth += ("Start" in name and name != "StreamStartToken") - ("End" in name and name != "StreamEndToken")
            if depth > _DEEPEST:
                raise TaskError(f"the file has more than {_DEEPEST} lists and mappings in one another.", path=str(file))
        data = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise TaskError("the file is not UTF-8 text.", path=str(file)) from error
    # what its own constructors raise for a tag with a value that does not fit: !!int "", !!bool x, !!timestamp 1
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError, TypeError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise TaskError(
            f"the file is not YAML: {getattr(error, 'problem', None) or type(error).__name__}.",
            path=str(file),
            line=line,
        ) from error
    if not isinstance(data, dict):
        raise TaskError("the file holds no names with values.", path=str(file), mend=_SHAPE)
    return data


def _inside(folder: Path, place: str, path: str) -> Path:
    """The file that `task.yml` names, if it lies near enough."""
    try:
        file = (folder / place).resolve()
        top = folder.resolve().parents[_UP - 1]
        fits = file.is_relative_to(top) and file.suffix == ".py"
    except (OSError, ValueError, RuntimeError, IndexError):
        fits, file = False, folder
    if not fits:
        raise TaskError(
            f"task.yml takes the file {place[:100]!r}, which is no Python file within {_UP} folders above it.",
            path=path,
            mend="Put the file into the folder of the problem, and name it so.",
        )
    return file


def _text(folder: Path, place: str, path: str) -> str:
    file = _inside(folder, place, path)
    if not file.is_file():
        raise TaskError(f"task.yml takes the file {place[:100]!r}, which is not there.", path=path)
    raw = first_bytes(file, _LARGEST + 1)
    if len(raw) > _LARGEST:
        raise TaskError(f"{place[:100]!r} has more than {_LARGEST} bytes.", path=path)
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TaskError(f"{place[:100]!r} is not UTF-8 text.", path=path) from error
