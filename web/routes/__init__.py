"""Where things are: one file a noun, with its page and its JSON twin."""

from __future__ import annotations

from kernelwright.web.routes import home, runs, submit

__all__ = ["NOUNS"]

NOUNS = (home.twins, submit.twins, runs.twins)
"""All routes of the server."""
