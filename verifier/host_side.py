"""What the candidate's host code did beside its kernels: device data that it read, outputs that it wrote, torch's share.

The device process counts; here it is judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kernelwright.sandbox.candidate import CallResult
from kernelwright.sandbox.launch import LaunchReport, OpRecord
from kernelwright.sandbox.trees import tensors_of

__all__ = ["all_by_torch", "only_moves", "reads_back", "writes_outputs"]

_READ_BYTES = 4096  # sizes, offsets, counts of tokens: what honest host code asks for
_READ_SHARE = 16  # and no more than one part in this many of the inputs
_READ_LEAST = 8  # one number
_BY_KIND = frozenset({"matmul", "convolution"})
_GATHERS = frozenset({"index", "index_select", "gather", "embedding", "take"})
_READS_NUMBERS = ("_local_scalar_dense", "nonzero", "unique")
_MOVES = frozenset({"host to device", "copy", "fill"})
"""Copies that the device process records itself."""
_SELECTS = frozenset({"where", "masked_fill", "masked_scatter"})
"""Operations that choose among values: a kernel that does so executes no arithmetic either."""
_ARITHMETIC = ("fp32", "fp64", "fp16", "sfu", "tensor", "convert")
"""Classes of instructions that compute with floating-point numbers, comparing included."""


def reads_back(call: CallResult, inputs: Any, reference: Sequence[OpRecord]) -> str:
    """Why this call reads too much of the device's data in host code; empty if it does not.

    Args:
        reference: the operations of the task's module; one that reads numbers itself allows as much at any size.
    """
    given = sum(t.nbytes for t in tensors_of(inputs))
    allowed = max(_READ_LEAST, min(_READ_BYTES, given // _READ_SHARE))
    if any(name in record.name for record in reference for name in _READS_NUMBERS):
        allowed = _READ_BYTES
    if call.pulled_bytes <= allowed:
        return ""
    return (
        f"It reads {call.pulled_bytes:,} bytes of device data back to the host in a call with {given:,} bytes of input: "
        "its results may be computed there, not by its kernels. Compute on the device, without .tolist(), .numpy() or .item()."
    )


def writes_outputs(call: CallResult) -> str:
    """Why this call's outputs were made on the host; empty if the device wrote any of them."""
    outputs = [written for t, written in zip(tensors_of(call.outputs), call.written, strict=True) if t.numel()]
    if not outputs or any(outputs):
        return ""
    return "No kernel wrote its outputs during the call: they were computed by something else, on the host or in an earlier call."


def all_by_torch(operations: Sequence[OpRecord], reference: Sequence[OpRecord]) -> str:
    """Why its kernels add nothing: torch ran every operation of the task's module; empty if it did not.

    Args:
        operations: what torch ran in a call of the candidate.
        reference: what it runs in a call of the task's module.
    """
    computing = _computing(reference) or list(reference)
    wanted, found = Counter(map(_plain, computing)), Counter(map(_plain, operations))
    if not wanted or wanted - found:
        return ""
    named = ", ".join(sorted(wanted))
    return (
        f"Torch runs every operation of the task in it ({named}): its kernels only pass on what the library computed."
    )


def only_moves(launches: Sequence[LaunchReport], operations: Sequence[OpRecord], reference: Sequence[OpRecord]) -> str:
    """Why its kernels only carry what torch computed; empty if they compute, or if torch does not.

    A kernel that gathers, pads or selects is work where the task does so: it counts as carrying only if operations of the
    task that compute are missing among torch's, which then has computed them in another way.

    Args:
        launches: of a call of the candidate whose outputs are floating-point numbers.
        operations: what torch ran in that call.
        reference: what it runs in a call of the task's module.
    """

    def chooses(record: OpRecord) -> bool:
        return _plain(record) in _SELECTS

    missing = Counter(_plain(r) for r in _computing(reference) if not chooses(r)) - Counter(map(_plain, operations))
    by_torch = [_plain(record) for record in _computing(operations) if not chooses(record)]
    counters = [report.counters for report in launches]
    if not missing or not by_torch or any(c.global_atomic_requests or c.shared_atomic_requests for c in counters):
        return ""
    if any(c.warp_instructions.get(kind) for c in counters for kind in _ARITHMETIC):
        return ""
    return (
        f"Its kernels only move data, they execute no floating-point instruction: torch computed it ({', '.join(dict.fromkeys(by_torch))}) "
        f"in place of {', '.join(sorted(missing))}."
    )


def _computing(operations: Sequence[OpRecord]) -> list[OpRecord]:
    return [record for record in operations if record.kind != "copy" and record.name not in _MOVES]


def _plain(record: OpRecord) -> str:
    """An operation's name without overload and the sign of in-place forms; products, convolutions and gathers are alike."""
    if record.name in _MOVES:
        return f"({record.name})"
    if record.kind in _BY_KIND:
        return record.kind
    name = record.name.removeprefix("aten.").split(".")[0].rstrip("_")
    return "gather" if name in _GATHERS else name
