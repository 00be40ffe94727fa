"""Our own suites: `core`, `fusion`, `models` and `frontier`, each a folder of KernelBench-style files under `suites/`.

Beside what every task file has, a file of a suite says at its top level, as literals: `FAMILY`, what kind of kernel it asks
for; `TWIN`, the sizes at which the emulator judges it; `VARIANTS`, other values of its constants that make further tasks
of it, for instance ``{"half": {"DTYPE": "float16"}, "backward": {"BACKWARD": True}}``; a variant may have a `TWIN` of its own.
The first line of its docstring is its title.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kernelwright.bench_tasks.constants import bindings, constants_of, with_constants
from kernelwright.bench_tasks.kernelbench import read_task, task_from_source
from kernelwright.bench_tasks.literals import did_you_mean
from kernelwright.bench_tasks.suite import Suite, SuiteTask
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import NotFoundError, TaskError

__all__ = ["OWN", "own_suite", "tasks_of_file"]

OWN = {
    "core": "single operations: pointwise, reductions, norms, losses, matrix products, convolutions, pooling, attention, scans, sorting, indexing, optimisers",
    "fusion": "blocks of several operations that one kernel can do",
    "models": "blocks of real architectures",
    "frontier": "kernels that recent papers needed",
}
_LITERALS = frozenset({"FAMILY", "TWIN", "VARIANTS"})
_MOST_VARIANTS = 64
_FOLDER = Path(__file__).parent / "suites"
_SHAPE = 'Write FAMILY = "norm", TWIN = {"ROWS": 64} and VARIANTS = {"half": {"DTYPE": "float16"}} as literals, each in one line.'


@cache
def own_suite(name: str) -> Suite:
    """One of our suites.

    Raises:
        NotFoundError: there is none of this name.
        TaskError: a file of it is not as a file of a suite should be.
    """
    if name not in OWN:
        raise NotFoundError(f"there is no suite called {name!r}.", mend=f"There are {', '.join(OWN)}.")
    tasks = [task for file in sorted((_FOLDER / name).glob("*.py")) for task in tasks_of_file(file)]
    return Suite(name, OWN[name], "kernelwright", tuple(tasks), str(_FOLDER / name))


def tasks_of_file(file: Path) -> list[SuiteTask]:
    """The task of a suite's file, then its variants; the one task of a file without `VARIANTS`.

    Raises:
        TaskError: the file is no task, or `FAMILY`, `TWIN` or `VARIANTS` is not as it should be.
    """
    base = read_task(file)
    constants, path = constants_of(base.source), str(file)
    tree = ast.parse(base.source)
    for name in dict(bindings(tree)):
        if name in _LITERALS and name not in constants:
            raise TaskError(f"{name} is no literal.", path=path, mend=_SHAPE)
    title = (ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".")
    family, twin = constants.get("FAMILY", ""), constants.get("TWIN", {})
    if not isinstance(family, str):
        raise TaskError(f"FAMILY is {family!r}, not a word.", path=path, mend=_SHAPE)
    variants = constants.get("VARIANTS", {})
    if not isinstance(variants, dict) or not all(
        isinstance(k, str) and k.isidentifier() and isinstance(v, dict) and all(isinstance(name, str) for name in v)
        for k, v in variants.items()
    ):
        raise TaskError("VARIANTS is no dictionary of names and their constants.", path=path, mend=_SHAPE)
    if len(variants) > _MOST_VARIANTS:
        raise TaskError(f"VARIANTS has {len(variants)} entries, over the limit of {_MOST_VARIANTS}.", path=path)
    found = [SuiteTask(base.name, base, family, title=title, twin=_twin("TWIN", twin, base))]
    for variant, given in variants.items():
        own = dict(given)
        small = own.pop("TWIN", twin)
        source = _changed(f"VARIANTS: {variant!r}", base.source, own, path)
        task = task_from_source(source, name=f"{base.name}_{variant}", path=path)
        said = ", ".join(f"{name} = {value}" for name, value in own.items())
        small = _twin(f"the TWIN of {variant!r}", small, task)
        found.append(SuiteTask(f"{base.name}@{variant}", task, family, title=f"{title}; {said}", twin=small))
    return found


def _twin(what: str, value: Any, task: Task) -> Mapping[str, int]:
    if not isinstance(value, dict) or not all(isinstance(k, str) and type(v) is int for k, v in value.items()):
        raise TaskError(f"{what} is no dictionary of names and whole numbers.", path=task.path, mend=_SHAPE)
    _changed(what, task.source, value, task.path)  # what is not there is told here, not in the middle of a run
    return value


def _changed(what: str, source: str, values: Mapping[str, Any], path: str | None) -> str:
    """The source with these constants.

    Raises:
        TaskError: the file has no such constant; says what it may be instead.
    """
    known = set(constants_of(source)) - _LITERALS
    for name in values:
        if name not in known:
            near = did_you_mean(name, known)
            raise TaskError(
                f"{what} names {name}, and the file has no literal of that name at its top level.",
                path=path,
                mend=near or f"Write {name} = ... once, in one line, outside of every class and function.",
            )
    try:
        return with_constants(source, values, path=path)
    except TaskError as error:
        raise TaskError(f"{what}: {error.message}", path=path, mend=error.mend) from error
