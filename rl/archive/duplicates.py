"""Whether two kernels are the same but for their looks, in three steps, each for what the one before it misses.

1. The hash of the normal form of the source (`kernelwright.rl.same_kernel`): other names, comments, layout.
2. The hash of the compiled code with its launches: other C++ that the compiler makes the same PTX of.
3. How many short runs of tokens the two sources share, estimated by MinHash (Broder 1997) where the extra `dedupe`
   (`datasketch`) is installed: lines in another order, a helper function more. Sources that differ by one number share almost
   all of them and may differ in what they do, so the step decides only together with cell and time.

MinHash rather than an embedding of a language model: it needs no weights, no network and no GPU, gives the same on every
machine, and what it says (a share of runs of tokens in common) can be explained to a person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from kernelwright.rl.same_kernel import NormalSource
from kernelwright.verifier.evaluation import Evaluation

__all__ = ["ALIKE", "code_hash", "similarity", "sketch"]

ALIKE = 0.9
"""Estimated Jaccard similarity from which two sources count as alike. With 128 hash functions its standard error there is
0.03 (square root of J (1 - J) / 128)."""
_SHINGLE = 5
"""Tokens of a run: a statement or two operands with their operators; shorter ones are common to all CUDA code."""
_PERMUTATIONS = 128
_SEED = 1
"""Of the hash functions: sketches made with another one can't be compared."""
_BYTES = 4
"""Of one number of a sketch, little-endian."""


def code_hash(evaluation: Evaluation) -> str:
    """16 hex digits over what was compiled and how it was launched; empty if the evaluation did not get so far.

    It is the build stage's `compiled`: see `kernelwright.verifier.compiled`.
    """
    for stage in evaluation.stages:
        if stage.name == "build":
            found = stage.evidence.get("compiled")
            return found if isinstance(found, str) else ""
    return ""


def sketch(source: NormalSource) -> bytes | None:
    """The MinHash of a source's runs of tokens, 512 bytes; None where `datasketch` is not installed."""
    made = _permutations()
    if made is None:
        return None
    import numpy as np

    runs = {
        hashlib.blake2b(" ".join(run).encode("utf-8", "replace"), digest_size=4).digest()
        for run in _runs(source.tokens)
    }
    made = made.copy()
    made.update_batch(sorted(runs))
    return bytes(np.asarray(made.hashvalues, dtype="<u4").tobytes())


def similarity(one: bytes, other: bytes) -> float:
    """The share of runs of tokens that two sources have in common (Jaccard), as far as their sketches tell; in [0, 1].

    Raises:
        ValueError: they are not of one length.
    """
    if len(one) != len(other):
        raise ValueError("sketches of two lengths can't be compared")
    pairs = range(0, len(one), _BYTES)
    return sum(one[i : i + _BYTES] == other[i : i + _BYTES] for i in pairs) / max(1, len(pairs))


def _runs(tokens: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    if len(tokens) < _SHINGLE:
        return [tokens]
    return (tokens[i : i + _SHINGLE] for i in range(len(tokens) - _SHINGLE + 1))


@lru_cache(maxsize=1)
def _permutations() -> Any:
    """An empty MinHash, whose hash functions are drawn once; None without the package."""
    try:
        from datasketch import MinHash
    except ModuleNotFoundError:
        return None
    return MinHash(num_perm=_PERMUTATIONS, seed=_SEED, hashfunc=_as_number, scheme="affine32")


def _as_number(data: bytes) -> int:
    return int.from_bytes(data, "little")
