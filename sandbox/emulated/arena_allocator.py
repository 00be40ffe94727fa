"""The allocator of candidates (`arena_allocator.cpp`): tensors in the arena, and a log of them for the device process."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import struct
import subprocess
import tempfile
from pathlib import Path

import torch

from kernelwright.errors import EmulatorError
from kernelwright.sandbox import arena
from kernelwright.sandbox.cache import cache_root, cached
from kernelwright.sandbox.cxx import need_cxx

__all__ = ["ArenaAllocator", "ensure_built"]

_SOURCE = Path(__file__).with_name("arena_allocator.cpp")
_ROOM = 1 << 14  # numbers of the log that are fetched at once


def ensure_built() -> None:
    """Builds the library if it is not in the cache, and loads nothing.

    Raises:
        EmulatorError: no C++ compiler, or it fails.
    """
    _built()


class ArenaAllocator:
    """From its making on every CPU tensor of this process lies in the arena, which must be mapped.

    Raises:
        EmulatorError: no C++ compiler, or it fails.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(_built()))
        self._library.kernelwright_arena_install.argtypes = [ctypes.c_uint64] * 2
        self._library.kernelwright_arena_install.restype = None
        self._library.kernelwright_arena_events.restype = ctypes.c_uint64
        self._library.kernelwright_arena_state.argtypes = [ctypes.c_uint64]
        self._library.kernelwright_arena_mark.argtypes = [ctypes.c_uint64, ctypes.c_int]
        self._library.kernelwright_arena_mark.restype = None
        self._room = (ctypes.c_uint64 * _ROOM)()
        self._library.kernelwright_arena_install(arena.HEAP_BASE, arena.HEAP_BYTES)

    def c_api(self) -> tuple[int, int]:
        """Addresses of `void* allocate(uint64_t)` and `void release(void*)`, for allocators in compiled code."""
        return tuple(
            int(ctypes.cast(getattr(self._library, f"kernelwright_arena_{name}"), ctypes.c_void_p).value or 0)
            for name in ("allocate", "release")
        )  # type: ignore[return-value]

    def take_events(self) -> str:
        """What was allocated and freed since the last call: pairs of 64-bit address and bytes (0: freed), in base64."""
        return base64.b64encode(self._log()).decode()

    def events(self) -> list[tuple[int, int]]:
        """What `take_events` would give, as pairs of numbers."""
        numbers = struct.iter_unpack("=QQ", self._log())
        return [(address, nbytes) for address, nbytes in numbers]

    def _log(self) -> bytes:
        parts = []
        while count := int(self._library.kernelwright_arena_events(self._room, ctypes.c_uint64(_ROOM))):
            parts.append(bytes(self._room)[: 8 * count])
            if count < _ROOM:
                break
        return b"".join(parts)

    def holds(self, address: int) -> bool:
        """Whether an allocation holds the address."""
        return int(self._library.kernelwright_arena_state(address)) != 0

    def on_device(self, address: int) -> bool:
        """Whether the device has had the allocation that holds it: what lies here may be out of date."""
        return int(self._library.kernelwright_arena_state(address)) == 2

    def mark(self, address: int, *, on_device: bool = True) -> None:
        """Says that the device gets the allocation that holds the address, or that this process's contents count again."""
        self._library.kernelwright_arena_mark(address, int(on_device))


def _built() -> Path:
    """The library, from the cache; building it takes about a second."""
    cache = cache_root()
    compiler = need_cxx()
    root = Path(torch.__file__).parent
    key = hashlib.sha256(f"{torch.__version__} {root} {compiler} ".encode() + _SOURCE.read_bytes()).hexdigest()[:16]
    built = cached(cache / f"{_SOURCE.stem}-{key}.so")
    if not built.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".allocator-") as name:  # of each thread that builds it
            half = Path(name) / "library.so"
            command = [
                compiler, "-O1", "-std=c++17", "-shared", "-fPIC", str(_SOURCE), "-o", str(half),
                f"-I{root / 'include'}", f"-L{root / 'lib'}", "-lc10", f"-Wl,-rpath,{root / 'lib'}",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise EmulatorError(f"{compiler} can't build {_SOURCE.stem}: {done.stderr[-800:]}")
            half.replace(built)
    return built
