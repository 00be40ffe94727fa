"""Every opcode that computes lane by lane, on edge values and random bits, against Python's integers and exact fractions.

`test_nothing_is_left_out` holds the catalogue against the translator's table, so that a new opcode needs an entry here or the
name of the file that tries it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emulator.isa.form import Form, try_forms
from emulator.isa.softfloat import FORMATS, Format
from emulator_forms import signed

from kernelwright.sandbox.emulator.opcodes import _EMITTERS

ELSEWHERE = {
    # floating point: exact fractions in test_exact_floats, NumPy in float64 in test_float
    "fma": "test_exact_floats.py",
    "ex2": "test_float.py",
    "lg2": "test_float.py",
    "sin": "test_float.py",
    "cos": "test_float.py",
    "tanh": "test_float.py",
    "rcp": "test_float.py",
    "sqrt": "test_float.py",
    "rsqrt": "test_float.py",
}
"""Opcodes that other files fuzz."""
NOT_ARITHMETIC = {
    "mov", "cvta", "isspacep", "activemask", "nanosleep", "prefetch", "prefetchu", "discard", "applypriority", "pmevent",
    "griddepcontrol", "createpolicy",
}  # fmt: skip
"""Moves, addresses, hints: nothing to round or to overflow. The corpus runs them."""

INTEGERS = ("u16", "s16", "u32", "s32", "u64", "s64")
BITS = ("b16", "b32", "b64")


def width(type_: str) -> int:
    return int(type_[1:])


def value(bits: int, type_: str) -> int:
    """The number that a register holds, by its type's sign."""
    bits &= (1 << width(type_)) - 1
    return signed(bits, width(type_)) if type_[0] == "s" else bits


def cut(number: int, type_: str) -> int:
    return number & ((1 << width(type_)) - 1)


def limits(type_: str) -> tuple[int, int]:
    n = width(type_)
    return (-(1 << (n - 1)), (1 << (n - 1)) - 1) if type_[0] == "s" else (0, (1 << n) - 1)


def truncated(a: int, b: int) -> tuple[int, int] | None:
    """Quotient toward zero and remainder; None where the ISA leaves the result open."""
    if b == 0:
        return None
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient, a - quotient * b


def of(type_: str, function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Meaning on numbers to meaning on bits, cut to the type."""

    def meaning(*bits: int) -> int | None:
        result = function(*(value(b, type_) for b in bits))
        return None if result is None else cut(result, type_)

    return meaning


def quotient(a: int, b: int) -> int | None:
    found = truncated(a, b)
    return None if found is None else found[0]


def remainder(a: int, b: int) -> int | None:
    found = truncated(a, b)
    return None if found is None else found[1]


def arithmetic() -> list[Form]:
    made = []
    for t in INTEGERS:
        n = width(t)
        two: dict[str, Callable[..., int | None]] = {
            "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul.lo": lambda a, b: a * b,
            "mul.hi": lambda a, b, n=n: a * b >> n, "div": quotient, "rem": remainder, "min": min, "max": max,
        }  # fmt: skip
        made += [Form(f"{name}.{t}", t, (t, t), t, of(t, function)) for name, function in two.items()]
        made += [
            Form(f"mad.lo.{t}", t, (t, t, t), t, of(t, lambda a, b, c: a * b + c)),
            Form(f"mad.hi.{t}", t, (t, t, t), t, of(t, lambda a, b, c, n=n: (a * b >> n) + c)),
        ]
        if t[0] == "s":
            made += [Form(f"neg.{t}", t, (t,), t, of(t, lambda a: -a)), Form(f"abs.{t}", t, (t,), t, of(t, abs))]
        made.append(Form(f"sad.{t}", t, (t, t, t), t, lambda a, b, c, t=t: cut(abs(value(a, t) - value(b, t)) + c, t)))
        if n < 64:
            wide = f"{t[0]}{2 * n}"
            made.append(
                Form(f"mul.wide.{t}", t, (t, t), wide, lambda a, b, t=t, w=wide: cut(value(a, t) * value(b, t), w))
            )
            made.append(
                Form(
                    f"mad.wide.{t}", t, (t, t, wide), wide,
                    lambda a, b, c, t=t, w=wide: cut(value(a, t) * value(b, t) + value(c, w), w),
                )
            )  # fmt: skip
    low, high = limits("s32")
    made += [
        Form("add.sat.s32", "s32", ("s32", "s32"), "s32", of("s32", lambda a, b: max(low, min(high, a + b)))),
        Form("sub.sat.s32", "s32", ("s32", "s32"), "s32", of("s32", lambda a, b: max(low, min(high, a - b)))),
    ]
    for t in ("u32", "s32"):
        short = "s24" if t == "s32" else "u24"

        def product(a: int, b: int, short: str = short) -> int:
            return value(a, short) * value(b, short)

        made += [
            Form(f"mul24.lo.{t}", t, (t, t), t, lambda a, b, t=t, p=product: cut(p(a, b), t)),
            Form(f"mul24.hi.{t}", t, (t, t), t, lambda a, b, t=t, p=product: cut(p(a, b) >> 16, t)),
            Form(f"mad24.lo.{t}", t, (t, t, t), t, lambda a, b, c, t=t, p=product: cut(p(a, b) + value(c, t), t)),
            Form(
                f"mad24.hi.{t}", t, (t, t, t), t, lambda a, b, c, t=t, p=product: cut((p(a, b) >> 16) + value(c, t), t)
            ),
        ]
    carry = "{.reg .u32 lo; %s.cc.u32 lo, %%1, %%2; %sc.u32 %%0, %%3, %%4;}"
    four = ("u32",) * 4
    made += [
        Form(carry % ("add", "add"), "u32", four, "u32", lambda a, b, c, d: cut(c + d + (a + b >> 32), "u32")),
        Form(carry % ("sub", "sub"), "u32", four, "u32", lambda a, b, c, d: cut(c - d - (a < b), "u32")),
        Form("{.reg .u32 lo; add.cc.u32 lo, %1, %2; addc.cc.u32 lo, %2, %3; addc.u32 %0, %1, %3;}", "u32", ("u32",) * 3,
             "u32", lambda a, b, c: cut(a + c + (b + c + (a + b >> 32) >> 32), "u32")),
        Form("{.reg .u32 lo; sub.cc.u32 lo, %1, %2; subc.cc.u32 lo, %2, %3; subc.u32 %0, %1, %3;}", "u32", ("u32",) * 3,
             "u32", lambda a, b, c: cut(a - c - (b < c + (a < b)), "u32")),
        Form("{.reg .u32 lo; mad.lo.cc.u32 lo, %1, %2, %3; madc.hi.u32 %0, %1, %2, %4;}", "u32", four, "u32",
             lambda a, b, c, d: cut((a * b >> 32) + d + (cut(a * b, "u32") + c >> 32), "u32")),
        Form("{.reg .u32 lo; add.cc.u32 lo, %1, %2; madc.lo.u32 %0, %1, %2, %3;}", "u32", ("u32",) * 3, "u32",
             lambda a, b, c: cut(a * b + c + (a + b >> 32), "u32")),
    ]  # fmt: skip
    return made


def logic() -> list[Form]:
    made = []
    for t in BITS:
        n = width(t)
        mask = (1 << n) - 1
        made += [
            Form(f"and.{t}", t, (t, t), t, lambda a, b: a & b),
            Form(f"or.{t}", t, (t, t), t, lambda a, b: a | b),
            Form(f"xor.{t}", t, (t, t), t, lambda a, b: a ^ b),
            Form(f"not.{t}", t, (t,), t, lambda a, m=mask: ~a & m),
            Form(f"cnot.{t}", t, (t,), t, lambda a: int(a == 0)),
            Form(f"shl.{t}", t, (t, "n32"), t, lambda a, b, n=n, m=mask: a << b & m if b < n else 0),
            Form(f"shr.{t}", t, (t, "n32"), t, lambda a, b, n=n: a >> b if b < n else 0),
        ]
        for sign in "us":
            s = f"{sign}{n}"
            made.append(Form(f"shr.{s}", s, (s, "n32"), s, lambda a, b, s=s, n=n: cut(value(a, s) >> min(b, n), s)))
        if n > 16:
            made += [
                Form(f"popc.{t}", t, (t,), "u32", lambda a: a.bit_count()),
                Form(f"clz.{t}", t, (t,), "u32", lambda a, n=n: n - a.bit_length()),
                Form(f"brev.{t}", t, (t,), t, lambda a, n=n: int(f"{a:0{n}b}"[::-1], 2)),
                Form(
                    f"bfi.{t}", t, (t, t, "n32", "n32"), t, lambda a, b, c, d, n=n: inserted(a, b, c & 255, d & 255, n)
                ),
            ]
    for t in ("u32", "s32", "u64", "s64"):
        made += [
            Form(f"bfind.{t}", t, (t,), "u32", lambda a, t=t: found_bit(a, t)),
            Form(f"bfind.shiftamt.{t}", t, (t,), "u32",
                 lambda a, t=t: found_bit(a, t) if found_bit(a, t) == 0xFFFFFFFF else width(t) - 1 - found_bit(a, t)),
            Form(f"bfe.{t}", t, (t, "n32", "n32"), t, lambda a, b, c, t=t: extracted(a, b & 255, c & 255, t)),
        ]  # fmt: skip
    for table in (0x00, 0x80, 0x96, 0xE8, 0xCA, 0x1B, 0xFE, 0xFF):
        made.append(
            Form(
                f"lop3.b32 %0, %1, %2, %3, {table:#x};", "b32", ("b32",) * 3, "b32",
                lambda a, b, c, table=table: sum(
                    (table >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1)) & 1) << i for i in range(32)
                ),
            )
        )  # fmt: skip
    for mode in ("", ".f4e", ".b4e", ".rc8", ".ecl", ".ecr", ".rc16"):
        made.append(Form(f"prmt.b32{mode}", "b32", ("b32",) * 3, "b32", lambda a, b, c, m=mode: permuted(a, b, c, m)))
    for side in "lr":
        for how in ("wrap", "clamp"):
            made.append(
                Form(f"shf.{side}.{how}.b32", "b32", ("b32", "b32", "n32"), "b32",
                     lambda a, b, c, s=side, h=how: funnel(a, b, c, s, h))
            )  # fmt: skip
    return made


def inserted(a: int, b: int, start: int, length: int, n: int) -> int:
    for i in range(min(length, 64)):
        if start + i < n:
            b = b & ~(1 << start + i) | (a >> i & 1) << start + i
    return b


def extracted(a: int, start: int, length: int, type_: str) -> int:
    n = width(type_)
    top = min(start + length - 1, n - 1)
    sign = 0 if type_[0] == "u" or length == 0 else a >> top & 1
    bits = [(a >> start + i & 1) if i < length and start + i < n else sign for i in range(n)]
    return sum(bit << i for i, bit in enumerate(bits))


def found_bit(a: int, type_: str) -> int:
    number = value(a, type_)
    number = ~number if number < 0 else number
    return number.bit_length() - 1 if number else 0xFFFFFFFF


def permuted(a: int, b: int, c: int, mode: str) -> int:
    source = [a >> 8 * i & 255 for i in range(4)] + [b >> 8 * i & 255 for i in range(4)]
    if not mode:
        picks = [c >> 4 * i & 15 for i in range(4)]
        chosen = [source[p & 7] if p < 8 else (255 if source[p & 7] & 128 else 0) for p in picks]
    else:
        k = c & 3
        picks = {
            ".f4e": [k, k + 1, k + 2, k + 3], ".b4e": [k, (k - 1) % 8, (k - 2) % 8, (k - 3) % 8], ".rc8": [k] * 4,
            ".ecl": [max(i, k) for i in range(4)], ".ecr": [min(i, k) for i in range(4)],
            ".rc16": [0, 1, 0, 1] if not k & 1 else [2, 3, 2, 3],
        }[mode]  # fmt: skip
        chosen = [source[p] for p in picks]
    return sum(byte << 8 * i for i, byte in enumerate(chosen))


def funnel(a: int, b: int, c: int, side: str, how: str) -> int:
    n = c & 31 if how == "wrap" else min(c, 32)
    both = b << 32 | a
    return (both << n >> 32 if side == "l" else both >> n) & 0xFFFFFFFF


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
}  # fmt: skip


def choices() -> list[Form]:
    made = []
    for t in (*INTEGERS, *BITS):
        for how, test in COMPARE.items():
            if t[0] == "b" and how not in ("eq", "ne"):
                continue
            text = f"{{.reg .pred p; setp.{how}.{t} p, %1, %2; selp.u32 %0, 1, 0, p;}}"
            made.append(Form(text, t, (t, t), "u32", lambda a, b, t=t, f=test: int(f(value(a, t), value(b, t)))))
            if width(t) > 16:
                full = lambda a, b, t=t, f=test: 0xFFFFFFFF if f(value(a, t), value(b, t)) else 0  # noqa: E731
                made.append(Form(f"set.{how}.u32.{t}", t, (t, t), "u32", full))
    for t in ("b32", "b64"):
        made += [
            Form(f"{{.reg .pred p; setp.lt.s32 p, %3, 0; selp.{t} %0, %1, %2, p;}}", t, (t, t, "s32"), t,
                 lambda a, b, c: a if c >> 31 else b),
            Form(f"slct.{t}.s32", t, (t, t, "s32"), t, lambda a, b, c: b if c >> 31 else a),
        ]  # fmt: skip
    for kind, name in (
        (FORMATS["f32"], "f32"),
        (FORMATS["f64"], "f64"),
        (FORMATS["f16"], "f16"),
        (FORMATS["bf16"], "bf16"),
    ):
        for how in (*COMPARE, "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"):
            text = f"{{.reg .pred p; setp.{how}.{name} p, %1, %2; selp.u32 %0, 1, 0, p;}}"
            made.append(Form(text, name, (name, name), "u32", lambda a, b, k=kind, h=how: compared(k, h, a, b)))
    for name in ("f32", "f16"):
        kind = FORMATS[name]
        for how in ("eq", "lt", "gt"):
            text = f"{{.reg .pred p; setp.{how}.ftz.{name} p, %1, %2; selp.u32 %0, 1, 0, p;}}"
            made.append(
                Form(text, name, (name, name), "u32",
                     lambda a, b, k=kind, h=how: compared(k, h, k.flush(a), k.flush(b)))
            )  # fmt: skip
    for name in ("f32", "f64"):
        kind = FORMATS[name]
        for what in ("finite", "infinite", "number", "notanumber", "normal", "subnormal"):
            text = f"{{.reg .pred p; testp.{what}.{name} p, %1; selp.u32 %0, 1, 0, p;}}"
            made.append(Form(text, name, (name,), "u32", lambda a, k=kind, w=what: int(classified(k, w, a))))
        top = 1 << kind.bits - 1
        made.append(
            Form(f"copysign.{name}", name, (name, name), f"b{kind.bits}", lambda a, b, t=top: a & t | b & t - 1)
        )
    return made


def compared(kind: Format, how: str, a: int, b: int) -> int:
    unordered = kind.is_nan(a) or kind.is_nan(b)
    if how in ("num", "nan"):
        return int(unordered == (how == "nan"))
    if unordered:
        return int(len(how) == 3)  # equ, ltu, ...
    x, y = (-1e999 if kind.is_infinite(v) and kind.negative(v) else 1e999 if kind.is_infinite(v) else kind.value(v)
            for v in (a, b))  # fmt: skip
    return int(COMPARE[how[:2]](x, y))


def classified(kind: Format, what: str, a: int) -> bool:
    number = not kind.is_nan(a)
    finite = number and not kind.is_infinite(a)
    return {
        "finite": finite, "infinite": kind.is_infinite(a), "number": number, "notanumber": not number,
        "subnormal": kind.is_subnormal(a), "normal": finite and not kind.is_subnormal(a),
    }[what]  # fmt: skip


def converted() -> list[Form]:
    made = []
    every = ("u8", "s8", *INTEGERS)
    for to in every:
        for source in every:
            if to == source:
                continue
            result = "u32" if width(to) == 8 else to
            extended = "s32" if to == "s8" else "u32"
            low, high = limits(to)

            def plain(a: int, to: str = to, source: str = source, e: str = extended) -> int:
                number = value(a, source)
                return cut(value(cut(number, to), to), e) if width(to) == 8 else cut(number, to)

            def clamped(
                a: int, source: str = source, low: int = low, high: int = high, e: str = extended, to: str = to
            ) -> int:
                return cut(max(low, min(high, value(a, source))), e if width(to) == 8 else to)

            made.append(Form(f"cvt.{to}.{source}", source, (source,), result, plain))
            if low > limits(source)[0] or high < limits(source)[1]:
                # ptxas refuses it where nothing can saturate
                made.append(Form(f"cvt.sat.{to}.{source}", source, (source,), result, clamped))
    return made


def products() -> list[Form]:
    made = []
    for a_type in "us":
        for b_type in "us":
            result = "u32"

            def bytes_of(word: int, kind: str) -> list[int]:
                return [value(word >> 8 * i, f"{kind}8") for i in range(4)]

            def four(a: int, b: int, c: int, x: str = a_type, y: str = b_type) -> int:
                return cut(sum(p * q for p, q in zip(bytes_of(a, x), bytes_of(b, y), strict=True)) + c, "u32")

            made.append(Form(f"dp4a.{a_type}32.{b_type}32", "u32", ("u32",) * 3, result, four))
            for half in ("lo", "hi"):

                def two(a: int, b: int, c: int, x: str = a_type, y: str = b_type, h: str = half) -> int:
                    words = [value(a >> 16 * i, f"{x}16") for i in range(2)]
                    picked = bytes_of(b, y)[2:] if h == "hi" else bytes_of(b, y)[:2]
                    return cut(sum(p * q for p, q in zip(words, picked, strict=True)) + c, "u32")

                made.append(Form(f"dp2a.{half}.{a_type}32.{b_type}32", "u32", ("u32",) * 3, result, two))
    for mode in ("clamp", "wrap"):

        def masked(a: int, b: int, m: str = mode) -> int:
            start, length = (a & 31, b & 31) if m == "wrap" else (min(a, 32), min(b, 32))
            return cut(((1 << length) - 1) << start, "u32")

        made.append(Form(f"bmsk.{mode}.b32", "u32", ("n32", "n32"), "u32", masked))
        for t in ("u32", "s32"):

            def field(a: int, b: int, m: str = mode, t: str = t) -> int:
                n = b & 31 if m == "wrap" else min(b, 32)
                if n == 0:
                    return 0
                return cut(value(a, f"{t[0]}{n}"), t)

            if mode == "clamp":  # the other is refused
                made.append(Form(f"szext.{mode}.{t}", t, (t, "n32"), t, field))
    return made


GROUPS = {
    "arithmetic": arithmetic, "logic": logic, "choices": choices, "converted": converted, "products": products,
}  # fmt: skip


def signatures(forms: list[Form]) -> list[list[Form]]:
    by: dict[tuple[tuple[str, ...], str], list[Form]] = {}
    for form in forms:
        by.setdefault((form.operands, form.result), []).append(form)
    return list(by.values())


@pytest.mark.parametrize("group", GROUPS)
def test_forms(group: str) -> None:
    wrong = [line for forms in signatures(GROUPS[group]()) for line in try_forms(forms)]
    assert not wrong, "\n".join(wrong[:40])


def test_nothing_is_left_out() -> None:
    tried = {word for make in GROUPS.values() for form in make() for word in opcodes(form.text)}
    video = {name for name in _EMITTERS if name.startswith("v")}
    others = set(ELSEWHERE) | NOT_ARITHMETIC | video
    folder = Path(__file__).parent
    for opcode, file in ELSEWHERE.items():
        assert opcode in (folder / file).read_text(), (opcode, file)
    text = (folder / "test_video.py").read_text()
    assert all(name in text for name in video), sorted(name for name in video if name not in text)
    assert set(_EMITTERS) - tried - others == {"fns"}, sorted(set(_EMITTERS) - tried - others)


@pytest.mark.corpus
@pytest.mark.parametrize("march", ["x86-64", "haswell"])
def test_forms_on_narrower_vectors(march: str) -> None:
    environment = os.environ | {"KERNELWRIGHT_MARCH": march}
    files = [
        str(Path(__file__).with_name(name)) for name in ("test_exact_floats.py", "test_convert.py", "test_video.py")
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, *files, "-k", "not narrower"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def opcodes(text: str) -> set[str]:
    """Base opcodes of a form's text."""
    return {part.split()[0].split(".")[0] for part in text.strip("{} ").split(";") if part.strip() and part.split()}
