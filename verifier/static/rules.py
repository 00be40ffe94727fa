"""The rules of static analysis: how severe each is, and what the author can do.

A rule rejects only what no honest kernel does. Whatever honest code may do is a warning, judged by the stages that
run the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.static.findings import Severity

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """One rule."""

    severity: Severity
    mend: str
    """What to do, one sentence."""
    verdict: Verdict | None = None


def _reject(mend: str, verdict: Verdict = Verdict.REJECTED) -> Rule:
    return Rule(Severity.REJECT, mend, verdict)


def _warn(mend: str) -> Rule:
    return Rule(Severity.WARN, mend)


def _note(mend: str) -> Rule:
    return Rule(Severity.NOTE, mend)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # -- what rejects, the first four in this order before the others
        "not_python": _reject("Hand in a Python module.", Verdict.COMPILE_ERROR),
        "no_model_new": _reject("Name the optimised torch.nn.Module ModelNew."),
        "derived_from_reference": _reject("Derive ModelNew from torch.nn.Module."),
        "no_cuda_kernel": _reject("Write the work as a __global__ function in a CUDA source string."),
        "no_kernel_launched": _reject("Launch the kernel that the module declares, and return what it wrote."),
        "falls_back_to_torch": _reject("Let the exception go up: a kernel that fails is to be seen failing."),
        "patches_library": _reject("Leave torch, Python and the judge as they are."),
        "walks_memory": _reject("Work on the tensors that forward() is given, and on no others."),
        "reaches_into_process": _reject("Launch kernels through CuPy or a torch extension only."),
        "reaches_for_judge": _reject("Leave the judge's modules alone: a kernel must work without them."),
        "starts_process": _reject("Do all work in the calling thread and in CUDA kernels."),
        "reads_proc": _reject("Leave /proc alone: a kernel needs nothing from there."),
        "network": _reject("A kernel works without a network: leave it out."),
        # -- what a run decides
        "left_to_torch": _warn("Do it in a kernel if it belongs to what the kernel is to make faster."),
        "left_to_host": _warn("Compute on the GPU, in the kernel: what the host computes is not its work."),
        "library_kernel": _warn("Write the kernel yourself: a library's kernel does not count as its author's work."),
        "compiles_reference": _warn(
            "Write the kernel yourself: torch's own compiler does not count as its author's work."
        ),
        "uses_reference": _warn("Copy what forward() needs of the reference, and leave the class alone."),
        "never_launched": _warn("Launch it, or take it out."),
        "fall_back_possible": _warn("Take the branch out, or be sure that the kernel runs on every input of the task."),
        "computed_name": _warn("Name what is called, so that it can be read."),
        "runs_text": _warn("Write the code out, so that it can be read."),
        "stream": _warn("Launch on the current stream: work left on another is waited for, and counted."),
        "graph": _warn("Leave graphs to the caller: what a replay skips is seen when the inputs change."),
        "state_between_calls": _warn("Compute each call's outputs from that call's inputs alone."),
        "pointer_cache": _warn("Key nothing by pointer or id: memory is reused for other tensors."),
        "call_counter": _warn("Do the same work in every call."),
        "clock": _warn("Leave clocks to the judge."),
        "precision_flag": _warn("Leave torch's global flags alone: the reference does not run in this process."),
        "tensor_subclass": _warn("Return plain tensors whose values are there."),
        "sets_attribute": _warn("Leave other modules' settings alone."),
        "library_state": _warn("Leave the interpreter's own tables alone."),
        "file_in_forward": _warn("Read and write no files while computing."),
        "loads_library": _warn("Launch kernels through CuPy or a torch extension only."),
        "signal": _warn("Leave signals and the process's end alone."),
        "persisting_l2": _warn("Leave the L2 carve-out alone: it outlives the call that sets it."),
        "trap": _warn("End a kernel by return: a trap ends every kernel of the process."),
        "calls_python": _warn("Keep C++ to launching kernels: what it calls in Python can't be followed."),
        # -- what is told only
        "tensor_operator": _note("Do it in the kernel if it is part of what takes time."),
        "source_not_analysed": _note("Write the CUDA source as a string in the module to have it analysed."),
        "not_parsed": _note("Nothing to do if it compiles: the build stage has the last word."),
        "kept_kernel": _note("Nothing to do: compiled kernels may be kept between calls."),
        "file": _note("Nothing to do if the file is the kernel's own."),
        "environment": _note("A kernel's result must not depend on the environment."),
    }
)
