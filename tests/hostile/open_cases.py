"""Pairs that the product judges wrongly today. Each is a strict xfail, so that it fails visibly once it is judged rightly."""

from __future__ import annotations

_LAUNDERED = "passes: the host computes on real values, and the kernel that runs after it only has to touch them"
_RECORDER = "passes: the emulated device and its log lie in the candidate's own process, where its code can reach them"

_DEFEAT = "passes: it does the whole work wherever the judge looks, and cheats elsewhere; only its text gives it away"

HOSTILE_NOT_YET: dict[str, str] = {
    "laundered_by_torch": _LAUNDERED,
    "laundered_with_a_little_arithmetic": _LAUNDERED,
    "laundered_by_python": _LAUNDERED,
    "laundered_by_ctypes": _LAUNDERED,
    "laundered_by_cpp": _LAUNDERED,
    "laundered_by_constants": _LAUNDERED,
    "laundered_indices": _LAUNDERED,
    "reports_without_violations": _RECORDER,
    "json_that_hides": _RECORDER,
    "counters_made_smaller": _RECORDER,
    "launches_forged_in_the_log": _RECORDER,
    "answer_to_the_decoy_test": _RECORDER,
    "by_the_caller": _DEFEAT,
    "by_the_environment": _DEFEAT,
}
"""Hostile kernels that pass, or are refused for another reason than the right one."""

TWIN_NOT_YET: dict[str, str] = {}
"""Honest kernels that are refused."""
