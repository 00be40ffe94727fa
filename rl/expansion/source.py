"""A grown graph as a task file: a PyTorch module that reads as if somebody had written it, in the format of our own suites."""

from __future__ import annotations

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.suite import SuiteTask
from kernelwright.rl.curation.families import family_of
from kernelwright.rl.expansion.grow import Expanded
from kernelwright.rl.expansion.ops import Shape, op_named

__all__ = ["ORIGIN", "source_of", "suite_task"]

ORIGIN = "kernelwright dataset expand"
"""What a made task says of itself."""
_INPUTS = ("x", "y", "z")
_LINE = 110  # characters of the list of operations


def source_of(graph: Expanded) -> str:
    """The text of the task file; it depends on the graph only, so the same graph is the same task."""
    weights: list[str] = []
    body: list[str] = []
    names = [*_INPUTS[: graph.inputs]]
    widths = graph.widths
    for number, node in enumerate(graph.nodes):
        op = op_named(node.op)
        made: dict[str, str] = {}
        width = widths[node.operands[0]]
        for key, kind in zip("wv", op.weights, strict=False):
            out = "WIDTH" if op.shape is Shape.PROJECTED else width
            name = f"{op.name}_{'weight' if key == 'w' else 'bias'}_{number + 1}"
            made[key] = f"self.{name}"
            weights.append(f"        self.{name} = nn.Parameter({_weight(kind, key, op.name, out, width)})")
        operands = [names[operand] for operand in node.operands]
        name = f"{op.name}_{number + 1}"
        body.append(f"        {name} = {op.code.format(*operands, d=width, **made)}")
        names.append(name)
    body[-1] = "        return " + body[-1].split(" = ", 1)[1]
    sizes, twin = dict(graph.sizes), dict(graph.twin)
    arguments = ", ".join(_INPUTS[: graph.inputs])
    init = ["    def __init__(self):", "        super().__init__()", *weights, ""] if weights else []
    dtype = "" if graph.dtype == "float32" else f", dtype=torch.{graph.dtype}"
    tensors = ", ".join([f"torch.randn(ROWS, COLS{dtype})"] * graph.inputs)
    lines = [
        f'"""{_title(graph)}.', "", "Made by random graph expansion.", '"""', "",
        "import torch", "import torch.nn.functional as F", "from torch import nn", "",
        f"ORIGIN = {ORIGIN!r}", "FAMILY = 'FAMILY'", *(f"{name} = {size}" for name, size in sizes.items()), f"TWIN = {twin}", "", "",
        "class Model(nn.Module):", *init, f"    def forward(self, {arguments}):", *body, "", "",
        "def get_inputs():", f"    return [{tensors}]", "", "",
        "def get_init_inputs():", "    return []", "",
    ]  # fmt: skip
    text = "\n".join(lines)
    if dtype:
        text = "\n".join(_in_dtype(line, graph.dtype) for line in text.split("\n"))
    bare = text.replace("FAMILY = 'FAMILY'\n", "")
    text = text.replace("FAMILY = 'FAMILY'", f"FAMILY = {family_of(bare)!r}")
    return text if "F." in "\n".join(body) else text.replace("import torch.nn.functional as F\n", "")


def suite_task(graph: Expanded) -> SuiteTask:
    """The graph as a task of a suite, under a name that its content gives."""
    source = source_of(graph)
    name = f"fused_{graph.hash[:10]}"
    task = task_from_source(source, name=name)
    return SuiteTask(name, task, family_of(source), title=_title(graph), twin=dict(graph.twin))


def _title(graph: Expanded) -> str:
    said = ", ".join(each.replace("_", " ") for each in graph.ops)
    said = said if len(said) <= _LINE else f"{said[:_LINE].rpartition(',')[0]} and more"
    return said[:1].upper() + said[1:]


def _weight(kind: str, key: str, op: str, out: str, width: str) -> str:
    """Made so that values keep their size, and no weight is 0 or 1 everywhere: else a kernel that leaves it out would pass."""
    if kind == "matrix":
        return f"torch.randn({out}, {width}) / {width}**0.5"
    spread = f"torch.randn({out})"
    return spread if key == "v" or op == "bias" else f"1 + 0.3 * {spread}"


def _in_dtype(line: str, dtype: str) -> str:
    if "nn.Parameter(" not in line:
        return line
    return f"{line[:-1]}.to(torch.{dtype}))" if line.count("/") == 0 and "+" not in line else _wrapped(line, dtype)


def _wrapped(line: str, dtype: str) -> str:
    head, _, inner = line.partition("nn.Parameter(")
    return f"{head}nn.Parameter(({inner[:-1]}).to(torch.{dtype}))"
