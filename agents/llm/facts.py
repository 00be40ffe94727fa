"""What prompts say of the task and the GPU, as plain values for the templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kernelwright.agents.llm.briefing import Briefing
from kernelwright.agents.llm.text import one_line
from kernelwright.bench_tasks.graph import Graph
from kernelwright.bench_tasks.task import Distribution, TensorSpec, Workload
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.static.findings import Severity
from kernelwright.verifier.static.rules import RULES

__all__ = ["DISTRIBUTIONS", "briefing_facts"]

DISTRIBUTIONS: Mapping[Distribution, str] = {
    Distribution.AS_GIVEN: "as get_inputs() draws them",
    Distribution.NORMAL: "standard normal",
    Distribution.UNIFORM: "uniform in [-1, 1)",
    Distribution.LARGE: "normal times 100: exponentials overflow unless the maximum is subtracted",
    Distribution.TINY: "normal times 1e-3: a wrong epsilon shows",
    Distribution.MIXED: "magnitudes from 1e-3 to 1e2 side by side: sums in too few bits show",
    Distribution.CONSTANT: "one value everywhere: ties, and variances that must not go below zero",
    Distribution.ONE_HOT: "zeros but for one element a row, in every other row up to 1e6 times as large",
    Distribution.SORTED: "ascending over the whole tensor: the maximum moves all the time, sums grow",
    Distribution.SPIKED: "as get_inputs() draws them, but for single elements that are 8 to 64 times as large",
    Distribution.ZEROS: "zeros: divisions need their epsilon",
    Distribution.INFINITE: "some elements are infinite",
    Distribution.NAN: "some elements are NaN, and must come out where the reference has them",
}
"""In one phrase each, for an author who must write a kernel that holds on them."""

_MOST_TENSORS = 60
_MOST_NODES = 80
_MOST_EXEMPLARS = 3


def briefing_facts(briefing: Briefing) -> dict[str, Any]:
    """What the templates of every prompt may ask for. Nothing in it says a seed."""
    task, signature = briefing.task, briefing.signature
    fitting = [w for w in task.workloads if w.fits(signature)] or list(task.workloads)
    return {
        "task": task,
        "gpu": _gpu(briefing.gpu),
        "inputs": _tensors(signature.inputs),
        "outputs": _tensors(signature.outputs),
        "weights": _tensors(signature.parameters),
        "cotangents": _tensors(signature.cotangents),
        "gradients": _tensors(signature.gradients),
        "dtypes": sorted({s.dtype for s in signature.outputs}),
        "workloads": [_workload(w, first=place == 0) for place, w in enumerate(fitting)],
        "operations": _operations(briefing.graph),
        "starting_point": briefing.starting_point,
        "exemplars": briefing.exemplars[:_MOST_EXEMPLARS],
        "rejects": [rule for rule in RULES.values() if rule.severity is Severity.REJECT],
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    tera = 1e12
    cores = [(kind, gpu.tensor_peak(kind) / tera) for kind in ("fp16", "bf16", "tf32", "fp8", "int8", "fp64")]
    has = {"fp16": gpu.tensor_fp16, "bf16": gpu.tensor_bf16, "tf32": gpu.tensor_tf32, "fp8": gpu.tensor_fp8}
    has |= {"int8": gpu.tensor_int8, "fp64": gpu.tensor_fp64}
    return {
        "name": gpu.name,
        "arch": gpu.arch,
        "sms": gpu.sms,
        "ghz": gpu.clock_hz / 1e9,
        "schedulers": gpu.schedulers,
        "max_warps": gpu.max_warps,
        "max_blocks": gpu.max_blocks,
        "max_threads": gpu.max_threads,
        "registers": gpu.registers,
        "max_registers": gpu.max_registers_per_thread,
        "shared_per_sm_kib": gpu.shared_per_sm / 1024,
        "shared_per_block_kib": gpu.shared_per_block / 1024,
        "dram_gb_s": gpu.dram_bandwidth / 1e9,
        "reached_gb_s": gpu.achievable_bandwidth / 1e9,
        "dram_latency": gpu.dram_latency,
        "l2_mib": gpu.l2_bytes / (1 << 20),
        "l2_gb_s": gpu.l2_bandwidth / 1e9,
        "fp32": gpu.fp32_peak / tera,
        "fp64": gpu.fp64_peak / tera,
        "fp16": gpu.fp16_peak / tera,
        "tensor": [(kind, peak) for kind, peak in cores if has[kind]],
        "mma_percent": 100 * gpu.mma_share,
        "launch_us": gpu.launch_seconds * 1e6,
    }


def _tensors(specs: tuple[TensorSpec, ...]) -> list[str]:
    shown = [
        f"{one_line(s.name, 80)}: {s.shape} {s.dtype}" + ("" if _contiguous(s) else f", strides {s.stride} in elements")
        for s in specs[:_MOST_TENSORS]
    ]
    return shown + ([f"and {len(specs) - _MOST_TENSORS} more"] if len(specs) > _MOST_TENSORS else [])


def _contiguous(spec: TensorSpec) -> bool:
    step = 1
    for extent, stride in zip(reversed(spec.shape), reversed(spec.stride), strict=True):
        if extent > 1 and stride != step:
            return False
        step *= max(1, extent)
    return True


def _workload(workload: Workload, *, first: bool) -> str:
    said = [DISTRIBUTIONS[workload.distribution]]
    if workload.strided:
        said.append("in tensors that are not contiguous")
    if workload.sizes:
        sizes = ", ".join(f"{name} = {size}" for name, size in workload.sizes)
        said.append(f"in other sizes ({sizes}); ModelNew is made anew for them")
    if first:
        said.append("this one is timed")
    return f"{one_line(workload.name, 80)}: {'; '.join(said)}"


def _operations(graph: Graph | None) -> str:
    if graph is None or graph.problem:
        return ""
    given = [
        f"{i.name} = {i.kind} {i.target}: {i.meta.shape} {i.meta.dtype}" for i in graph.inputs if i.meta is not None
    ]
    nodes = []
    for node in graph.nodes[:_MOST_NODES]:
        arguments = [_argument(a) for a in node.args]
        arguments += [f"{key}={_argument(value)}" for key, value in node.kwargs.items()]
        result = "" if node.meta is None else f": {node.meta.shape} {node.meta.dtype}"
        nodes.append(f"{node.name} = {node.op}({', '.join(arguments)}){result}")
    if len(graph.nodes) > _MOST_NODES:
        nodes.append(f"and {len(graph.nodes) - _MOST_NODES} more operations")
    return "\n".join([*given[:_MOST_TENSORS], *nodes, f"returns {_argument(graph.output)}"])


def _argument(value: Any) -> str:
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)) in {"ref", "dtype", "float", "other"}:
            return str(next(iter(value.values())))
        return "{" + ", ".join(f"{key}: {_argument(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_some(value)) + "]"
    return repr(value)


def _some(values: Iterable[Any]) -> list[str]:
    shown = [_argument(v) for v in values]
    return shown if len(shown) <= 16 else [*shown[:16], "..."]
