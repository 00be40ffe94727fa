"""The price of one choice: its kernel written, compiled, run on the emulator and counted, and the counters priced by the model.

Everything happens in this process, the task's own code too, so this is for tasks that are trusted: ours. Nothing is judged here:
the kernels are those of the built-in templates, whose correctness is tested elsewhere, and checks for races are off.
"""

from __future__ import annotations

import logging
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.lower import KernelTemplate
from kernelwright.agents.builtin.policy.facts import ChoiceFacts, Value, choice_facts
from kernelwright.bench_tasks.graph import Graph
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import BuildError, EmulatorError, LaunchError, TaskError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.capture import capture
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.sandbox.optrace import trace_ops
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import kernel_time

__all__ = ["OpenTask", "RegisteredPointers", "default_stream", "price"]

_log = logging.getLogger(__name__)

_FUNCTION = re.compile(r'(?=extern "C" __global__)')
_NAME = re.compile(r"void[^(]*?(?:__launch_bounds__\(\d+\)\s*)?(\w+)\(")
_LIMITS = emulator.LaunchLimits(threads=1, check_shared=False, check_global=False, seconds=3600.0)
"""One thread, so that prices can be made beside each other; and time enough on a busy machine: counters of a launch that was cut
off would make it look fast."""


def price(reports: Sequence[LaunchReport], gpu: Gpu) -> float | None:
    """Modelled seconds of these launches; None if the GPU would refuse one."""
    try:
        return sum(kernel_time(report, gpu).seconds for report in reports)
    except LaunchError:
        return None


@dataclass
class OpenTask:
    """A task opened in this process, ready to price choices of its kernels.

    Args:
        task: at the scale that it is to be searched at.
        gpu: the card that the coder writes for.

    Raises:
        TaskError, LoweringError: the built-in coder can write nothing for it.
    """

    task: Task
    gpu: Gpu
    coder: BuiltinCoder = field(init=False)
    model: torch.nn.Module = field(init=False)
    inputs: tuple[Any, ...] = field(init=False)
    _modules: dict[str, emulator.Module] = field(init=False, default_factory=dict)
    """Of the first choice, by function: what the other kernels of a task run while one is priced."""

    def __post_init__(self) -> None:
        scope: dict[str, Any] = {}
        exec(compile(self.task.source, self.task.path or self.task.name, "exec"), scope)
        torch.manual_seed(0)
        self._init = tuple(scope["get_init_inputs"]())
        self.model = scope["Model"](*self._init).eval()
        torch.manual_seed(1)
        self.inputs = tuple(scope["get_inputs"]())
        graph = capture(self.model, self.inputs)
        if graph.problem:
            raise TaskError(graph.problem, path=self.task.path)
        graph = Graph.from_json(graph.to_json())
        self.coder = BuiltinCoder(graph, self.task.name, arch=self.gpu.arch, sms=self.gpu.sms)

    def eager_operations(self) -> list[Any]:
        """What eager PyTorch runs, for the roofline bound."""
        with torch.no_grad():
            return trace_ops(lambda: self.model(*self.inputs))[1]

    def facts(self, kernel: KernelTemplate, knobs: Mapping[str, Value]) -> ChoiceFacts:
        """Of one choice, without running it."""
        return choice_facts(knobs, self.coder.generate(kernel, knobs))

    def reports(self, kernel: KernelTemplate, knobs: Mapping[str, Value]) -> list[LaunchReport]:
        """The launches of `kernel` with these knobs in a call of the task; its other kernels have their first choice.

        Raises:
            BuildError, EmulatorError, LaunchError: it can't be compiled or launched, or does what CUDA does not allow.
        """
        choice = {**self.coder.defaults, **{f"{kernel.name}.{name}": value for name, value in knobs.items()}}
        source, generated = self.coder.write(choice)
        own = frozenset(launch.function for launch in generated[kernel.name].launches)
        memory = emulator.Memory()
        found: list[LaunchReport] = []

        def load(code: str) -> types.SimpleNamespace:
            compiled: dict[str, emulator.Module] = {}

            def get_function(name: str) -> _Function:
                known = compiled if name in own else self._modules
                if name not in known:
                    wanted = own if name in own else frozenset({name})
                    known.update(dict.fromkeys(wanted, emulator.compile(_only(code, wanted), ("--std=c++17",))))
                return _Function(name, known[name], memory, found if name in own else [])

            return types.SimpleNamespace(get_function=get_function)

        module = types.ModuleType("priced")
        module.__dict__["cupy"] = types.SimpleNamespace(
            RawModule=lambda code, **_: load(code), cuda=types.SimpleNamespace(ExternalStream=_Stream)
        )
        exec(compile(source.replace("import cupy\n", ""), "<priced>", "exec"), module.__dict__)
        model = module.ModelNew(*self._init)
        model.load_state_dict(self.model.state_dict())
        with torch.no_grad(), RegisteredPointers(memory), default_stream():
            model(*self.inputs)
        for report in found:
            for violation in report.violations:
                raise LaunchError(f"{report.kernel}: {violation.kind}: {violation.message}")
        return found


def _only(code: str, functions: frozenset[str]) -> str:
    """The source with these kernel functions and what they all share."""
    head, *rest = _FUNCTION.split(code)
    kept = [text for text in rest if (found := _NAME.search(text)) is not None and found[1] in functions]
    if len(kept) != len(functions):  # written in some other way than ours: all of it
        return code
    return head + "".join(kept)


@dataclass
class _Function:
    """Stands in for CuPy's kernel."""

    name: str
    module: emulator.Module
    memory: emulator.Memory
    reports: list[LaunchReport]
    max_dynamic_shared_size_bytes: int = 0

    def __call__(self, grid: Any, block: Any, args: Any, shared_mem: int = 0) -> None:
        self.reports.append(
            self.module.launch(self.name, grid, block, args, shared=shared_mem, memory=self.memory, limits=_LIMITS)
        )


class _Stream:
    """Stands in for CuPy's stream."""

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class RegisteredPointers(TorchFunctionMode):
    """Tells the emulator of every tensor whose pointer is taken, for as long as this lasts."""

    def __init__(self, memory: emulator.Memory) -> None:
        super().__init__()
        self.memory = memory
        self.held: dict[int, torch.Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.Tensor.data_ptr and result and result not in self.held:
            tensor = args[0]
            span = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) + 1
            self.memory.register(result, span * tensor.element_size(), "tensor")
            self.held[result] = tensor
        return result

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for pointer in self.held:
            self.memory.unregister(pointer)


@contextmanager
def default_stream() -> Iterator[None]:
    """`torch.cuda.current_stream` without a GPU."""
    original = torch.cuda.current_stream
    torch.cuda.current_stream = lambda *_: types.SimpleNamespace(cuda_stream=0)  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.cuda.current_stream = original


PRICING_ERRORS = (BuildError, EmulatorError, LaunchError)
"""What a choice may fail with that is no bug."""
