"""The C++ compiler: builds the runtime library once per machine, and each translated kernel once."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelwright.errors import EmulatorError
from kernelwright.sandbox.cache import cache_folder, cached, locked, store_atomically, trim_cache
from kernelwright.sandbox.cxx import need_cxx

__all__ = ["Toolchain", "ensure_runtime", "toolchain"]

log = logging.getLogger(__name__)

_SOURCES = Path(__file__).parent / "runtime"
_RUNTIME_UNITS = (
    "table", "check", "access", "warp", "atomic", "shadow", "races", "blank", "launch", "tensor", "mbarrier",
    "rounding", "stack", "heap", "profile",
)  # fmt: skip

# Floating point must be what the PTX says: no contraction of a*b+c, no reordering. -fno-trapping-math and
# -fno-math-errno only forgo side effects that nobody reads.
_COMMON = (
    "-std=c++20", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fwrapv",
    "-fno-strict-aliasing", "-fno-exceptions", "-w",
)  # fmt: skip
_KERNEL_FLAGS = (*_COMMON, "-O1", "-fno-rtti", "-fno-asynchronous-unwind-tables")
"""-O1: kernels are vector code already; -O2 takes 1.6 times as long to compile and gains nothing measurable."""
_RUNTIME_FLAGS = ("-std=c++20", "-fPIC", "-ffp-contract=off", "-O3", "-w")
_UNIT_FLAGS: Mapping[str, tuple[str, ...]] = {"rounding": ("-frounding-math",), "tensor": ("-ffp-contract=fast",)}

MARCH_VARIABLE = "KERNELWRIGHT_MARCH"
"""Names the processor to compile for instead of the one at hand (`haswell`, `x86-64`): for a cache shared by unlike
machines, and to test code paths."""

_COMPILE_SECONDS = 240
"""Limit for one run of the compiler, in seconds."""

_COMPILE_BYTES = 6 * 2**30
"""Limit for the address space of one run of the compiler: it needs some 20 KB for a line of generated code (measured)."""

_KERNEL_CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Toolchain:
    """A compiler with the runtime library loaded and the kernels' header precompiled."""

    compiler: tuple[str, ...]
    """Its command, with the machine option."""
    identity: str
    """Changes with the compiler, the machine, the flags and the runtime's sources."""
    runtime: ctypes.CDLL
    header_folder: Path

    def compile_kernel(self, cpp: str, cache_dir: Path | None = None) -> ctypes.CDLL:
        """Compiles generated code, or takes it from the cache, and loads it.

        Raises:
            EmulatorError: the compiler fails.
        """
        folder = (cache_folder("emulator") if cache_dir is None else cache_dir) / "kernels"
        key = hashlib.sha256(f"{self.identity}\x00{cpp}".encode()).hexdigest()[:40]
        library = folder / f"{key}.so"
        found = cached(library)
        if found.is_file() and (loaded := _load(found)) is not None:
            return loaded
        with tempfile.TemporaryDirectory(prefix="kernelwright-") as name:
            work = Path(name)
            (work / "k.cpp").write_text(cpp)
            _run([*self.compiler, *_KERNEL_FLAGS, f"-I{self.header_folder}", "-shared", "-o", "k.so", "k.cpp"], work)
            store_atomically(library, (work / "k.so").read_bytes())
            if key[0] == "0":
                trim_cache(folder, _KERNEL_CACHE_BYTES)
            loaded = _load(library) or _load(work / "k.so")
        if loaded is None:
            raise EmulatorError("the compiled kernel can't be loaded")
        return loaded


def toolchain(cache_dir: Path | None = None) -> Toolchain:
    """The machine's toolchain; builds the runtime library if it is not in the cache (about 6 s, once).

    Raises:
        EmulatorError: there is no C++ compiler, or it can't compile the runtime.
    """
    folder = cache_folder("emulator") if cache_dir is None else cache_dir
    return _toolchain(folder, os.environ.get(MARCH_VARIABLE, "native"))


def ensure_runtime() -> None:
    """Builds the runtime library if it is not in the cache, and loads nothing.

    Raises:
        EmulatorError: see `toolchain`.
    """
    _check_processor()
    cache = cache_folder("emulator")
    compiler = (need_cxx(), f"-march={os.environ.get(MARCH_VARIABLE, 'native')}")
    folder = cache / f"runtime-{_identity(compiler)}"
    if not _whole(folder):
        _build_runtime(compiler, cache, folder)


@functools.lru_cache(maxsize=8)
def _toolchain(cache: Path, march: str) -> Toolchain:
    _check_processor()
    compiler = (need_cxx(), f"-march={march}")
    identity = _identity(compiler)
    folder = cached(cache / f"runtime-{identity}")
    there = _whole(folder)
    runtime = _load(folder / "libkwruntime.so", ctypes.RTLD_GLOBAL) if there else None
    if runtime is None:
        folder = _build_runtime(compiler, cache, cache / f"runtime-{identity}", anew=there)
        runtime = _load(folder / "libkwruntime.so", ctypes.RTLD_GLOBAL)
    if runtime is None:
        raise EmulatorError("the emulator's runtime library can't be loaded")
    return Toolchain(compiler, identity, runtime, folder)


def _check_processor() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        raise EmulatorError(f"the emulator runs on 64-bit x86 processors; this one is {platform.machine()}")


def _identity(compiler: tuple[str, ...]) -> str:
    return hashlib.sha256("\x00".join(_identity_parts(compiler)).encode()).hexdigest()[:24]


def _identity_parts(compiler: tuple[str, ...]) -> list[str]:
    """What a compiled kernel depends on. Asking the compiler itself would take 40 ms in every process."""
    path = shutil.which(compiler[0])
    if path is None:
        raise EmulatorError(f"the C++ compiler {compiler[0]} is not there", mend="Install it, or name another in CXX.")
    real = Path(path).resolve()
    status = real.stat()
    sources = [path.read_text() for path in sorted(_SOURCES.iterdir()) if path.suffix in (".cpp", ".hpp")]
    return [
        *compiler, str(real), str(status.st_mtime_ns), str(status.st_size), _processor(), *_KERNEL_FLAGS, *_RUNTIME_FLAGS,
        *sources,
    ]  # fmt: skip


def _processor() -> str:
    """What -march=native looks at."""
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    kept = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
    return platform.machine() + "".join(line for line in text.splitlines() if line.startswith(kept))


def _build_runtime(compiler: tuple[str, ...], cache: Path, folder: Path, *, anew: bool = False) -> Path:
    """Compiles the runtime and the precompiled header, unless another process just has (`anew`: even then)."""
    try:
        with locked(folder.with_suffix(".lock")):
            if anew or not _whole(folder):
                _compile_runtime(compiler, cache, folder)
    except OSError as error:
        raise EmulatorError(f"the emulator's runtime library can't be stored in {cache}: {error}") from error
    return folder


def _whole(folder: Path) -> bool:
    return (folder / "libkwruntime.so").is_file() and (folder / "kernel.hpp").is_file()


def _compile_runtime(compiler: tuple[str, ...], cache: Path, folder: Path) -> None:
    log.info("building the emulator's runtime library (once per machine)")
    work = Path(tempfile.mkdtemp(prefix=".runtime-", dir=cache))
    try:
        for path in _SOURCES.iterdir():
            if path.suffix in (".cpp", ".hpp"):
                shutil.copyfile(path, work / path.name)
        commands = [
            [*compiler, *_RUNTIME_FLAGS, *_UNIT_FLAGS.get(u, ()), "-c", f"{u}.cpp", "-o", f"{u}.o"]
            for u in _RUNTIME_UNITS
        ]
        commands.append([*compiler, *_KERNEL_FLAGS, "-x", "c++-header", "kernel.hpp", "-o", "kernel.hpp.gch"])
        _run_all(commands, work)
        objects = [f"{u}.o" for u in _RUNTIME_UNITS]
        _run([*compiler, "-shared", "-o", "libkwruntime.so", *objects, "-lpthread"], work)
        for unit in objects:
            (work / unit).unlink()
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


_SMALLER = "Unroll less, or split the kernel."


def _run_all(commands: list[list[str]], folder: Path) -> None:
    """Runs commands, as many at once as there are processors."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for done in [pool.submit(_run, command, folder) for command in commands]:
            done.result()


def _run(command: list[str], folder: Path) -> None:
    # set before the driver starts, since the compiler that it runs must have the limit as well
    limited = ["/bin/sh", "-c", 'ulimit -v "$0" && exec "$@"', str(_COMPILE_BYTES // 1024), *command]
    try:
        with subprocess.Popen(
            limited, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                _, errors = process.communicate(timeout=_COMPILE_SECONDS)
            except BaseException:
                # g++ is a driver: the compiler that it runs would go on without it
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
    except subprocess.TimeoutExpired:
        raise EmulatorError(
            f"the kernel is too large: the C++ compiler did not end within {_COMPILE_SECONDS} s", mend=_SMALLER
        ) from None
    except OSError as error:
        raise EmulatorError(f"the C++ compiler does not run: {error}") from error
    if process.returncode:
        if "memory" in errors or "Killed" in errors:
            raise EmulatorError(
                f"the kernel is too large: the C++ compiler needs more than {_COMPILE_BYTES / 2**30:.1f} GiB of memory",
                mend=_SMALLER,
            )
        first = next((line for line in errors.splitlines() if "error" in line), errors[:500])
        raise EmulatorError(f"the C++ compiler refuses the emulator's code: {first.strip()}")


def _load(path: Path, mode: int = ctypes.RTLD_LOCAL) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(path), mode=mode)
    except OSError as error:
        log.warning("%s can't be loaded and is made anew: %s", path, error)
        return None
