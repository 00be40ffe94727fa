"""Builds C++ that goes into torch's allocators, and installs the one of workers that emulate themselves (`allocator.cpp`)."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from kernelwright.errors import EmulatorError
from kernelwright.sandbox.cache import cache_root, cached
from kernelwright.sandbox.cxx import need_cxx

if TYPE_CHECKING:
    from kernelwright.sandbox import emulator

__all__ = ["build_library", "install"]

_SOURCE = Path(__file__).with_name("allocator.cpp")


def install(memory: emulator.Memory) -> None:
    """From now on every CPU tensor of this process is poisoned when made and known to `memory`.

    The compiled library is kept in the build cache (building it takes about a second).

    Raises:
        EmulatorError: no C++ compiler, or it fails.
    """
    handle, registering, unregistering = memory.c_api()
    library = ctypes.CDLL(str(build_library(_SOURCE)))
    library.kernelwright_install.argtypes = [ctypes.c_void_p] * 3
    library.kernelwright_install.restype = None
    library.kernelwright_install(handle, registering, unregistering)


def build_library(source: Path) -> Path:
    """The library of a C++ source that uses torch's allocators; built into the cache if it is not there (about a second).

    Raises:
        EmulatorError: no C++ compiler, or it fails.
    """
    cache = cache_root()
    compiler = need_cxx()
    root = Path(torch.__file__).parent
    key = hashlib.sha256(f"{torch.__version__} {root} {compiler} ".encode() + source.read_bytes()).hexdigest()[:16]
    built = cached(cache / f"{source.stem}-{key}.so")
    if not built.exists():
        cache.mkdir(parents=True, exist_ok=True)
        half = built.with_suffix(f".{os.getpid()}.tmp")
        command = [
            compiler, "-O1", "-std=c++17", "-shared", "-fPIC", str(source), "-o", str(half),
            f"-I{root / 'include'}", f"-L{root / 'lib'}", "-lc10", f"-Wl,-rpath,{root / 'lib'}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EmulatorError(f"{compiler} can't build {source.stem}: {done.stderr[-800:]}")
        half.rename(built)
    return built
