"""Reader for KernelBench-style files: `class Model`, `get_inputs()`, `get_init_inputs()`, sizes as module-level names.

The file is parsed here and run elsewhere (`kernelwright.sandbox.reference`): reading a task never executes it.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from kernelwright.bench_tasks.backward import backward_of
from kernelwright.bench_tasks.literals import refuse_misspelt
from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.workloads import workloads_of
from kernelwright.errors import TaskError

__all__ = ["FORMATS", "read_task", "task_from_source"]

FORMATS = ("kernelbench", "robust-kbench", "flashinfer-bench", "gpu-mode")
"""What `Task.format` is; the first where a file does not say otherwise."""
_LARGEST = 4 << 20  # bytes; the largest KernelBench file has 15 kB
_SHAPE = "A task file defines class Model(torch.nn.Module), get_inputs() and get_init_inputs()."


def read_task(path: Path) -> Task:
    """Reads a task file.

    Raises:
        TaskError: the file is missing, unreadable, not Python, lacks a name, or has one that is almost one of ours; names the line
            and the mend.
    """
    shown = str(path)
    if not path.exists():
        raise TaskError("there is no such file.", path=shown, mend="Give the path of a KernelBench-style Python file.")
    if path.is_dir():
        raise TaskError("this is a directory, not a file.", path=shown, mend="Give the path of one Python file in it.")
    if not path.is_file():
        raise TaskError(
            "this is no regular file.", path=shown, mend="Give the path of a KernelBench-style Python file."
        )
    try:
        if path.stat().st_size > _LARGEST:
            raise TaskError(
                f"the file has {path.stat().st_size} bytes, over the limit of {_LARGEST}.", path=shown, mend=_SHAPE
            )
        source = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError("the file is not UTF-8 text.", path=shown, mend="Give a Python source file.") from error
    except OSError as error:
        raise TaskError(f"the file can't be read: {error.strerror}.", path=shown) from error
    name = re.sub(r"\W+", "_", path.stem).strip("_") or "task"
    task = task_from_source(source, name=name, path=shown)
    refuse_misspelt(ast.parse(source), shown)
    return task


def task_from_source(source: str, *, name: str, path: str | None = None) -> Task:
    """A task from source text.

    Raises:
        TaskError: it is not Python, or a name is missing.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise TaskError(
            f"the file is not valid Python: {error.msg}.", path=path, line=error.lineno, mend="Mend that line."
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise TaskError(f"the file is not valid Python: {error}.", path=path, mend=_SHAPE) from error
    names = _defined(tree)
    missing = [wanted for wanted in ("Model", "get_inputs") if wanted not in names]
    if missing:
        near = [n for n in names if n.lower() in {m.lower() for m in missing} or n in {"ModelNew", "Net", "Module"}]
        found = f" (found {', '.join(sorted(near))})" if near else ""
        raise TaskError(f"the file defines no {' and no '.join(missing)}{found}.", path=path, mend=_SHAPE)
    return Task(
        name=name, source=source, path=path, format=_format_of(tree), workloads=workloads_of(tree, path),
        backward=backward_of(tree, path),
    )  # fmt: skip


def _format_of(tree: ast.Module) -> str:
    """What a reader of another system's format wrote behind a task's own text: ``FORMAT = "robust-kbench"``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "FORMAT" for t in node.targets):
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            if isinstance(value, str) and value in FORMATS:
                return value
    return FORMATS[0]


def _defined(tree: ast.Module) -> dict[str, int]:
    """Names bound at module level, wherever: in `if` and `try` too, and by star imports (then nothing is missing)."""
    names: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.setdefault(node.name, node.lineno)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    names |= {"Model": node.lineno, "get_inputs": node.lineno}
                names.setdefault(alias.asname or alias.name, node.lineno)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, node.lineno)
    return names
