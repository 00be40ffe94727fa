"""What this machine offers, and what each missing thing would add."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernelwright.config import Settings
from kernelwright.errors import KernelwrightError

__all__ = ["Check", "checks", "ready"]

_PROBE_SECONDS = 10.0
"""Longest wait for one program to answer."""


@dataclass(frozen=True)
class Check:
    """One thing looked for."""

    name: str
    found: bool
    detail: str
    """What was found: a version or a path; or why it was not."""
    adds: str
    """What it is needed for, or what it would add."""
    essential: bool = False
    """Whether `optimize` and `verify` can't run without it."""


def ready(found: list[Check]) -> bool:
    """Whether the main job can run here."""
    return all(check.found for check in found if check.essential)


def checks(settings: Settings) -> list[Check]:
    """Looks for everything, in the order in which it is shown."""
    return [
        _torch(),
        _nvrtc(),
        _compiler(),
        _processor(),
        _cache(settings),
        _database(settings),
        _gpu(),
        _cupy(),
        *_profilers(),
        *_isolations(),
        *_keys(settings),
    ]


def _torch() -> Check:
    adds = "runs the reference modules"
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Check("torch", False, "not installed", adds, essential=True)
    return Check("torch", True, f"{version}, Python {platform.python_version()}", adds, essential=True)


def _nvrtc() -> Check:
    adds = "compiles CUDA C++ without a GPU (pip install nvidia-cuda-nvrtc cuda-bindings)"
    try:
        from cuda.bindings import nvrtc

        status, major, minor = nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError, OSError) as error:
        return Check("NVRTC", False, f"{error}", adds, essential=True)
    if int(status) != 0:
        return Check("NVRTC", False, f"answers with error {int(status)}", adds, essential=True)
    return Check("NVRTC", True, f"{major}.{minor}", adds, essential=True)


def _compiler() -> Check:
    from kernelwright.sandbox.cxx import find_cxx

    adds = "the emulator turns kernels into machine code of this CPU with it (Debian: apt install g++)"
    named = os.environ.get("CXX")
    found = find_cxx()
    program = shutil.which(found) if found else None
    if program is None:
        return Check(
            "C++ compiler", False, "none on PATH" if not named else f"CXX={named} is not there", adds, essential=True
        )
    answer = _ask(program, "--version")
    return Check("C++ compiler", answer is not None, answer or f"{program} does not answer", adds, essential=True)


def _processor() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flags = _cpu_flags()
    widest = next(
        (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("asimd", "NEON")) if flag in flags), ""
    )
    detail = f"{cores} {'core' if cores == 1 else 'cores'}, {platform.machine()}{', ' + widest if widest else ''}"
    return Check("processor", True, detail, "emulates blocks in parallel: more cores and wider vectors are faster")


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    line = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), "")
    return set(line.partition(":")[2].split())


def _cache(settings: Settings) -> Check:
    adds = "keeps compiled kernels"
    try:
        settings.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.cache):
            pass
    except OSError as error:
        return Check("cache", False, f"{settings.cache}: {error.strerror or error}", adds, essential=True)
    return Check("cache", True, str(settings.cache), adds, essential=True)


def _database(settings: Settings) -> Check:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from kernelwright.db.store import Store

    adds = "keeps every run, attempt and evaluation"
    try:
        place = settings.database_url  # a plain path, or a URL, which may hold a password
        if "://" in place:
            place = make_url(place).render_as_string(hide_password=True)
        file = settings.database_file
        if file is not None and not file.exists():  # looked at, not made
            folder = next(parent for parent in file.absolute().parents if parent.exists())
            usable = folder.is_dir() and os.access(folder, os.W_OK)
            detail = f"{file}, made by the first run" if usable else f"{file} can't be made: {folder} is not writable"
            return Check("database", usable, detail, adds, essential=True)
        with Store(settings.database_url):
            pass
    except (KernelwrightError, ArgumentError) as error:
        return Check("database", False, str(error), adds, essential=True)
    return Check("database", True, place, adds, essential=True)


def _gpu() -> Check:
    from kernelwright.sandbox.device import gpu_problem

    adds = "running kernels on it and measuring their times (--device cuda); without one they are emulated and modelled"
    problem = gpu_problem()
    if problem:
        return Check("GPU", False, problem, adds)
    program = shutil.which("nvidia-smi")
    answer = _ask(program, "--query-gpu=name,driver_version", "--format=csv,noheader") if program else None
    return Check("GPU", True, answer or "the driver shows one", adds)


def _cupy() -> Check:
    adds = "launching exported kernels on a GPU (pip install 'kernelwright[gpu]'); not needed without one"
    if importlib.util.find_spec("cupy") is None:
        return Check("CuPy", False, "not installed", adds)
    versions = [
        f"{name} {dist.version}"
        for dist in importlib.metadata.distributions()
        if (name := dist.name).startswith("cupy")
    ]
    return Check("CuPy", True, ", ".join(versions) or "installed", adds)


def _profilers() -> list[Check]:
    from kernelwright.verifier.profilers.tools import find_tool

    tools = {
        "ncu": "Nsight Compute: what a GPU's own counters say of a kernel (of the CUDA toolkit, on the GPU's machine)",
        "compute-sanitizer": "NVIDIA's checks of memory, races and barriers on a GPU (of the CUDA toolkit)",
        "nvdisasm": "machine code, without a GPU: profile --machine-code (pip install 'kernelwright[sass]')",
    }
    found = [
        Check(name, (path := find_tool(name)) is not None, str(path or "not installed"), adds)
        for name, adds in tools.items()
    ]
    packages = {
        "cuxray": "bank conflicts in machine code (pip install 'kernelwright[sass]')",
        "matplotlib": "the roofline as a picture: profile --roofline (pip install 'kernelwright[plot]')",
    }
    for name, adds in packages.items():
        try:
            found.append(Check(name, True, importlib.metadata.version(name), adds))
        except importlib.metadata.PackageNotFoundError:
            found.append(Check(name, False, "not installed", adds))
    return found


def _isolations() -> list[Check]:
    from kernelwright.sandbox.isolation import backends

    adds = {
        "bubblewrap": "a fence between kernels and your files, processes and network (Debian: apt install bubblewrap)",
        "docker": "the same fence, by containers (an engine on this machine and pip install 'kernelwright[docker]')",
        "process": "a plain process, for kernels that you trust: never taken unless asked for by --isolation process",
    }
    found = []
    for backend in backends():
        problem = backend.problem()
        found.append(Check(backend.name, not problem, problem or "; ".join(backend.active()), adds[backend.name]))
    return found


def _keys(settings: Settings) -> list[Check]:
    """Which keys are set, and where; never what they are."""
    from kernelwright.agents.models.spec import KEYS

    adds = "kernels written by language models (optimize --model); the built-in coder needs no key"
    found = []
    for provider, variable in KEYS.items():
        kept = getattr(settings, f"{provider}_api_key")
        in_settings = kept is not None and bool(kept.get_secret_value().strip())
        where = "set" if os.environ.get(variable, "").strip() else "set by the settings" if in_settings else ""
        found.append(Check(variable, bool(where), where or "not set", adds))
    return found


def _ask(program: str, *arguments: str) -> str | None:
    """First line that a program prints, or None when it fails or takes too long."""
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None
