"""A definition of FlashInfer-Bench and its workloads as checked data: what is not as the format has it is told in one sentence."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelwright.errors import TaskError

__all__ = ["Definition", "GivenWorkload", "TensorOf", "definition_of", "workload_of"]

_SHAPE = "A definition is a JSON object with name, op_type, axes, inputs, outputs and reference, a Python text that defines run()."
FLOATS = ("float32", "float16", "bfloat16")
FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
INTEGERS = ("int64", "int32", "int16", "int8")
_MOST = 64  # inputs, outputs, axes of one definition; the largest that we know of has 11
_MOST_ELEMENTS = 1 << 40


@dataclass(frozen=True)
class TensorOf:
    """An input or output: names of axes, None for a plain number; a dtype as torch spells it; what it says of itself."""

    shape: tuple[str, ...] | None
    dtype: str
    description: str = ""


@dataclass(frozen=True)
class Definition:
    """What a kernel is to compute."""

    name: str
    op_type: str
    constants: Mapping[str, int]
    """Axes with a fixed value."""
    variables: tuple[str, ...]
    """Axes whose value a workload gives."""
    inputs: Mapping[str, TensorOf]
    outputs: Mapping[str, TensorOf]
    reference: str
    constraints: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class GivenWorkload:
    """One set of axes, numbers and files."""

    uuid: str
    axes: Mapping[str, int]
    scalars: Mapping[str, int | float | bool] = field(default_factory=dict)
    stored: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Inputs that lie in a safetensors file: its path below the collection, and the key in it."""
    random: frozenset[str] = frozenset()
    """Inputs that the workload says are random."""


def definition_of(text: str, path: str) -> Definition:
    """Reads the text of a definition.

    Raises:
        TaskError: it is none.
    """

    def fail(why: str) -> TaskError:
        return TaskError(why, path=path, mend=_SHAPE)

    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise fail(f"the file is not JSON: {str(error)[:120]}.") from error
    if not isinstance(data, dict):
        raise fail("the file holds no JSON object.")
    missing = [key for key in ("name", "axes", "inputs", "outputs", "reference") if not data.get(key)]
    if missing:
        raise fail(f"the definition has no {' and no '.join(missing)}.")
    name, reference = data["name"], data["reference"]
    if not isinstance(name, str) or not isinstance(reference, str):
        raise fail("name and reference of a definition are text.")
    for key in ("axes", "inputs", "outputs"):
        group = data[key]
        if not isinstance(group, dict) or len(group) > _MOST:
            raise fail(f"{key} of the definition is no JSON object of at most {_MOST} names.")
        for each in group:
            if not _name(each):
                raise fail(f"{each[:60]!r} in {key} can't be a name in Python.")
    constants: dict[str, int] = {}
    variables: list[str] = []
    for axis, said in data["axes"].items():
        kind = said.get("type") if isinstance(said, dict) else None
        if kind == "const" and type(said.get("value")) is int and 0 < said["value"] < _MOST_ELEMENTS:
            constants[axis] = said["value"]
        elif kind == "var":
            variables.append(axis)
        else:
            raise fail(f"the axis {axis!r} is neither a constant of a whole number above 0 nor variable.")
    inputs, outputs = (_tensors(data[key], data["axes"], fail) for key in ("inputs", "outputs"))
    if twice := sorted(set(inputs) & set(outputs)):
        raise fail(f"{twice[0]!r} is an input and an output.")
    _check_reference(reference, fail)
    constraints = data.get("constraints") or []
    if not isinstance(constraints, list) or not all(isinstance(each, str) for each in constraints):
        raise fail("constraints of the definition is no list of texts.")
    return Definition(
        name, str(data.get("op_type") or ""), constants, tuple(variables), inputs, outputs, reference,
        tuple(constraints), str(data.get("description") or ""),
    )  # fmt: skip


def _name(text: Any) -> bool:
    return isinstance(text, str) and bool(re.fullmatch(r"[A-Za-z]\w{0,80}", text, re.ASCII))


def _tensors(group: Mapping[str, Any], axes: Mapping[str, Any], fail: Any) -> dict[str, TensorOf]:
    found = {}
    for name, said in group.items():
        shape = said.get("shape") if isinstance(said, dict) else ...
        if shape is not None and (
            not isinstance(shape, list) or not all(isinstance(a, str) and a in axes for a in shape)
        ):
            raise fail(f"the shape of {name!r} is no list of names of axes.")
        if not isinstance(said.get("dtype"), str):
            raise fail(f"{name!r} has no dtype.")
        found[name] = TensorOf(
            None if shape is None else tuple(shape), said["dtype"], str(said.get("description") or "")
        )
    return found


def _check_reference(reference: str, fail: Any) -> None:
    try:
        tree = ast.parse(reference)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise fail(f"the reference is not valid Python: {str(error)[:120]}.") from error
    if not any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body):
        raise fail("the reference defines no run().")


def workload_of(line: str, definition: Definition) -> GivenWorkload | str:
    """One line of a workloads file, or why it is none for this definition."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return "a line of the workloads is not JSON"
    said = data.get("workload") if isinstance(data, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("axes"), dict):
        return "a line of the workloads holds no workload with axes"
    if data.get("definition") != definition.name:
        return f"a workload is for another definition, {str(data.get('definition'))[:60]!r}"
    axes = said["axes"]
    for axis in definition.variables:
        if type(axes.get(axis)) is not int or not 0 <= axes[axis] < _MOST_ELEMENTS:
            return f"a workload gives no value for the axis {axis!r}"
    scalars: dict[str, int | float | bool] = {}
    stored: dict[str, tuple[str, str]] = {}
    random: set[str] = set()
    inputs = said.get("inputs") or {}
    if not isinstance(inputs, dict):
        return "the inputs of a workload are no JSON object"
    for name, how in inputs.items():
        kind = how.get("type") if isinstance(how, dict) else None
        if name not in definition.inputs:
            return f"a workload has an input {name[:60]!r}, which the definition has not"
        if kind == "scalar" and isinstance(how.get("value"), int | float | bool):
            scalars[name] = how["value"]
        elif kind == "safetensors" and isinstance(how.get("path"), str) and isinstance(how.get("tensor_key"), str):
            stored[name] = (how["path"], how["tensor_key"])
        elif kind == "random":
            random.add(name)
        else:
            return f"a workload does not say how the input {name!r} is made"
    return GivenWorkload(
        str(said.get("uuid") or ""),
        {axis: axes[axis] for axis in definition.variables},
        scalars,
        stored,
        frozenset(random),
    )
