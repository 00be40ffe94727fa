"""CUDA C++ to PTX through NVRTC, with the resource figures of ptxas; cached by content. No GPU and no driver needed.

The headers come from the `nvidia-cuda-*` wheels. A kernel is compiled twice: to PTX for a virtual architecture
(`compute_90`), which the emulator runs, and to machine code (`sm_90`), for which ptxas says how many registers, how
much shared memory, stack and spilling each kernel needs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kernelwright.errors import BuildError
from kernelwright.sandbox.cache import cache_folder, cached, store_atomically, trim_cache
from kernelwright.sandbox.launch import CudaCode, KernelResources
from kernelwright.sandbox.nvrtc import Compiled, NvrtcFailure, compiler_process, missing_package, nvrtc_library

__all__ = ["SOURCE_NAME", "Build", "build_cubin", "build_cuda", "normalise_options"]

log = logging.getLogger(__name__)

SOURCE_NAME = "kernel.cu"
"""The name under which the user's text is known to the compiler, in its log and in the PTX line table."""

_FORMAT = 1
"""Raise when the meaning of a cached build changes."""

_DEFAULT_STD = "c++17"

# Options that NVRTC takes as they are (its documentation, "Supported Compile Options"), both spellings of each.
_PASS_ALONE = {
    "--use_fast_math": "--use_fast_math",
    "-use_fast_math": "--use_fast_math",
    "--extra-device-vectorization": "--extra-device-vectorization",
    "-extra-device-vectorization": "--extra-device-vectorization",
    "--restrict": "--restrict",
    "-restrict": "--restrict",
    "--disable-warnings": "--disable-warnings",
    "-w": "--disable-warnings",
    "--device-as-default-execution-space": "--device-as-default-execution-space",
    "-default-device": "--device-as-default-execution-space",
    "--device-int128": "--device-int128",
    "-device-int128": "--device-int128",
    "--no-source-include": "--no-source-include",
    "-no-source-include": "--no-source-include",
}
_PASS_WITH_VALUE = {
    "--ftz": "--ftz",
    "-ftz": "--ftz",
    "--prec-sqrt": "--prec-sqrt",
    "-prec-sqrt": "--prec-sqrt",
    "--prec-div": "--prec-div",
    "-prec-div": "--prec-div",
    "--fmad": "--fmad",
    "-fmad": "--fmad",
    "--maxrregcount": "--maxrregcount",
    "-maxrregcount": "--maxrregcount",
    "--diag-suppress": "--diag-suppress",
    "-diag-suppress": "--diag-suppress",
    "--diag-error": "--diag-error",
    "-diag-error": "--diag-error",
    "--diag-warn": "--diag-warn",
    "-diag-warn": "--diag-warn",
    "--pre-include": "--pre-include",
    "-include": "--pre-include",
}
# Options of nvcc that mean nothing here (optimisation is on anyway, line tables are ours) or that NVRTC lacks.
_IGNORED_ALONE = re.compile(
    r"--?O\d?|-?-lineinfo|--generate-line-info|--?(expt-)?(relaxed-constexpr|extended-lambda)|--resource-usage|-res-usage|"
    r"-rdc=false|--relocatable-device-code=false|--?ptx|--verbose|-m64|-W[a-z][\w-]*"
)
_IGNORED_WITH_VALUE = re.compile(
    r"-arch|--gpu-architecture|-gencode|--generate-code|-code|--gpu-code|-Xptxas|--ptxas-options|-Xcompiler|"
    r"--compiler-options|-Xcudafe|--?optimize|-t|--threads|--?split-compile"
)

_UNDEFINED = re.compile(r'identifier "(\w+)" is undefined')
_NO_HEADER = re.compile(r'cannot open source file "([\w./+-]+)"')
_HOST_HEADERS = re.compile(
    r"(c?(math|float|limits|stdint|stddef|stdio|stdlib|string|assert)(\.h)?|algorithm|limits|vector|iostream)"
)
_HOST_NAMES = {
    "INFINITY": "__int_as_float(0x7f800000), or CUDART_INF_F after #include <math_constants.h>",
    "HUGE_VALF": "__int_as_float(0x7f800000), or CUDART_INF_F after #include <math_constants.h>",
    "HUGE_VAL": "CUDART_INF after #include <math_constants.h>",
    "NAN": "__int_as_float(0x7fffffff), or CUDART_NAN_F after #include <math_constants.h>",
    "FLT_MAX": "3.402823466e38f",
    "FLT_MIN": "1.175494351e-38f",
    "FLT_EPSILON": "1.192092896e-7f",
    "DBL_MAX": "1.7976931348623157e308",
    "DBL_MIN": "2.2250738585072014e-308",
    "DBL_EPSILON": "2.2204460492503131e-16",
    "INT_MAX": "2147483647",
    "INT_MIN": "(-2147483647 - 1)",
    "UINT_MAX": "4294967295u",
    "LLONG_MAX": "9223372036854775807ll",
    "LLONG_MIN": "(-9223372036854775807ll - 1)",
    "ULLONG_MAX": "18446744073709551615ull",
    "M_PI": "3.14159265358979323846, or CUDART_PI_F after #include <math_constants.h>",
    "M_SQRT2": "1.41421356237309504880",
    "M_SQRT1_2": "0.70710678118654752440",
    "M_LOG2E": "1.44269504088896340736",
    "M_E": "2.71828182845904523536",
    **dict.fromkeys(("uint8_t", "int8_t"), "unsigned char or signed char"),
    **dict.fromkeys(("uint16_t", "int16_t"), "unsigned short or short"),
    **dict.fromkeys(("uint32_t", "int32_t"), "unsigned int or int"),
    **dict.fromkeys(("uint64_t", "int64_t"), "unsigned long long or long long"),
}
"""Names of the host's headers that kernels often use, and what says the same without them."""


@dataclass(frozen=True)
class Build:
    """What came out of one compilation."""

    ptx: str
    log: str
    """The compiler's warnings; empty if there were none."""
    arch: str
    seconds: float
    """Wall time of the compilation; of the look-up, if `cached`."""
    cached: bool
    resources: Mapping[str, KernelResources]
    """By kernel name as in the PTX: mangled, or plain for `extern "C"`."""
    lowered_names: Mapping[str, str]
    """Name expression (`softmax<float, 4>`) to mangled name."""


def build_cuda(
    source: str,
    options: Sequence[str] = (),
    *,
    arch: str = "sm_90",
    name_expressions: Sequence[str] = (),
    cache_dir: Path | None = None,
) -> Build:
    """Compiles CUDA C++ to PTX for `arch` and asks ptxas for each kernel's resources.

    Args:
        source: the text of one `.cu` file, without host code.
        options: as one gives them to NVRTC, nvcc or CuPy; an architecture among them gives way to `arch`.
        arch: a real architecture, `sm_90` for instance.
        name_expressions: template instances to emit, `softmax<float>` for instance.
        cache_dir: where builds are kept; None takes `cache_folder("build")`.

    Raises:
        BuildError: the source does not compile (with the first error's line), an option is unknown, NVRTC is missing or
            reached its limit of time or memory (`sandbox.nvrtc`).
    """
    begin = time.perf_counter()
    if not re.fullmatch(r"sm_\d+[af]?", arch):
        raise BuildError(f"the architecture {arch!r} is not of the form sm_90")
    passed = normalise_options(options)
    folder = cache_folder("build") if cache_dir is None else cache_dir
    key = _key(source, passed, arch, name_expressions)
    entry = folder / f"{key}.json"
    if (found := _read_entry(cached(entry))) is not None:
        return Build(**found, seconds=time.perf_counter() - begin, cached=True)

    common = [f"-I{path}" for path in _include_folders()] + passed
    virtual = arch.replace("sm_", "compute_", 1)
    ptx, text, lowered = _compile(source, [f"--gpu-architecture={virtual}", "-lineinfo", *common], name_expressions)
    _, resource_log, _ = _compile(
        source, [f"--gpu-architecture={arch}", "--ptxas-options=-v", *common], name_expressions
    )
    made: dict[str, Any] = {
        "ptx": ptx,
        "log": text.strip("\x00\n "),
        "arch": arch,
        "resources": MappingProxyType(_parse_resources(resource_log, arch)),
        "lowered_names": MappingProxyType(lowered),
    }
    _write_entry(entry, made)
    return Build(**made, seconds=time.perf_counter() - begin, cached=False)


def build_cubin(code: CudaCode) -> tuple[bytes, Mapping[str, KernelResources]]:
    """Machine code for `code.arch` with line information, and what ptxas says about each kernel, by mangled name.

    Nothing is cached: it is asked for by hand, and takes NVRTC some hundredths of a second.

    Raises:
        BuildError: as `build_cuda` does.
    """
    options = [f"--gpu-architecture={code.arch}", "-lineinfo", "--ptxas-options=-v"]
    options += [f"-I{path}" for path in _include_folders()] + normalise_options(code.options)
    made = _run(code.source, options, code.name_expressions, cubin=True)
    if not made.cubin:
        raise BuildError(f"NVRTC gave no machine code for {code.arch}", log=made.log)
    return made.cubin, MappingProxyType(_parse_resources(made.log, code.arch))


def normalise_options(options: Sequence[str]) -> list[str]:
    """Options of nvcc, CuPy or NVRTC as NVRTC wants them; those without a meaning here are dropped.

    Raises:
        BuildError: an option is unknown.
    """
    out: list[str] = []
    std = _DEFAULT_STD
    pending = list(options)
    while pending:
        option = pending.pop(0).strip()
        name, equals, value = option.partition("=")
        if not option or _IGNORED_ALONE.fullmatch(option):
            continue
        if option in _PASS_ALONE:
            out.append(_PASS_ALONE[option])
        elif name in ("--std", "-std"):
            std = value
        elif name in _PASS_WITH_VALUE:
            out.append(f"{_PASS_WITH_VALUE[name]}={value if equals else _value_of(option, pending)}")
        elif _IGNORED_WITH_VALUE.fullmatch(name):
            if not equals:
                _value_of(option, pending)
        elif long := re.match(r"--(include-path|define-macro|undefine-macro)(?:=(.*))?$", option):
            letter = {"include-path": "I", "define-macro": "D", "undefine-macro": "U"}[long[1]]
            out.append(f"-{letter}{long[2] if long[2] is not None else _value_of(option, pending)}")
        elif option in ("-I", "-D", "-U"):
            out.append(option + _value_of(option, pending))
        elif option[:2] in ("-I", "-D", "-U"):
            out.append(option)
        else:
            raise BuildError(
                f"the compile option {option!r} is not known here",
                mend="Known are --std, -I, -D, -U, --use_fast_math, --fmad, --ftz, --prec-div, --prec-sqrt, "
                "--maxrregcount and what nvcc takes for optimisation and architecture.",
            )
    return [f"--std={std}", *out]


def _value_of(option: str, pending: list[str]) -> str:
    if not pending:
        raise BuildError(f"the compile option {option!r} needs a value")
    return pending.pop(0)


def _key(source: str, options: Sequence[str], arch: str, names: Sequence[str]) -> str:
    parts = [str(_FORMAT), source, *options, "\x00", arch, *names, "\x00", *map(str, _include_folders()), _version()]
    return hashlib.sha256("\x01".join(parts).encode()).hexdigest()[:40]


def _read_entry(path: Path) -> dict[str, Any] | None:
    """The stored build, or None if there is none or it is damaged."""
    try:
        raw = json.loads(path.read_text())
        return {
            "ptx": str(raw["ptx"]),
            "log": str(raw["log"]),
            "arch": str(raw["arch"]),
            "resources": MappingProxyType({k: KernelResources(**v) for k, v in raw["resources"].items()}),
            "lowered_names": MappingProxyType({str(k): str(v) for k, v in raw["lowered_names"].items()}),
        }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        log.warning("the cache entry %s is damaged and is made anew", path)
        return None


def _write_entry(path: Path, made: Mapping[str, Any]) -> None:
    raw = {**made, "resources": {k: asdict(v) for k, v in made["resources"].items()}}
    raw["lowered_names"] = dict(made["lowered_names"])
    store_atomically(path, json.dumps(raw).encode())
    # Looking through the folder costs about 1 ms per hundred entries, so it is done for one entry in sixteen.
    if path.name[0] == "0":
        trim_cache(path.parent)


def _include_folders() -> list[Path]:
    """The header folders of the CUDA wheels.

    Raises:
        BuildError: they are not installed.
    """
    try:
        import nvidia  # type: ignore[import-untyped]
    except ImportError:
        raise missing_package("nvidia-cuda-runtime") from None
    for base in nvidia.__path__:
        for include in sorted(Path(base).glob("cu*/include")):
            if (include / "cuda_fp16.h").is_file():
                cccl = include / "cccl"
                return [include, cccl] if cccl.is_dir() else [include]
    raise missing_package("nvidia-cuda-runtime")


def _version() -> str:
    """Which NVRTC it is. Loading it to ask takes 60 ms, so its file has to say."""
    path = nvrtc_library()
    try:
        status = path.stat()
    except OSError as error:
        raise BuildError(f"NVRTC can't be read: {error}") from error
    return f"{path}-{status.st_size}-{status.st_mtime_ns}"


def _compile(source: str, options: Sequence[str], names: Sequence[str]) -> tuple[str, str, dict[str, str]]:
    """One run of NVRTC: its PTX, its log, and the mangled name of each name expression."""
    made = _run(source, options, names)
    return made.ptx, made.log, made.lowered


def _run(source: str, options: Sequence[str], names: Sequence[str], *, cubin: bool = False) -> Compiled:
    if "\x00" in source:
        raise BuildError("the CUDA source holds a NUL character")
    try:
        return compiler_process().compile(source, SOURCE_NAME, options, names, cubin=cubin)
    except NvrtcFailure as failure:
        raise _failure(failure) from None


def _failure(failure: NvrtcFailure) -> BuildError:
    text = failure.log
    found = re.search(rf"{re.escape(SOURCE_NAME)}\((\d+)\): (?:catastrophic )?error(?:: | #\S+: )?(.*)", text)
    if found:
        said = found[2].strip()
        return BuildError(f"the CUDA source does not compile: {said}", log=text, line=int(found[1]), mend=_mend(said))
    first = next((line.strip() for line in text.splitlines() if "error" in line.lower()), "")
    said = first or failure.outcome
    return BuildError(f"the CUDA source does not compile: {said}", log=text)


def _mend(said: str) -> str:
    """What to do about a name or a header of the host, which NVRTC has none of; empty for any other error."""
    if (name := _UNDEFINED.search(said)) and name[1] in _HOST_NAMES:
        return f"NVRTC has none of the host's headers: for {name[1]} write {_HOST_NAMES[name[1]]}."
    if (header := _NO_HEADER.search(said)) and _HOST_HEADERS.fullmatch(header[1]):
        return (
            f"NVRTC has none of the host's headers: leave #include <{header[1]}> out; CUDA's own functions need none."
        )
    return ""


def _parse_resources(text: str, arch: str) -> dict[str, KernelResources]:
    """The figures in the log of `ptxas -v`, by kernel."""
    resources: dict[str, KernelResources] = {}
    name = None
    stack = spill_stores = spill_loads = 0
    for line in text.splitlines():
        if entry := re.search(r"Compiling entry function '([^']+)'", line):
            name, stack, spill_stores, spill_loads = entry[1], 0, 0, 0
        elif frame := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            stack, spill_stores, spill_loads = (int(n) for n in frame.groups())
        elif name and (used := re.search(r"Used (\d+) registers", line)):

            def figure(pattern: str, line: str = line) -> int:
                found = re.search(pattern, line)
                return int(found[1]) if found else 0

            resources[name] = KernelResources(
                registers=int(used[1]),
                static_shared=figure(r"(\d+) bytes smem"),
                stack=max(stack, figure(r"(\d+) bytes cumulative stack size")),
                spill_stores=spill_stores,
                spill_loads=spill_loads,
                constant=figure(r"(\d+) bytes cmem\[0\]"),
                barriers=figure(r"used (\d+) barriers"),
                arch=arch,
            )
            name = None
    return resources
