"""Reads FlashInfer-Bench: `definitions/**/NAME.json`, each a task, with the workloads in `workloads/**/NAME.jsonl`.

The first workload is the task that is timed; up to 32 others are further sizes in which a kernel must be right. Definitions and
workloads are data, but for the reference, which is carried over as text.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from kernelwright.bench_tasks.files import first_bytes, natural_key, shown, unique_names, walk
from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.readers.flashinfer_definition import (
    Definition,
    GivenWorkload,
    definition_of,
    workload_of,
)
from kernelwright.bench_tasks.readers.flashinfer_inputs import derived_axes
from kernelwright.bench_tasks.readers.flashinfer_sizes import elements, sizes_without_workloads, spread, twin_of
from kernelwright.bench_tasks.readers.flashinfer_source import source_of
from kernelwright.bench_tasks.readers.safetensors import read_tensor
from kernelwright.bench_tasks.suite import Suite, SuiteTask, Unreadable
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError

__all__ = ["read", "read_one", "recognises"]

FORMAT = "flashinfer-bench"
_LARGEST = 4 << 20  # bytes of a definition; the largest that we know of has 9 kB
_LOOK = 1 << 18  # bytes of a file by which it is recognised
_MOST_LOOKED_AT = 2000  # files of a folder, until one is a definition
_LARGEST_WORKLOADS = 64 << 20  # bytes
_MOST_LINES = 10_000
_MOST_SIZES = 32  # further workloads: each is a call of the kernel
_MOST_ELEMENTS = 1 << 27  # of a workload: the judge holds several copies of them in float64 (1 GiB each)
_MOST_STORED = 64 << 20  # bytes of stored inputs of one task
_MOST_WORDS = 16_384  # of a vocabulary that is sampled from; with 128,256 one run on 80 rows takes more than a second
_FAMILIES = {"gemm": "matmul", "gqa": "attention", "mla": "attention", "dsa": "attention", "rmsnorm": "norm"}


def recognises(path: Path) -> bool:
    """Whether it is a definition, or a folder with some."""
    if path.is_dir():
        folder = path / "definitions"
        files, _left = walk(folder if folder.is_dir() else path, ".json")
        return any(_like_a_definition(file) for file in files[:_MOST_LOOKED_AT])
    return path.suffix == ".json" and _like_a_definition(path)


def read_one(path: Path) -> Task:
    """The task of one definition, or of a folder with one.

    Raises:
        TaskError: it can't be read, or there are several.
    """
    if path.is_file():
        return _task(path, _root(path), _workload_files(_root(path))).task
    suite = read(path)
    if len(suite.tasks) == 1:
        return suite.tasks[0].task
    if not suite.tasks and suite.unreadable:
        first = suite.unreadable[0]
        raise TaskError(first.why, path=first.path, mend=first.mend)
    raise TaskError(
        f"this is a collection of {len(suite.tasks)} definitions, not one.",
        path=shown(path),
        mend="Give the path of one definition, or run all: kernelwright bench run PATH.",
    )


def read(path: Path) -> Suite:
    """Every definition below `path`, or the one that it is."""
    root = _root(path)
    files, left = ([path], []) if path.is_file() else walk(path / "definitions" if root == path else path, ".json")
    if path.is_dir() and not files:
        files, left = walk(path, ".json")
    wanted = sorted((f for f in files if _like_a_definition(f)), key=lambda f: natural_key(str(f)))
    broken = [] if path.is_file() else [f for f in files if f not in set(wanted) and "definitions" in f.parts]
    workloads = _workload_files(root)
    tasks: list[tuple[Path, SuiteTask]] = []
    unreadable = list(left)
    for file in wanted + broken:
        level = shown(file.parent.name) if file.parent.name not in {"definitions", root.name} else ""
        try:
            str(file).encode()
            found = _task(file, root, workloads)
            tasks.append((file, replace(found, level=found.level or level)))
        except UnicodeEncodeError:
            why = "the name of the file is not UTF-8."
            unreadable.append(Unreadable(shown(file.stem), shown(file), why, "Give it another name.", level))
        except TaskError as error:
            unreadable.append(Unreadable(shown(file.stem), shown(file), error.message, error.mend, level))
    names = unique_names([(file, task.name) for file, task in tasks], root)
    made = tuple(replace(task, name=name) for name, (_file, task) in zip(names, tasks, strict=True))
    return Suite(
        "flashinfer-bench", f"FlashInfer-Bench definitions of {shown(path)}", FORMAT, made, str(path), tuple(unreadable)
    )


def _root(path: Path) -> Path:
    """The folder of the collection: that in which `definitions` lies."""
    place = path if path.is_dir() else path.parent
    for folder in (place, *place.parents):
        if folder.name == "definitions":
            return folder.parent
    return place


def _like_a_definition(file: Path) -> bool:
    head = first_bytes(file, _LOOK)
    return b'"axes"' in head and b'"reference"' in head and b'"inputs"' in head and b'"workload"' not in head


def _workload_files(root: Path) -> dict[str, Path]:
    """Files of workloads by the name of their definition."""
    folder = root / "workloads"
    files, _left = walk(folder, ".jsonl") if folder.is_dir() else ([], [])
    return {file.stem: file for file in files}


def _task(file: Path, root: Path, workload_files: dict[str, Path]) -> SuiteTask:
    """The task of one definition.

    Raises:
        TaskError: it can't be read.
    """
    path = str(file)
    raw = first_bytes(file, _LARGEST + 1)
    if len(raw) > _LARGEST:
        raise TaskError(f"the file has more than {_LARGEST} bytes.", path=path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError("the file is not UTF-8 text.", path=path) from error
    definition = definition_of(text, path)
    words = definition.constants.get("vocab_size", 0)
    if definition.op_type == "sampling" and words > _MOST_WORDS:
        raise TaskError(
            f"it draws samples at random: to judge that, the reference is run 64 times and more on at least 64 rows, which takes "
            f"minutes on a CPU with a vocabulary of {words:,}.",
            path=path,
        )
    every, _problems = _workloads(workload_files.get(definition.name), definition)
    given, attachments, stored, missing = _with_stored(every, definition, root)
    sizes = dict(given[0].axes) if given else sizes_without_workloads(definition)
    derived = derived_axes(definition)
    free = {axis: size for axis, size in sizes.items() if axis not in derived}
    uses_workload = bool(stored) or any(dict(each.scalars) != dict(given[0].scalars) for each in given)
    more = _further(given, free, uses_workload)
    try:
        source = source_of(definition, sizes, given, stored=stored, further=more, path=path)
    except TaskError as error:
        if missing and not error.message.startswith(("run()", "the reference", "the output")):
            raise TaskError(f"{error.message.rstrip('.')} ({missing[0]}).", path=path, mend=error.mend) from error
        raise
    twin = {axis: size for axis, size in twin_of(definition, sizes).items() if axis not in derived}
    if uses_workload:
        twin["WORKLOAD"] = -1
    name = re.sub(r"\W+", "_", definition.name).strip("_") or "definition"
    task = replace(task_from_source(source, name=name, path=path), attachments=attachments)
    family = next((word for kind, word in _FAMILIES.items() if definition.op_type.startswith(kind)), definition.op_type)
    title = " ".join(definition.description.split()) or definition.name.replace("_", " ")
    if len(every) > len(more) + 1:
        title = f"{title[:200].rstrip('.')} ({len(more) + 1} of {len(every)} workloads)"
    return SuiteTask(name, task, shown(family), shown(definition.op_type), shown(title[:300]), twin)


def _workloads(file: Path | None, definition: Definition) -> tuple[list[GivenWorkload], list[str]]:
    if file is None:
        return [], []
    raw = first_bytes(file, _LARGEST_WORKLOADS)
    found, problems = [], []
    for line in raw.decode("utf-8", "replace").splitlines()[:_MOST_LINES]:
        if not line.strip():
            continue
        one = workload_of(line, definition)
        if isinstance(one, str):
            problems.append(one)
        else:
            found.append(one)
    return found, problems


def _with_stored(
    given: list[GivenWorkload], definition: Definition, root: Path
) -> tuple[list[GivenWorkload], dict[str, bytes], frozenset[str], list[str]]:
    """The workloads to use, the inputs stored for them by ``number/input``, the names of such, and why some are missing.

    An input whose file is not there is drawn, as one that no workload has a file of.
    """
    free = [axis for axis in definition.variables if axis not in derived_axes(definition)]
    large = [each for each in given if elements(definition, each.axes) > _MOST_ELEMENTS]
    given = [each for each in given if each not in large] or given[:1]
    alike: set[str] = set()
    unique = []
    for each in given:
        key = json.dumps([{axis: each.axes[axis] for axis in free}, dict(each.scalars), sorted(each.stored.values())])
        if key not in alike:
            alike.add(key)
            unique.append(each)
    chosen = [0, *(1 + place for place in spread([each.axes for each in unique[1:]], _MOST_SIZES))] if unique else []
    attachments: dict[str, bytes] = {}
    missing: list[str] = []
    used = [unique[place] for place in chosen]
    for number, each in enumerate(used):
        for name, (place, key) in each.stored.items():
            data = _stored(definition, each, name, root, place, key, _MOST_STORED - sum(map(len, attachments.values())))
            if isinstance(data, str):
                missing.append(data)
            else:
                attachments[f"{number}/{name}"] = data
    return used, attachments, frozenset(key.partition("/")[2] for key in attachments), missing


def _stored(
    definition: Definition, workload: GivenWorkload, name: str, root: Path, place: str, key: str, room: int
) -> bytes | str:
    spec = definition.inputs[name]
    file = root / place
    try:
        inside = file.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside or spec.shape is None:
        return f"{name!r} lies outside of the collection"
    found = read_tensor(file, key, most_bytes=max(room, 0))
    if isinstance(found, str):
        return found
    axes = {**definition.constants, **workload.axes}
    if found.dtype != spec.dtype or found.shape != tuple(axes[axis] for axis in spec.shape):
        return f"{name!r} is stored as {found.shape} {found.dtype}, not as the definition has it"
    return found.data


def _further(
    given: list[GivenWorkload], timed: dict[str, int], uses_workload: bool
) -> list[tuple[str, dict[str, int]]]:
    """Workloads for sizes beside the timed ones."""
    found: list[tuple[str, dict[str, int]]] = []
    for number, each in enumerate(given[1:], start=1):
        sizes = {axis: each.axes[axis] for axis in timed}
        if uses_workload:
            sizes["WORKLOAD"] = number
        if sizes and sizes != timed:
            found.append((f"workload-{number}", sizes))
    return found
