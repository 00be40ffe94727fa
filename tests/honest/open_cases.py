"""Honest kernels that the judge refuses today, each with the reason; the strict xfails of `test_honest.py`."""

from __future__ import annotations

REFUSED_TODAY: dict[str, str] = {}
"""Kernel name: who is right, and why."""
