"""What a launch executes, in 16 hex digits: the same for two kernels that the compiler makes the same code of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from kernelwright.sandbox.emulator.lower import ParamSlot

__all__ = ["fingerprint", "without_names"]

_DROPPED = re.compile(r"//[^\n]*|/\*.*?\*/|^\s*\.(?:loc|file|version|target)\b[^\n]*$", re.DOTALL | re.MULTILINE)
_SECTION = re.compile(r"^\s*\.section\s[^{]*\{.*?^\s*\}", re.DOTALL | re.MULTILINE)
_DECLARED = re.compile(
    r"\.(?:entry|func(?:\s*\([^)]*\))?)\s+([A-Za-z_$][\w$]*)|"
    r"\.(?:global|const|shared|local)\b[^;={(]*?\.\w+\s+([A-Za-z_$][\w$]*)\s*[\[;=]"
)
_WORD = re.compile(r"(?<![\w$.%])[A-Za-z_$][\w$]*(?![\w$.])")
"""No part of an instruction: a kernel may be called `add`."""
_POINTERS_FROM = 1 << 32
"""A 64-bit argument under this is a number: no memory of a process lies so low on a 64-bit system."""


def without_names(ptx: str) -> str:
    """PTX without comments, line table, debug sections and layout; its functions, parameters and variables numbered.

    Registers and labels need no care: the compiler numbers them.
    """
    text = _DROPPED.sub("", _SECTION.sub("", ptx))
    numbers: dict[str, str] = {}
    for match in _DECLARED.finditer(text):
        numbers.setdefault(match[1] or match[2], f"name{len(numbers) + 1}")

    def named(word: re.Match[str]) -> str:
        found = numbers.get(word[0])
        if found is None and "_param_" in word[0]:  # parameters are called after their function
            function, _, number = word[0].rpartition("_param_")
            return f"{numbers.get(function, function)}_param_{number}"
        return found or word[0]

    return " ".join(_WORD.sub(named, text).split())


def fingerprint(plain_ptx: str, entry: int, parameters: bytes, slots: Sequence[ParamSlot]) -> str:
    """Of a launch, without its grid.

    Args:
        plain_ptx: of the whole module, as `without_names` gives it.
        entry: which of the module's kernels is launched, counted from 0.
        parameters: the parameter buffer; pointers in it do not count, other numbers do.
    """
    digest = hashlib.sha256(f"{entry}\n{plain_ptx}".encode())
    for slot in slots:
        value = parameters[slot.offset : slot.offset + slot.bytes]
        if slot.bytes < 8 or (slot.bytes == 8 and int.from_bytes(value, "little") < _POINTERS_FROM):
            digest.update(bytes([slot.bytes]) + value)
    return digest.hexdigest()[:16]
