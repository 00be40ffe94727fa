"""The task that a twin stands for: its numbers in the source, and of the further workloads those that suit them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from kernelwright.bench_tasks.constants import constants_of, with_constants
from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.workloads import workloads_of

__all__ = ["scaled_down", "scaled_words", "twin_of_task"]

_SCALED = "# Scaled down by kernelwright, the file has other sizes: "
_MORE = "MORE_WORKLOADS"
_CHOICES = frozenset({"CASE", "SETTING"})  # numbers that readers write and that choose: they are no sizes
_TIMES = 2  # the twin's own sizes: what a workload beside it may ask for


def twin_of_task(task: Task, twin: Mapping[str, int]) -> Task:
    """The task with these numbers in its source.

    Of its `MORE_WORKLOADS` those stay that ask for no more than `_TIMES` of a number, and not for just these again; the text
    says so too, since evidence is judged again from the text. `WORKLOADS` are the author's own and stay.

    Raises:
        TaskError: the twin names a number that the source does not have.
    """
    source = with_constants(task.source, twin, path=task.path)
    listed = constants_of(source).get(_MORE)
    if not isinstance(listed, list):
        return replace(task, source=source)
    kept = [each for each in listed if _suits(each.get("sizes", {}), twin)]
    if len(kept) == len(listed):
        return replace(task, source=source)
    source = _with_list(source, kept)
    return replace(task, source=source, workloads=workloads_of(ast.parse(source), task.path))


def scaled_down(task: Task, twin: Mapping[str, int]) -> Task:
    """The twin as a task of its own: its name ends in `_twin`, and the last line of its text says what was changed, so that a
    time of it is never taken for one of the file's own sizes.

    Raises:
        TaskError: as `twin_of_task`.
    """
    small, before = twin_of_task(task, twin), constants_of(task.source)
    words = ", ".join(f"{name} = {value} (file: {before.get(name)})" for name, value in twin.items())
    return replace(small, name=f"{task.name}_twin", source=f"{small.source.rstrip()}\n\n{_SCALED}{words}\n")


def scaled_words(task: Task) -> str:
    """What `scaled_down` has changed; empty for a task as its file has it."""
    last = task.source.rstrip().rpartition("\n")[2]
    return last.removeprefix(_SCALED) if last.startswith(_SCALED) else ""


def _suits(sizes: Mapping[str, int], twin: Mapping[str, int]) -> bool:
    if sizes and all(twin.get(name) == size for name, size in sizes.items()):
        return False
    return all(size <= _TIMES * twin.get(name, size) for name, size in sizes.items() if name not in _CHOICES)


def _with_list(source: str, entries: list[Mapping[str, object]]) -> str:
    """The source with another list for `MORE_WORKLOADS`; without it if that is empty."""
    node = next(
        node for node in reversed(ast.parse(source).body)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == _MORE for t in node.targets)
    )  # fmt: skip
    lines = source.splitlines(keepends=True)
    rows = "".join(f"    {each!r},\n" for each in entries)
    text = f"{_MORE} = [\n{rows}]\n" if entries else "# no workload of other sizes suits the twin\n"
    lines[node.lineno - 1 : node.end_lineno] = [text]
    return "".join(lines)
