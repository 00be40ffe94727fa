"""Rules about torch: which calls in forward() compute, and whether the task's reference does the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from kernelwright.verifier.static.collect import Findings
from kernelwright.verifier.static.module import PythonModule
from kernelwright.verifier.static.origins import Origins
from kernelwright.verifier.static.scopes import Scope
from kernelwright.verifier.static.torch_names import canonical, computes, computing_method, is_module_class
from kernelwright.verifier.static.wordlists import words

__all__ = ["TorchCall", "check_host", "check_torch", "reference_ops", "torch_calls"]

_OPERATORS = {ast.MatMult: ("@", "matmul"), ast.Add: ("+", "add"), ast.Sub: ("-", "sub"), ast.Mult: ("*", "mul"),
              ast.Div: ("/", "div"), ast.Pow: ("**", "pow")}  # fmt: skip
_OPERATOR_FUNCTIONS = words("matmul add sub mul truediv pow neg abs")
_LARGEST_VALUE = 400  # nodes of an attribute's value: nn.Sequential with some hundred layers


@dataclass(frozen=True)
class TorchCall:
    """A place where torch computes."""

    op: str
    """Its canonical name: `matmul`, `layernorm`."""
    written: str
    """As a reader knows it: ``torch.matmul()``, ``x.softmax()``, ``nn.Linear``."""
    node: ast.AST
    scope: Scope
    certain: bool = True
    """False for operators, which numbers have as well."""


def torch_calls(module: PythonModule, origins: Origins) -> Iterator[TorchCall]:
    """Where forward(), or what it calls, lets torch compute."""
    for node, scope in module.nodes(ast.Call):
        if module.is_hot(scope) and (call := torch_call(module, origins, node, scope)):
            yield call
    for term, scope in module.nodes(ast.BinOp, ast.AugAssign):
        if module.is_hot(scope) and isinstance(term.op, ast.MatMult):
            yield TorchCall("matmul", "the operator @", term, scope)
        elif module.is_hot(scope) and type(term.op) in _OPERATORS and _may_be_tensor(term, scope):
            sign, op = _OPERATORS[type(term.op)]
            yield TorchCall(op, f"the operator {sign}", term, scope, False)


def torch_call(module: PythonModule, origins: Origins, node: ast.Call, scope: Scope) -> TorchCall | None:
    """What torch computes by this call, if it does."""
    name = module.name(node.func, scope)
    if name is not None:
        if op := computes(name):
            return TorchCall(canonical(op), f"{name}()", node, scope)
        if name.startswith("operator.") and name.rpartition(".")[2] in _OPERATOR_FUNCTIONS:
            op = name.rpartition(".")[2]
            return TorchCall(canonical(op), f"{name}()", node, scope, op == "matmul")
        if name.startswith("torch.nn.") and not name.startswith("torch.nn.functional") and is_module_class(name):
            parent = module.scopes.parents.get(node)
            if isinstance(parent, ast.Call) and parent.func is node:  # nn.Linear(...)(x)
                return TorchCall(canonical(name), f"{name}", node, scope)
        return None
    if call := _attribute_call(module, node, scope):
        return call
    if not isinstance(node.func, ast.Attribute):
        return None
    attribute = node.func.attr
    if computing_method(attribute) and not _own_object(module, origins, node.func, scope):
        return TorchCall(canonical(attribute), f"the method {attribute}()", node, scope)
    return None


def _attribute_call(module: PythonModule, node: ast.Call, scope: Scope) -> TorchCall | None:
    """``self.linear(x)`` where a model's attribute is a layer of torch.nn's, also within a list, or an op of torch's."""
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr in {"forward", "__call__"}:
        function = function.value
    while isinstance(function, ast.Subscript):
        function = function.value
    if not (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self"
    ):
        return None
    for value, where in module.attributes.get(function.attr, ()):
        if (named := module.name(value, where)) and (op := computes(named)):
            return TorchCall(canonical(op), f"self.{function.attr}, which is {named}()", node, scope)
        for part in islice(ast.walk(value), _LARGEST_VALUE):
            if (
                isinstance(part, ast.Call)
                and (name := module.name(part.func, where))
                and is_module_class(name)
                and not name.endswith(".Sequential")
            ):
                return TorchCall(canonical(name), f"self.{function.attr}, a {name.removeprefix('torch.')}", node, scope)
    return None


def _own_object(module: PythonModule, origins: Origins, function: ast.Attribute, scope: Scope) -> bool:
    """Whether a method is one of the module's own, of a compiled module, or of another library."""
    if module.name(function.value, scope):
        return True
    for made in module.definitions(function.value, scope):
        if isinstance(made, ast.ClassDef) and any(getattr(child, "name", "") == function.attr for child in made.body):
            return True
    return not isinstance(function.value, ast.Call) and origins.is_built(function.value, scope)


def _may_be_tensor(node: ast.BinOp | ast.AugAssign, scope: Scope) -> bool:
    """Whether an operand is an argument of forward() itself, which is a tensor as a rule."""
    sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.target, node.value]
    return any(isinstance(side, ast.Name) and _is_argument(side.id, scope) for side in sides)


def _is_argument(name: str, scope: Scope) -> bool:
    function = scope.node
    if not isinstance(function, ast.FunctionDef) or function.name != "forward" or name in {"self", "ctx"}:
        return False
    arguments = function.args.posonlyargs + function.args.args
    plain = [
        a for a in arguments if not (isinstance(a.annotation, ast.Name) and a.annotation.id in {"int", "float", "bool"})
    ]
    return name in {a.arg for a in plain}


def reference_ops(source: str) -> frozenset[str]:
    """Canonical names of the ops that a task's reference computes in its forward(); empty if it can't be read."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    module = PythonModule(source, tree, "Model")
    return frozenset(call.op for call in torch_calls(module, Origins(module)))


def check_torch(module: PythonModule, origins: Origins, found: Findings, known: frozenset[str] | None) -> None:
    """Adds a finding per call that torch computes; `known` are the ops of the task's reference, None if not given."""
    for call in torch_calls(module, origins):
        if known is None:
            about = "torch computes it"
        elif call.op in known:
            about = "the reference computes it too, and here it is left to torch"
        else:
            about = "torch computes it, and the reference has no such operation"
        if call.certain:
            found.add("left_to_torch", f"forward() uses {call.written}: {about}.", call.node)
        else:
            found.add("tensor_operator", f"forward() uses {call.written}: on tensors, {about}.", call.node)


_HOST_METHODS = words("tolist numpy")
_NUMPY_PLAIN = words(
    """int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 intp uintp bool_ dtype prod array
    asarray ascontiguousarray empty zeros ones full frombuffer iinfo finfo ceil floor ndarray testing shape ndim
    float_ int_ double single half longlong ulonglong uintc intc byte ubyte short ushort"""
)


def check_host(module: PythonModule, found: Findings) -> None:
    """Adds a finding per place where forward() takes a tensor's values to the host, or computes with numpy."""
    for node, scope in module.nodes(ast.Call):
        if not module.is_hot(scope):
            continue
        name = module.name(node.func, scope) or ""
        if name.startswith("numpy.") and name.split(".")[1] not in _NUMPY_PLAIN:
            found.add("left_to_host", f"forward() uses {name}(), which computes on the host.", node)
        elif not name and isinstance(node.func, ast.Attribute) and node.func.attr in _HOST_METHODS and not node.args:
            found.add("left_to_host", f"forward() takes a tensor's values to the host by {node.func.attr}().", node)
