"""A submission to GPU MODE: a Python file with ``custom_kernel(data)``.

Its text stays as it is, line by line, but for the imports of the problem's own `task` (types, which become `object`) and
`utils`; below it, ModelNew calls `custom_kernel` with the data as `generate_input` made it, buffers for results new each time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import KernelError

__all__ = ["SUFFIXES", "kernel_of", "refuse_other_languages"]

SUFFIXES = frozenset({".py"})
_OTHERS = {
    "triton": "Triton", "tilelang": "TileLang", "tvm": "TVM", "cutlass": "CuTe's Python language", "helion": "Helion",
    "aiter": "AMD's aiter", "numba": "Numba", "mojo": "Mojo", "max": "Mojo", "warp": "Warp", "taichi": "Taichi",
}  # fmt: skip
_BELOW = """

# ---- made for this task: what generate_input() returns goes to custom_kernel() ----

import torch


def _opened(value):
    if type(value) is list and len(value) == 3 and value[0] == "empty":
        return value[2].new_empty(value[1])
{bits}    if type(value) in (list, tuple):
        return type(value)(_opened(each) for each in value)
    return {{key: _opened(each) for key, each in value.items()}} if type(value) is dict else value


class ModelNew(torch.nn.Module):
    def forward(self, *data):
        opened = tuple(_opened(each) for each in data)
        return custom_kernel(opened if len(opened) > 1 else opened[0])
"""
_BITS = """    if type(value) is list and len(value) == 3 and value[0] == "bits":
        return value[2].view(_SHORT[value[1]])
"""
_SHORT = """
_SHORT = {
    "float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2,
    "float8_e4m3fnuz": torch.float8_e4m3fnuz, "float8_e5m2fnuz": torch.float8_e5m2fnuz,
}
"""


def kernel_of(task: Task, text: str, path: str | None = None) -> str:
    """The kernel module around a submission.

    Raises:
        KernelError: it defines no `custom_kernel`, is in a language that can't be judged here, or uses the checker's files.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise KernelError(f"the submission is not valid Python: {error.msg}.", path=path, line=error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise KernelError(f"the submission is not valid Python: {error}.", path=path) from error
    refuse_other_languages(tree, path)
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names |= {n.id for s in tree.body if isinstance(s, ast.Assign) for n in ast.walk(s) if isinstance(n, ast.Name)}
    if "custom_kernel" not in names:
        raise KernelError(
            "the submission defines no custom_kernel.", path=path,
            mend="A submission to GPU MODE defines custom_kernel(data); a kernel of ours defines ModelNew.",
        )  # fmt: skip
    if "ModelNew" in names:
        raise KernelError("the submission defines ModelNew and custom_kernel.", path=path, mend="Keep one of them.")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").encode().splitlines()
    for node, instead in _imports(tree, path):
        last = node.end_lineno or node.lineno
        first = lines[node.lineno - 1][: node.col_offset] + instead.encode()
        lines[last - 1] = (b"" if last > node.lineno else first) + lines[last - 1][node.end_col_offset or 0 :]
        if last > node.lineno:
            lines[node.lineno - 1 : last - 1] = [first, *[b""] * (last - node.lineno - 1)]
    short = any(word in task.source for word in ("float8", "_mm("))
    below = _BELOW.format(bits=_BITS if short else "")
    if short:
        below = below.replace("import torch\n", f"import torch\n{_SHORT}", 1)
    if constants_of(task.source).get("EMPTY") is None:
        raise KernelError("the task is none of GPU MODE.", path=path, mend="Give a kernel module with ModelNew.")
    return b"\n".join(lines).decode().rstrip("\n") + "\n" + below


def refuse_other_languages(tree: ast.Module, path: str | None) -> None:
    """Raises KernelError where a module of another kernel language is imported."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for module in modules:
            if language := _OTHERS.get(module.partition(".")[0]):
                raise KernelError(
                    f"it imports {module}: kernels in {language} can't be judged here, the emulator and the rules read CUDA C++.",
                    path=path,
                    line=node.lineno,
                    mend="Submit CUDA C++ through cupy.RawModule or torch.utils.cpp_extension.load_inline.",
                )


def _imports(tree: ast.Module, path: str | None) -> Iterator[tuple[ast.stmt, str]]:
    """Imports of the problem's files, and what stands in their place."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            taken = sorted({alias.name for alias in node.names} & {"task", "utils", "reference", "eval"})
            module = taken[0] if taken else ""
        else:
            module = node.module or "" if isinstance(node, ast.ImportFrom) and not node.level else ""
        if module not in {"task", "utils", "reference", "eval"}:
            continue
        assert isinstance(node, ast.Import | ast.ImportFrom)
        names = [alias.asname or alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom) and module == "task" and "*" not in names:
            yield node, " = ".join([*names, "object"])
        elif isinstance(node, ast.ImportFrom) and not used & set(names) and "*" not in names:
            yield node, "pass"
        else:
            raise KernelError(
                f"it uses {module}.py of the problem, which belongs to the checker.", path=path, line=node.lineno,
                mend="Import nothing but types from task, and write what is needed into the submission.",
            )  # fmt: skip
