"""What an entry of the catalogue of instructions is, and how one is tried."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from emulator.isa.softfloat import FORMATS, Format, edges
from emulator_forms import EDGES_16, EDGES_32, EDGES_64, run_forms

ROWS = 360
"""Rows of operands for each form: combinations of edge values, then of edge values with random bits."""


@dataclass(frozen=True)
class Form:
    """One instruction with its meaning on bits.

    `operands` and `result` are PTX types, also `f16x2` and the like, or `n32` for a count. `meaning` gives the bits of the
    result, or None where the PTX ISA leaves it open. A result that is a NaN matches any. `ulps` is the error that is allowed,
    in units in the last place, `absolute` another that is allowed as well.
    """

    text: str
    type_: str
    operands: tuple[str, ...]
    result: str
    meaning: Callable[..., int | None]
    ulps: int = 0
    absolute: float = 0.0

    @property
    def opcode(self) -> str:
        """The base opcode, for instance `add`; of a whole text, its first instruction that is not a declaration."""
        words = self.text.strip("{} ").split(";")
        first = next(w.strip() for w in words if not w.strip().startswith(".reg"))
        return first.split()[0].split(".")[0]


_BITS = {
    "b8": 32,
    "u8": 32,
    "s8": 32,
    "b16": 16,
    "u16": 16,
    "s16": 16,
    "f16": 16,
    "bf16": 16,
    "e4m3x2": 16,
    "e5m2x2": 16,
}
_EDGES = {16: EDGES_16, 32: EDGES_32, 64: EDGES_64}


def register(type_: str) -> str:
    """`u16`, `u32` or `u64`: where a value of the type lives."""
    return f"u{_BITS.get(type_, 64 if type_.endswith('64') else 32)}"


def _interesting(type_: str) -> list[int]:
    if type_ == "n32":
        return [*range(0, 70, 3), 31, 32, 63, 64, 65, 128, 255, 256, 257, 0x80000000, 0xFFFFFFFF]
    if type_ in FORMATS:
        return edges(FORMATS[type_])
    if type_ in ("f16x2", "bf16x2"):
        half = edges(FORMATS[type_[:-2]])
        return [half[i] | half[-1 - (i * 7) % len(half)] << 16 for i in range(len(half))]
    return _EDGES[int(register(type_)[1:])]


def rows(types: Sequence[str]) -> list[np.ndarray]:
    """Operands of these types, ROWS of each, the same at every call."""
    rng = np.random.default_rng(zlib.crc32(" ".join(types).encode()))
    columns = []
    for type_ in types:
        bits = int(register(type_)[1:])
        listed = _interesting(type_)
        picked = [*listed, *(listed[int(i)] for i in rng.integers(0, len(listed), ROWS))][:ROWS]
        random = [int(x) for x in rng.integers(0, 1 << bits, ROWS, dtype=np.uint64, endpoint=False)] if bits < 64 else [
            int(x) for x in rng.integers(0, 2**64 - 1, ROWS, dtype=np.uint64, endpoint=True)
        ]  # fmt: skip
        if len(types) > 1:
            picked = [picked[int(i)] for i in rng.permutation(ROWS)]
        column = [random[i] if type_ != "n32" and i % 4 == 3 else picked[i] for i in range(ROWS)]
        if len(types) == 1:
            column = [*listed, *random][:ROWS] if len(listed) < ROWS else listed[:ROWS]
        columns.append(np.array(column, register(type_).replace("u", "uint")))
    return columns


def _format(type_: str) -> tuple[Format | None, int]:
    """Format of a type's elements, and how many a register holds."""
    if type_.endswith("x2") and type_[:-2] in FORMATS:
        return FORMATS[type_[:-2]], 2
    return FORMATS.get(type_), 1


def agrees(form: Form, got: int, wanted: int) -> bool:
    """Whether a result is what the form allows."""
    kind, count = _format(form.result)
    if kind is None:
        return got == wanted
    mask = (1 << kind.bits) - 1
    for i in range(count):
        g, w = got >> i * kind.bits & mask, wanted >> i * kind.bits & mask
        if kind.is_nan(g) or kind.is_nan(w):
            if kind.is_nan(g) != kind.is_nan(w):
                return False
            continue
        if g == w or abs(kind.order(g) - kind.order(w)) <= form.ulps:
            continue
        if form.absolute and abs(kind.real(g) - kind.real(w)) <= form.absolute:
            continue
        return False
    return True


def try_forms(forms: Sequence[Form]) -> list[str]:
    """Runs forms of one signature on the emulator; says what is wrong, one line a form."""
    operands, result = forms[0].operands, forms[0].result
    columns = rows(operands)
    typed = [(register(t), column) for t, column in zip(operands, columns, strict=True)]
    found = run_forms([f.text for f in forms], register(result), typed, arch="sm_100")
    wrong = []
    for form in forms:
        for i, got in enumerate(found[form.text].tolist()):
            values = [int(column[i]) for column in columns]
            wanted = form.meaning(*values)
            if wanted is not None and not agrees(form, int(got), wanted):
                shown = ", ".join(f"{v:#x}" for v in values)
                wrong.append(f"{form.text} on {shown} gives {int(got):#x}, not {wanted:#x}")
                break
    return wrong
