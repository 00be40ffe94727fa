"""Loop variables: neighbouring dimensions merged where every index allows, and what can be loaded as a vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.agents.builtin.affine import Affine
from kernelwright.agents.builtin.spec import AttentionSpec, KernelSpec

__all__ = ["Indexer", "LoopVar", "is_vector", "merge", "spec_affines"]

_INT32_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class LoopVar:
    """One loop variable of the kernel: merged loop dimensions, outermost first."""

    dims: tuple[int, ...]
    extent: int
    name: str

    def coefficient(self, affine: Affine) -> int:
        """Step of an index per step of this variable."""
        return affine.coefficient(self.dims[-1])


def spec_affines(spec: KernelSpec) -> list[Affine]:
    """Every index a kernel uses."""
    roots = [s.value for s in spec.stores] + [r.value for r in spec.reductions]
    if isinstance(spec, AttentionSpec):
        roots.append(spec.score)
    found = [s.offset for s in spec.stores]
    for number in spec.evaluator.reachable(roots):
        found.extend(spec.evaluator.affines(number))
    return found


def merge(
    dims: Sequence[int], extents: Mapping[int, int], affines: Iterable[Affine], prefix: str
) -> tuple[LoopVar, ...]:
    """Merges neighbours (outer, inner) wherever each index steps by inner's extent times inner's step."""
    indices = list(affines)
    groups: list[list[int]] = []
    sizes: list[int] = []
    for dim in dims:
        if extents[dim] == 1:
            continue
        if groups:
            last = groups[-1][-1]
            if all(a.coefficient(last) == a.coefficient(dim) * extents[dim] for a in indices):
                groups[-1].append(dim)
                sizes[-1] *= extents[dim]
                continue
        groups.append([dim])
        sizes.append(extents[dim])
    if len(groups) == 1:
        return (LoopVar(tuple(groups[0]), sizes[0], prefix),)
    return tuple(LoopVar(tuple(g), n, f"{prefix}{i}") for i, (g, n) in enumerate(zip(groups, sizes, strict=True)))


def is_vector(affine: Affine, inner: LoopVar, width: int) -> bool:
    """Whether `width` neighbours along `inner` are `width` neighbours in memory, aligned to their size."""
    if inner.coefficient(affine) != 1 or inner.extent % width or affine.const % width:
        return False
    return all(d in inner.dims or c % width == 0 for d, c in affine.terms)


class Indexer:
    """Writes affine indices as C++ over the loop variables in scope."""

    def __init__(self, extents: Mapping[int, int], loop_vars: Iterable[LoopVar]) -> None:
        self.extents = extents
        self.vars = list(loop_vars)

    def text(self, affine: Affine, replaced: Mapping[str, str] | None = None) -> str:
        """C++ of an index; `replaced` gives other text for some variables. 64-bit only where 32 bits can overflow."""
        names = replaced or {}
        low, high = affine.bounds(self.extents)
        suffix = "LL" if high > _INT32_LIMIT or low < -_INT32_LIMIT else ""
        parts: list[str] = []
        for var in self.vars:
            step = var.coefficient(affine)
            if not step:
                continue
            name = names.get(var.name, var.name)
            if step == 1 and not suffix:
                parts.append(name)
            else:
                parts.append(f"{name} * {step}{suffix}" if step >= 0 else f"{name} * ({step}{suffix})")
        if affine.const or not parts:
            parts.append(f"{affine.const}{suffix}")
        return " + ".join(parts).replace("+ -", "- ")

    def decompose(self, flat: str, loop_vars: Sequence[LoopVar], index_type: str, width: int = 1) -> list[str]:
        """Lines that define the loop variables from a flat index, counted in vectors of `width` along the last."""
        lines: list[str] = []
        remaining = flat
        for place, var in reversed(list(enumerate(loop_vars))):
            extent = var.extent // width if var is loop_vars[-1] else var.extent
            scale = f" * {width}" if var is loop_vars[-1] and width > 1 else ""
            if place == 0:
                lines.append(f"const {index_type} {var.name} = {_paren(remaining, scale)}{scale};")
            else:
                lines.append(f"const {index_type} {var.name} = {_paren(remaining, ' %')} % {extent}{scale};")
                remaining = f"{_paren(remaining, ' /')} / {extent}"
        return [line for line in lines if not _is_self(line)]


def _paren(text: str, following: str) -> str:
    return f"({text})" if following and not text.replace("_", "").isalnum() else text


def _is_self(line: str) -> bool:
    left, _, right = line.rstrip(";").partition(" = ")
    return left.split()[-1] == right
