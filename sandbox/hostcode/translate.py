"""A source file of a program or an extension, taken apart: preprocessed, parsed, split."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernelwright.errors import BuildError, UnsupportedError
from kernelwright.sandbox.build import SOURCE_NAME, normalise_options
from kernelwright.sandbox.hostcode.authors import PreludeLines
from kernelwright.sandbox.hostcode.declarations import parse
from kernelwright.sandbox.hostcode.device import DeviceText, device_texts
from kernelwright.sandbox.hostcode.host import HostText, KernelRecord, host_text
from kernelwright.sandbox.hostcode.launching import DeviceUnit
from kernelwright.sandbox.hostcode.preprocess import Source, preprocess

__all__ = [
    "Part",
    "Preprocessed",
    "device_unit",
    "read_part",
    "split_flags",
    "split_host",
    "unit_from_json",
    "unit_to_json",
]

TORCH_DEFAULTS = (
    "-D__CUDA_NO_HALF_OPERATORS__",
    "-D__CUDA_NO_HALF_CONVERSIONS__",
    "-D__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "-D__CUDA_NO_HALF2_OPERATORS__",
)
"""What torch's build of extensions defines for device code (torch/utils/cpp_extension.py, COMMON_NVCC_FLAGS)."""


@dataclass(frozen=True)
class Part:
    """One translation unit as given."""

    texts: tuple[tuple[str, str], ...]
    """(name, text) of what is joined to make it: usually one."""
    name: str
    """For messages about host code: `kernel.cu`, `main.cpp`, a file's name."""
    cuda: bool
    folder: Path | None = None

    @property
    def joined(self) -> str:
        """Its whole text."""
        return "\n".join(text for _, text in self.texts)

    @property
    def lines(self) -> PreludeLines:
        """Where its lines come from."""
        parts, first = [], 1
        for name, text in self.texts:
            parts.append((first, name, tuple(text.split("\n"))))
            first += text.count("\n") + 1
        return PreludeLines(tuple(parts))

    def at_home(self, error: BuildError | UnsupportedError) -> None:
        """Turns an error's line into the author's."""
        if error.line is not None:
            error.line, name, _ = self.lines.find(error.line)
            if name:
                error.message = f"{name}: {error.message}"


@dataclass(frozen=True)
class Preprocessed:
    """A part with its macros expanded, once for each side."""

    part: Part
    host: str
    device: str
    """Empty for plain C++."""


def split_flags(flags: Sequence[str] | str | None) -> list[str]:
    """Compile flags, one a piece."""
    if flags is None:
        return []
    return [piece for flag in ([flags] if isinstance(flags, str) else flags) for piece in shlex.split(str(flag))]


def read_part(
    part: Part,
    compiler: str,
    *,
    arch: str,
    flags: Sequence[str],
    include_dirs: Sequence[Path],
    dialect: str,
    versions: Mapping[str, str],
) -> Preprocessed:
    """Runs the preprocessor.

    Raises:
        BuildError: with the author's line.
    """
    macros = tuple(flag for flag in flags if re.match(r"-[DU].", flag))
    dirs = [*include_dirs, *(Path(flag[2:]) for flag in flags if flag.startswith("-I") and len(flag) > 2)]

    def source(name: str) -> Source:
        return Source(part.joined, name, part.folder, tuple(dirs), macros, dialect, versions)

    try:
        host = preprocess(source(part.name), compiler, cuda_arch=None)
        if not part.cuda:
            return Preprocessed(part, host, "")
        number = int("".join(c for c in arch if c.isdigit()))
        return Preprocessed(part, host, preprocess(source(SOURCE_NAME), compiler, cuda_arch=10 * number))
    except BuildError as error:
        part.at_home(error)
        raise


def split_host(read: Preprocessed, key: str, *, torch: bool, light: bool) -> HostText:
    """The host half.

    Raises:
        BuildError, UnsupportedError: with the author's line.
    """
    try:
        return host_text(parse(read.host), f'"{key}"', torch=torch, light=light)
    except (BuildError, UnsupportedError) as error:
        read.part.at_home(error)
        raise


def device_unit(
    read: Preprocessed,
    key: str,
    host: HostText,
    *,
    flags: Sequence[str],
    dialect: str,
    defaults: Sequence[str] = (),
) -> DeviceUnit:
    """The device half.

    Args:
        flags: nvcc's; what the preprocessor has used up is left out.
        defaults: `-D` options that give way to a `-U` among the flags.

    Raises:
        BuildError, UnsupportedError: with the author's line.
    """
    try:
        texts = device_texts(parse(read.device)) if read.device else []
    except (BuildError, UnsupportedError) as error:
        read.part.at_home(error)
        raise
    undefined = {flag[2:] for flag in flags if flag.startswith("-U")}
    kept = [flag for flag in flags if not re.match(r"-[DUI].|-isystem", flag)]
    if not any(re.match(r"--?std\b", flag) for flag in kept):
        kept.insert(0, f"--std={dialect}")
    options = (
        *(d for d in defaults if d[2:] not in undefined),
        # in a kept class, members without an execution space are the device's too
        "--device-as-default-execution-space",
        # libcu++ defines the limits that the prelude defined, the same but spelled differently
        "--diag-suppress=47",
        *kept,
    )
    normalise_options(options)  # an unknown flag is refused when the extension is built, not at its first launch
    return DeviceUnit(key, host.kernels, tuple(texts), options, read.part.lines)


def unit_key(read: Preprocessed, *parts: str) -> str:
    """A name for a translation unit, by content."""
    text = "\x00".join((read.part.name, read.host, read.device, *parts))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def unit_to_json(unit: DeviceUnit) -> dict[str, Any]:
    """A JSON object; `unit_from_json` reads it back."""
    return {
        "key": unit.key,
        "kernels": [asdict(kernel) for kernel in unit.kernels],
        "texts": [text.to_json() for text in unit.texts],
        "options": list(unit.options),
    }


def unit_from_json(data: Mapping[str, Any], part: Part) -> DeviceUnit:
    """Reads what `unit_to_json` wrote."""
    return DeviceUnit(
        str(data["key"]),
        tuple(KernelRecord(**each) for each in data["kernels"]),
        tuple(DeviceText(t["text"], tuple(t["kernels"]), tuple(t["variables"])) for t in data["texts"]),
        tuple(data["options"]),
        part.lines,
    )
