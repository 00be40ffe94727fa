"""Our dispatch modes see every operation, are never compiled, and do not load torch's compiler to be so."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import torch

from kernelwright.sandbox.dispatch import DispatchMode


class Names(DispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.seen.append(str(func))
        return func(*args, **kwargs)


def test_operations_come_with_their_arguments_from_autograd_too() -> None:
    x = torch.ones(3, requires_grad=True)
    with Names() as names:
        y = torch.add(x, 1, alpha=2).exp()
        y.backward(torch.ones(3))
    assert names.seen[:2] == ["aten.add.Tensor", "aten.exp.default"]
    assert "aten.mul.Tensor" in names.seen[2:]  # the derivative of exp
    assert x.grad is not None
    assert torch.equal(x.grad, torch.full((3,), 3.0).exp())


def test_what_a_mode_does_is_not_compiled() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    add, x = torch.compile(torch.add, backend=backend), torch.ones(3)
    with Names() as names:
        found = add(x, x)
    assert torch.equal(found, x + x)
    assert "aten.add.Tensor" in names.seen
    assert graphs == []
    torch.compile(lambda value: value + 1, backend=backend)(x)
    assert len(graphs) == 1  # without the mode


def test_the_compiler_is_not_loaded() -> None:
    program = (
        "import sys, torch\n"
        "from kernelwright.sandbox.optrace import trace_ops\n"
        "from kernelwright.sandbox.rounding import HonestRounding\n"
        "x = torch.ones(4, 4, dtype=torch.float64)\n"
        "assert trace_ops(lambda: torch.softmax(x @ x, -1))[1]\n"
        "with HonestRounding(1e-7, torch.Generator()): torch.softmax(x @ x, -1)\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
