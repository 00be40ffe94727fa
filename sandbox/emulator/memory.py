"""The table of live global memory: which host addresses a kernel may touch, with exact bounds and names."""

from __future__ import annotations

import ctypes
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernelwright.sandbox.emulator.toolchain import toolchain

__all__ = ["Allocation", "Memory"]


@dataclass(frozen=True)
class Allocation:
    """A live allocation: `pointer` is a host address, `nbytes` its exact size."""

    pointer: int
    nbytes: int
    name: str
    dtype: str | None
    read_only: bool = False


class Memory:
    """Live global allocations. Addresses are host addresses: a tensor on the CPU is "device" memory here.

    The table lives in native code, so that a tensor allocator can call it for every tensor (`c_api`); all methods may be
    called from several threads.
    """

    def __init__(self, *, cache_dir: Path | None = None) -> None:
        self._native = toolchain(cache_dir).runtime
        native = self._native
        native.kw_table_new.restype = ctypes.c_void_p
        self.handle: int = native.kw_table_new()
        self.lock = threading.Lock()
        """Held during a launch: one at a time in a table."""
        self._dtypes: dict[int, str] = {}
        self._read_only: frozenset[int] = frozenset()
        # not at exit: an allocator that knows the table (`c_api`) still frees tensors then
        weakref.finalize(self, native.kw_table_delete, ctypes.c_void_p(self.handle)).atexit = False

    def register(
        self,
        pointer: int,
        nbytes: int,
        name: str,
        dtype: str | None = None,
        *,
        read_only: bool = False,
        uninitialised: bool = False,
    ) -> None:
        """Makes `nbytes` at host address `pointer` accessible; what overlaps it is forgotten.

        A kernel's store to `read_only` memory is a violation (`out_of_bounds`) and is not made.
        `uninitialised` promises that every write to it is made by a kernel or told by `initialised`: a kernel that reads a
        byte of it before is reported.
        """
        self._native.kw_register(
            ctypes.c_void_p(self.handle), ctypes.c_void_p(pointer), ctypes.c_uint64(nbytes), name.encode()
        )
        if dtype is not None:
            self._dtypes[pointer] = dtype
        else:
            self._dtypes.pop(pointer, None)
        if read_only:
            self._native.kw_read_only(ctypes.c_void_p(self.handle), ctypes.c_void_p(pointer))
        self._read_only = (self._read_only | {pointer}) if read_only else (self._read_only - {pointer})
        if uninitialised:
            self._native.kw_uninitialised(ctypes.c_void_p(self.handle), ctypes.c_void_p(pointer))

    def register_poisoned(self, pointer: int, nbytes: int, name: str) -> None:
        """As `register`, of memory that is filled with bytes 0xFF: an array of floating-point numbers that still is when a
        kernel first reads it is reported as uninitialised."""
        self._native.kw_register_poisoned(
            ctypes.c_void_p(self.handle), ctypes.c_void_p(pointer), ctypes.c_uint64(nbytes), name.encode()
        )

    def initialised(self, pointer: int, nbytes: int) -> None:
        """Says that the host has written `nbytes` at `pointer`."""
        self._native.kw_initialised(ctypes.c_void_p(self.handle), ctypes.c_void_p(pointer), ctypes.c_uint64(nbytes))

    def unregister(self, pointer: int) -> None:
        """Forgets the allocation that begins at `pointer`, if there is one."""
        self._native.kw_unregister(ctypes.c_void_p(self.handle), ctypes.c_void_p(pointer))
        self._read_only -= {pointer}
        self._dtypes.pop(pointer, None)

    def find(self, address: int, *, below: bool = False) -> Allocation | None:
        """The allocation that holds `address`; with `below`, else the last one that begins before it."""
        start, size, label = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.create_string_buffer(256)
        found = self._native.kw_find(
            ctypes.c_void_p(self.handle),
            ctypes.c_uint64(address),
            int(below),
            ctypes.byref(start),
            ctypes.byref(size),
            label,
            ctypes.c_int64(256),
        )
        if not found:
            return None
        name = label.value.decode(errors="replace")
        return Allocation(start.value, size.value, name, self._dtypes.get(start.value), start.value in self._read_only)

    def written(self, pointer: int) -> int:
        """Bytes stored by kernels since `mark` into the allocation that holds `pointer` (a byte written twice counts twice)."""
        self._native.kw_written.restype = ctypes.c_uint64
        return int(self._native.kw_written(ctypes.c_void_p(self.handle), ctypes.c_void_p(pointer)))

    def written_bytes(self, pointer: int) -> np.ndarray:
        """Which bytes of the allocation that holds `pointer` are what a whole launch would have made of them.

        Filled by launches that run a sample of blocks, and those after them until `mark`: 1 for a byte that a kernel
        stored to, 0 for one that it did not, or that atomics changed (blocks that were left out have a share in those).

        Returns:
            One bool for each byte of the allocation.
        """
        found = self.find(pointer)
        out = np.zeros(found.nbytes if found is not None else 0, np.bool_)
        self._native.kw_written_bytes.restype = None
        self._native.kw_written_bytes(
            ctypes.c_void_p(self.handle),
            ctypes.c_void_p(pointer),
            ctypes.c_void_p(out.ctypes.data),
            ctypes.c_uint64(out.size),
        )
        return out

    def mark(self) -> None:
        """Sets every `written` count to 0 and forgets `written_bytes`."""
        self._native.kw_mark(ctypes.c_void_p(self.handle))

    def __len__(self) -> int:
        self._native.kw_count.restype = ctypes.c_uint64
        return int(self._native.kw_count(ctypes.c_void_p(self.handle)))

    def c_api(self) -> tuple[int, int, int]:
        """(handle, register, unregister): addresses for native code.

        `void register(void* handle, const void* pointer, uint64_t bytes, const char* label)` and
        `void unregister(void* handle, const void* pointer)`; both are thread-safe. They are valid while this object lives.
        What is registered in this way should be filled with bytes 0xFF: an array of floating-point numbers that still is
        when a kernel first reads it is reported as uninitialised.
        """

        return self.handle, _address(self._native.kw_register_poisoned), _address(self._native.kw_unregister)

    def c_api_writes(self) -> tuple[int, int]:
        """(uninitialised, initialised): addresses of what `register(..., uninitialised=True)` and `initialised` do.

        `void uninitialised(void* handle, const void* pointer)`, of an allocation that was registered, and
        `void initialised(void* handle, const void* pointer, uint64_t bytes)`.
        """
        return _address(self._native.kw_uninitialised), _address(self._native.kw_initialised)


def _address(function: object) -> int:
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)  # type: ignore[arg-type]
