"""The candidate process on the emulator: loads a kernel module and calls it. Nothing it says is believed.

Its tensors have addresses on the emulated GPU, whose memory and kernels are the device process's: what is here are the
addresses. So it holds neither inputs nor results, and no record of its launches.

Run with ``python -m kernelwright.sandbox.candidate_worker FD``; `kernelwright.sandbox.candidate` is its other end.
"""

from __future__ import annotations

import ctypes
import inspect
import socket
import sys
import types
from pathlib import Path
from typing import Any

import torch

from kernelwright.errors import KernelError, ProtocolError, UnsupportedError
from kernelwright.sandbox import arena
from kernelwright.sandbox.channel import Channel, Message, decode_tree, encode_tree
from kernelwright.sandbox.emulated import recorder, torch_cuda
from kernelwright.sandbox.emulated.arena_allocator import ArenaAllocator
from kernelwright.sandbox.emulated.forwarding import Forwarding, describe, to_device
from kernelwright.sandbox.emulated.remote import Link, RemoteSession
from kernelwright.sandbox.gradients import Wanted, differentiate
from kernelwright.sandbox.hostcode import extension
from kernelwright.sandbox.modules import copy_weights, new_module
from kernelwright.sandbox.places import places_of
from kernelwright.sandbox.serve import serve
from kernelwright.sandbox.tensor_memory import DTYPES, row_bytes
from kernelwright.sandbox.trees import construct, map_tensors, seed_torch, tensors_of

_FILE = "<kernel>"
_REQUESTS = ("attach_memory", "attach_device", "open", "load", "build", "call")


class Candidate:
    """The loaded kernel and its handlers."""

    def __init__(self) -> None:
        self.module: types.ModuleType | None = None
        self.model: Any = None
        self.link: Link | None = None
        self.forwarding: Forwarding | None = None
        self.names: list[str] = []
        self.kept: Any = None
        """Outputs of the last call: they live until the judge has fetched them."""

    def attach_memory(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Maps the memory in which tensors get their addresses."""
        assert message.descriptor is not None
        arena.map_shared(message.descriptor)
        return {}, None

    def attach_device(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Takes this process's end of the channel to the device process."""
        assert message.descriptor is not None
        self.link = Link(Channel(socket.socket(fileno=message.descriptor)), ArenaAllocator())
        message.descriptor = None
        return {}, None

    def open(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Sets torch and the shims up, before any code of the kernel is loaded."""
        assert self.link is not None
        torch_cuda.install(to_device)
        session = RemoteSession(message.body["arch"], self.link)
        recorder.set_session(session)
        sys.path.insert(0, str(Path(recorder.__file__).with_name("shim")))
        extension.install(session)
        self.forwarding = Forwarding(self.link)
        return {}, None

    def load(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Runs the kernel's module."""
        source = message.body["source"]
        module = new_module("kernelwright_kernel", _FILE, source)
        assert self.forwarding is not None
        try:
            with self.forwarding:
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
        assert self.link is not None
        assert self.forwarding is not None
        arguments, state = message.values["arguments"], message.values["state"]
        seed_torch(message.body["seed"])
        update = bool(message.body.get("update"))
        arguments = map_tensors(arguments, to_device)
        with self.forwarding:
            model = self.model if update else construct(self.module.ModelNew, arguments)
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"ModelNew(...) is a {type(model).__name__}, not a torch.nn.Module")
        own, matched = copy_weights(model, state)
        given = [own[key] for key in matched if own[key].numel()]
        if stale := [t for t in given if update or self.forwarding.is_remote(t)]:
            self.link.ask("wrote", addresses=[t.data_ptr() for t in stale])
            for tensor in stale:
                self.link.allocator.mark(tensor.data_ptr(), on_device=False)
        self.link.label(
            [(t.untyped_storage().data_ptr(), key) for key, t in own.items() if t.numel() and t.layout is torch.strided]
        )
        self.link.flush()  # weights are there before the first call
        self.model = model
        try:
            self.names = [p for p in inspect.signature(type(model).forward).parameters if p != "self"]
        except (TypeError, ValueError):
            self.names = []
        return {"matched": matched, "unmatched": [k for k in state if k not in matched]}, None

    def call(self, message: Message) -> tuple[dict[str, Any], Any]:
        """One call on inputs that lie at these addresses, forward or forward and backward; says where its outputs lie."""
        assert self.link is not None
        assert self.forwarding is not None
        inputs = decode_tree(message.body["tree"], [_over(row) for row in message.body["rows"]])
        if isinstance(inputs, list):
            self.link.label(
                [
                    (tensor.data_ptr(), self.names[position] if position < len(self.names) else f"input {position}")
                    for position, tensor in enumerate(inputs)
                    if isinstance(tensor, torch.Tensor) and tensor.numel()
                ]
            )
        wanted = message.body.get("gradients")
        self.kept = None
        self.forwarding.in_call = True
        try:
            with torch.no_grad(), self.forwarding:
                outputs = (
                    self.model(*inputs)
                    if wanted is None
                    else list(differentiate(self.model, inputs, Wanted.from_json(wanted)))
                )
        finally:
            self.forwarding.in_call = False
        returned: list[torch.Tensor] = []
        tree = encode_tree(outputs, returned)
        places = [place.to_json() for place in places_of(tensors_of(outputs))]  # as they are: what is sent is detached
        with torch.no_grad(), self.forwarding:
            returned = [_as_stored(to_device(t)) for t in returned]
        rows = [describe(t) for t in returned]
        self.link.flush()
        self.kept = outputs, returned
        return {"tree": tree, "rows": rows, "places": places}, None


def _over(row: dict[str, Any]) -> torch.Tensor:
    """A tensor over the memory at an address."""
    nbytes, dtype = row_bytes(row), getattr(torch, row["dtype"])
    if not nbytes:
        return torch.empty_strided(row["shape"], row["stride"], dtype=dtype)
    memory = (ctypes.c_char * nbytes).from_address(row["address"])
    return torch.frombuffer(memory, dtype=dtype).as_strided(row["shape"], row["stride"])


def _as_stored(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with its values as they stand in memory.

    Raises:
        ProtocolError: its memory is of a kind that can't be handed over.
    """
    if tensor.layout is not torch.strided or str(tensor.dtype).removeprefix("torch.") not in DTYPES:
        raise ProtocolError(f"a tensor of {tensor.dtype}, {tensor.layout} can't be sent")
    return tensor.resolve_conj().resolve_neg()


def main() -> None:
    """Serves requests until the judge is gone."""
    candidate = Candidate()
    serve({name: getattr(candidate, name) for name in _REQUESTS})


if __name__ == "__main__":
    main()
