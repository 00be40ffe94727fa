"""Where things are: one file a noun, with its page and its JSON twin."""

from __future__ import annotations

from kernelwright.web.routes import (
    attempt,
    compare,
    home,
    kernel,
    kernels,
    leaderboard,
    lineage,
    runs,
    submit,
    system,
    tasks,
)

__all__ = ["NOUNS"]

NOUNS = (
    home.twins,
    submit.twins,
    runs.twins,
    attempt.twins,
    lineage.twins,
    kernels.twins,
    kernel.twins,
    tasks.twins,
    leaderboard.twins,
    compare.twins,
    system.twins,
)
"""All routes of the server."""
