"""The structures of runtime/runtime.hpp as ctypes sees them."""

from __future__ import annotations

import ctypes

from kernelwright.errors import EmulatorError

__all__ = ["ABI", "COUNTERS", "KINDS", "MAX_VIOLATIONS", "NativeViolation", "Request", "SiteCounts", "check_abi"]

ABI = 8
MAX_VIOLATIONS = 64

COUNTERS = (
    "global_load_requests", "global_load_sectors", "global_load_bytes", "global_load_unique_bytes",
    "global_store_requests", "global_store_sectors", "global_store_bytes", "global_store_unique_bytes",
    "global_atomic_requests", "global_atomic_sectors",
    "shared_load_requests", "shared_load_wavefronts", "shared_load_bytes",
    "shared_store_requests", "shared_store_wavefronts", "shared_store_bytes",
    "shared_atomic_requests", "local_load_bytes", "local_store_bytes",
    "barriers", "branches", "divergent_branches",
    "longest_warp_instructions", "longest_warp_global_requests", "longest_warp_barriers", "warps", "blocks",
)  # fmt: skip
"""In the order of `kw::Counter`; the names are fields of `sandbox.launch.Counters`."""

KINDS = (
    "out_of_bounds", "misaligned", "null_pointer", "divergent_barrier", "missing_lanes", "exit_before_barrier",
    "endless_loop", "trap", "shared_race", "uninitialised_read", "global_race",
    "same_value",
)  # fmt: skip
"""In the order of `KwViolationKind`."""


class NativeViolation(ctypes.Structure):
    """`kw::Violation`."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("site", ctypes.c_int32),
        ("count", ctypes.c_uint64),
        ("block", ctypes.c_uint64),
        ("thread", ctypes.c_int32),
        ("size", ctypes.c_int32),
        ("address", ctypes.c_uint64),
        ("extra", ctypes.c_int64),
    )


class SiteCounts(ctypes.Structure):
    """`kw::SiteCounts`."""

    _fields_ = (
        ("of", ctypes.c_uint64 * len(COUNTERS)),
        ("ideal_load_sectors", ctypes.c_uint64),
        ("ideal_store_sectors", ctypes.c_uint64),
    )


class Request(ctypes.Structure):
    """`kw::Request`."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("sites", ctypes.c_void_p),
        ("site_count", ctypes.c_int64),
        ("site_base", ctypes.c_void_p),
        ("basic_blocks", ctypes.c_int64),
        ("register_words", ctypes.c_int64),
        ("predicates", ctypes.c_int64),
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("params", ctypes.c_void_p),
        ("param_bytes", ctypes.c_int64),
        ("globals", ctypes.c_void_p),
        ("shared_ranges", ctypes.c_void_p),
        ("shared_variables", ctypes.c_int64),
        ("static_shared", ctypes.c_int64),
        ("dynamic_shared", ctypes.c_int64),
        ("frame_bytes", ctypes.c_int64),
        ("reserved_shared", ctypes.c_int64),
        ("reserved_bytes", ctypes.c_int64),
        ("stack_slot", ctypes.c_int64),
        ("stack_bytes", ctypes.c_int64),
        ("heap_bytes", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("max_warp_instructions", ctypes.c_uint64),
        ("seconds", ctypes.c_double),
        ("max_violations", ctypes.c_uint64),
        ("workspace", ctypes.c_uint64),
        ("resident_blocks", ctypes.c_int64),
        ("cell_shift", ctypes.c_int64),
        ("chosen", ctypes.c_void_p),
        ("chosen_count", ctypes.c_int64),
        ("track_writes", ctypes.c_int64),
        ("lanes_may_race", ctypes.c_int64),
        ("race_shift", ctypes.c_int64),
        ("written", ctypes.c_void_p),
        ("written_count", ctypes.c_int64),
        ("read", ctypes.c_void_p),
        ("read_count", ctypes.c_int64),
        ("schedule", ctypes.c_int64),
        ("schedule_seed", ctypes.c_uint64),
        ("counters", ctypes.c_uint64 * len(COUNTERS)),
        ("block_counts", ctypes.c_void_p),
        ("site_counts", ctypes.c_void_p),
        ("unknown_read", ctypes.c_uint64),
        ("violations", ctypes.c_void_p),
        ("violation_count", ctypes.c_int64),
        ("notes", ctypes.c_void_p),
        ("note_count", ctypes.c_int64),
        ("printed", ctypes.c_void_p),
        ("printed_room", ctypes.c_int64),
        ("printed_bytes", ctypes.c_int64),
        ("stopped", ctypes.c_int32),
    )


def check_abi(runtime: ctypes.CDLL) -> None:
    """Makes sure that the library has the layouts of this file.

    Raises:
        EmulatorError: it has not.
    """
    runtime.kw_request_bytes.restype = ctypes.c_int64
    runtime.kw_counter_count.restype = ctypes.c_int64
    found = (runtime.kw_abi(), runtime.kw_request_bytes(), runtime.kw_counter_count())
    if found != (ABI, ctypes.sizeof(Request), len(COUNTERS)):
        raise EmulatorError(f"the emulator's runtime library does not fit this version (it says {found})")
