"""Techniques that the text of a kernel speaks of, for searching among many kernels: no counters, no parsing, some 0.1 ms each.

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
_TOLD_BY = {
    "vectorised": re.compile(
        r"\b(?:float|double|int|uint)[24]\b|\b(?:u?short|char)4\b|\b(?:__)?half2\b|\b(?:__)?nv_bfloat162\b|\blonglong2\b"
    ),
    "shared_tiling": re.compile(r"\b__shared__\b"),
    "tensor_cores": re.compile(r"\bwmma\b|\bmma_sync\b|\b(?:wg)?mma\.[a-z]|\bldmatrix\b"),
    "cp_async": re.compile(r"\bcp\.async\b|\b\w*memcpy_async\b|\bcuda_pipeline\b|\bcp_async\w*"),
    "warp_shuffles": re.compile(
        r"\b__(?:shfl|ballot|any|all|match|reduce)(?:_\w+)?_sync\b|\bshfl\.sync\b|\.shfl(?:_\w+)?\("
    ),
    "atomics": re.compile(r"\batomic[A-Z]\w*|\b(?:atom|red)\.(?:global|shared|add)|\batomic_ref\b"),
    "persistent_grid": re.compile(r"\+=[^;\n]{0,80}\bgridDim\b"),
    "several_launches": re.compile(r"\b__global__\b.*\b__global__\b", re.S),
}


@lru_cache(maxsize=256)
def techniques_of(source: str) -> tuple[str, ...]:
    """Of `TAGS`, in their order, those that the text of a kernel's module has; comments say nothing."""
    text = _COMMENT.sub(" ", source[:_LOOKED_AT])
    return tuple(tag for tag in TAGS if _TOLD_BY[tag].search(text))
