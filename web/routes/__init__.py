"""Where things are: one file a noun, with its page and its JSON twin."""

from __future__ import annotations

from kernelwright.web.routes import attempt, compare, home, kernel, lineage, runs, submit

__all__ = ["NOUNS"]

NOUNS = (
    home.twins,
    submit.twins,
    runs.twins,
    attempt.twins,
    kernel.twins,
    lineage.twins,
    compare.twins,
)
"""All routes of the server."""
