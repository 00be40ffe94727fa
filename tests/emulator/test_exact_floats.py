"""Arithmetic of every floating-point type, rounding, .ftz and .sat, against exact fractions rounded once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from emulator.isa.form import Form, try_forms
from emulator.isa.softfloat import FORMATS, MODES, Format


def _finish(kind: Format, mods: str, meaning: Callable[..., int]) -> Callable[..., int]:
    """The meaning with the modifiers' effects on operands and result."""

    def full(*values: int) -> int:
        if "ftz" in mods:
            return _after(kind.flush(meaning(*map(kind.flush, values))))
        return _after(meaning(*values))

    def _after(bits: int) -> int:
        return kind.saturate(bits) if "sat" in mods else bits

    return full


def _forms(type_: str, count: int) -> list[Form]:
    kind = FORMATS[type_]
    modes = MODES if type_ in ("f32", "f64") else ("rn",)
    extras = {"f32": ("", ".ftz", ".sat", ".ftz.sat"), "f16": ("", ".sat")}.get(type_, ("",))
    named: dict[str, Callable[..., int]] = (
        {"add": kind.add, "sub": kind.sub, "mul": kind.mul} if count == 2 else {"fma": kind.fma}
    )
    made = []
    for name, function in named.items():
        for mode in modes:
            for extra in extras:

                def meaning(*values: int, function: Callable[..., int] = function, mode: str = mode) -> int:
                    return function(*values, mode)

                made.append(
                    Form(
                        f"{name}.{mode}{extra}.{type_}",
                        type_,
                        (type_,) * count,
                        type_,
                        _finish(kind, extra, meaning),
                    )
                )
    return made


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("type_", sorted(FORMATS))
def test_arithmetic(type_: str, count: int) -> None:
    assert not try_forms(_forms(type_, count))
