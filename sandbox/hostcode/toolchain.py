"""The C++ compiler on host code: precompiled headers, the CUDA runtime of our own, objects and libraries.

Everything made is kept by content under `cache_folder("hostcode")`. A precompiled header of torch is about 480 MB and
takes 20 s to make, once per machine and torch; with it an extension's source compiles in 2 s instead of 20.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kernelwright.errors import BuildError, EmulatorError
from kernelwright.sandbox.cache import cache_folder, cached, locked
from kernelwright.sandbox.cxx import need_cxx

__all__ = ["FLAVOURS", "HERE", "HostTool", "host_tool", "trim_folders"]

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
FLAVOURS = ("torch_light", "torch_full", "program")
"""The headers in `include/` that are precompiled."""

# -O0: host code only prepares launches, and at -O1 it takes twice as long to compile
_FLAGS = ("-fPIC", "-O0", "-w", "-fno-strict-aliasing", "-fwrapv")
_SECONDS = 300.0  # wall limit of one run of the compiler
_HEADERS_KEPT = 4  # precompiled headers; one is up to half a gigabyte
_LIBRARIES_BYTES = 512 * 2**20


@dataclass(frozen=True)
class HostTool:
    """A C++ compiler that is known to run."""

    compiler: str
    identity: str
    """Changes with the compiler, torch, Python and our own headers and runtime."""
    headers: str
    """The same, for what precompiled headers hold."""

    def precompiled(self, flavour: str, dialect: str) -> list[str]:
        """The options that bring a flavour's header in; makes it first if need be.

        Raises:
            EmulatorError: the header does not compile.
        """
        header = HERE / "include" / f"{flavour}.hpp"
        if not _makes_pch(self.compiler):
            return ["-include", str(header)]
        folder = cache_folder("hostcode") / f"pch-{_digest(self.headers, flavour, dialect)}"
        made = cached(folder / f"{flavour}.hpp.gch").with_suffix("")
        if not made.with_suffix(".hpp.gch").is_file():
            if os.environ.get("KERNELWRIGHT_CACHE_BENEATH"):
                return [
                    "-include",
                    str(header),
                ]  # making one that ends with this process takes longer than doing without
            with locked(folder.with_suffix(".lock")):
                if not made.with_suffix(".hpp.gch").is_file():
                    self._precompile(header, folder, flavour, dialect)
        else:
            with contextlib.suppress(OSError):  # the shared cache may be read-only
                os.utime(made.parent)
        return ["-include", str(made)]

    def _precompile(self, header: Path, folder: Path, flavour: str, dialect: str) -> None:
        log.info("precompiling the headers for host code (%s; about 20 s, once)", flavour)
        _trim_headers(folder.parent)
        with tempfile.TemporaryDirectory(dir=_made(folder.parent), prefix=".pch-") as name:
            work = Path(name)
            (work / f"{flavour}.hpp").write_text(f'#include "{header}"\n')
            command = [
                self.compiler, *self.flags(flavour, dialect), "-x", "c++-header", f"{flavour}.hpp",
                "-o", f"{flavour}.hpp.gch",
            ]  # fmt: skip
            done = _run(command, work)
            if done.returncode:
                raise EmulatorError(f"{self.compiler} can't precompile {flavour}.hpp: {done.stderr[-800:]}")
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(work, folder)
            work.mkdir()  # the context manager removes it

    def flags(self, flavour: str, dialect: str) -> list[str]:
        """Options that every source of a flavour is compiled with; those of a precompiled header must be the same."""
        # without it, the registrations of two extensions with a kernel of one name would be one object of the process
        own = ["-fno-gnu-unique"] if _makes_pch(self.compiler) else []
        return [*_FLAGS, *own, f"-std={dialect}", *(f"-isystem{path}" for path in include_folders(flavour))]

    def runtime(self) -> Path:
        """The library with our CUDA runtime; built if need be (about 2 s, once).

        Raises:
            EmulatorError: it does not compile.
        """
        sources = sorted((HERE / "runtime").glob("*.cpp"))
        folder = cache_folder("hostcode")
        made = cached(folder / f"libkernelwright-cuda-{_digest(self.identity, 'runtime, with a name of its own')}.so")
        if not made.is_file():
            with tempfile.TemporaryDirectory(dir=_made(folder), prefix=".runtime-") as name:
                half = Path(name) / "runtime.so"
                command = [
                    self.compiler, "-std=c++17", "-O1", "-fPIC", "-w", "-shared", *map(str, sources), "-o", str(half),
                    f"-Wl,-soname,{made.name}", *(f"-isystem{path}" for path in _cuda_folders()),
                ]  # fmt: skip
                done = _run(command, Path(name))
                if done.returncode:
                    raise EmulatorError(f"{self.compiler} can't build the CUDA runtime: {done.stderr[-800:]}")
                os.replace(half, made)
        return made

    def compile(
        self, texts: Sequence[tuple[str, str, str]], work: Path, *, dialect: str, defines: Sequence[str] = ()
    ) -> list[Path]:
        """Objects of several sources, as many at once as there are processors.

        Args:
            texts: (name in messages, text, flavour) of each; the text says with `#line` where the author's begins.
            defines: `-D` options.

        Raises:
            BuildError: one does not compile; `line` is in the source of that name.
        """

        def one(number: int, name: str, text: str, flavour: str) -> Path:
            source = work / f"unit{number}.cpp"
            source.write_text(text)
            target = source.with_suffix(".o")
            done = _run(
                [
                    self.compiler,
                    *self.flags(flavour, dialect),
                    *defines,
                    *self.precompiled(flavour, dialect),
                    "-c",
                    str(source),
                    "-o",
                    str(target),
                ],
                work,
            )
            if done.returncode:
                raise host_failure(done.stderr, name)
            return target

        for flavour in sorted({flavour for _, _, flavour in texts}):
            self.precompiled(flavour, dialect)  # not by two threads at once
        with ThreadPoolExecutor(max_workers=max(1, os.cpu_count() or 1)) as pool:
            jobs = [pool.submit(one, number, *each) for number, each in enumerate(texts)]
            return [job.result() for job in jobs]

    def link(self, objects: Sequence[Path], target: Path, libraries: Sequence[str]) -> None:
        """A shared library from objects.

        Raises:
            BuildError: a library is missing.
        """
        done = _run([self.compiler, "-shared", *map(str, objects), "-o", str(target), *libraries], target.parent)
        if done.returncode:
            raise BuildError(f"the extension does not link: {done.stderr.strip()[-400:]}", log=done.stderr)


def host_failure(stderr: str, name: str) -> BuildError:
    """The compiler's first error, at the author's line; `path` is the source's name."""
    found = re.search(r"^([^:\n]+):(\d+):(?:\d+:)? (?:fatal )?error: (.*)", stderr, re.MULTILINE)
    if found is None:
        return BuildError(f"{name} does not compile: {stderr.strip()[:400]}", log=stderr)
    where, line, said = found[1], int(found[2]), found[3]
    if where.startswith("/") and (own := re.search(rf"^(?:\s*from )?{re.escape(name)}:(\d+)", stderr, re.MULTILINE)):
        # the error lies in a header or in a template of one: name the author's line that led there
        where, line, said = name, int(own[1]), f"{said} (in {where}:{line})"
    error = BuildError(f"the host code does not compile: {said}", log=stderr, line=line)
    error.path = where
    return error


def include_folders(flavour: str) -> list[str]:
    """Header folders of a flavour."""
    folders = [str(HERE / "include"), *map(str, _cuda_folders())]
    if flavour.startswith("torch"):
        root = _torch_root()
        folders += [
            str(root / "include"), str(root / "include/torch/csrc/api/include"), sysconfig.get_paths()["include"],
        ]  # fmt: skip
    return folders


def torch_libraries() -> list[str]:
    """Link options for torch."""
    folder = _torch_root() / "lib"
    return [f"-L{folder}", "-ltorch", "-ltorch_cpu", "-lc10", "-ltorch_python", f"-Wl,-rpath,{folder}"]


@functools.cache
def host_tool() -> HostTool:
    """The machine's compiler.

    Raises:
        EmulatorError: there is none.
    """
    found = need_cxx()
    try:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmulatorError(f"the C++ compiler {found} does not run: {error}") from error
    parts = [found, version, *_FLAGS, sysconfig.get_paths()["include"], *map(str, _cuda_folders())]
    with contextlib.suppress(EmulatorError):  # a bare program needs no torch
        parts += [str(_torch_root()), (_torch_root() / "version.py").read_text()]
    headers = [*sorted((HERE / "include").glob("*.hpp")), HERE / "runtime" / "abi.hpp"]
    everything = [*sorted((HERE / "include").iterdir()), *sorted((HERE / "runtime").iterdir())]

    def digest(paths: Sequence[Path]) -> str:
        return _digest(*parts, *(path.read_text() for path in paths))

    return HostTool(found, digest(everything), digest(headers))


@functools.cache
def _torch_root() -> Path:
    # found, not imported: a bare program does not wait 1.4 s for it
    from importlib.util import find_spec

    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        raise EmulatorError("torch is not installed", mend="Install it: pip install torch.")
    return Path(spec.origin).parent


@functools.cache
def _cuda_folders() -> tuple[Path, ...]:
    import nvidia  # type: ignore[import-untyped]

    for base in nvidia.__path__:
        for include in sorted(Path(base).glob("cu*/include")):
            if (include / "cuda_runtime.h").is_file():
                return (include,)
    raise EmulatorError("CUDA's headers are missing", mend="Install them: pip install 'nvidia-cuda-runtime==13.0.*'.")


@functools.cache
def _makes_pch(compiler: str) -> bool:
    """Whether it is g++, whose precompiled headers are found by name."""
    done = subprocess.run(
        [compiler, "-dM", "-E", "-x", "c++", "/dev/null"], capture_output=True, text=True, check=False
    )
    return "__clang__" not in done.stdout and "__GNUC__" in done.stdout


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:24]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _trim_headers(folder: Path) -> None:
    found = sorted(folder.glob("pch-*/"), key=lambda path: path.stat().st_mtime)
    for path in found[: max(0, len(found) - _HEADERS_KEPT + 1)]:
        shutil.rmtree(path, ignore_errors=True)


def trim_folders(folder: Path, limit: int = _LIBRARIES_BYTES) -> None:
    """Removes the builds used longest ago until `folder` holds at most `limit` bytes."""
    entries = []
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            size = sum(each.stat().st_size for each in path.iterdir() if each.is_file())
            entries.append((path.stat().st_mtime, size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        shutil.rmtree(path, ignore_errors=True)
        total -= size


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"the C++ compiler did not end within {_SECONDS:g} s") from None
    except OSError as error:
        raise EmulatorError(f"the C++ compiler does not run: {error}") from error
