"""What can be said of a kernel's module before it runs, from its syntax tree alone."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict

__all__ = ["StaticFinding", "check"]


@dataclass(frozen=True)
class StaticFinding:
    """A reason not to run a kernel."""

    verdict: Verdict
    reason: str
    line: int | None = None


def check(kernel: Kernel) -> StaticFinding | None:
    """The first rule that `kernel` breaks, or None.

    Rules: it is Python; it defines `ModelNew` at module level; `ModelNew` is not derived from the reference's `Model`;
    some string in it declares a `__global__` function.
    """
    try:
        tree = ast.parse(kernel.source)
    except SyntaxError as error:
        return StaticFinding(Verdict.COMPILE_ERROR, f"The module is not valid Python: {error.msg}.", error.lineno)
    except (ValueError, RecursionError, MemoryError) as error:
        return StaticFinding(Verdict.COMPILE_ERROR, f"The module is not valid Python: {error}.")
    made = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "ModelNew"]
    bound = [
        n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "ModelNew" and isinstance(n.ctx, ast.Store)
    ]
    if not made and not bound:
        return StaticFinding(
            Verdict.REJECTED, "The module defines no class ModelNew; name the optimised torch.nn.Module so."
        )
    for node in made:
        for base in node.bases:
            name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
            if name == "Model":
                return StaticFinding(
                    Verdict.REJECTED,
                    "ModelNew is derived from Model, so it may be the reference itself; derive it from torch.nn.Module.",
                    node.lineno,
                )
    if not any("__global__" in text for text in _strings(tree)):
        return StaticFinding(
            Verdict.REJECTED, "The module holds no CUDA kernel: no string in it declares a __global__ function."
        )
    return None


def _strings(tree: ast.Module) -> list[str]:
    return [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
