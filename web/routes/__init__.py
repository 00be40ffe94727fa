"""Where things are: one file a noun, with its page and its JSON twin."""

from __future__ import annotations

from kernelwright.web.routes import attempt, runs

__all__ = ["NOUNS"]

NOUNS = (
    runs.twins,
    attempt.twins,
)
"""All routes of the server."""
