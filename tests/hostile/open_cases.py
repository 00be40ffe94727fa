"""Pairs that the product judges wrongly today. Each is a strict xfail, so that it fails visibly once it is judged rightly."""

from __future__ import annotations

_DEFEAT = "passes: it does the whole work wherever the judge looks, and cheats elsewhere; only its text gives it away"

HOSTILE_NOT_YET: dict[str, str] = {
    "by_the_caller": _DEFEAT,
    "by_the_environment": _DEFEAT,
}
"""Hostile kernels that pass, or are refused for another reason than the right one."""

TWIN_NOT_YET: dict[str, str] = {}
"""Honest kernels that are refused."""
