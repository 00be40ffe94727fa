"""The device process, as the candidate's host code reaches it.

`Link` sends requests over a channel of the candidate's own; `RemoteSession` is the device that the `cupy` shim and compiled
extensions talk to. Nothing here is believed by anybody: the device process answers for what runs on the device.
"""

from __future__ import annotations

import base64
import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelwright.errors import BuildError, EmulatorError, KernelwrightError, LaunchError, UnsupportedError
from kernelwright.sandbox import arena
from kernelwright.sandbox.channel import Channel, ChannelClosed, Message
from kernelwright.sandbox.emulated.arena_allocator import ArenaAllocator
from kernelwright.sandbox.emulated.recorder import CompiledModule, Lowered, MemoryHooks
from kernelwright.sandbox.hostcode.authors import PreludeLines
from kernelwright.sandbox.launch import KernelResources

__all__ = ["Link", "RemoteModule", "RemoteSession", "in_arena"]

_ERRORS: dict[str, type[KernelwrightError]] = {"unsupported": UnsupportedError, "launch": LaunchError}


def in_arena(address: int) -> bool:
    """Whether an address is one of device memory."""
    return arena.BASE <= address < arena.BASE + arena.SIZE


class Link:
    """Requests to the device process, one at a time.

    Args:
        allocator: what it has allocated and freed travels ahead of every request.
    """

    def __init__(self, channel: Channel, allocator: ArenaAllocator) -> None:
        self.allocator = allocator
        self._channel = channel
        self._lock = threading.RLock()
        self._ahead: list[tuple[str, Any]] = []

    def _note_events(self) -> None:
        if events := self.allocator.take_events():
            self._ahead.append(("events", events))

    def place(self, addresses: Sequence[int]) -> None:
        """Says where room has been made for the results of the last operation."""
        with self._lock:
            self._note_events()
            self._ahead.append(("place", list(addresses)))

    def label(self, names: Sequence[tuple[int, str]]) -> None:
        """Names memory, for messages."""
        with self._lock:
            self._note_events()
            self._ahead.append(("label", [list(each) for each in names]))

    def flush(self) -> None:
        """Tells what has happened here, if anything has."""
        with self._lock:
            self._note_events()
            if self._ahead:
                self.ask("flush")

    def ask(self, op: str, values: Any = None, **fields: Any) -> Message:
        """One request.

        Raises:
            BuildError, UnsupportedError, LaunchError, MemoryError: the device refuses it.
            EmulatorError: the device is gone.
        """
        with self._lock:
            self._note_events()
            ahead, self._ahead = self._ahead, []
            try:
                self._channel.send({"op": op, "ahead": ahead, **fields}, values)
                message = self._channel.receive()
            except (ChannelClosed, OSError) as error:
                raise EmulatorError("the emulated GPU does not answer any more.") from error
        if message.body.get("ok") is True:
            return message
        found = message.body["error"]
        kind, text, mend, line = found["kind"], found["message"], found["mend"], found["line"]
        if kind == "build":
            raise BuildError(text, log=found["log"], mend=mend, line=line)
        if kind == "memory":
            raise MemoryError(text)
        raise _ERRORS.get(kind, EmulatorError)(text, mend=mend, line=line)


@dataclass(frozen=True)
class _Lowered:
    """Names as the compiler has them."""

    lowered_names: Mapping[str, str]


class RemoteModule:
    """A module compiled by the device process."""

    def __init__(self, link: Link, answer: Mapping[str, Any]) -> None:
        self._link = link
        self.number = int(answer["module"])
        self.kernels: tuple[str, ...] = tuple(answer["kernels"])
        self.resources = {name: KernelResources(**used) for name, used in answer["resources"].items()}
        self.build: Lowered = _Lowered(answer["lowered_names"])
        self.variables: dict[int, tuple[int, str]] = {}
        """Address of a variable to its bytes and name."""

    def global_pointer(self, name: str) -> tuple[int, int]:
        """(device address, bytes) of a variable.

        Raises:
            LaunchError: there is none of that name.
        """
        found = self._link.ask("variable", module=self.number, name=name).body
        self.variables[found["address"]] = (found["size"], name)
        return found["address"], found["size"]


class RemoteSession:
    """The device of this process: the device process. See `recorder.DeviceSession`."""

    copying = True

    def __init__(self, arch: str, link: Link) -> None:
        self.arch = arch
        self.link = link
        self._modules: list[RemoteModule] = []
        self._limits: tuple[int, int] | None = None

    def compile(self, source: str, options: Sequence[str], name_expressions: Sequence[str]) -> CompiledModule:
        """CUDA C++ to a module of the emulated architecture."""
        answer = self.link.ask("compile", source=source, options=list(options), names=list(name_expressions))
        module = RemoteModule(self.link, answer.body)
        self._modules.append(module)
        return module

    def launch(
        self,
        module: Any,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: Sequence[Any],
        shared: int,
        lines: PreludeLines | None = None,
    ) -> None:
        """One launch; what it did is the device process's to know.

        Raises:
            LaunchError: what a GPU would refuse.
        """
        encoded = [_encode(value, position) for position, value in enumerate(args)]
        for address in _pointers(encoded):
            self.link.allocator.mark(address)
        self.link.ask(
            "launch",
            module=module.number,
            name=name,
            grid=list(grid),
            block=list(block),
            arguments=encoded,
            shared=shared,
            lines=None if lines is None else lines.to_json(),
            limits=self._limits,
        )

    def memory_hooks(self) -> MemoryHooks:
        """Allocations come from the arena; nobody need be told of them."""
        allocate, release = self.link.allocator.c_api()
        return MemoryHooks(allocate=allocate, release=release)

    def set_limits(self, *, stack_bytes: int, heap_bytes: int) -> None:
        """For the launches to come."""
        self._limits = (stack_bytes, heap_bytes)

    def _is_device(self, address: int) -> bool:
        return in_arena(address) or any(
            start <= address < start + size for module in self._modules for start, (size, _) in module.variables.items()
        )

    def write(self, address: int, host: int, count: int) -> None:
        """Copies bytes of this process to the device."""
        self.link.allocator.mark(address)
        self.link.ask("write", address=address, bytes=base64.b64encode(ctypes.string_at(host, count)).decode())

    def read(self, host: int, address: int, count: int) -> None:
        """Copies bytes of the device to this process; the device counts them."""
        ctypes.memmove(
            host, base64.b64decode(self.link.ask("scalar", address=address, count=count).body["bytes"]), count
        )

    def copy(self, to: int, origin: int, count: int) -> None:
        """Copies bytes between addresses of the device or of this process."""
        if self._is_device(to) and self._is_device(origin):
            self.link.allocator.mark(to)
            self.link.ask("copy", to=to, count=count, **{"from": origin})
        elif self._is_device(to):
            self.write(to, origin, count)
        elif self._is_device(origin):
            self.read(to, origin, count)
        else:
            ctypes.memmove(to, origin, count)

    def fill(self, to: int, value: int, count: int) -> None:
        """Sets bytes of the device, or of this process."""
        if not self._is_device(to):
            ctypes.memset(to, value, count)
            return
        self.link.allocator.mark(to)
        self.link.ask("fill", address=to, count=count, pattern=base64.b64encode(bytes([value & 0xFF])).decode())

    def expose(self, address: int, nbytes: int, name: str) -> None:
        """Lets kernels of other modules reach a variable."""
        for module in self._modules:
            if address in module.variables:
                self.link.ask("variable", module=module.number, name=module.variables[address][1], expose=name)
                return


def _encode(value: Any, position: int) -> dict[str, Any]:
    """A launch argument as `device_worker` reads it."""
    if value is None:
        return {"v": None}
    if isinstance(value, np.ndarray):
        if in_arena(value.ctypes.data):
            return {"p": value.ctypes.data}
        raise LaunchError(
            f"argument {position + 1} is a NumPy array, which lies in the host's memory.",
            mend="Pass a tensor or a cupy array.",
        )
    if isinstance(value, np.void):
        return {"b": base64.b64encode(value.tobytes()).decode()}
    if isinstance(value, np.generic):
        return {"n": [value.dtype.str, base64.b64encode(value.tobytes()).decode()]}
    if isinstance(value, bool | int | float):
        return {"v": value}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"b": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, ctypes.Structure | ctypes.Array | ctypes._SimpleCData):
        return {"b": base64.b64encode(bytes(memoryview(value).cast("B"))).decode()}
    if callable(data_ptr := getattr(value, "data_ptr", None)):
        return {"p": int(data_ptr())}
    if isinstance(interface := getattr(value, "__cuda_array_interface__", None), dict):
        return {"p": int(interface["data"][0])}
    raise LaunchError(
        f"argument {position + 1} is a {type(value).__name__}, which can't be passed to a kernel",
        mend="Pass an integer, a float, a NumPy scalar, an array or a tensor.",
    )


def _pointers(encoded: Sequence[Mapping[str, Any]]) -> list[int]:
    """Addresses of device memory among encoded arguments, in structures too."""
    found = []
    for each in encoded:
        ((kind, value),) = each.items()
        if kind in ("p", "v") and isinstance(value, int) and in_arena(value):
            found.append(value)
        elif kind in ("b", "n"):
            raw = base64.b64decode(value if kind == "b" else value[1])
            whole = np.frombuffer(raw[: len(raw) // 8 * 8], np.uint64).tolist()
            found += [address for address in whole if in_arena(address)]
    return found
