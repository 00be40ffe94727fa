"""The candidate process on the emulator: loads a kernel module and calls it. Nothing it says is believed.

Run with ``python -m kernelwright.sandbox.candidate_worker FD``; `kernelwright.sandbox.candidate` is its other end.
"""

from __future__ import annotations

import inspect
import linecache
import sys
import types
from pathlib import Path
from typing import Any

import torch

from kernelwright.errors import KernelError, UnsupportedError
from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.emulated import allocator, recorder, torch_cuda
from kernelwright.sandbox.hostcode import extension
from kernelwright.sandbox.launch import LaunchOptions
from kernelwright.sandbox.optrace import trace_ops
from kernelwright.sandbox.places import places_of
from kernelwright.sandbox.serve import serve
from kernelwright.sandbox.trees import byte_range, construct, seed_torch, tensors_of

_FILE = "<kernel>"


class Candidate:
    """The loaded kernel and its handlers."""

    def __init__(self) -> None:
        self.module: types.ModuleType | None = None
        self.model: Any = None
        self.session: recorder.Session | None = None
        self.names: list[str] = []

    def open(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Sets the emulated device up, before any code of the kernel is loaded."""
        torch_cuda.install()
        body = message.body
        self.session = recorder.open_session(
            body["arch"], float(body["call_seconds"]), LaunchOptions(**body["options"])
        )
        allocator.install(self.session.memory)
        sys.path.insert(0, str(Path(recorder.__file__).with_name("shim")))
        extension.install(self.session)
        return {}, None

    def load(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Runs the kernel's module."""
        source = message.body["source"]
        linecache.cache[_FILE] = (len(source), None, source.splitlines(True), _FILE)
        module = types.ModuleType("kernelwright_kernel")
        module.__file__ = _FILE
        sys.modules[module.__name__] = module
        try:
            exec(compile(source, _FILE, "exec"), module.__dict__)
        except ModuleNotFoundError as error:
            raise UnsupportedError(
                f"the kernel imports {error.name!r}, which the sandbox does not have.",
                mend="Use torch, cupy, numpy and the standard library.",
            ) from error
        if not isinstance(getattr(module, "ModelNew", None), type):
            raise KernelError("the module defines no class ModelNew.", mend="Name the optimised module ModelNew.")
        self.module = module
        return {}, None

    def build(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Constructs ModelNew as the reference was, and gives it the reference's weights where names agree."""
        assert self.module is not None
        assert self.session is not None
        arguments, state = message.values["arguments"], message.values["state"]
        seed_torch(message.body["seed"])
        model = self.model if message.body.get("update") else construct(self.module.ModelNew, arguments)
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"ModelNew(...) is a {type(model).__name__}, not a torch.nn.Module")
        own = {k: v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
        matched = [k for k in own if k in state and own[k].shape == state[k].shape]
        with torch.no_grad():
            for key in matched:
                own[key].copy_(state[key])
        for key, tensor in own.items():
            if tensor.numel():
                self.session.memory.unregister(tensor.untyped_storage().data_ptr())
                self.session.memory.register(
                    tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes(), key
                )
        self.model = model
        try:
            self.names = [p for p in inspect.signature(type(model).forward).parameters if p != "self"]
        except (TypeError, ValueError):
            self.names = []
        return {"matched": matched, "unmatched": [k for k in state if k not in matched]}, None

    def call(self, message: Message) -> tuple[dict[str, Any], Any]:
        """One forward call on the inputs of this message."""
        assert self.session is not None
        session, inputs = self.session, message.values
        given = tensors_of(inputs)
        if isinstance(inputs, list):
            for position, tensor in enumerate(inputs):
                if isinstance(tensor, torch.Tensor) and tensor.numel():
                    name = self.names[position] if position < len(self.names) else f"input {position}"
                    begin, end = byte_range(tensor)
                    session.memory.register(begin, end - begin, name)
        session.take_reports()
        session.memory.mark()
        session.suppressed = bool(message.body.get("suppressed"))
        try:
            with torch.no_grad():
                outputs, ops = (
                    trace_ops(lambda: self.model(*inputs)) if message.body.get("trace") else (self.model(*inputs), [])
                )
        finally:
            session.suppressed = False
            for tensor in given:
                if tensor.numel():
                    session.memory.unregister(tensor.data_ptr())
        returned = tensors_of(outputs)
        fields = {
            "reports": [report.to_json() for report in session.take_reports()],
            "ops": [record.to_json() for record in ops],
            "aliases": [
                [i, j]
                for i, out in enumerate(returned)
                for j, tensor in enumerate(given)
                if out.numel() and tensor.numel() and _overlap(out, tensor)
            ],
            "written": [
                bool(t.numel() == 0 or session.memory.written(t.untyped_storage().data_ptr())) for t in returned
            ],
            "lazy": [type(t).__name__ for t in returned if type(t) not in {torch.Tensor, torch.nn.Parameter}],
            "places": [place.to_json() for place in places_of(returned)],
        }
        return fields, outputs


def _overlap(one: torch.Tensor, two: torch.Tensor) -> bool:
    (first, first_end), (second, second_end) = byte_range(one), byte_range(two)
    return first < second_end and second < first_end


def main() -> None:
    """Serves requests until the judge is gone."""
    candidate = Candidate()
    serve({name: getattr(candidate, name) for name in ("open", "load", "build", "call")})


if __name__ == "__main__":
    main()
