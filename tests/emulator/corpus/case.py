"""What a program of the corpus is: CUDA source, launches, and what must come out; and how one is run.

A case is written as a function that draws its inputs and returns its launches and expectations::

    @case('''
    extern "C" __global__ void twice(const float* x, float* y, int n) { ... }
    ''')
    def twice(draw: Draw) -> Plan:
        x, y = draw.f32(1000), blank("f4", 1000)
        return run("twice", 4, 256, x, y, 1000).gives(y, 2.0 * x)

A defect marks the offending lines of its source with ``// DEFECT kind`` (or ``kind|kind``), and lines where a consequence of it
may be reported besides with ``// FOLLOWS kind``; compiled with ``-DFIXED`` it is the same program without the defect.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Dim = int | tuple[int, ...]

POISON = 0xA5
"""Byte that fills outputs before a launch, so that an element nobody wrote shows."""


class Draw:
    """Seeded inputs. Every array is an allocation of its own, so that its bounds are exact."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def f32(self, *shape: int, scale: float = 1.0) -> Array:
        """Normal float32 values."""
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def f64(self, *shape: int, scale: float = 1.0) -> Array:
        """Normal float64 values."""
        return self.rng.standard_normal(shape) * scale

    def f16(self, *shape: int, scale: float = 1.0) -> Array:
        """Normal float16 values."""
        return (self.rng.standard_normal(shape) * scale).astype(np.float16)

    def bf16(self, *shape: int, scale: float = 1.0) -> Array:
        """Normal values rounded to bfloat16, as their bits (uint16)."""
        return to_bf16(self.rng.standard_normal(shape) * scale)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        """Uniform float32 values."""
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def ints(self, dtype: str, low: int, high: int, *shape: int) -> Array:
        """Integers of `dtype` in [low, high)."""
        return self.rng.integers(low, high, shape, dtype=np.dtype(dtype))

    def bits(self, dtype: str, *shape: int) -> Array:
        """Integers over the whole range of `dtype`."""
        info = np.iinfo(dtype)
        return self.rng.integers(info.min, info.max, shape, dtype=np.dtype(dtype), endpoint=True)


def blank(dtype: str, *shape: int) -> Array:
    """An output buffer full of poison."""
    out = np.empty(shape, np.dtype(dtype))
    out.reshape(-1).view(np.uint8)[:] = POISON
    return out


def to_bf16(x: Any) -> Array:
    """Rounds to bfloat16 (nearest, ties to even); returns the bits. Finite values only."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: Array) -> Array:
    """The float64 values of bfloat16 bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Launch:
    """One launch as the emulator's door takes it."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    args: tuple[Any, ...]
    shared: int


@dataclass(frozen=True)
class Expectation:
    """What an array must hold afterwards: |got - want| <= atol + rtol |want|; integers exactly."""

    array: Array
    want: Array
    rtol: float
    atol: float
    decode: Callable[[Array], Array] | None


@dataclass
class Plan:
    """Launches in order, then what must be true. `reachable` are arrays that kernels reach through stored addresses."""

    launches: list[Launch] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    reachable: list[Array] = field(default_factory=list)
    printed: str | None = None

    def then(self, kernel: str, grid: Dim, block: Dim, *args: Any, shared: int = 0) -> Plan:
        """Adds a launch."""
        self.launches.append(Launch(kernel, triple(grid), triple(block), args, shared))
        return self

    def gives(
        self,
        array: Array,
        want: Any,
        *,
        ulps: float = 8,
        rtol: float | None = None,
        atol: float | None = None,
        decode: Callable[[Array], Array] | None = None,
    ) -> Plan:
        """Adds an expectation.

        For floats the tolerance is `ulps` units of the array's precision, relative to each element and, as an absolute
        floor, to the root mean square of what is wanted; `rtol` and `atol` replace them. `decode` turns the array into
        numbers first (bfloat16 bits, for instance).
        """
        # Copied: an argument that is both input and expectation would otherwise change under us.
        want = np.array(want, copy=True)
        epsilon = float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0
        finite = want[np.isfinite(want)].astype(np.float64) if want.dtype.kind == "f" else np.zeros(0)
        rms = float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0
        if rtol is None:
            rtol = ulps * epsilon
        if atol is None:
            atol = ulps * epsilon * rms
        self.expectations.append(Expectation(array, want, rtol, atol, decode))
        return self

    def reaches(self, *arrays: Array) -> Plan:
        """Names arrays whose addresses are stored in memory or in a struct."""
        self.reachable.extend(arrays)
        return self

    def prints(self, text: str) -> Plan:
        """What `printf` must have written."""
        self.printed = text
        return self


def run(kernel: str, grid: Dim, block: Dim, *args: Any, shared: int = 0) -> Plan:
    """A plan that begins with this launch; `shared` is dynamic shared memory in bytes."""
    return Plan().then(kernel, grid, block, *args, shared=shared)


def triple(dim: Dim) -> tuple[int, int, int]:
    """`4` is (4, 1, 1), `(4, 2)` is (4, 2, 1)."""
    parts = (dim,) if isinstance(dim, int) else tuple(dim)
    x, y, z = (*parts, 1, 1)[:3]
    return x, y, z


@dataclass(frozen=True)
class Case:
    """A correct program."""

    name: str
    source: str
    plan: Callable[[Draw], Plan]
    archs: tuple[str, ...]
    options: tuple[str, ...]
    expressions: tuple[str, ...]


@dataclass(frozen=True)
class Defect:
    """A program with one planted defect; `-DFIXED` takes it out."""

    name: str
    family: str
    source: str
    plan: Callable[[Draw], Plan]
    arch: str
    options: tuple[str, ...]

    @property
    def marks(self) -> Mapping[int, frozenset[str]]:
        """1-based line to the kinds of which one must be reported at one of these lines."""
        return self._marked("DEFECT")

    @property
    def consequences(self) -> Mapping[int, frozenset[str]]:
        """1-based line to the kinds that may be reported there besides."""
        return self._marked("FOLLOWS")

    def _marked(self, word: str) -> Mapping[int, frozenset[str]]:
        found = {}
        for number, line in enumerate(self.source.splitlines(), 1):
            if mark := re.search(rf"//.*\b{word}\s+([\w|]+)", line):
                found[number] = frozenset(mark[1].split("|"))
        return found


class Collection:
    """The cases of one module, in order; `case` and `defect` are its decorators."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.defects: list[Defect] = []

    def case(
        self,
        source: str,
        *,
        archs: Sequence[str] = ("sm_90",),
        options: Sequence[str] = (),
        expressions: Sequence[str] = (),
    ) -> Callable[[Callable[[Draw], Plan]], Callable[[Draw], Plan]]:
        """Makes a correct case of a plan function; it takes the function's name."""

        def add(plan: Callable[[Draw], Plan]) -> Callable[[Draw], Plan]:
            self.cases.append(
                Case(plan.__name__, source.strip("\n") + "\n", plan, tuple(archs), tuple(options), tuple(expressions))
            )
            return plan

        return add

    def defect(
        self, family: str, source: str, *, arch: str = "sm_90", options: Sequence[str] = ()
    ) -> Callable[[Callable[[Draw], Plan]], Callable[[Draw], Plan]]:
        """Makes a defect of a plan function; `family` is the kind of defect that it stands for."""

        def add(plan: Callable[[Draw], Plan]) -> Callable[[Draw], Plan]:
            text = source.strip("\n") + "\n"
            made = Defect(plan.__name__, family, text, plan, arch, tuple(options))
            if not made.marks:
                raise ValueError(f"{made.name} marks no line with // DEFECT")
            self.defects.append(made)
            return plan

        return add

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)


def difference(expectation: Expectation) -> str:
    """Where and by how much an array is off; empty if it is right."""
    got = expectation.decode(expectation.array) if expectation.decode else expectation.array
    want = np.broadcast_to(expectation.want, got.shape)
    if got.dtype.kind in "iub" and want.dtype.kind in "iub":
        wrong = got != want
        off = wrong.astype(float)
    else:
        a, b = got.astype(np.float64), want.astype(np.float64)
        with np.errstate(invalid="ignore"):
            off = np.abs(a - b)
            wrong = ~(off <= expectation.atol + expectation.rtol * np.abs(b))
        wrong &= ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not wrong.any():
        return ""
    at = np.unravel_index(int(np.argmax(wrong)), got.shape) if got.ndim else ()
    worst = float(np.nanmax(np.where(wrong, off, 0.0)))
    index = ", ".join(str(int(i)) for i in at)
    return (
        f"{int(wrong.sum())} of {got.size} wrong, first at [{index}]: {got[at]!r} for {want[at]!r}; worst {worst:.3g}"
    )
