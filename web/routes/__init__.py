"""Where things are: one file a noun, with its page and its JSON twin."""

from __future__ import annotations

from kernelwright.web.routes import (
    api_docs,
    attempt,
    compare,
    health,
    home,
    kernel,
    kernels,
    leaderboard,
    lineage,
    runs,
    sign_in,
    submit,
    system,
    tasks,
)

__all__ = ["NOUNS", "OPERATION"]

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
"""The routes of what is stored."""
OPERATION = (health.router, sign_in.router, api_docs.router)
"""The routes of the server itself."""
