"""A submission to robust-kbench: CUDA C++ that exports `forward` for a forward task, `backward` for a backward one.

There the task's own `Model` is called with another function in the place of `forward_fn`. So ModelNew is that class under
another name, with the same parameters in the same order, and calls the extension where Model calls its argument `fn`; for
gradients it calls the task's AutogradFunction, whose backward calls the extension. What is left out of the task is
`forward_fn` (it does in torch what the kernel is to do), the inputs and the settings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from kernelwright.bench_tasks.task import Task
from kernelwright.errors import KernelError
from kernelwright.sandbox.bare_cuda import exported_as, literal

__all__ = ["SUFFIXES", "kernel_of"]

SUFFIXES = frozenset({".cu"})
_EXTENSION = "EXTENSION"
_LEFT_OUT = frozenset({"forward_fn", "get_inputs", "get_init_inputs", "_arguments"})
_BUILD = """
from torch.utils.cpp_extension import load_inline

CUDA_SOURCE = {source}

EXTENSION = load_inline(name="{name}", cpp_sources="", cuda_sources=CUDA_SOURCE)
"""


def kernel_of(task: Task, text: str, path: str | None = None) -> str:
    """The kernel module around a submission.

    Raises:
        KernelError: it does not export what the task asks for, or the task's Model takes no `fn`.
    """
    function = "backward" if task.backward else "forward"
    name = exported_as(text, function, path=path)
    tree = ast.parse(task.source)
    kept, model, autograd = [], None, None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Model":
            model = node
        elif isinstance(node, ast.ClassDef) and node.name == "AutogradFunction":
            autograd = node
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef) and (
            not isinstance(node, ast.FunctionDef) or node.name not in _LEFT_OUT
        ):
            kept.append(_text(task.source, node, []))
    if model is None or (task.backward and autograd is None):
        what = "Model" if model is None else "AutogradFunction"
        raise KernelError(
            f"the task has no class {what}, which calls such a kernel.", path=path,
            mend="Submit a Python module with ModelNew instead.",
        )  # fmt: skip
    parts = [*kept, _BUILD.format(source=literal(text), name=name)]
    if task.backward and autograd is not None:
        calls: list[tuple[ast.expr, str]] = [
            (node, f"{_EXTENSION}.backward")
            for node in ast.walk(autograd)
            if isinstance(node, ast.Attribute) and node.attr == "backward_fn" and isinstance(node.ctx, ast.Load)
        ]
        parts.append("\n" + _text(task.source, autograd, calls))
    target = "AutogradFunction.apply" if task.backward else f"{_EXTENSION}.forward"
    parts.append("\n" + _text(task.source, model, list(_renamed(model, target, path)), renamed=True))
    return "\n".join(parts) + "\n"


def _renamed(model: ast.ClassDef, target: str, path: str | None) -> Iterator[tuple[ast.expr, str]]:
    """What is written otherwise in ModelNew: its own name, and `fn` in forward."""
    forward = next((n for n in model.body if isinstance(n, ast.FunctionDef) and n.name == "forward"), None)
    takes = {a.arg for a in (*forward.args.args, *forward.args.kwonlyargs)} if forward is not None else set()
    if forward is None or "fn" not in takes:
        raise KernelError(
            "the task's Model.forward takes no argument fn, in the place of which a kernel would be called.", path=path,
            mend="Submit a Python module with ModelNew instead.",
        )  # fmt: skip
    for node in ast.walk(model):
        if isinstance(node, ast.Name) and node.id == "Model":
            yield node, "ModelNew"
    for default in (*forward.args.defaults, *forward.args.kw_defaults):
        if isinstance(default, ast.Name) and default.id == "forward_fn":
            yield default, "None"
    for statement in forward.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id == "fn" and isinstance(node.ctx, ast.Load):
                yield node, target


def _text(source: str, node: ast.stmt, edits: list[tuple[ast.expr, str]], *, renamed: bool = False) -> str:
    """The text of a statement with some expressions written otherwise; a class `Model` is called `ModelNew` if asked."""
    lines = source.encode().splitlines(keepends=True)  # ast counts columns in bytes
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    for expression, text in sorted(edits, key=lambda e: (e[0].lineno, e[0].col_offset), reverse=True):
        line, last = expression.lineno - 1, (expression.end_lineno or expression.lineno) - 1
        if line == last:
            whole = lines[line]
            lines[line] = whole[: expression.col_offset] + text.encode() + whole[expression.end_col_offset or 0 :]
    chosen = b"".join(lines[first - 1 : node.end_lineno]).decode().rstrip("\n") + "\n"
    return chosen.replace("class Model", "class ModelNew", 1) if renamed else chosen
