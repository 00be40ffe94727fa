"""Pairs that the product judges wrongly today. Each is a strict xfail, so that it fails visibly once it is judged rightly."""

from __future__ import annotations

_STORAGE = "passes: outputs are not compared by storage with each other"
_STRIDES = "passes: the strides of an output are not compared with the reference's"
_LAUNDERED = "passes: the host computes on real values, and the kernel that runs after it only has to touch them"
_RECORDER = "passes: the emulated device and its log lie in the candidate's own process, where its code can reach them"

HOSTILE_NOT_YET: dict[str, str] = {
    "two_outputs_in_one_memory": _STORAGE,
    "two_outputs_that_overlap": _STORAGE,
    "stride_zero_output": _STRIDES,
    "transposed_strides": _STRIDES,
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
    "parameter_that_requires_grad": "passes: requires_grad of an output is not looked at",
}
"""Hostile kernels that pass, or are refused for another reason than the right one."""

TWIN_NOT_YET: dict[str, str] = {}
"""Honest kernels that are refused."""
