"""The device process's memory: inputs, what the candidate allocates, and who last wrote it.

An allocation is the host's until a kernel, an operation or a copy writes it on the device; as long as it is, its contents are
taken over from the candidate's memory before each use (a table made with NumPy, a tensor filled by the constructor). After
that the device's contents count alone, and nothing that host code writes there reaches a kernel.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelwright.errors import LaunchError, ProtocolError
from kernelwright.sandbox import arena
from kernelwright.sandbox.channel import row_bytes
from kernelwright.sandbox.emulator.memory import Memory
from kernelwright.sandbox.launch import OpRecord

__all__ = ["DeviceMemory"]

_ALIGN = 256  # bytes: what cudaMalloc guarantees, and the gap between neighbours
_SHIFTS = 1 << 12  # places where the first input of a call may begin, so that pointers change from call to call
_KEEP_BYTES = 1 << 20  # freed ranges at least this large are given back to the system


@dataclass
class _Block:
    """One allocation of the candidate's."""

    nbytes: int
    on_device: bool = False
    """Whether the device has written it: then its contents count, not the host's."""
    synchronised: bool = False
    in_call: bool = False
    """Whether it was made during the present call."""


class DeviceMemory:
    """Who owns which bytes.

    Args:
        memory: the emulator's table of allocations.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.window: arena.Window | None = None
        self.inputs: list[tuple[int, dict[str, Any]]] = []
        """(address, row) of each input tensor of the present call; address 0 for an empty one."""
        self._blocks: dict[int, _Block] = {}
        self._starts: list[int] = []
        self._variables: dict[int, int] = {}
        self._pulled = 0
        self._uploads: list[OpRecord] = []
        self._calling = False

    # -- inputs -----------------------------------------------------------------------------------------------------

    def lay_out(self, rows: Sequence[Mapping[str, Any]], memory: mmap.mmap | None) -> list[int]:
        """Copies the inputs of a call to addresses of their own; returns those, 0 for empty tensors."""
        self.drop_inputs()
        self._pulled, self._uploads, self._calling = 0, [], True
        at = arena.BASE + _ALIGN * (1 + secrets.randbelow(_SHIFTS))
        for number, given in enumerate(rows):
            row = dict(given)
            nbytes = row_bytes(row)
            if nbytes and memory is not None:
                if at + nbytes + _ALIGN > arena.HEAP_BASE:
                    raise LaunchError("the inputs do not fit into the emulated GPU's memory.", mend="Use a smaller task.")
                source = np.frombuffer(memory, np.uint8, nbytes, int(row["offset"]))
                ctypes.memmove(at, source.ctypes.data, nbytes)
                self.memory.register(at, nbytes, f"input {number}")
            self.inputs.append((at if nbytes else 0, row))
            at += -(-nbytes // _ALIGN) * _ALIGN + _ALIGN
        return [address for address, _ in self.inputs]

    def drop_inputs(self) -> None:
        """Forgets the inputs; a pointer to them is dangling from here on."""
        for address, row in self.inputs:
            if address:
                self.memory.unregister(address)
                if self.window is not None:
                    self.window.forget(address, row_bytes(row))
        self.inputs = []
        self._calling = False

    # -- the candidate's allocations --------------------------------------------------------------------------------

    def apply(self, events: str) -> None:
        """What the candidate has allocated and freed since its last message: pairs of address and bytes, 0 for freed."""
        import base64

        pairs = np.frombuffer(base64.b64decode(events), np.uint64).reshape(-1, 2).tolist()
        for address, nbytes in pairs:
            if not nbytes:
                self._free(address)
                continue
            if not arena.HEAP_BASE <= address <= address + nbytes <= arena.BASE + arena.SIZE:
                raise ProtocolError("the candidate allocates outside its memory")
            # what it overlaps was freed behind our back
            at = max(0, bisect.bisect_right(self._starts, address) - 1)
            while at < len(self._starts) and self._starts[at] < address + nbytes:
                start = self._starts[at]
                if start + self._blocks[start].nbytes > address:
                    self._free(start)
                else:
                    at += 1
            self._blocks[address] = _Block(nbytes, in_call=self._calling)
            bisect.insort(self._starts, address)
            self.memory.register_poisoned(address, nbytes, "tensor")

    def _free(self, address: int) -> None:
        block = self._blocks.pop(address, None)
        if block is None:
            return
        del self._starts[bisect.bisect_left(self._starts, address)]
        self.memory.unregister(address)
        if block.nbytes >= _KEEP_BYTES and self.window is not None:
            self.window.forget(address, block.nbytes)

    def _block(self, address: int) -> tuple[int, _Block] | None:
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        start = self._starts[at]
        block = self._blocks[start]
        return (start, block) if address < start + block.nbytes else None

    def _input(self, address: int) -> tuple[int, int] | None:
        """(address, bytes) of the input that holds an address."""
        return next(
            ((a, n) for a, row in self.inputs if a and a <= address < a + (n := row_bytes(row))), None
        )

    def _variable(self, address: int) -> tuple[int, int] | None:
        return next(((a, n) for a, n in self._variables.items() if a <= address < a + n), None)

    def add_variable(self, address: int, nbytes: int) -> None:
        """A module's variable, which host code may copy to and from."""
        self._variables[address] = nbytes

    def holds(self, address: int, nbytes: int) -> bool:
        """Whether a range lies inside one allocation of this device (an empty one always does)."""
        if not nbytes:
            return True
        found = self._range(address)
        return found is not None and address + nbytes <= found[0] + found[1]

    def _range(self, address: int) -> tuple[int, int] | None:
        block = self._block(address)
        if block is not None:
            return block[0], block[1].nbytes
        return self._input(address) or self._variable(address)

    def is_written(self, address: int) -> bool:
        """Whether the device (a kernel, an operation, a copy) wrote into the allocation that holds `address`."""
        block = self._block(address)
        if block is not None:
            return block[1].on_device
        return bool(self.memory.written(address))

    # -- contents ---------------------------------------------------------------------------------------------------

    def synchronise(self, addresses: Iterable[int]) -> None:
        """Takes over what the host wrote: into allocations never seen before, and those that hold one of `addresses`."""
        if self.window is None:
            return
        asked = {found[0] for address in addresses if (found := self._block(address)) is not None}
        for start, block in self._blocks.items():
            if block.on_device or (block.synchronised and start not in asked):
                continue
            changed = self.window.upload(start, block.nbytes)
            if not block.synchronised and block.in_call and not _is_poison(start, block.nbytes):
                self._uploads.append(
                    OpRecord("host to device", 0, block.nbytes, 0, "uint8", "copy", ((block.nbytes,),))
                )
            block.synchronised = True
            if changed:
                self.memory.initialised(start, block.nbytes)

    def note_written(self) -> None:
        """After a launch: what kernels stored into is the device's."""
        for start, block in self._blocks.items():
            if not block.on_device and self.memory.written(start):
                block.on_device = True

    def mark_written(self, address: int) -> None:
        """An operation or a copy wrote into the allocation that holds `address`."""
        if (found := self._block(address)) is not None:
            found[1].on_device = True

    def take_over(self, address: int) -> None:
        """The host's contents of an allocation count again."""
        if (found := self._block(address)) is not None:
            found[1].on_device, found[1].synchronised = False, False
            self.synchronise([address])

    def pull(self, address: int) -> None:
        """Shows the host the allocation or input that holds `address`."""
        found = self._block(address)
        if found is not None and not found[1].on_device:
            return  # it is the host's own
        extent = (found[0], found[1].nbytes) if found is not None else self._input(address)
        if extent is not None and self.window is not None:
            self.window.download(*extent)
            self._pulled += extent[1]

    def peek(self, address: int, count: int) -> bytes:
        """A few bytes for the host.

        Raises:
            LaunchError: they are not this device's.
        """
        self._check(address, count)
        self.synchronise([address])
        self._pulled += count
        return ctypes.string_at(address, count)

    def write(self, address: int, data: bytes) -> None:
        """Bytes from the host. Raises LaunchError: the range is not this device's."""
        self._check(address, len(data))
        self._claim(address)
        ctypes.memmove(address, data, len(data))
        self._wrote(address, len(data))

    def copy(self, to: int, origin: int, count: int) -> None:
        """Inside the device. Raises LaunchError: a range is not this device's."""
        self._check(to, count)
        self._check(origin, count)
        self.synchronise([origin])
        self._claim(to)
        ctypes.memmove(to, origin, count)
        self._wrote(to, count)

    def fill(self, address: int, value: int, count: int) -> None:
        """Sets bytes. Raises LaunchError: the range is not this device's."""
        self._check(address, count)
        self._claim(address)
        ctypes.memset(address, value & 0xFF, count)
        self._wrote(address, count)

    def _claim(self, address: int) -> None:
        """Before a partial write: the rest of the allocation is what the host left there."""
        self.synchronise([address])

    def _wrote(self, address: int, count: int) -> None:
        self.mark_written(address)
        self.memory.initialised(address, count)

    def _check(self, address: int, count: int) -> None:
        if not self.holds(address, count):
            raise LaunchError(
                f"a copy of {count} bytes at {address:#x} is outside the device's memory.",
                mend="Copy within one allocation made by torch, cupy or cudaMalloc.",
            )

    def label(self, address: int, name: str) -> None:
        """Names an allocation or an input."""
        block = self._block(address)
        if block is not None:
            self.memory.unregister(block[0])
            self.memory.register(block[0], block[1].nbytes, name)
        elif (found := self._input(address)) is not None:
            self.memory.unregister(found[0])
            self.memory.register(found[0], found[1], name)

    def take_pulled(self) -> int:
        """Bytes shown to the host since the call began."""
        taken, self._pulled = self._pulled, 0
        return taken

    def take_uploads(self) -> list[OpRecord]:
        """What the host wrote into memory made during the call, as copies; each once."""
        taken, self._uploads = self._uploads, []
        return taken


def _is_poison(address: int, nbytes: int) -> bool:
    """Whether memory is as the allocator left it: every byte 0xFF."""
    view = np.frombuffer((ctypes.c_char * nbytes).from_address(address), np.uint8)
    return bool(view[0] == 0xFF and (view == 0xFF).all())
