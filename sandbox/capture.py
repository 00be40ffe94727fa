"""Captures a module as a Graph by torch.export. Runs in the reference process: the user's code runs here.

The module is exported as it stands (its training flag is not touched), decomposed to core ATen, except for operations that
the built-in coder has a better kernel for as a whole (`KEPT_WHOLE`).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram, default_decompositions, export
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.utils import _pytree as pytree

from kernelwright.bench_tasks.graph import Graph, GraphInput, GraphNode, StateEntry, TensorMeta, encode_number

__all__ = ["KEPT_WHOLE", "LARGEST_CONSTANT", "capture"]

_log = logging.getLogger(__name__)

KEPT_WHOLE = (
    "_log_softmax.default",
    "_softmax.default",
    "addmm.default",
    "baddbmm.default",
    "bmm.default",
    "gelu.default",
    "hardsigmoid.default",
    "hardswish.default",
    "linear.default",
    "mm.default",
    "native_group_norm.default",
    "native_layer_norm.default",
    "scaled_dot_product_attention.default",
    "silu.default",
    "softplus.default",
    "mish.default",
)
"""Overloads of torch.ops.aten that are not decomposed: their kernels are written from the whole operation."""

LARGEST_CONSTANT = 4096
"""Elements of the largest constant tensor that travels by value; the text of it lands in the kernel's source."""


def capture(module: torch.nn.Module, example_inputs: tuple[Any, ...]) -> Graph:
    """The module as a Graph, specialised to the shapes and dtypes of `example_inputs`.

    Never raises for what the module does: when it can't be expressed, the Graph's `problem` says why in a sentence
    or two. Neither the module nor the inputs are changed.
    """
    # Two arguments that are the same tensor would be exported as one.
    cloned = tuple(value.detach().clone() if isinstance(value, torch.Tensor) else value for value in example_inputs)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch's own deprecation notices, nothing a reader could act on
            program = export(module, cloned, strict=False)
            table = default_decompositions()
            for name in KEPT_WHOLE:
                packet, overload = name.split(".")
                table.pop(getattr(getattr(torch.ops.aten, packet), overload), None)
            program = program.run_decompositions(table)
    except Exception as error:  # noqa: BLE001  the user's module may raise anything while it is traced
        _log.debug("export failed", exc_info=True)
        return Graph(problem=f"torch.export can't express this module: {_first_line(error)}")
    try:
        return _convert(program, module, cloned)
    except _Problem as problem:
        return Graph(problem=str(problem))


class _Problem(Exception):
    """Why a program can't become a Graph."""


def _first_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:400]


def _meta(tensor: torch.Tensor) -> TensorMeta:
    for extent in (*tensor.shape, *tensor.stride()):
        if not isinstance(extent, int):
            raise _Problem("a shape depends on the values of a tensor, so no kernel can be made for it")
    return TensorMeta(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tuple(tensor.stride()))


def _argument(value: object) -> Any:
    if isinstance(value, torch.fx.Node):
        return {"ref": value.name}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return encode_number(value)
    if isinstance(value, list | tuple):
        return [_argument(item) for item in value]
    return {"other": str(value)}


def _outputs(value: object) -> tuple[TensorMeta | None, ...]:
    if isinstance(value, torch.Tensor):
        return (_meta(value),)
    if isinstance(value, list | tuple):
        return tuple(_meta(item) if isinstance(item, torch.Tensor) else None for item in value)
    return (None,)


def _constant(tensor: torch.Tensor) -> Any:
    if tensor.numel() > LARGEST_CONSTANT or tensor.is_complex():
        return None

    def encode(value: Any) -> Any:
        return [encode(item) for item in value] if isinstance(value, list) else encode_number(value)

    return encode(tensor.detach().cpu().tolist())


def _convert(program: ExportedProgram, module: torch.nn.Module, example_inputs: tuple[Any, ...]) -> Graph:
    signature = program.graph_signature
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    names = _argument_names(program, len(example_inputs))
    inputs: list[GraphInput] = []
    position = 0
    for spec in signature.input_specs:
        name = spec.arg.name
        if spec.kind is InputKind.USER_INPUT:
            if position >= len(example_inputs):
                raise _Problem("forward takes arguments that are nested in lists or dictionaries")
            if isinstance(spec.arg, ConstantArgument):
                value = spec.arg.value
                if value is not None and not isinstance(value, bool | int | float | str):
                    raise _Problem(f"argument {names[position]!r} of forward is neither a tensor nor a number")
                inputs.append(GraphInput(name, "scalar", names[position], position, None, _argument(value)))
            elif not isinstance(example_inputs[position], torch.Tensor):
                raise _Problem(f"argument {names[position]!r} of forward is a nest of tensors")
            else:
                meta = _meta(placeholders[name].meta["val"])
                inputs.append(GraphInput(name, "user", names[position], position, meta))
            position += 1
            continue
        target = str(spec.target)
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            tensor = program.state_dict.get(target)
            if tensor is not None:
                kind = "parameter" if spec.kind is InputKind.PARAMETER else "buffer"
                inputs.append(GraphInput(name, kind, target, None, _meta(tensor)))
                continue
        tensor = program.constants.get(target)
        if not isinstance(tensor, torch.Tensor):
            raise _Problem(f"the module uses {target!r}, which is no tensor")
        inputs.append(GraphInput(name, "constant", target, None, _meta(tensor), _constant(tensor)))
    if position != len(example_inputs):
        raise _Problem("forward takes arguments that are nested in lists or dictionaries")
    return Graph(tuple(inputs), _nodes(program), _output(program), _state(module))


def _argument_names(program: ExportedProgram, count: int) -> list[str]:
    named = program.module_call_graph[0].signature
    names = list(named.forward_arg_names or []) if named is not None else []
    if len(names) != count:
        names = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]
    if len(names) != count or len(set(names)) != count or not all(name.isidentifier() for name in names):
        names = [f"input_{index}" for index in range(count)]
    return names


def _nodes(program: ExportedProgram) -> tuple[GraphNode, ...]:
    nodes: list[GraphNode] = []
    for node in program.graph.nodes:
        if node.op in ("placeholder", "output"):
            continue
        if node.op != "call_function":
            raise _Problem(f"the exported graph holds a {node.op} named {node.target!r}")
        target: Any = node.target
        if getattr(target, "__name__", "") == "getitem" and not isinstance(target, torch._ops.OpOverload):
            op = "getitem"
        elif isinstance(target, torch._ops.OpOverload):
            op = str(target)
        else:
            raise _Problem(f"the module uses {getattr(target, '__name__', target)}, which is no ATen operation")
        kwargs = {key: _argument(value) for key, value in node.kwargs.items()}
        args = tuple(_argument(value) for value in node.args)
        nodes.append(GraphNode(node.name, op, args, kwargs, _outputs(node.meta.get("val"))))
    return tuple(nodes)


def _output(program: ExportedProgram) -> Any:
    leaves: list[Any] = []
    for spec in program.graph_signature.output_specs:
        if spec.kind is OutputKind.BUFFER_MUTATION:
            raise _Problem(f"the module changes its buffer {spec.target!r} while it runs; call eval() on it")
        if spec.kind is not OutputKind.USER_OUTPUT:
            raise _Problem(f"the module changes its argument {spec.target!r} in place")
        if isinstance(spec.arg, ConstantArgument):
            leaves.append(_argument(spec.arg.value))
        else:
            leaves.append({"ref": spec.arg.name})
    spec_tree = program.call_spec.out_spec
    if spec_tree is None:
        raise _Problem("the structure of the result is not known")
    return _structure(pytree.tree_unflatten([_Leaf(leaf) for leaf in leaves], spec_tree))


class _Leaf:
    def __init__(self, value: Any) -> None:
        self.value = value


def _structure(value: object) -> Any:
    if isinstance(value, _Leaf):
        return value.value
    if value is None:
        return None
    if isinstance(value, tuple):
        return {"tuple": [_structure(item) for item in value]}
    if type(value) is list:
        return {"list": [_structure(item) for item in value]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _structure(item) for key, item in value.items()}}
    raise _Problem(
        f"the module returns a {type(value).__name__}; only tensors, tuples, lists and dictionaries are known"
    )


def _state(module: torch.nn.Module) -> tuple[StateEntry, ...]:
    entries: list[StateEntry] = []
    first: dict[int, str] = {}
    persistent = set(module.state_dict(keep_vars=True))
    members: list[tuple[str, str, torch.Tensor]] = []
    members += [("parameter", name, tensor) for name, tensor in module.named_parameters(remove_duplicate=False)]
    members += [("buffer", name, tensor) for name, tensor in module.named_buffers(remove_duplicate=False)]
    for kind, name, tensor in members:
        entries.append(
            StateEntry(name, kind, _meta(tensor), name in persistent, bool(tensor.requires_grad), first.get(id(tensor)))
        )
        first.setdefault(id(tensor), name)
    return tuple(entries)
