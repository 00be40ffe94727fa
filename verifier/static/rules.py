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
    meaning: str
    """What falls under it, one sentence."""
    mend: str
    """What to do, one sentence."""
    verdict: Verdict | None = None
    """What a kernel is judged that falls under it; None unless it rejects."""


def _reject(meaning: str, mend: str, verdict: Verdict = Verdict.REJECTED) -> Rule:
    return Rule(Severity.REJECT, meaning, mend, verdict)


def _warn(meaning: str, mend: str) -> Rule:
    return Rule(Severity.WARN, meaning, mend)


def _note(meaning: str, mend: str) -> Rule:
    return Rule(Severity.NOTE, meaning, mend)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # -- what rejects, the first four in this order before the others
        "not_python": _reject("Python can't parse the module.", "Hand in a Python module.", Verdict.COMPILE_ERROR),
        "no_model_new": _reject(
            "No class, assignment or import at module level binds `ModelNew`.",
            "Name the optimised torch.nn.Module ModelNew.",
        ),
        "derived_from_reference": _reject(
            "`ModelNew` is the reference's `Model` or derived from it, in whatever way that is written.",
            "Derive ModelNew from torch.nn.Module.",
        ),
        "no_cuda_kernel": _reject(
            "No source that the module holds declares a `__global__` function.",
            "Write the work as a __global__ function in a CUDA source string.",
        ),
        "no_kernel_launched": _reject(
            "It is certain that no kernel can be launched: `forward()` calls nothing that could.",
            "Launch the kernel that the module declares, and return what it wrote.",
        ),
        "falls_back_to_torch": _reject(
            "An exception of the kernel's is caught, and an operation of torch's computes instead.",
            "Let the exception go up: a kernel that fails is to be seen failing.",
        ),
        "patches_library": _reject(
            "An attribute of torch, Python's own modules, CuPy or NumPy is replaced.",
            "Leave torch, Python and the judge as they are.",
        ),
        "walks_memory": _reject(
            "Objects are searched for by the garbage collector or by the frames of callers.",
            "Work on the tensors that forward() is given, and on no others.",
        ),
        "reaches_into_process": _reject(
            "The process's memory is reached by address, or another process by `ptrace` and its like.",
            "Launch kernels through CuPy or a torch extension only.",
        ),
        "reaches_for_judge": _reject(
            "A module of the judge's is named.", "Leave the judge's modules alone: a kernel must work without them."
        ),
        "network": _reject("A network is used.", "A kernel works without a network: leave it out."),
        # -- what a run decides
        "starts_process": _warn(
            "A process or a thread is started, in Python or in C++.",
            "Do all work in the calling thread and in CUDA kernels.",
        ),
        "reads_proc": _warn("A path under `/proc` is named.", "Leave /proc alone: a kernel needs nothing from there."),
        "left_to_torch": _warn(
            "`forward()` lets torch compute; the reason says whether the task's reference has this operation.",
            "Do it in a kernel if it belongs to what the kernel is to make faster.",
        ),
        "left_to_host": _warn(
            "`forward()` takes values to the host, or computes with NumPy.",
            "Compute on the GPU, in the kernel: what the host computes is not its work.",
        ),
        "library_kernel": _warn(
            "C++ calls operations of torch's, cuBLAS, cuDNN, Thrust, CUB's device-wide functions or CUTLASS.",
            "Write the kernel yourself: a library's kernel does not count as its author's work.",
        ),
        "compiles_reference": _warn(
            "`torch.compile`, `torch.jit` or the like is used.",
            "Write the kernel yourself: torch's own compiler does not count as its author's work.",
        ),
        "uses_reference": _warn(
            "`ModelNew` is made of a class called `Model`.",
            "Copy what forward() needs of the reference, and leave the class alone.",
        ),
        "never_launched": _warn("A `__global__` function is launched nowhere.", "Launch it, or take it out."),
        "fall_back_possible": _warn(
            "An exception around a kernel is caught, or torch computes in a handler.",
            "Take the branch out, or be sure that the kernel runs on every input of the task.",
        ),
        "computed_name": _warn(
            "Something of a library is reached by a name that is made at run time.",
            "Name what is called, so that it can be read.",
        ),
        "runs_text": _warn("`eval`, `exec` or `compile` is called.", "Write the code out, so that it can be read."),
        "stream": _warn(
            "A stream is made or taken from a pool.",
            "Launch on the current stream: work left on another is waited for, and counted.",
        ),
        "graph": _warn(
            "A CUDA graph is used.", "Leave graphs to the caller: what a replay skips is seen when the inputs change."
        ),
        "state_between_calls": _warn(
            "`forward()` writes what outlives the call, or C++ has a variable that does.",
            "Compute each call's outputs from that call's inputs alone.",
        ),
        "pointer_cache": _warn(
            "What was kept is looked up by a pointer or an object's id.",
            "Key nothing by pointer or id: memory is reused for other tensors.",
        ),
        "call_counter": _warn("`forward()` counts its calls.", "Do the same work in every call."),
        "clock": _warn("A clock or a timing event is used.", "Leave clocks to the judge."),
        "precision_flag": _warn(
            "A global flag of torch's is changed, for precision or defaults.",
            "Leave torch's global flags alone: the reference does not run in this process.",
        ),
        "tensor_subclass": _warn(
            "A subclass of Tensor is made, or `__torch_function__` and its like are defined.",
            "Return plain tensors whose values are there.",
        ),
        "sets_attribute": _warn("An attribute of another module is set.", "Leave other modules' settings alone."),
        "library_state": _warn(
            "The interpreter's tables, or torch's random state, are looked at.",
            "Leave the interpreter's own tables alone.",
        ),
        "file_in_forward": _warn(
            "Files are opened while computing, or removed, renamed or mapped.",
            "Read and write no files while computing.",
        ),
        "loads_library": _warn("A shared library is loaded.", "Launch kernels through CuPy or a torch extension only."),
        "signal": _warn(
            "Signals are handled or sent, or the process is ended.", "Leave signals and the process's end alone."
        ),
        "persisting_l2": _warn(
            "A limit of the device or a part of its L2 cache is set.",
            "Leave the L2 carve-out alone: it outlives the call that sets it.",
        ),
        "trap": _warn("A kernel ends by `trap`.", "End a kernel by return: a trap ends every kernel of the process."),
        "calls_python": _warn(
            "C++ calls Python.", "Keep C++ to launching kernels: what it calls in Python can't be followed."
        ),
        # -- what is told only
        "tensor_operator": _note(
            "An argument of `forward()` is an operand of `+`, `-`, `*`, `/` or `**`.",
            "Do it in the kernel if it is part of what takes time.",
        ),
        "source_not_analysed": _note(
            "A CUDA source is made at run time, and could not be read in full.",
            "Write the CUDA source as a string in the module to have it analysed.",
        ),
        "not_parsed": _note(
            "The grammar of CUDA C++ does not fit a source, because of macros as a rule.",
            "Nothing to do if it compiles: the build stage has the last word.",
        ),
        "kept_kernel": _note(
            "A compiled kernel is kept between calls.", "Nothing to do: compiled kernels may be kept between calls."
        ),
        "file": _note("A file is opened while the module loads.", "Nothing to do if the file is the kernel's own."),
        "environment": _note(
            "The environment is read or set.", "A kernel's result must not depend on the environment."
        ),
    }
)
