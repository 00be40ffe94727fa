"""The process that runs a PyTorch module on a GPU: a kernel's ModelNew, or the reference as a baseline.

It imports the standard library and torch; a kernel's module imports cupy besides. What it says of a kernel is a claim: the
judge compares outputs, chooses afterwards which calls it looks at, and holds the times against its own clock.

Run with ``python -m kernelwright.sandbox.cuda.worker FD``; `kernelwright.sandbox.cuda.gpu_process` is its other end.
"""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from kernelwright.errors import KernelError, KernelwrightError, UnsupportedError
from kernelwright.sandbox.channel import ChannelClosed, Message
from kernelwright.sandbox.cuda.faults import Fault, fault_of
from kernelwright.sandbox.cuda.runtime import Runtime, open_runtime
from kernelwright.sandbox.cuda.shared_memory import ATTACH, WorkerMemory
from kernelwright.sandbox.gradients import Wanted, differentiate
from kernelwright.sandbox.launch import GpuLaunch
from kernelwright.sandbox.modules import copy_weights, new_module
from kernelwright.sandbox.places import places_of, shared_storage
from kernelwright.sandbox.serve import describe_error, judge_channel
from kernelwright.sandbox.tensor_memory import DTYPES, extent
from kernelwright.sandbox.trees import construct, map_tensors, seed_torch, tensors_of

_FILE = "<kernel>"
_SPOILT = 86  # exit code after a sticky CUDA error
_TOOLS = {"Ninja is required": "ninja", "CUDA_HOME environment variable is not set": "the CUDA toolkit (nvcc)"}
"""What torch.utils.cpp_extension says when a tool that it builds with is not there."""
_COMPILE_MODES = {"eager": None, "compile": "default", "max-autotune": "max-autotune-no-cudagraphs"}
"""How a baseline is prepared. CUDA graphs would take the launch out of one side of the comparison only."""


class GpuWorker:
    """The loaded module and its handlers."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self.module: types.ModuleType | None = None
        self.model: Any = None
        self.function: Callable[..., Any] | None = None
        self.wanted: Wanted | None = None
        self.sets: list[list[Any]] = []
        """Inputs to be timed on: one list of arguments each."""
        self.kept: list[Any] = []
        """Outputs of the last timed calls, by repeat, until the judge has asked for some."""
        self._memory: WorkerMemory | None = None

    @property
    def gpu(self) -> Runtime:
        """The runtime, opened."""
        if self.runtime is None:
            raise KernelError("no device is open.")
        return self.runtime

    @property
    def memory(self) -> WorkerMemory:
        """What messages' tensors go through."""
        if self._memory is None:
            self._memory = WorkerMemory(self.gpu.pin, self.gpu.unpin)
        return self._memory

    def attach(self, which: str, message: Message) -> tuple[dict[str, Any], Any]:
        """Maps memory that the judge has made for inputs or outputs."""
        assert message.descriptor is not None
        return {"problem": self.memory.attach(which, message.descriptor)}, None

    def answer(self, message: Message) -> tuple[dict[str, Any], Any]:
        """One request: fields and values of its answer."""
        name = str(message.body.get("op"))
        for which, op in ATTACH.items():
            if name == op:
                return self.attach(which, message)
        if name not in _REQUESTS:
            raise KernelError(f"there is no request {name!r}.")
        if "laid" in message.body:
            message.values = self.memory.given(message)
        fields, values = getattr(self, name)(message)
        message.values = None
        if values is None:
            return fields, None
        if (laid := self.memory.lay(values)) is not None:
            return {**fields, "laid": laid}, None
        return fields, map_tensors(values, _home)

    def open(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Opens the device, before any code of a kernel is loaded."""
        torch.set_grad_enabled(False)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self.runtime = open_runtime(
            str(message.body["runtime"]), index=int(message.body["index"]), arch=str(message.body["arch"])
        )
        return {"properties": self.runtime.properties()}, None

    def load(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Runs a module's source and finds its class."""
        source, wanted = message.body["source"], str(message.body["class_name"])
        module = new_module("kernelwright_kernel", _FILE, source)
        for folder in message.body.get("import_paths", ()):
            sys.path.append(folder)
        module.__dict__["ATTACHMENTS"] = {k: bytes(v.numpy().tobytes()) for k, v in (message.values or {}).items()}
        try:
            exec(compile(source, _FILE, "exec"), module.__dict__)
        except (OSError, RuntimeError, ModuleNotFoundError) as error:
            if tool := _missing_tool(error):
                raise UnsupportedError(
                    f"the kernel is a C++ extension, and building one for a GPU takes {tool}, which is not to be found here.",
                    mend="Install it, or write the kernel with cupy.RawModule, which takes neither nvcc nor a C++ compiler.",
                ) from error
            if not isinstance(error, ModuleNotFoundError):
                raise
            raise UnsupportedError(
                f"the module imports {error.name!r}, which this machine does not have.",
                mend="Use torch, cupy, numpy and the standard library.",
            ) from error
        if not isinstance(getattr(module, wanted, None), type):
            raise KernelError(f"the module defines no class {wanted}.", mend=f"Name the module's class {wanted}.")
        self.module = module
        return {}, None

    def build(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Constructs the module on the device, and gives it weights where names and shapes agree."""
        body, gpu = message.body, self.gpu
        arguments, state = message.values["arguments"], message.values["state"]
        seed_torch(int(body["seed"]))
        if gpu.device.type == "cuda":
            torch.cuda.manual_seed_all(int(body["seed"]))
        update = bool(body["update"])
        if update:
            model = self.model
        else:
            factory = getattr(self.module, str(body["class_name"]))
            model = construct(factory, map_tensors(arguments, self._place))
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"{body['class_name']}(...) is a {type(model).__name__}, not a torch.nn.Module")
        _own, matched = copy_weights(model, state)
        self.model = model = model.to(
            gpu.device
        )  # afterwards: some modules make their weights when they are given them
        self.wanted = None if body["gradients"] is None else Wanted.from_json(body["gradients"])
        mode = _COMPILE_MODES[str(body["prepared"])]
        self.function = model if mode is None else torch.compile(model, mode=mode)
        gpu.synchronize()
        return {"matched": matched, "unmatched": [k for k in state if k not in matched]}, None

    def call(self, message: Message) -> tuple[dict[str, Any], Any]:
        """One call on the values sent along; its outputs and what became of its inputs."""
        gpu = self.gpu
        inputs = map_tensors(message.values, self._place)
        given = tensors_of(inputs)
        gpu.poison([int(n) for n in message.body["poison"]])
        launches: list[GpuLaunch] = []
        if message.body["trace"]:
            outputs, launches = gpu.launches(partial(self._run, inputs))
        else:
            outputs = self._run(inputs)
        gpu.synchronize()
        returned = tensors_of(outputs)
        for tensor in returned:
            _check(tensor)
        return {
            "places": [place.to_json() for place in places_of(returned)],
            "aliases": shared_storage(returned, given),
            "launches": [launch.to_json() for launch in launches],
        }, {"outputs": outputs, "inputs": given}

    def stage(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Puts sets of inputs on the device, to be timed on."""
        self.sets = [map_tensors(arguments, self._place) for arguments in message.values]
        self.kept = []
        self.gpu.synchronize()
        return {}, None

    def repeat(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Calls on sets of inputs in a given order, one right after the other; says what the device's clock says.

        With `fresh` each call gets a copy of its set in memory that the call before it did not have; else the sets
        themselves, so that nothing but the calls lies between start and end.
        """
        gpu, body = self.gpu, message.body
        order, cold, fresh = [int(n) for n in body["order"]], bool(body["cold"]), bool(body["fresh"])
        self.kept = []
        clocks, held = [], []
        began = time.perf_counter()
        gpu.spin(float(body["spin"]))
        for number in order:
            inputs = map_tensors(self.sets[number], self._place) if fresh else self.sets[number]
            if cold:
                gpu.flush()
            outputs, clock = gpu.timed(partial(self._run, inputs))
            clocks.append(clock)
            held.append(outputs)
        queued = time.perf_counter() - began
        gpu.synchronize()
        self.kept = held
        return {"seconds": [clock() for clock in clocks], "queued_seconds": queued}, None

    def fetch(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Outputs of repeats that the judge has chosen by now."""
        chosen = [self.kept[int(n)] for n in message.body["repeats"]]
        for tensor in tensors_of(chosen):
            _check(tensor)
        return {}, chosen

    def rates(self, message: Message) -> tuple[dict[str, Any], Any]:
        """The device's own ceilings: seconds of copies and of matrix products, by the device's clock."""
        gpu, body = self.gpu, message.body
        rows = []
        for size in body["copies"]:
            source = torch.empty(int(size), dtype=torch.uint8, device=gpu.device)
            target = torch.empty_like(source)
            rows.append({"copy_bytes": int(size), "seconds": self._times(partial(target.copy_, source), body)})
        for dtype, side in body["products"]:
            made = torch.randn(int(side), int(side), device=gpu.device).to(getattr(torch, dtype))
            out = torch.empty_like(made)
            rows.append(
                {
                    "dtype": dtype,
                    "side": int(side),
                    "seconds": self._times(partial(torch.mm, made, made, out=out), body),
                }
            )
        tiny = torch.empty(1, device=gpu.device)
        rows.append({"launch": True, "seconds": self._times(tiny.zero_, body)})
        return {"rows": rows}, None

    def _times(self, work: Callable[[], Any], body: dict[str, Any]) -> list[float]:
        for _ in range(int(body["warm"])):
            work()
        self.gpu.synchronize()
        clocks = []
        for _ in range(int(body["repeats"])):
            self.gpu.flush()
            clocks.append(self.gpu.timed(work)[1])
        self.gpu.synchronize()
        return [clock() for clock in clocks]

    def _run(self, inputs: list[Any]) -> Any:
        assert self.function is not None
        if self.wanted is None:
            return self.function(*inputs)
        return list(differentiate(self.function, inputs, self.wanted))  # type: ignore[arg-type]

    def _place(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor on the device, in memory of its own."""
        return _moved(tensor, self.gpu.device)


def _home(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in memory of the host, with its strides."""
    found = tensor.detach().resolve_conj().resolve_neg()
    return found if found.device.type == "cpu" else _moved(found, torch.device("cpu"))


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy on a device with the same strides, expanded dimensions included."""
    count = extent(tensor.shape, tensor.stride())
    made = torch.empty(count, dtype=tensor.dtype, device=device)
    if count:
        made.copy_(torch.as_strided(tensor, (count,), (1,)))
    return made.as_strided(tensor.shape, tensor.stride())


def _missing_tool(error: Exception) -> str:
    """What torch.utils.cpp_extension lacks, for people; empty if the error is another one."""
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        return "setuptools" if error.name == "setuptools" else ""
    return next((tool for words, tool in _TOOLS.items() if words in text), "")


def _check(tensor: torch.Tensor) -> None:
    if tensor.layout is not torch.strided or str(tensor.dtype).removeprefix("torch.") not in DTYPES:
        raise TypeError(f"a tensor of {tensor.dtype}, {tensor.layout} can't be sent")


def failure(error: BaseException) -> tuple[dict[str, Any], Fault | None]:
    """An error as the judge reads it, and the fault of CUDA behind it."""
    found = describe_error(error, _FILE)
    text = f"{type(error).__module__}.{type(error).__name__}: {error}"
    if type(error).__name__ == "CompileException" or "Error building extension" in str(error):
        found.update(kind="build", log=str(error)[-4000:])
        return found, None
    fault = None if isinstance(error, KernelwrightError) else fault_of(text)
    if fault is not None:
        found.update(kind=fault.kind, message=fault.message, mend=fault.mend, detail=str(error)[:400])
    return found, fault


_REQUESTS = ("open", "load", "build", "call", "stage", "repeat", "fetch", "rates")


def main() -> None:
    """Serves requests until the judge is gone, or CUDA has spoilt the process."""
    channel = judge_channel()
    worker = GpuWorker()
    while True:
        try:
            message = channel.receive(copy=False, descriptors=True)
        except (ChannelClosed, KeyboardInterrupt):
            return
        try:
            fields, values = worker.answer(message)
            channel.send({"ok": True, **fields}, values)
        except (ChannelClosed, KeyboardInterrupt):
            return
        except BaseException as error:  # noqa: BLE001 - whatever a kernel's code raises is an answer
            found, fault = failure(error)
            spoilt = fault is not None and fault.sticky
            channel.send({"ok": False, "error": found, "spoilt": spoilt})
            if spoilt:
                os._exit(_SPOILT)  # no destructor may touch the device any more
        finally:
            if message.descriptor is not None:
                os.close(message.descriptor)


if __name__ == "__main__":
    main()
