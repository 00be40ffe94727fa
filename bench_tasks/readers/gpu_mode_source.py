"""The task file made of a GPU MODE problem: the text of `reference.py`, every line in its place, and below it a Model around `ref_kernel`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright.bench_tasks.readers.gpu_mode_specs import Settings
from kernelwright.bench_tasks.workloads import more_workloads
from kernelwright.errors import TaskError

__all__ = ["Reference", "check_reference", "source_of"]

_FILES = "its_files.py"
_IMPORTED = '''"""Lets the task import the other files of its problem, which came with it as attachments."""

import importlib.abc
import importlib.util
import sys


class _Attached(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, texts):
        self.texts = texts

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name + ".py" in self.texts else None

    def exec_module(self, module):
        exec(compile(self.texts[module.__name__ + ".py"], module.__name__ + ".py", "exec"), module.__dict__)


sys.meta_path.insert(0, _Attached(ATTACHMENTS))
'''
_ENABLE = f'exec(ATTACHMENTS["{_FILES}"], {{"ATTACHMENTS": ATTACHMENTS}}); '
_BELOW = '''

# ---- made from task.yml: the first benchmark is what is timed, workloads have other numbers here ----
{description}
import random as _random

import torch

{numbers}

{empty}FORMAT = "gpu-mode"
{more}

def specification():
    """Arguments of generate_input()."""
    return {{{arguments}}}


def closed(value, empty=False):
    """What is sent in the place of a tensor that a kernel is not given as it is: of a buffer for results its shape and a tensor
    without elements, of floating-point numbers of one byte their bits."""
    if isinstance(value, torch.Tensor) and empty:
        return ["empty", list(value.shape), value.new_empty(0)]
    if isinstance(value, torch.Tensor) and value.dtype.is_floating_point and value.dtype.itemsize == 1:
        return ["bits", str(value.dtype).removeprefix("torch."), value.view(torch.uint8)]
    if isinstance(value, torch.Tensor):
        return value.detach()
    if type(value) in (list, tuple):
        return type(value)(closed(each) for each in value)
    return {{key: closed(each) for key, each in value.items()}} if type(value) is dict else value


def opened(value):
    """The tensor that `closed` took away."""
    if type(value) is list and len(value) == 3 and value[0] == "empty":
        return value[2].new_empty(value[1])
    if type(value) is list and len(value) == 3 and value[0] == "bits":
        return value[2].view(getattr(torch, value[1]))
    if type(value) in (list, tuple):
        return type(value)(opened(each) for each in value)
    return {{key: opened(each) for key, each in value.items()}} if type(value) is dict else value


class Model(torch.nn.Module):
    """ref_kernel(data) of the problem."""

    def forward(self, *data):
        data = tuple(opened(each) for each in data)
        buffers = [data[place] for place in EMPTY]
        found = ref_kernel(data if len(data) > 1 else data[0])
        if len(buffers) == 1 and isinstance(found, torch.Tensor):
            found = found.to(buffers[0].dtype)  # some references answer in float64 where the buffer is for float32
        return found


def get_init_inputs():
    return []


def get_inputs():
    data = generate_input(**specification())
    if not isinstance(data, (tuple, list)):
        return [closed(data)]
    return [closed(each, place in EMPTY) for place, each in enumerate(data)]
'''
_MOST_LINES = 200  # of a description
_OWN = frozenset(
    {
        "Model",
        "get_inputs",
        "get_init_inputs",
        "specification",
        "closed",
        "opened",
        "CASE",
        "CASES",
        "EMPTY",
        "FORMAT",
        "MORE_WORKLOADS",
        "WORKLOADS",
        "BACKWARD",
        "ATTACHMENTS",
    }
)
_NEW = {"empty", "empty_like", "new_empty"}


@dataclass(frozen=True)
class Reference:
    """What the text of `reference.py` shows."""

    takes: tuple[str, ...]
    """Arguments of `generate_input`."""
    needs: tuple[str, ...]
    """Those without a default."""
    takes_any: bool
    """Whether it takes others by ``**``."""
    bound: frozenset[str]
    """Names of the top level: no number may be called so."""
    empty: tuple[int, ...]
    """Places in the data of buffers for results: tensors that are made and not filled."""


def check_reference(text: str, path: str) -> Reference:
    """What the reference defines.

    Raises:
        TaskError: it is no Python, lacks a function, or judges by something else than its `ref_kernel`.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise TaskError(f"reference.py is not valid Python: {error.msg}.", path=path, line=error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise TaskError(f"reference.py is not valid Python: {error}.", path=path) from error
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    missing = [name for name in ("ref_kernel", "generate_input") if name not in functions]
    if missing:
        raise TaskError(
            f"reference.py defines no {' and no '.join(missing)}, so that what a kernel is given and must return is not said.",
            path=path,
            mend="A problem's reference.py defines generate_input(...) and ref_kernel(data).",
        )
    if (check := functions.get("check_implementation")) is not None and not _reaches(check, "ref_kernel", functions):
        raise TaskError(
            "its check_implementation() never calls ref_kernel: it judges properties of the result, of which many are right. Here a kernel "
            "is compared with the reference.",
            path=path,
            line=check.lineno,
        )
    generate = functions["generate_input"].args
    every = [*generate.posonlyargs, *generate.args]
    keyword_needs = [
        each.arg for each, default in zip(generate.kwonlyargs, generate.kw_defaults, strict=True) if default is None
    ]
    needs = [each.arg for each in every[: len(every) - len(generate.defaults)]] + keyword_needs
    bound = {
        each.id for node in tree.body for each in ast.walk(node) if isinstance(each, ast.Name) and _stored_at_top(node)
    }
    bound |= set(functions) | {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    bound |= {
        (each.asname or each.name).partition(".")[0]
        for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for each in node.names
    }  # fmt: skip
    if clash := sorted(bound & _OWN):
        raise TaskError(f"reference.py defines {clash[0]!r}, a name that a task has a use for.", path=path)
    takes = tuple(each.arg for each in (*every, *generate.kwonlyargs))
    return Reference(
        takes, tuple(needs), generate.kwarg is not None, frozenset(bound), _buffers(functions["generate_input"])
    )


def _stored_at_top(node: ast.stmt) -> bool:
    return not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _reaches(function: ast.FunctionDef, wanted: str, functions: Mapping[str, ast.FunctionDef]) -> bool:
    """Whether a function mentions a name, or calls one of the file that does."""
    seen: set[str] = set()
    open_ = [function]
    while open_:
        for node in ast.walk(open_.pop()):
            if isinstance(node, ast.Name) and node.id == wanted:
                return True
            if isinstance(node, ast.Name) and node.id in functions and node.id not in seen:
                seen.add(node.id)
                open_.append(functions[node.id])
    return False


def _buffers(generate: ast.FunctionDef) -> tuple[int, ...]:
    """Places in the returned tuple of tensors that are made by `torch.empty` and the like and touched by nothing else."""
    returns = [node for node in ast.walk(generate) if isinstance(node, ast.Return)]
    if len(returns) != 1 or not isinstance(returns[0].value, ast.Tuple):
        return ()
    values: dict[str, list[ast.expr]] = {}
    touched: set[str] = set()
    for node in ast.walk(generate):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
                    continue
                for each in ast.walk(target):  # c[...] = 1, or one of several names
                    if isinstance(each, ast.Name):
                        touched.add(each.id)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            touched.add(node.func.value.id)  # c.uniform_()
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For) and isinstance(node.target, ast.Name):
            touched.add(node.target.id)

    def fresh(value: ast.expr) -> bool:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            if value.func.attr == "contiguous":
                return fresh(value.func.value)
            return value.func.attr in _NEW
        if isinstance(value, ast.Name):
            return value.id not in touched and len(values.get(value.id, [])) == 1 and fresh(values[value.id][0])
        return False

    return tuple(place for place, each in enumerate(returns[0].value.elts) if fresh(each))


def source_of(
    texts: Mapping[str, str], settings: Settings, reference: Reference, path: str, description: str = ""
) -> tuple[str, dict[str, bytes]]:
    """The text of the task file, and its attachments.

    Args:
        texts: the problem's files by name.
        description: what `task.yml` says to people.
    """
    text = texts["reference.py"]
    others = {name: other for name, other in texts.items() if name != "reference.py"}
    attachments = {name: other.encode() for name, other in others.items()}
    if others:
        attachments[_FILES] = _IMPORTED.encode()
        text = _with_imports(text, path)
    numbers = [f"{name} = {value}" for name, value in settings.numbers.items()]
    arguments = [f'"{name}": {name}' for name in settings.numbers]
    if len(settings.cases) > 1:
        rows = "".join(f"    {dict(case)!r},\n" for case in settings.cases)
        numbers += [f"CASES = (\n{rows})", "CASE = 0"]
        arguments.append("**CASES[CASE]")
    elif settings.cases[0]:
        arguments += [f"{name!r}: {value!r}" for name, value in settings.cases[0].items()]
    if settings.seeded:
        arguments.append('"seed": _random.randrange(1 << 16)')
    said = ["".join(c for c in line if c.isprintable())[:200] for line in description.splitlines()[:_MOST_LINES]]
    below = _BELOW.format(
        description="".join(f"# {line}".rstrip() + "\n" for line in said),
        numbers="\n".join(numbers),
        arguments=", ".join(arguments),
        more=more_workloads(settings.further),
        empty=f"EMPTY = {reference.empty!r}  # places in the data of buffers for results: a kernel makes its own\n",
    )
    return text.rstrip("\n") + "\n" + below, attachments


def _with_imports(text: str, path: str) -> str:
    """The text, with its first import after the one that makes it possible, in the same line."""
    tree = ast.parse(text)
    first = next(
        (
            node for node in tree.body
            if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module != "__future__")
        ),
        None,
    )  # fmt: skip
    if first is None:
        return text
    lines = text.encode().splitlines(keepends=True)
    line = lines[first.lineno - 1]
    at = first.col_offset
    if line[:at].strip():
        raise TaskError("reference.py has its first import behind something else in the same line.", path=path)
    lines[first.lineno - 1] = line[:at] + _ENABLE.encode() + line[at:]
    return b"".join(lines).decode()
