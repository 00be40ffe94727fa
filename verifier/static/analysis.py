"""analyse(): all rules over one kernel's module."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from kernelwright.verifier.static.collect import Findings
from kernelwright.verifier.static.cuda_rules import check_source
from kernelwright.verifier.static.fallback import check_fallback
from kernelwright.verifier.static.findings import Finding, StaticReport
from kernelwright.verifier.static.launched import check_launches
from kernelwright.verifier.static.model_rules import check_cuda_there, check_model
from kernelwright.verifier.static.module import PythonModule
from kernelwright.verifier.static.origins import Origins
from kernelwright.verifier.static.python_rules import check_python
from kernelwright.verifier.static.rules import RULES
from kernelwright.verifier.static.sources import find_sources
from kernelwright.verifier.static.state import check_state
from kernelwright.verifier.static.torch_rules import check_host, check_torch, reference_ops

if TYPE_CHECKING:
    from kernelwright.bench_tasks.task import Task
    from kernelwright.sandbox.kernel import Kernel

__all__ = ["analyse", "check"]


def analyse(kernel: Kernel, task: Task | None = None) -> StaticReport:
    """Everything that can be said of `kernel` before it runs; never raises for what its source holds.

    Args:
        task: if given, each operation left to torch is told apart by whether the task's reference has it.
    """
    source = kernel.source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return _not_python(f"The module is not valid Python: {error.msg}.", error.lineno)
    except (ValueError, RecursionError, MemoryError) as error:
        return _not_python(f"The module is not valid Python: {error}.", None)
    module = PythonModule(source, tree)
    origins, found = Origins(module), Findings(module.lines)
    check_model(module, found)
    check_python(module, found)
    check_torch(module, origins, found, None if task is None else reference_ops(task.source))
    check_host(module, found)
    check_fallback(module, origins, found)
    check_state(module, origins, found)
    sources = find_sources(module)
    for cuda in sources.parsed:
        check_source(cuda, found)
        if cuda.broken_at is not None:
            found.add(
                "not_parsed", "The grammar of CUDA C++ does not fit from here on; names were still read.",
                cuda.text.index(cuda.broken_at),
            )  # fmt: skip
    for node, why in sources.unknown:
        found.add("source_not_analysed", f"A CUDA source could not be read in full: {why}.", node)
    check_cuda_there(module, sources, found)
    check_launches(module, sources, origins, found)
    names = dict.fromkeys(kernel.name for cuda in sources.parsed for kernel in cuda.kernels)
    return StaticReport(found.in_order(), tuple(names), len(sources.unknown))


def check(kernel: Kernel) -> Finding | None:
    """The first finding that rejects `kernel`, or None."""
    return analyse(kernel).rejection


def _not_python(reason: str, line: int | None) -> StaticReport:
    rule = RULES["not_python"]
    return StaticReport((Finding("not_python", rule.severity, reason, rule.mend, line, None, rule.verdict),))
