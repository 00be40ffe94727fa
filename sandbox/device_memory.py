"""The device process's memory: inputs, what the candidate allocates, and who last wrote it.

An allocation is the host's until a kernel, an operation or a copy writes it on the device; as long as it is, its contents are
taken over from the candidate's memory before each use (a table made with NumPy, a tensor filled by the constructor). After
that the device's contents count alone, and nothing that host code writes there reaches a kernel.
"""

from __future__ import annotations

import base64
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
from kernelwright.sandbox.emulator.memory import Memory
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.tensor_memory import row_bytes

__all__ = ["DeviceMemory"]

_ALIGN = 256  # bytes: what cudaMalloc guarantees, and the gap between neighbours
_SHIFTS = 1 << 12  # places where the first input of a call may begin, so that pointers change from call to call
_LARGE = (
    64 << 10
)  # bytes: as in arena_allocator.cpp, allocations from here on have pages of their own, untouched when made
_NUMBER_BYTES = (
    16  # one number, of which the largest is complex: it travels as an argument of a kernel, as the 2 of x * 2 does
)
_KEEP_BYTES = 1 << 20  # freed ranges at least this large are given back to the system
_MOST_BLOCKS = 1 << 18  # live allocations of one candidate; more are taken for an attack
_POISON = 0xFF  # what memory holds that nobody has written


@dataclass
class _Block:
    """One allocation of the candidate's."""

    nbytes: int
    on_device: bool = False
    """Whether the device has written it: then its contents count, not the host's."""
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
        self._fresh: dict[int, None] = {}
        """Blocks whose host contents were never looked at, in order."""
        self._written_now: set[int] = set()
        """Blocks and inputs that operations or copies wrote during the present call; kernels' stores the table knows."""
        self._shown: list[tuple[int, int]] = []
        self._variables: dict[int, int] = {}
        self._pulled = 0
        self._uploads: list[OpRecord] = []
        self._calling = False

    # -- inputs -----------------------------------------------------------------------------------------------------

    def lay_out(self, rows: Sequence[Mapping[str, Any]], memory: mmap.mmap | None) -> list[int]:
        """Begins a call: copies its inputs to addresses of their own; returns those, 0 for empty tensors."""
        self.drop_inputs()
        self._pulled, self._uploads, self._calling = 0, [], True
        self._written_now.clear()
        at = arena.BASE + _ALIGN * (1 + secrets.randbelow(_SHIFTS))
        for number, given in enumerate(rows):
            row = dict(given)
            nbytes = row_bytes(row)
            if nbytes and memory is not None:
                if at + nbytes + _ALIGN > arena.HEAP_BASE:
                    raise LaunchError(
                        "the inputs do not fit into the emulated GPU's memory.", mend="Use a smaller task."
                    )
                source = np.frombuffer(memory, np.uint8, nbytes, int(row["offset"]))
                ctypes.memmove(at, source.ctypes.data, nbytes)
                del source
                self.memory.register(at, nbytes, f"input {number}")
            self.inputs.append((at if nbytes else 0, row))
            at += -(-nbytes // _ALIGN) * _ALIGN + _ALIGN
        return [address for address, _ in self.inputs]

    def drop_inputs(self) -> None:
        """Ends a call: forgets the inputs, a pointer to which is dangling from here on, and what was shown of them."""
        for address, row in self.inputs:
            if address:
                self.memory.unregister(address)
                if self.window is not None:
                    self.window.forget(address, row_bytes(row))
        if self.window is not None:
            for address, nbytes in self._shown:
                self.window.clear(address, nbytes)
        self.inputs, self._shown = [], []
        self._calling = False

    # -- the candidate's allocations --------------------------------------------------------------------------------

    def apply(self, events: str) -> None:
        """What the candidate has allocated and freed since its last message: pairs of address and bytes, 0 for freed."""
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
            if len(self._blocks) >= _MOST_BLOCKS:
                raise ProtocolError("the candidate holds too many allocations")
            self._blocks[address] = _Block(nbytes, in_call=self._calling)
            self._fresh[address] = None
            bisect.insort(self._starts, address)
            self.memory.register_poisoned(address, nbytes, "tensor")

    def _free(self, address: int) -> None:
        block = self._blocks.pop(address, None)
        if block is None:
            return
        del self._starts[bisect.bisect_left(self._starts, address)]
        self._fresh.pop(address, None)
        self._written_now.discard(address)
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
        return next(((a, n) for a, row in self.inputs if a and a <= address < a + (n := row_bytes(row))), None)

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
        """Whether the device wrote into the allocation that holds `address` during the present call."""
        found = self._range(address)
        return found is not None and (found[0] in self._written_now or bool(self.memory.written(found[0])))

    # -- contents ---------------------------------------------------------------------------------------------------

    def synchronise(self, addresses: Iterable[int]) -> None:
        """Takes over what the host wrote: into allocations never seen before, and those that hold one of `addresses`."""
        if self.window is None:
            return
        asked = {found[0]: found[1] for address in addresses if (found := self._block(address)) is not None}
        for start in self._fresh:
            block = self._blocks[start]
            asked.pop(start, None)
            written = self._first_look(start, block.nbytes, self.window)
            if written and block.in_call and block.nbytes > _NUMBER_BYTES:
                self._uploads.append(OpRecord("host to device", 0, written, 0, "uint8", "copy", ((written,),)))
        self._fresh.clear()
        for start, block in asked.items():
            if not block.on_device:
                self._look_again(start, block.nbytes, self.window)

    def _first_look(self, start: int, nbytes: int, window: arena.Window) -> int:
        """Fills a block with what the host has left in it, poison elsewhere; returns how many bytes the host wrote."""
        if nbytes < _LARGE:
            window.upload(start, nbytes)
            written = 0 if _is_poison(start, nbytes) else nbytes
        else:
            ctypes.memset(start, _POISON, nbytes)
            written = 0
            for at, count in window.touched(start, nbytes):
                window.upload(at, count)
                written += count
        if written:
            self.memory.initialised(start, nbytes)
        return written

    def _look_again(self, start: int, nbytes: int, window: arena.Window) -> None:
        parts = [(start, nbytes)] if nbytes < _LARGE else window.touched(start, nbytes)
        changed = [window.upload(*part) for part in parts]
        if any(changed):
            self.memory.initialised(start, nbytes)

    def note_written(self) -> None:
        """After a launch: what kernels stored into is the device's."""
        for start, block in self._blocks.items():
            if not block.on_device and self.memory.written(start):
                block.on_device = True

    def mark_written(self, address: int) -> None:
        """An operation or a copy wrote into the allocation that holds `address`."""
        if (found := self._block(address)) is not None:
            found[1].on_device = True
        if (extent := self._range(address)) is not None:
            self._written_now.add(extent[0])

    def make_room(self, address: int, count: int) -> None:
        """Before `count` bytes are written for the first time.

        Raises:
            LaunchError: the range is not this device's.
        """
        self._check(address, count)
        found = self._block(address)
        if found is not None and found[0] in self._fresh and found[1].nbytes == count:
            del self._fresh[found[0]]  # nobody needs what it holds
        else:
            self.synchronise([address])
        self._wrote(address, count)

    def take_over(self, address: int) -> None:
        """The host's contents of an allocation count again."""
        if (found := self._block(address)) is not None:
            found[1].on_device = False
            self.synchronise([address])

    def pull(self, address: int, count: int) -> None:
        """Shows the host a range.

        Raises:
            LaunchError: it is not this device's.
        """
        self._check(address, count)
        found = self._block(address)
        if (found is not None and not found[1].on_device) or self.window is None:
            return  # it is the host's own
        self.window.download(address, count)
        if found is None:
            self._shown.append((address, count))
        self._pulled += count

    def peek(self, address: int, count: int) -> bytes:
        """A few bytes for the host.

        Raises:
            LaunchError: they are not this device's.
        """
        self._check(address, count)
        self.synchronise([address])
        found = self._block(address)
        if found is None or found[1].on_device:
            self._pulled += count
        return ctypes.string_at(address, count)

    def told(self, count: int) -> None:
        """The host learns `count` bytes in another way."""
        self._pulled += count

    def write(self, address: int, data: bytes) -> None:
        """Bytes from the host. Raises LaunchError: the range is not this device's."""
        self._check(address, len(data))
        self.synchronise([address])
        ctypes.memmove(address, data, len(data))
        self._wrote(address, len(data))
        if self._calling:
            self._uploads.append(OpRecord("host to device", 0, len(data), 0, "uint8", "copy", ((len(data),),)))

    def copy(self, to: int, origin: int, count: int) -> None:
        """Inside the device. Raises LaunchError: a range is not this device's."""
        self._check(to, count)
        self._check(origin, count)
        self.synchronise([origin, to])
        ctypes.memmove(to, origin, count)
        self._wrote(to, count)

    def fill(self, address: int, pattern: bytes, count: int) -> None:
        """Repeats a pattern over `count` bytes. Raises LaunchError: the range is not this device's."""
        self._check(address, count)
        self.synchronise([address])
        if len(set(pattern)) == 1:
            ctypes.memset(address, pattern[0], count)
        else:
            room = (ctypes.c_char * count).from_address(address)
            np.frombuffer(memoryview(room), np.dtype((np.void, len(pattern))))[:] = np.void(pattern)
        self._wrote(address, count)

    def _wrote(self, address: int, count: int) -> None:
        self.mark_written(address)
        self.memory.initialised(address, count)

    def _check(self, address: int, count: int) -> None:
        if count < 0 or not self.holds(address, count):
            raise LaunchError(
                f"a copy of {count} bytes at {address:#x} is outside the device's memory.",
                mend="Copy within one allocation made by torch, cupy or cudaMalloc.",
            )

    def label(self, address: int, name: str) -> None:
        """Names an allocation or an input."""
        block = self._block(address)
        if block is not None and block[1].in_call:
            return  # it would be poisoned memory no longer
        found = (block[0], block[1].nbytes) if block is not None else self._input(address)
        if found is not None:
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
    """Whether memory is as the allocator left it."""
    view = np.frombuffer(memoryview((ctypes.c_char * nbytes).from_address(address)), np.uint8)
    return bool(view[0] == _POISON and (view == _POISON).all())
