"""Ids of runs: short, readable, and hard to hit twice."""

from __future__ import annotations

import random
import re
import unicodedata

__all__ = ["new_run_id"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o, u, so that an id can be read aloud and typed."""
_LETTERS = 6
"""30 random bits: among 1,000 runs of one task, two alike with a chance of 1 in 2,000; the store refuses the second."""
_NAME_LENGTH = 32


def new_run_id(task_name: str, rng: random.Random | None = None) -> str:
    """For instance ``softmax-7k3f9q``: the task's name in lower-case ASCII, then six random letters.

    Args:
        task_name: any text; what is no letter or digit becomes a hyphen.
        rng: where the letters come from; the system's randomness by default.
    """
    rng = random.SystemRandom() if rng is None else rng
    plain = "".join(c for c in unicodedata.normalize("NFKD", task_name.lower()) if not unicodedata.combining(c))
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_NAME_LENGTH].strip("-") or "run"
    return f"{name}-{''.join(rng.choice(_ALPHABET) for _ in range(_LETTERS))}"
