"""Which C++ compiler this machine has."""

from __future__ import annotations

import os
import shutil

from kernelwright.errors import EmulatorError

__all__ = ["find_cxx", "need_cxx"]


def find_cxx() -> str | None:
    """The compiler that `$CXX` names, else g++, c++ or clang++ from the PATH."""
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")


def need_cxx() -> str:
    """The same.

    Raises:
        EmulatorError: there is none.
    """
    if found := find_cxx():
        return found
    raise EmulatorError(
        "the emulator needs a C++ compiler and found none.",
        mend="Install g++ 11 or later (Debian and Ubuntu: `apt install g++`) or name one in CXX.",
    )
