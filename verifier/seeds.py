"""Seeds that nobody can guess."""

from __future__ import annotations

import secrets
from collections.abc import Callable

__all__ = ["SeedSource", "secret_seed"]

SeedSource = Callable[[], int]

_SEED_BITS = 48  # of secret seeds: enough that none is guessed, few enough for exact JSON numbers


def secret_seed() -> int:
    """A seed that nobody can guess."""
    return secrets.randbits(_SEED_BITS)
