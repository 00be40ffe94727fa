"""Device memory that two processes see at the same addresses, each with contents of its own.

The candidate maps a memory file at `BASE` and allocates its tensors there. The device process (`device_worker`) has private
memory at the same addresses, so that pointers mean the same to both, and sees the candidate's contents through a window.
What kernels read and write is the device's memory alone: the inputs of a call are laid out in it and never in the
candidate's. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os

from kernelwright.errors import EmulatorError
from kernelwright.sandbox.tensor_memory import memory_file

__all__ = [
    "BASE",
    "HEAP_BASE",
    "HEAP_BYTES",
    "INPUT_BYTES",
    "SIZE",
    "Window",
    "create",
    "map_private",
    "map_shared",
]

BASE = 0x5000_0000_0000  # where Linux on x86-64 and arm64 puts neither programs, heaps nor libraries
INPUT_BYTES = 4 << 30  # for the inputs of a call, which the device process lays out
HEAP_BYTES = 4 << 30  # for what the candidate allocates
HEAP_BASE = BASE + INPUT_BYTES
SIZE = INPUT_BYTES + HEAP_BYTES  # address space, not memory: pages are taken when they are touched

_MAP_NORESERVE = 0x4000  # mmap(2)
_MAP_FIXED_NOREPLACE = 0x100000  # mmap(2), Linux 4.17 and later
_MADV_DONTNEED = 4
_PUNCH_HOLE_KEEP_SIZE = 0x03  # fallocate(2)


def create() -> int:
    """A descriptor of the memory file; the judge makes it and hands it to both."""
    return memory_file(SIZE)


def map_shared(descriptor: int) -> None:
    """Maps the file at `BASE`: the candidate's view."""
    _map(mmap.MAP_SHARED | _MAP_NORESERVE, descriptor)


def map_private() -> None:
    """Maps memory of this process's own at `BASE`: the device's view."""
    _map(mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE, -1)


def _map(flags: int, descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    got = libc.mmap(BASE, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, flags | _MAP_FIXED_NOREPLACE, descriptor, 0)
    if got != BASE:
        raise EmulatorError(
            f"the emulated GPU's memory can't be mapped at {BASE:#x} (error {ctypes.get_errno()}).",
            mend="Allow the process more address space (ulimit -v).",
        )


class Window:
    """The candidate's contents, as the device process sees them. Addresses are those of the arena.

    Takes the descriptor over.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, SIZE)
        self._shift = ctypes.addressof(ctypes.c_char.from_buffer(self._map)) - BASE
        self._libc = ctypes.CDLL(None)
        self._libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self._libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]

    def touched(self, address: int, nbytes: int) -> list[tuple[int, int]]:
        """Parts of a range that the candidate may have written, as (address, bytes): whole pages of its file."""
        found = []
        at, end = address - BASE, address - BASE + nbytes
        while at < end:
            try:
                first = os.lseek(self._descriptor, at, os.SEEK_DATA)
                at = os.lseek(self._descriptor, first, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:  # there is no more data
                    raise
                break
            if first < end:
                found.append((BASE + first, min(at, end) - first))
        return found

    def upload(self, address: int, nbytes: int) -> bool:
        """Makes the device's memory what the candidate's is; whether that changed anything."""
        if self._libc.memcmp(address, address + self._shift, nbytes) == 0:
            return False
        ctypes.memmove(address, address + self._shift, nbytes)
        return True

    def download(self, address: int, nbytes: int) -> None:
        """Makes the candidate's memory what the device's is."""
        ctypes.memmove(address + self._shift, address, nbytes)

    def forget(self, address: int, nbytes: int) -> None:
        """Gives the device's pages of a range back; they read as zeros then. Whole pages inside it only."""
        page = mmap.PAGESIZE
        first, last = -(-address // page) * page, (address + nbytes) // page * page
        if last > first:
            self._libc.madvise(first, last - first, _MADV_DONTNEED)

    def clear(self, address: int, nbytes: int) -> None:
        """Makes the candidate's memory zeros."""
        self._libc.fallocate(self._descriptor, _PUNCH_HOLE_KEEP_SIZE, address - BASE, nbytes)
