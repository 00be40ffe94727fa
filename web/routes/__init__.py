"""Where things are: one file a noun, with its page and its JSON twin."""

from __future__ import annotations

from kernelwright.web.routes import kernels, leaderboard, runs, system, tasks

__all__ = ["NOUNS"]

NOUNS = (runs.twins, kernels.twins, leaderboard.twins, tasks.twins, system.twins)
"""All routes of the server."""
