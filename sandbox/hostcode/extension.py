"""`torch.utils.cpp_extension.load_inline` and `load` on the emulator, with torch's signatures."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.machinery
import importlib.util
import json
import logging
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelwright.errors import BuildError, UnsupportedError
from kernelwright.sandbox.cache import cache_folder, cached, store_atomically
from kernelwright.sandbox.emulated.recorder import DeviceSession
from kernelwright.sandbox.hostcode.declarations import parse
from kernelwright.sandbox.hostcode.launching import DeviceUnit, Launcher
from kernelwright.sandbox.hostcode.loading import explain_missing
from kernelwright.sandbox.hostcode.toolchain import HERE, HostTool, host_tool, torch_libraries, trim_folders
from kernelwright.sandbox.hostcode.translate import (
    TORCH_DEFAULTS,
    Part,
    device_unit,
    read_part,
    split_flags,
    split_host,
    unit_from_json,
    unit_key,
    unit_to_json,
)

__all__ = ["Extensions", "install"]

log = logging.getLogger(__name__)

_DIALECT = "c++20"  # torch's own for extensions (torch/utils/cpp_extension.py)
_OWN_FIRST = (
    os.RTLD_NOW | os.RTLD_DEEPBIND
)  # how an extension is loaded: its own libraries come before those of the process
# what include/kernelwright_binding.hpp knows of pybind11
_BOUND = frozenset(
    {"arg", "module_", "module", "literals", "gil_scoped_release", "gil_scoped_acquire", "call_guard", "none"}
)
_CUDA_SUFFIXES = (".cu", ".cuh")


class Extensions:
    """Builds and loads extensions in this process.

    Args:
        session: where their launches run.
    """

    def __init__(self, session: DeviceSession) -> None:
        self._session = session
        self._launcher: Launcher | None = None

    @property
    def launcher(self) -> Launcher:
        """The link to the emulator; made (and its library built) at the first use."""
        if self._launcher is None:
            self._launcher = Launcher(self._session, host_tool().runtime(), raises=True)
        return self._launcher

    def load_inline(
        self,
        name: str,
        cpp_sources: str | Sequence[str],
        cuda_sources: str | Sequence[str] | None = None,
        sycl_sources: Any = None,
        functions: str | Sequence[str] | Mapping[str, str] | None = None,
        extra_cflags: Sequence[str] | None = None,
        extra_cuda_cflags: Sequence[str] | None = None,
        extra_sycl_cflags: Any = None,
        extra_ldflags: Sequence[str] | None = None,
        extra_include_paths: Sequence[str] | None = None,
        build_directory: str | None = None,
        verbose: bool = False,
        with_cuda: bool | None = None,
        with_sycl: bool | None = None,
        is_python_module: bool = True,
        with_pytorch_error_handling: bool = True,
        keep_intermediates: bool = True,
        use_pch: bool = False,
        no_implicit_headers: bool = False,
    ) -> Any:
        """Builds an extension from strings and returns its module; see torch's documentation.

        Raises:
            BuildError: it does not compile; `line` is in the string concerned.
            UnsupportedError: it needs what the emulator does not have.
        """
        if sycl_sources or with_sycl:
            raise UnsupportedError("SYCL sources are not supported.")
        cpp = _listed(cpp_sources)
        cuda = _listed(cuda_sources)
        parts = []
        if cuda:
            parts.append(Part(_named("cuda_sources", cuda), "kernel.cu", cuda=True))
        parts.append(Part(_named("cpp_sources", cpp), "main.cpp", cuda=False))
        return self._load(
            name, parts, _functions(functions), extra_cflags, extra_cuda_cflags, extra_ldflags, extra_include_paths,
            is_python_module,
        )  # fmt: skip

    def load(
        self,
        name: str,
        sources: str | Sequence[str],
        extra_cflags: Sequence[str] | None = None,
        extra_cuda_cflags: Sequence[str] | None = None,
        extra_sycl_cflags: Any = None,
        extra_ldflags: Sequence[str] | None = None,
        extra_include_paths: Sequence[str] | None = None,
        build_directory: str | None = None,
        verbose: bool = False,
        with_cuda: bool | None = None,
        with_sycl: bool | None = None,
        is_python_module: bool = True,
        is_standalone: bool = False,
        keep_intermediates: bool = True,
    ) -> Any:
        """Builds an extension from files and returns its module; see torch's documentation.

        Raises:
            BuildError, UnsupportedError: as `load_inline`; `path` is the file's name.
        """
        if is_standalone:
            raise UnsupportedError("a standalone executable is no extension; run it as a CUDA program.")
        parts = []
        for given in _listed(sources):
            path = Path(given)
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise BuildError(f"the source {given} can't be read: {error}") from error
            parts.append(Part(((path.name, text),), path.name, path.suffix in _CUDA_SUFFIXES, path.resolve().parent))
        return self._load(
            name, parts, None, extra_cflags, extra_cuda_cflags, extra_ldflags, extra_include_paths, is_python_module
        )

    def _load(
        self,
        name: str,
        parts: Sequence[Part],
        functions: Mapping[str, str] | None,
        cflags: Sequence[str] | None,
        cuda_flags: Sequence[str] | None,
        ldflags: Sequence[str] | None,
        include_paths: Sequence[str] | None,
        is_python_module: bool,
    ) -> Any:
        if not name.isidentifier():
            raise BuildError(f"the extension's name {name!r} is no identifier")
        build = _Build(name, parts, functions, split_flags(cflags), split_flags(cuda_flags), split_flags(ldflags),
                       [Path(p) for p in include_paths or ()], self._session.arch)  # fmt: skip
        library, units = build.made()
        for unit in units:
            self.launcher.add(unit)
        launcher = self.launcher
        if not is_python_module:
            import torch

            explain_missing(name, lambda: ctypes.CDLL(str(library), mode=_OWN_FIRST))
            torch.ops.loaded_libraries.add(str(library))
            return None
        loader = importlib.machinery.ExtensionFileLoader(name, str(library))
        spec = importlib.util.spec_from_loader(name, loader, origin=str(library))
        assert spec is not None

        def run() -> types.ModuleType:
            flags = sys.getdlopenflags()
            sys.setdlopenflags(_OWN_FIRST)
            try:
                module = importlib.util.module_from_spec(spec)
                loader.exec_module(module)
            finally:
                sys.setdlopenflags(flags)
            return module

        module = explain_missing(name, run)
        for attribute in dir(module):
            function = getattr(module, attribute)
            if isinstance(function, types.BuiltinFunctionType):
                setattr(module, attribute, _guarded(function, launcher))
        return module


class _Build:
    """One extension on its way to a library."""

    def __init__(
        self,
        name: str,
        parts: Sequence[Part],
        functions: Mapping[str, str] | None,
        cflags: Sequence[str],
        cuda_flags: Sequence[str],
        ldflags: Sequence[str],
        include_dirs: Sequence[Path],
        arch: str,
    ) -> None:
        import torch

        major, minor, patch = torch.__version__.split("+")[0].split(".")[:3]
        versions = {
            "TORCH_VERSION_MAJOR": major,
            "TORCH_VERSION_MINOR": minor,
            "TORCH_VERSION_PATCH": re.sub(r"\D.*", "", patch),
        }
        self._name = name
        self._functions = functions
        self._cuda_flags = cuda_flags
        self._libraries = [flag for flag in ldflags if not re.fullmatch(r"-l(cuda|cudart|c10_cuda|torch_cuda)", flag)]
        self._tool = host_tool()
        self._read = [
            read_part(
                part,
                self._tool.compiler,
                arch=arch,
                flags=cuda_flags if part.cuda else cflags,
                include_dirs=include_dirs,
                dialect=_DIALECT,
                versions=versions,
            )
            for part in parts
        ]
        settings = json.dumps(
            [name, functions, list(cuda_flags), self._libraries, self._tool.identity, _own_identity()], default=str
        )
        self._keys = [unit_key(read, settings) for read in self._read]
        self._key = hashlib.sha256("".join([settings, *self._keys]).encode()).hexdigest()[:32]

    def made(self) -> tuple[Path, list[DeviceUnit]]:
        """The library and its device halves; from the cache if they are there."""
        folder = cache_folder("hostcode") / "extensions" / self._key
        library, record = folder / f"{self._name}.so", folder / "units.json"
        if (known := cached(library)).is_file():
            try:
                stored = json.loads(cached(record).read_text())
                found = [unit_from_json(d, self._read[d["part"]].part) for d in stored]
                with contextlib.suppress(OSError):  # the shared cache may be read-only
                    os.utime(known.parent)
                return known, found
            except (OSError, ValueError, KeyError, TypeError, IndexError):
                log.warning("the cached extension %s is damaged and is built anew", folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as name:
            units = self._make(self._tool, Path(name), folder, library)
        store_atomically(record, json.dumps(units).encode())
        trim_folders(folder.parent)
        return library, [unit_from_json(d, self._read[d["part"]].part) for d in units]

    def _make(self, tool: HostTool, work: Path, folder: Path, library: Path) -> list[dict[str, Any]]:
        texts: list[tuple[str, str, str]] = []
        units: list[dict[str, Any]] = []
        merged = self._merged()
        for number, (read, key) in enumerate(zip(self._read, self._keys, strict=True)):
            light = _is_light(read.host)
            host = split_host(read, key, torch=True, light=light)
            if read.part.cuda:
                unit = device_unit(read, key, host, flags=self._cuda_flags, dialect=_DIALECT, defaults=TORCH_DEFAULTS)
                units.append({"part": number, **unit_to_json(unit)})
            text = _preface(read.host) + f'#line 1 "{read.part.name}"\n{host.text}'
            if merged is not None and number == merged:
                text, name, flavour = texts.pop()[1] + text, self._read[0].part.name, "torch_light"
            else:
                name, flavour = read.part.name, "torch_light" if light else "torch_full"
            texts.append((name, text, flavour))
        if self._functions is not None:
            name, text, flavour = texts[-1]
            texts[-1] = (name, text + self._module_text(), flavour)
        try:
            objects = tool.compile(texts, work, dialect=_DIALECT, defines=[f"-DTORCH_EXTENSION_NAME={self._name}"])
        except BuildError as error:
            self._at_home(error)
            raise
        half = work / library.name
        # first, and loaded so that its libraries come before those of the process: a torch built for CUDA brings another runtime
        tool.link(objects, half, [str(tool.runtime()), *torch_libraries(), *self._libraries])
        folder.mkdir(exist_ok=True)
        os.replace(half, library)
        return units

    def _merged(self) -> int | None:
        """The number of the C++ part, if it only declares what one CUDA part defines: one compilation does for both."""
        if self._functions is None or len(self._read) != 2 or self._read[1].part.cuda:
            return None
        unit = parse(self._read[1].host)
        for made in unit.all():
            if made.kind in ("directive", "empty", "using_namespace"):
                continue
            if made.kind != "function" or made.body or "=" in unit.text(made.first, made.last):
                return None
        light = _is_light(self._read[0].host) and _is_light(self._read[1].host)
        return 1 if light else None

    def _module_text(self) -> str:
        """The module that torch would append to the C++ sources.

        Raises:
            BuildError: a function is not declared there.
        """
        assert self._functions is not None
        words = set(re.findall(r"\w+", self._read[-1].host))
        out = ['\n#line 1 "functions"\n', "PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {\n"]
        for function, doc in self._functions.items():
            if function.split("::")[-1] not in words:
                raise BuildError(
                    f"`functions` names {function!r}, but cpp_sources does not declare it.",
                    mend=f"Add its declaration to cpp_sources, `torch::Tensor {function}(...);` for instance.",
                )
            out.append(f"  m.def({json.dumps(function)}, &{function}, {json.dumps(doc)});\n")
        return "".join([*out, "}\n"])

    def _at_home(self, error: BuildError) -> None:
        for read in self._read:
            if error.path == read.part.name:
                read.part.at_home(error)
                if read.part.folder is None:
                    error.path = None  # a string has no file


def install(session: DeviceSession) -> Extensions:
    """Puts `load_inline` and `load` of this session in the place of torch's, in this process."""
    import torch.utils.cpp_extension as module

    extensions = Extensions(session)
    patched: Any = module
    patched.load_inline = extensions.load_inline
    patched.load = extensions.load
    return extensions


def _listed(given: str | Sequence[str] | None) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else [str(each) for each in given]


def _named(what: str, texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{what}[{i}]" if len(texts) > 1 else what, text) for i, text in enumerate(texts)) or ((what, ""),)


def _functions(given: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str] | None:
    if given is None:
        return None
    if isinstance(given, str):
        return {given: given}
    if isinstance(given, Mapping):
        return {str(k): str(v) for k, v in given.items()}
    return {str(each): str(each) for each in given}


def prepare(source: str) -> None:
    """Makes what a kernel module's extensions will want of the shared cache: the precompiled header and the runtime.

    Args:
        source: the module's text; which header it is, is guessed from all of it.

    Raises:
        EmulatorError: the compiler fails.
    """
    tool = host_tool()
    tool.runtime()
    tool.precompiled("torch_light" if _is_light(source) else "torch_full", _DIALECT)


def _is_light(text: str) -> bool:
    """Whether the binding of our own does for a source."""
    used = set(re.findall(r"\b(?:py|pybind11)\s*::\s*(\w+)", text))
    return used <= _BOUND and not re.search(r"\bm\.(attr|def_submodule|add_object)\b|THPVariable_|py::class_", text)


def _preface(text: str) -> str:
    """Headers that torch/extension.h would bring and the precompiled one does not."""
    wanted = (
        (r"\bTORCH_LIBRARY|\btorch::Library\b", "torch/library.h"),
        (r"\btorch::autograd::|\bAutogradContext\b", "torch/csrc/autograd/custom_function.h"),
        (r"\btorch::(nn|optim|data|serialize)::", "torch/torch.h"),
    )
    return "".join(f"#include <{header}>\n" for pattern, header in wanted if re.search(pattern, text))


@functools.cache
def _own_identity() -> str:
    """Changes with the code that splits sources."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(HERE.glob("*.py")))).hexdigest()[:16]


def _guarded(function: Callable[..., Any], launcher: Launcher) -> Callable[..., Any]:
    """The function; a refused launch in it is raised as what it was, even if the author's code swallowed it."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        launcher.take_pending()
        try:
            result = function(*args, **keywords)
        except Exception:
            if (pending := launcher.take_pending()) is not None:
                raise pending from None
            raise
        if (pending := launcher.take_pending()) is not None:
            raise pending
        return result

    return call
