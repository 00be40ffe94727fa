"""Loads compiled host code, and says what it misses."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from typing import Any

from kernelwright.errors import BuildError, UnsupportedError

__all__ = ["explain_missing"]


def explain_missing(name: str, run: Callable[[], Any]) -> Any:
    """Loads a library; what it misses is named.

    Raises:
        UnsupportedError: a function that our CUDA runtime does not have.
        BuildError: a function that the author declares and does not define.
    """
    try:
        return run()
    except (ImportError, OSError) as error:
        found = re.search(r"undefined symbol: (\S+)", str(error))
        if found is None:
            raise BuildError(f"the extension {name} does not load: {error}") from error
        symbol = _demangled(found[1])
        if re.match(r"(cuda|cu|cublas|cudnn|nvrtc)[A-Z]", symbol):
            raise UnsupportedError(
                f"the extension calls {symbol}, which the emulator's CUDA runtime does not have."
            ) from error
        raise BuildError(f"the extension uses {symbol}, which is declared but not defined.") from error


def _demangled(symbol: str) -> str:
    try:
        library = ctypes.CDLL("libstdc++.so.6")
    except OSError:
        return symbol
    library.__cxa_demangle.restype = ctypes.c_void_p
    status = ctypes.c_int()
    found = library.__cxa_demangle(symbol.encode(), None, None, ctypes.byref(status))
    if not found:
        return symbol
    text = ctypes.string_at(found).decode(errors="replace")
    ctypes.CDLL(None).free(ctypes.c_void_p(found))
    return text
