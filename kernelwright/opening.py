"""Opening a task for a job: its reference process and its graph, with an error that fits the person's own file."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator

from kernelwright.bench_tasks.graph import Graph
from kernelwright.bench_tasks.task import Distribution, Task
from kernelwright.errors import TaskError, WorkerCrashed
from kernelwright.events import Observer, StageFinished, StageStarted
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.words import counted

__all__ = ["capture_graph", "in_place_line", "open_reference"]


def open_reference(task: Task, limits: Limits, observer: Observer, *, fence: str | None = None) -> Reference:
    """Loads the task in a process of its own; the caller closes it.

    Args:
        fence: as `Reference` takes it.

    Raises:
        TaskError: the file can't be loaded, is no task, or ended the process.
    """
    started = time.monotonic()
    observer(StageStarted("reference"))
    try:
        reference = Reference(task, limits=limits, fence=fence)
    except TaskError as error:
        ended = error.__cause__
        if not isinstance(ended, WorkerCrashed) or ended.returncode is None or not 0 <= ended.returncode < 128:
            raise
        said = f" It printed: {ended.stderr.strip()[-300:]}" if ended.stderr.strip() else ""
        raise TaskError(
            f"the process that ran this file ended with exit code {ended.returncode} before the module was ready.{said}",
            path=task.path,
            mend="Take out what ends the process, os._exit() for instance.",
        ) from error
    observer(StageFinished("reference", "passed", reference.signature.shape_line, time.monotonic() - started))
    return reference


def capture_graph(reference: Reference, observer: Observer) -> Graph:
    """The module's graph for the built-in coder.

    Raises:
        TaskError: the module changes its inputs in place, which no kernel of the built-in coder does, or the task asks for
            gradients, which it writes no kernels for.
    """
    if reference.wanted is not None:
        raise TaskError(
            "the task asks for gradients (BACKWARD = True), and the built-in coder writes forward kernels only.",
            mend="Leave BACKWARD out. A kernel of your own can be judged with its gradients: kernelwright verify.",
            path=reference.task.path or reference.task.name,
        )
    started = time.monotonic()
    observer(StageStarted("capture"))
    graph = reference.capture()
    if graph.problem and _changes_inputs(reference):
        observer(StageFinished("capture", "failed", "changes its inputs in place", time.monotonic() - started))
        task = reference.task
        raise TaskError(
            "forward changes an input in place, and the built-in coder writes kernels that leave their inputs alone.",
            mend="Work on a copy: x = x.clone() first, or y = x + 1 for x += 1. A kernel of your own can still be judged: "
            "kernelwright verify.",
            path=task.path or task.name,
            line=in_place_line(task.source),
        )
    observer(StageFinished("capture", "passed", counted(len(graph.nodes), "operation"), time.monotonic() - started))
    return graph


def _changes_inputs(reference: Reference) -> bool:
    return reference.run(reference.inputs(Distribution.AS_GIVEN, 0), weights_seed=0).changed != ()


def in_place_line(source: str) -> int | None:
    """The first line of `Model.forward` in `source` that changes one of its arguments; None if none is recognised.

    Recognised are ``x += 1``, ``x[0] = 1``, ``x.add_(1)``, ``F.relu_(x)``, ``out=x`` and ``inplace=True``, where x is an
    argument, a view of one (``x.view(-1)``, ``x[0]``), or a name given to one of these.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == "Model":
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == "forward":
                    return _first_change(member) or _inplace_option(node)
    return None


def _first_change(forward: ast.FunctionDef) -> int | None:
    names = {argument.arg for argument in (*forward.args.posonlyargs, *forward.args.args)[1:]}
    for statement in _statements(forward.body):
        if isinstance(statement, ast.AugAssign) and _root(statement.target) in names:
            return statement.lineno
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Subscript) and _root(target) in names:
                    return statement.lineno
        for node in _own_expressions(statement):
            if isinstance(node, ast.Call) and _changes(node, names):
                return node.lineno
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    (names.add if _is_view(statement.value, names) else names.discard)(target.id)
    return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of `body` in the order of the text, those of blocks inside too."""
    for statement in body:
        yield statement
        for inner in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, inner, []))


def _own_expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """What `statement` computes itself, without the statements of its blocks."""
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.expr):
            yield from ast.walk(child)


def _changes(call: ast.Call, names: set[str]) -> bool:
    if any(keyword.arg == "out" and _root(keyword.value) in names for keyword in call.keywords):
        return True
    on_first = bool(call.args) and _root(call.args[0]) in names
    if on_first and any(k.arg == "inplace" and getattr(k.value, "value", False) is True for k in call.keywords):
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    name = call.func.attr
    return name.endswith("_") and not name.endswith("__") and (on_first or _root(call.func.value) in names)


def _is_view(value: ast.expr, names: set[str]) -> bool:
    """Whether `value` may share an argument's memory: the name itself, a part of it, or a method that may give a view."""
    views = {"view", "reshape", "transpose", "permute", "squeeze", "unsqueeze", "flatten", "narrow", "contiguous", "t"}
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Attribute) and value.func.attr in views and _root(value.func.value) in names
    return isinstance(value, ast.Name | ast.Subscript | ast.Attribute) and _root(value) in names


def _root(value: ast.expr) -> str:
    """The name that ``x``, ``x[0]``, ``x.T`` or ``x.view(-1)`` begins with; empty for anything else."""
    while True:
        match value:
            case ast.Name():
                return value.id
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Call(func=ast.Attribute(value=inner)):
                value = inner
            case _:
                return ""


def _inplace_option(model: ast.ClassDef) -> int | None:
    lines = [
        node.value.lineno
        for node in ast.walk(model)
        if isinstance(node, ast.keyword) and node.arg == "inplace" and getattr(node.value, "value", False) is True
    ]
    return min(lines, default=None)
