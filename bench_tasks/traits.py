"""What a task's source says of it without being run: which operations it uses, on which dtypes and shapes.

Read from the syntax tree, so it is a guess where the source is clever: a task that builds its layers in a loop over names says
nothing of them. Good enough to find tasks that are alike, not to decide anything about one.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

__all__ = [
    "LIGHT",
    "NO_OPERATION",
    "OPERATORS",
    "Traits",
    "alike",
    "dotted",
    "imported_names",
    "plain",
    "shapes_alike",
    "traits_of",
]

LIGHT = frozenset({"add", "sub", "mul", "div", "pow", "neg", "abs", "sum", "mean", "cat", "where"})
"""Operations that most tasks have somewhere: they say little of what a kernel must do."""
_LIGHT_WEIGHT = 0.25

_SAME = {"mm": "matmul", "bmm": "matmul", "multiply": "mul", "subtract": "sub", "divide": "div", "truedivide": "div"}
OPERATORS: dict[type[ast.operator], str] = {
    ast.MatMult: "matmul", ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow",
}  # fmt: skip
_FACTORIES = frozenset(
    {"arange", "bernoulli", "empty", "emptylike", "eye", "full", "fulllike", "linspace", "normal", "ones", "oneslike",
     "rand", "randint", "randlike", "randn", "randnlike", "randperm", "tensor", "zeros", "zeroslike"}
)  # fmt: skip
NO_OPERATION = _FACTORIES | {
    "append", "bfloat16", "bool", "chunk", "clone", "contiguous", "copy", "cpu", "cuda", "detach", "device", "dim", "double",
    "element", "eval", "expand", "expandas", "extend", "flatten", "float", "format", "generator", "half", "int", "item",
    "items", "join", "keys", "long", "manualseed", "module", "modulelist", "movedim", "narrow", "nograd", "numel", "parameter",
    "permute", "registerbuffer", "repeat", "requiresgrad", "reshape", "sequential", "setdefaultdtype", "size", "split",
    "squeeze", "stride", "t", "to", "tolist", "transpose", "type", "typeas", "unflatten", "unsqueeze", "values", "view", "viewas",
}  # fmt: skip
_DTYPES = {
    "float": "float32", "half": "float16", "double": "float64", "float32": "float32", "float16": "float16",
    "bfloat16": "bfloat16", "float64": "float64", "int8": "int8", "uint8": "uint8", "int32": "int32", "int64": "int64",
}  # fmt: skip
_INPUTS = ("get_inputs", "get_init_inputs")
_INTEGERS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
}  # fmt: skip
_LARGEST_EXTENT = 1 << 40


@dataclass(frozen=True)
class Traits:
    """What was found; each part may be empty."""

    operations: frozenset[str]
    """In one spelling, whatever the source uses: `softmax` for torch.softmax, F.softmax, nn.Softmax and x.softmax."""
    dtypes: frozenset[str]
    """Named in the source; `float32` if none is."""
    shapes: tuple[tuple[int, ...], ...]
    """Of the tensors that `get_inputs` makes, where they are written in numbers and names of numbers."""


@lru_cache(maxsize=4096)
def traits_of(source: str) -> Traits:
    """The traits of a task's source; no traits for what is not Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Traits(frozenset(), frozenset(), ())
    names = imported_names(tree)
    numbers = _numbers(tree)
    inputs = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in _INPUTS]
    body = [n for n in tree.body if n not in inputs]
    operations = frozenset(each for part in body for each in _operations(part, names))
    shapes = tuple(each for part in inputs if part.name == "get_inputs" for each in _shapes(part, names, numbers))
    return Traits(operations, frozenset(_dtypes(tree, names)) or frozenset({"float32"}), shapes)


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    """How far two sets of operations are the same, 0 to 1 (Jaccard, `LIGHT` ones at a quarter); 0 if either is empty."""

    def weight(names: frozenset[str]) -> float:
        return sum(_LIGHT_WEIGHT if name in LIGHT else 1.0 for name in names)

    return weight(one & other) / weight(one | other) if one and other else 0.0


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Dotted name by the name that an import gives it."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """``torch.nn.functional.softmax`` for ``F.softmax``; empty for what is no dotted name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def plain(name: str) -> str:
    """One spelling for the names that an operation has as a function, a method and a layer."""
    bare = name.replace("_", "").lower()
    return _SAME.get(bare, bare)


def _operations(tree: ast.AST, names: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
            yield OPERATORS[type(node.op)]
        elif isinstance(node, ast.Call):
            name = dotted(node.func, names)
            if name.startswith("torch."):
                found = name.rpartition(".")[2]
            elif isinstance(node.func, ast.Attribute) and not name.startswith(
                ("self.", "super.", "math.", "os.", "np.")
            ):
                found = node.func.attr  # a method of a tensor, as far as can be told
            else:
                continue
            if (operation := plain(found)) not in NO_OPERATION and not found.startswith("__"):
                yield operation


def _dtypes(tree: ast.AST, names: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=attr) if attr in _DTYPES and dotted(node, names) == f"torch.{attr}":
                yield _DTYPES[attr]
            case ast.Call(func=ast.Attribute(attr="half" | "bfloat16" | "double" as method), args=[]):
                yield _DTYPES[method]


def _numbers(tree: ast.Module) -> dict[str, int]:
    """Module-level names of whole numbers."""
    found: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
                pairs = list(zip(target.elts, value.elts, strict=True))
            for name, number in pairs:
                if isinstance(name, ast.Name) and (known := _whole(number, found)) is not None:
                    found[name.id] = known
    return found


def _whole(node: ast.expr, numbers: Mapping[str, int]) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) < _LARGEST_EXTENT:
        return node.value
    if isinstance(node, ast.Name):
        return numbers.get(node.id)
    if isinstance(node, ast.BinOp) and type(node.op) in _INTEGERS:
        left, right = _whole(node.left, numbers), _whole(node.right, numbers)
        if left is None or right is None or (isinstance(node.op, ast.FloorDiv) and right == 0):
            return None
        made = _INTEGERS[type(node.op)](left, right)
        return made if abs(made) < _LARGEST_EXTENT else None
    return None


def _shapes(tree: ast.AST, names: Mapping[str, str], numbers: Mapping[str, int]) -> Iterator[tuple[int, ...]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, names)
        if not name.startswith("torch.") or plain(name.rpartition(".")[2]) not in _FACTORIES:
            continue
        given: list[ast.expr] = list(node.args)
        for each in given:
            if isinstance(each, ast.Tuple | ast.List):  # torch.randint(0, 10, (n,)): the shape is the sequence
                given = list(each.elts)
                break
        extents = [_whole(each, numbers) for each in given]
        if extents and all(extent is not None and extent > 0 for extent in extents):
            yield tuple(extent for extent in extents if extent is not None)


def shapes_alike(one: tuple[tuple[int, ...], ...], other: tuple[tuple[int, ...], ...]) -> float:
    """How near the shapes of inputs are, 0 to 1: 1 for the same, less by a tenth for each doubling of the largest one's
    elements, 0 for another number of dimensions or where they are not known."""
    if not one or not other:
        return 0.0
    if one == other:
        return 1.0
    mine, theirs = max(one, key=math.prod), max(other, key=math.prod)
    if len(mine) != len(theirs):
        return 0.0
    return max(0.0, 0.95 - 0.1 * abs(math.log2(math.prod(mine) / math.prod(theirs))))
