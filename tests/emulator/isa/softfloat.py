"""Floating-point arithmetic of any format on bits, exactly: values are fractions, rounded once in a given direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

MODES = ("rn", "rz", "rm", "rp")


@dataclass(frozen=True)
class Format:
    """A binary format of IEEE 754's kind; `mantissa` are the stored bits."""

    exponent: int
    mantissa: int

    @property
    def bits(self) -> int:
        """Width."""
        return 1 + self.exponent + self.mantissa

    @property
    def bias(self) -> int:
        """Of the exponent."""
        return (1 << self.exponent - 1) - 1

    @property
    def sign(self) -> int:
        """The sign's bit."""
        return 1 << self.bits - 1

    @property
    def infinity(self) -> int:
        """Bits of +inf."""
        return ((1 << self.exponent) - 1) << self.mantissa

    @property
    def nan(self) -> int:
        """Bits of a NaN."""
        return self.sign - 1

    @property
    def one(self) -> int:
        """Bits of 1."""
        return self.bias << self.mantissa

    def is_nan(self, bits: int) -> bool:
        """Whether these are a NaN's."""
        return bits & (self.sign - 1) > self.infinity

    def is_infinite(self, bits: int) -> bool:
        """Of either sign."""
        return bits & (self.sign - 1) == self.infinity

    def is_subnormal(self, bits: int) -> bool:
        """Not zero, and below the smallest normal number."""
        return 0 < bits & (self.sign - 1) < 1 << self.mantissa

    def negative(self, bits: int) -> bool:
        """Whether the sign is set."""
        return bool(bits & self.sign)

    def value(self, bits: int) -> Fraction:
        """Of a finite number."""
        exponent = bits >> self.mantissa & (1 << self.exponent) - 1
        fraction = bits & (1 << self.mantissa) - 1
        scale = max(exponent, 1) - self.bias - self.mantissa
        magnitude = Fraction(fraction + ((exponent > 0) << self.mantissa)) * Fraction(2) ** scale
        return -magnitude if self.negative(bits) else magnitude

    def real(self, bits: int) -> float:
        """As a Python float (exact up to binary64)."""
        if self.is_nan(bits):
            return math.nan
        if self.is_infinite(bits):
            return -math.inf if self.negative(bits) else math.inf
        return math.copysign(float(self.value(bits)), -1.0 if self.negative(bits) else 1.0)

    def bits_of(self, exact: Fraction, mode: str = "rn", *, negative_zero: bool = False) -> int:
        """The number next to an exact one in the mode's direction; `negative_zero`: what 0 is."""
        if exact == 0:
            return self.sign if negative_zero else 0
        sign = self.sign if exact < 0 else 0
        magnitude = abs(exact)
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        if Fraction(2) ** exponent > magnitude:
            exponent -= 1
        unit = max(exponent, 1 - self.bias) - self.mantissa
        scaled = magnitude / Fraction(2) ** unit
        floor = scaled.numerator // scaled.denominator
        rest = scaled - floor
        half = Fraction(1, 2)
        up = {
            "rn": rest > half or (rest == half and floor & 1),
            "rna": rest >= half,
            "rz": False,
            "rm": rest > 0 and sign > 0,
            "rp": rest > 0 and not sign,
        }[mode]
        floor += bool(up)
        # The exponent field follows from the carry: floor has the hidden bit, except in subnormal numbers.
        field = max(exponent, 1 - self.bias) + self.bias - 1
        found = (field << self.mantissa) + floor
        if found >= self.infinity:
            away = mode in ("rn", "rna") or (mode == "rm" and sign) or (mode == "rp" and not sign)
            found = self.infinity if away else self.infinity - 1
        return sign | found

    def of_real(self, x: float) -> int:
        """A Python float rounded to nearest."""
        if math.isnan(x):
            return self.nan
        if math.isinf(x):
            return self.infinity | (self.sign if x < 0 else 0)
        return self.bits_of(Fraction(x), negative_zero=math.copysign(1.0, x) < 0)

    # -- operations on bits -------------------------------------------------------------------------------------------

    def flush(self, bits: int) -> int:
        """Subnormal numbers become zeros of their sign."""
        return bits & self.sign if self.is_subnormal(bits) else bits

    def saturate(self, bits: int) -> int:
        """Clamped to [0, 1]; NaN is 0."""
        if self.is_nan(bits) or self.negative(bits):
            return 0
        return min(bits, self.one)

    def relu(self, bits: int) -> int:
        """Negative numbers become 0; NaN stays."""
        return 0 if self.negative(bits) and not self.is_nan(bits) else bits

    def add(self, a: int, b: int, mode: str = "rn") -> int:
        """a + b."""
        return self.fma(a, self.one, b, mode)

    def sub(self, a: int, b: int, mode: str = "rn") -> int:
        """a - b."""
        return self.fma(a, self.one, b ^ self.sign, mode)

    def mul(self, a: int, b: int, mode: str = "rn") -> int:
        """a * b."""
        negative = self.negative(a ^ b)
        if self.is_nan(a) or self.is_nan(b):
            return self.nan
        if self.is_infinite(a) or self.is_infinite(b):
            zero = 0 in (a & (self.sign - 1), b & (self.sign - 1))
            return self.nan if zero else self.infinity | (self.sign if negative else 0)
        return self.bits_of(self.value(a) * self.value(b), mode, negative_zero=negative)

    def fma(self, a: int, b: int, c: int, mode: str = "rn") -> int:
        """a * b + c, rounded once."""
        if any(map(self.is_nan, (a, b, c))):
            return self.nan
        negative = self.negative(a ^ b)
        if self.is_infinite(a) or self.is_infinite(b):
            product = self.mul(a, b)
            opposite = self.is_infinite(c) and self.negative(c) != negative
            return self.nan if opposite else product
        if self.is_infinite(c):
            return c
        product, addend = self.value(a) * self.value(b), self.value(c)
        if product == addend == 0 and negative == self.negative(c):
            return self.sign if negative else 0
        return self.bits_of(product + addend, mode, negative_zero=mode == "rm")

    def div(self, a: int, b: int, mode: str = "rn") -> int:
        """a / b."""
        negative = self.sign if self.negative(a ^ b) else 0
        zero_a, zero_b = (not x & (self.sign - 1) for x in (a, b))
        if self.is_nan(a) or self.is_nan(b) or (zero_a and zero_b) or (self.is_infinite(a) and self.is_infinite(b)):
            return self.nan
        if self.is_infinite(a) or zero_b:
            return self.infinity | negative
        if self.is_infinite(b):
            return negative
        return self.bits_of(self.value(a) / self.value(b), mode, negative_zero=bool(negative))

    def sqrt(self, a: int, mode: str = "rn") -> int:
        """The square root."""
        if not a & (self.sign - 1):
            return a
        if self.is_nan(a) or self.negative(a):
            return self.nan
        if self.is_infinite(a):
            return a
        return self.bits_of(root(self.value(a)), mode)

    def minimum(self, a: int, b: int, *, largest: bool = False, nan: bool = False) -> int:
        """The lesser (or greater) one: -0 is below +0; one NaN gives the other operand, unless `nan`."""
        if self.is_nan(a) or self.is_nan(b):
            return self.nan if nan or self.is_nan(a) == self.is_nan(b) else b if self.is_nan(a) else a
        return (max if largest else min)(a, b, key=self.order)

    def order(self, bits: int) -> int:
        """A number that grows with the value, one step for each neighbour."""
        magnitude = bits & (self.sign - 1)
        return -magnitude - 1 if self.negative(bits) else magnitude


def root(exact: Fraction) -> Fraction:
    """The square root cut after 200 bits, with a mark behind them if it goes on: rounds as the root itself does."""
    shift = 200 + max(0, exact.denominator.bit_length() - exact.numerator.bit_length())
    scaled = (exact.numerator << 2 * shift) // exact.denominator
    floor = math.isqrt(scaled)
    going_on = floor * floor != scaled or scaled * exact.denominator != exact.numerator << 2 * shift
    return Fraction(2 * floor + going_on, 1 << shift + 1)


F16, BF16, F32, F64 = Format(5, 10), Format(8, 7), Format(8, 23), Format(11, 52)
FORMATS = {"f16": F16, "bf16": BF16, "f32": F32, "f64": F64}


def edges(form: Format) -> list[int]:
    """Bits that trip implementations: zeros, subnormals, limits, ties, infinities, NaN, of both signs."""
    smallest = 1 << form.mantissa
    listed = [0, 1, 2, smallest - 1, smallest, smallest + 1, form.one, form.one + 1, form.one - 1, form.infinity - 1]
    listed += [form.infinity, form.nan, form.infinity + 1, form.one + smallest // 2, form.one + smallest]
    listed += [form.of_real(x) for x in (0.5, 2.5, 3.0, 255.5, 32767.5, 65504.0, 65520.0, 0.1, math.pi, 8388607.5)]
    listed += [form.of_real(x) for x in (2.0**31, 2.0**32, 2.0**63, 2.0**64, 1e-6, 1e-8, 1e30)]
    return sorted({bits | sign for bits in listed for sign in (0, form.sign)})
