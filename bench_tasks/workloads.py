"""A task's own workloads: the list `WORKLOADS` of its file, read without running it.

`MORE_WORKLOADS`, which readers of other systems' formats write, is a list of the same kind that is added to the default ones.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from kernelwright.bench_tasks.task import DEFAULT_WORKLOADS, Distribution, Workload
from kernelwright.errors import TaskError

__all__ = ["more_workloads", "workloads_of"]

_MOST = 32  # workloads and seeds of one: each is a call of the kernel
_MOST_MORE = 64
_SHAPE = (
    'WORKLOADS is a list of dictionaries like {"distribution": "normal", "name": "normal", "seeds": 1, "strided": False, "sizes": {"N": 7}}, '
    "written out as literals; all but the distribution may be left out."
)


def workloads_of(tree: ast.Module, path: str | None) -> tuple[Workload, ...]:
    """What the file asks for, or the default workloads.

    Raises:
        TaskError: `WORKLOADS` is there and not understood; names the line.
    """
    own = _list(tree, "WORKLOADS", path, (), _MOST) or DEFAULT_WORKLOADS
    return _list(tree, "MORE_WORKLOADS", path, own, _MOST_MORE) or own


def more_workloads(named: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """The text of `MORE_WORKLOADS` for workloads of other sizes; none is the empty text."""
    rows = [{"name": name, "distribution": "as_given", "sizes": dict(sizes)} for name, sizes in named]
    return "MORE_WORKLOADS = [\n" + "".join(f"    {row!r},\n" for row in rows) + "]\n" if rows else ""


def _list(
    tree: ast.Module, name: str, path: str | None, before: tuple[Workload, ...], most: int
) -> tuple[Workload, ...]:
    """`before` and the workloads of the list of this name; nothing where the file has no such list."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(t, ast.Name) and t.id == name for t in targets) and isinstance(
            node, ast.Assign | ast.AnnAssign
        ):
            try:
                value = ast.literal_eval(node.value) if node.value is not None else None
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                value = None
            problem, found = _read(value, before, most)
            if problem:
                raise TaskError(f"{name}: {problem}.", path=path, line=node.lineno, mend=_SHAPE)
            return found
    return ()


def _read(value: Any, before: tuple[Workload, ...], most: int) -> tuple[str, tuple[Workload, ...]]:
    """(what is wrong with it, the workloads)."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
        return f"this is no list of 1 to {most} literals", ()
    found: list[Workload] = list(before)
    for position, entry in enumerate(value):
        problem, workload = _one(entry)
        if workload is None:
            return f"entry {position}: {problem}", ()
        found.append(workload)
    if found[0].sizes:
        return "entry 0: the first workload is the one that is timed, so it has no sizes", ()
    names = [workload.name for workload in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    return (f"the name {twice!r} is there twice", ()) if twice is not None else ("", tuple(found))


def _one(entry: Any) -> tuple[str, Workload | None]:
    if not isinstance(entry, dict):
        return "it is no dictionary", None
    if unknown := sorted(map(str, set(entry) - {"name", "distribution", "seeds", "strided", "sizes"})):
        return f"there is no {unknown[0]!r}", None
    known = [d.value for d in Distribution]
    distribution, seeds, strided = entry.get("distribution"), entry.get("seeds", 1), entry.get("strided", False)
    if distribution not in known:
        return f"the distribution is {distribution!r}, not one of {', '.join(known)}", None
    if type(seeds) is not int or not 1 <= seeds <= _MOST:
        return f"seeds is {seeds!r}, not a number from 1 to {_MOST}", None
    if type(strided) is not bool:
        return f"strided is {strided!r}, not True or False", None
    sizes = entry.get("sizes", {})
    if not isinstance(sizes, dict) or not all(
        isinstance(name, str) and name.isidentifier() and type(size) is int and size >= 0
        for name, size in sizes.items()
    ):
        return f"sizes is {sizes!r}, not a dictionary of names and whole numbers from 0 on", None
    usual = distribution.replace("_", "-") + ("-strided" if strided else "")
    usual += "".join(f"-{name}-{size}" for name, size in sizes.items())
    name = entry.get("name", usual)
    if not isinstance(name, str) or not name or "/" in name or name == "weights":
        return f"the name is {name!r}, not a word", None
    return "", Workload(name, Distribution(distribution), seeds, strided=strided, sizes=tuple(sizes.items()))
