"""Where things are: one file a noun, with its page and its JSON twin."""

from __future__ import annotations

from kernelwright.web.routes import api_docs, health, runs, sign_in

__all__ = ["NOUNS", "OPERATION"]

NOUNS = (runs.twins,)
"""The routes of what is stored."""
OPERATION = (health.router, sign_in.router, api_docs.router)
"""The routes of the server itself."""
