"""Techniques that the text of a kernel speaks of, for searching among many kernels: no counters, no parsing, some 0.05 ms each.

The names are those of `features.TAGS`. There the counters of an evaluation tell most of them; here a word in the text does, so a
branch that is never taken counts too.
"""

from __future__ import annotations

import re
from functools import lru_cache

from kernelwright.rl.archive.features import TAGS

__all__ = ["techniques_of"]

_LOOKED_AT = 400_000
"""Characters: no kernel has more, but a hostile one."""
_COMMENT = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|^[ \t]*#(?![ \t]*(?:include|define|pragma|if|else|elif|endif|undef))[^\n]*", re.S | re.M
)
_TOLD_BY: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    "vectorised": (
        ("float2", "float4", "double2", "double4", "int2", "int4", "short4", "char4", "half2", "bfloat162", "longlong2"),
        re.compile(r"\b(?:float|double|u?int)[24]\b|\b(?:u?short|u?char)4\b|\b(?:__)?half2\b|\b(?:__)?nv_bfloat162\b|\blonglong2\b"),
    ),
    "shared_tiling": (("__shared__",), re.compile(r"\b__shared__\b")),
    "tensor_cores": (("wmma", "mma_sync", "mma.", "ldmatrix"), re.compile(r"\bwmma\b|\bmma_sync\b|\b(?:wg)?mma\.[a-z]|\bldmatrix\b")),
    "cp_async": (
        ("cp.async", "cp_async", "memcpy_async", "cuda_pipeline"), re.compile(r"cp\.async|cp_async|memcpy_async|\bcuda_pipeline\b"),
    ),
    "warp_shuffles": (
        ("_sync", "shfl"), re.compile(r"\b__(?:shfl|ballot|any|all|match|reduce)(?:_\w+)?_sync\b|\bshfl\.sync\b|\.shfl(?:_\w+)?\("),
    ),
    "atomics": (("atomic", "atom.", "red."), re.compile(r"\batomic[A-Z]\w*|\b(?:atom|red)\.(?:global|shared|add)|\batomic_ref\b")),
    "persistent_grid": (("gridDim",), re.compile(r"\+=[^;\n]{0,80}\bgridDim\b")),
}  # fmt: skip
"""Texts of which one must be there, which is fast to see, and the pattern that then decides."""


@lru_cache(maxsize=256)
def techniques_of(source: str) -> tuple[str, ...]:
    """Of `TAGS`, in their order, those that the text of a kernel's module has; comments say nothing."""
    text = _COMMENT.sub(" ", source[:_LOOKED_AT])
    found = {tag for tag, told_by in _TOLD_BY.items() if _speaks_of(text, *told_by)}
    if text.count("__global__") > 1:
        found.add("several_launches")
    return tuple(tag for tag in TAGS if tag in found)


def _speaks_of(text: str, hints: tuple[str, ...], pattern: re.Pattern[str]) -> bool:
    return any(hint in text for hint in hints) and pattern.search(text) is not None
