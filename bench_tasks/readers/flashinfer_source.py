"""The task file made of a FlashInfer-Bench definition: its reference as it is, and below it axes, inputs and a Model around run()."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Mapping, Sequence

from kernelwright.bench_tasks.readers.flashinfer_definition import (
    FLOAT8,
    FLOATS,
    INTEGERS,
    Definition,
    GivenWorkload,
    TensorOf,
)
from kernelwright.bench_tasks.readers.flashinfer_inputs import HELPERS, Recipe, derived_axes, recipe_of
from kernelwright.bench_tasks.workloads import more_workloads
from kernelwright.errors import TaskError

__all__ = ["source_of"]

_OWN = frozenset(
    {
        "Model",
        "get_inputs",
        "get_init_inputs",
        "INPUTS",
        "OUTPUTS",
        "WORKLOAD",
        "NUMBERS",
        "FORMAT",
        "WORKLOADS",
        "MORE_WORKLOADS",
        "BACKWARD",
        "ATTACHMENTS",
        *HELPERS,
    }
)
_SAMPLED = 'WORKLOADS = [{"distribution": "as_given", "seeds": 8}]\n'  # other numbers are no probabilities
_FILE = '''# {title}
# A definition of FlashInfer-Bench{kind}. Its reference, as it is:

{reference}


# Made from the definition{origin}:

import torch

{constants}

FORMAT = "flashinfer-bench"
{more}
# what goes in and out: names of axes (None is a plain number) and dtype{note}
INPUTS = {inputs}
OUTPUTS = {outputs}
{helpers}

class Model(torch.nn.Module):
    """run() of the reference."""

    def forward(self, {names}):
        found = run({arguments})
        return tuple(found[name] for name in OUTPUTS) if isinstance(found, dict) else found


def get_init_inputs():
    return []


def get_inputs():
{lines}
    return [{names}]
'''


def source_of(
    definition: Definition,
    sizes: Mapping[str, int],
    workloads: Sequence[GivenWorkload],
    *,
    stored: frozenset[str],
    further: Sequence[tuple[str, Mapping[str, int]]],
    path: str,
) -> str:
    """The text of the task file.

    Args:
        sizes: of the variable axes, at which it is timed.
        workloads: those that are used, the timed one first; empty where the collection has none.
        further: names and sizes of the workloads that are not timed.
        stored: inputs of which a workload has a file, attached as ``{number of the workload}/{input}``.

    Raises:
        TaskError: it can't be translated.
    """

    def fail(why: str, mend: str = "") -> TaskError:
        return TaskError(why, path=path, mend=mend)

    arguments = _arguments(definition, fail)
    for name, spec in definition.outputs.items():
        if spec.shape is None or spec.dtype not in (*FLOATS, *INTEGERS, "bool"):
            what = f"of dtype {spec.dtype}" if spec.shape is not None else "a plain number"
            raise fail(f"the output {name!r} is {what}, which can't be compared here.")
    scalars = {name: value for each in workloads for name, value in each.scalars.items()}
    numbers = [dict(each.scalars) for each in workloads]
    given = [name for name, spec in definition.inputs.items() if spec.shape is None and all(name in n for n in numbers)]
    given = given if workloads else []
    recipes: dict[str, Recipe] = {}
    for name in definition.inputs:
        if name in given:
            continue
        drawn = any(name in each.random for each in workloads)
        found = recipe_of(definition, name, scalars, drawn=drawn)
        if isinstance(found, str):
            if name not in stored:
                mend = (
                    "Give a workload that has it, in workloads/NAME.jsonl with its safetensors file, if there is one."
                )
                raise fail(found, mend)
            found = Recipe("")
        recipes[name] = found
    derived = derived_axes(definition)
    body = [f"    {axis} = {text}" for axis, text in derived.items() if axis in definition.variables]
    for name in _ordered(recipes):
        body += _made(name, definition.inputs[name], recipes[name].text, name in stored)
    same = all(each == numbers[0] for each in numbers)
    body += [f'    {name} = NUMBERS[max(WORKLOAD, 0)]["{name}"]' for name in given if not same]
    text = "\n".join(body) or "    pass"
    constants = [f"{axis} = {value}" for axis, value in definition.constants.items()]
    constants += [f"{axis} = {value}" for axis, value in sizes.items() if axis not in derived]
    if stored or not same:
        constants.append("WORKLOAD = 0")
    if given and same:
        constants += [f"{name} = {numbers[0][name]!r}" for name in given]
    elif given:
        constants.append(f"NUMBERS = {[{name: n[name] for name in given} for n in numbers]!r}")
    float8 = any(spec.dtype in FLOAT8 for spec in definition.inputs.values())
    return _FILE.format(
        title=_line(f"{definition.name}: {definition.description}" if definition.description else definition.name),
        kind=f" ({_line(definition.op_type)})" if definition.op_type else "",
        reference=definition.reference.replace("\r\n", "\n").strip("\n"),
        origin=" and its workloads" if workloads else "; no workload gives sizes, so the variable ones are ours",
        constants="\n".join(constants),
        more=_SAMPLED * (definition.op_type == "sampling") + more_workloads(further),
        note="; of float8 the bits come in uint8" if float8 else "",
        inputs=_literal(definition.inputs),
        outputs=_literal(definition.outputs),
        helpers="\n".join(code for name, code in HELPERS.items() if f"{name}(" in text),
        names=", ".join(definition.inputs),
        arguments=arguments,
        lines=text,
    )


def _arguments(definition: Definition, fail: object) -> str:
    """How run() is called, once no name stands in the way of another."""
    assert callable(fail)
    tree = ast.parse(definition.reference)
    bound = _bound(tree)
    axes = {*definition.constants, *definition.variables}
    for name in (*axes, *definition.inputs):
        if keyword.iskeyword(name) or name in {"torch", "run", "self"} or name in _OWN:
            raise fail(f"{name!r} can't be the name of an axis or input here.")
    if clash := sorted((axes | _OWN) & bound):
        raise fail(f"the reference defines {clash[0]!r} itself, so that no axis or function can have that name.")
    if clash := sorted(axes & set(definition.inputs)):
        raise fail(f"{clash[0]!r} is an axis and an input.")
    run = next(node for node in reversed(tree.body) if isinstance(node, ast.FunctionDef) and node.name == "run")
    takes = [each.arg for each in (*run.args.posonlyargs, *run.args.args, *run.args.kwonlyargs)]
    names = list(definition.inputs)
    opened = {
        name: f"{name}.view(torch.{spec.dtype})" if spec.dtype in FLOAT8 and spec.shape is not None else name
        for name, spec in definition.inputs.items()
    }
    if set(names) <= {each.arg for each in (*run.args.args, *run.args.kwonlyargs)} or run.args.kwarg:
        return ", ".join(f"{name}={opened[name]}" for name in names)
    if len(takes) - len(run.args.defaults) <= len(names) <= len(takes) or run.args.vararg:
        return ", ".join(opened.values())
    raise fail(f"run() takes {', '.join(takes) or 'nothing'}, but the inputs are {', '.join(names)}.")


def _bound(tree: ast.Module) -> set[str]:
    """Names that the top level of a file binds."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                found.add(each.id)
            elif isinstance(each, ast.alias):
                found.add((each.asname or each.name).partition(".")[0])
    return found


def _ordered(recipes: Mapping[str, Recipe]) -> list[str]:
    """The inputs, each after those that it reads."""
    found: list[str] = []

    def put(name: str, depth: int = 0) -> None:
        if name in found or name not in recipes or depth > len(recipes):
            return
        for other in recipes[name].after:
            put(other, depth + 1)
        if name not in found:
            found.append(name)

    for name in recipes:
        put(name)
    return found


def _made(name: str, spec: TensorOf, text: str, stored: bool) -> list[str]:
    if not stored:
        return [f"    {name} = {text}"]
    shape = ", ".join(spec.shape or ())
    dtype = "uint8" if spec.dtype in FLOAT8 else spec.dtype
    kept = [f'    {name} = _stored("{name}", ({shape},), torch.{dtype})']
    return [*kept, f"    if {name} is None:", f"        {name} = {text}"] if text else kept


def _literal(tensors: Mapping[str, TensorOf]) -> str:
    rows = [f"    {name!r}: ({spec.shape!r}, {spec.dtype!r})," for name, spec in tensors.items()]
    return "\n".join(["{", *rows, "}"])


def _line(text: str) -> str:
    """One line of a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]
