"""From PTX to the C++ of each kernel, kept on disk: parsing and translating take 10 to 200 ms, reading them back 1 ms."""

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kernelwright.errors import EmulatorError, UnsupportedError
from kernelwright.sandbox.build import SOURCE_NAME
from kernelwright.sandbox.cache import cache_folder, cached, store_atomically, trim_cache
from kernelwright.sandbox.emulator.emit import Translated, translate
from kernelwright.sandbox.emulator.frames import function_addresses
from kernelwright.sandbox.emulator.lower import Lowered, lower
from kernelwright.sandbox.emulator.parser import parse
from kernelwright.sandbox.emulator.ptx import Variable

__all__ = ["KernelTranslation", "Refusal", "Translation", "translate_ptx"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KernelTranslation:
    """A kernel's layout (without its body) and its C++."""

    lowered: Lowered
    translated: Translated


@dataclass(frozen=True)
class Refusal:
    """Why a kernel can't be emulated."""

    message: str
    line: int | None

    def error(self) -> UnsupportedError:
        """The exception to raise."""
        return UnsupportedError(self.message, line=self.line)


@dataclass(frozen=True)
class Translation:
    """All kernels of a PTX module, and its variables."""

    variables: tuple[Variable, ...]
    kernels: Mapping[str, KernelTranslation | Refusal]
    prints: bool
    """Whether a kernel may call printf."""
    functions: Mapping[str, int] = field(default_factory=dict)
    """Device function to its address."""


def translate_ptx(ptx: str, cache_dir: Path | None = None) -> Translation:
    """Translates every kernel; one that can't be is a `Refusal`.

    Raises:
        EmulatorError: the PTX can't be read.
        UnsupportedError: the module holds something that no kernel of it could run with.
    """
    folder = (cache_folder("emulator") if cache_dir is None else cache_dir) / "translations"
    key = hashlib.sha256(f"{_version()}\x00{ptx}".encode()).hexdigest()[:40]
    path = folder / f"{key}.pickle"
    if (found := _read(cached(path))) is not None:
        return found
    try:
        made = _translate(ptx)
    except _MALFORMED as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise EmulatorError(f"the PTX is malformed: no compiler writes such text ({said})") from error
    store_atomically(path, pickle.dumps(made, protocol=5))
    if key[0] == "0":
        trim_cache(folder)
    return made


_MALFORMED = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What a text that is no compiler's output may lead to, where parser and translator take its form for granted."""


def _translate(ptx: str) -> Translation:
    program = parse(ptx, SOURCE_NAME)
    kernels: dict[str, KernelTranslation | Refusal] = {}
    for name, function in program.functions.items():
        if not function.entry:
            continue
        try:
            lowered = lower(program, name)
            kernels[name] = KernelTranslation(replace(lowered, body=()), translate(lowered))
        except UnsupportedError as error:
            kernels[name] = Refusal(error.message, error.line)
    return Translation(tuple(program.variables), kernels, "vprintf" in program.functions, function_addresses(program))


def _read(path: Path) -> Translation | None:
    """What was stored, or None. The folder is the user's own, as the machine code beside it is."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        found = pickle.loads(data)
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError, ValueError, KeyError):
        log.warning("the cache entry %s is damaged and is made anew", path)
        return None
    return found if isinstance(found, Translation) else None


@functools.lru_cache(maxsize=1)
def _version() -> str:
    """Changes whenever the translator does."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\x00".join(path.read_bytes() for path in sources)).hexdigest()
