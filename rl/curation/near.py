"""Near-duplicates: sets that have most of their members in common, found by MinHash and decided by counting.

MinHash with locality-sensitive hashing (Broder 1997) finds pairs without comparing all of them; what it finds is counted exactly,
so no estimate decides. From datasketch (extra `data`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelwright.errors import ConfigError

if TYPE_CHECKING:
    from datasketch import MinHash

__all__ = ["Near", "jaccard"]

_PERMUTATIONS = 128
_BANDS, _ROWS = 32, 4
"""Buckets of MinHash: two sets that are 0.5 alike share one in 87 of 100 cases, at 0.7 in all but one of 6,000."""
_SEED = 1


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Share of what two sets have in common, 0 to 1; 0 where both are empty."""
    either = len(one | other)
    return len(one & other) / either if either else 0.0


class Near:
    """Sets by name; says which of them is nearest to another one.

    Args:
        similarity: the least Jaccard similarity, inclusive; from 0.5 on next to nothing is missed.

    Raises:
        ConfigError: datasketch is not installed.
    """

    def __init__(self, similarity: float) -> None:
        try:
            from datasketch import MinHashLSH
        except ImportError as error:
            raise ConfigError(
                "near-duplicates are looked for with datasketch, which is not installed.",
                mend="Install it: pip install 'kernelwright[data]'.",
            ) from error
        self.similarity = similarity
        self._sets: dict[str, frozenset[str]] = {}
        self._index = MinHashLSH(params=(_BANDS, _ROWS), num_perm=_PERMUTATIONS)

    def __contains__(self, name: str) -> bool:
        return name in self._sets

    def add(self, name: str, members: frozenset[str]) -> None:
        """Keeps a set; a name only once."""
        self._index.insert(name, _minhash(members))
        self._sets[name] = members

    def nearest(self, members: frozenset[str]) -> tuple[str, float] | None:
        """Name and similarity of the one most alike, the first by name among equals; None if none is near enough."""
        if not members or not self._sets:
            return None
        found = [(jaccard(members, self._sets[name]), name) for name in self._index.query(_minhash(members))]
        share, name = max(found, key=lambda f: (f[0], [-ord(c) for c in f[1]]), default=(0.0, ""))
        return (name, share) if share >= self.similarity else None


def _minhash(members: frozenset[str]) -> MinHash:
    from datasketch import MinHash

    made = MinHash(num_perm=_PERMUTATIONS, seed=_SEED)
    made.update_batch([member.encode("utf-8", "replace") for member in sorted(members)])
    return made
