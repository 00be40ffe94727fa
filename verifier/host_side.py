"""What the candidate's host code did beside its kernels: device data that it read, outputs that it wrote, torch's share.

The device process counts; here it is judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kernelwright.sandbox.candidate import CallResult
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.trees import tensors_of

__all__ = ["all_by_torch", "reads_back", "writes_outputs"]

_READ_BYTES = 4096  # sizes, offsets, counts of tokens: what honest host code asks for
_READ_SHARE = 16  # and no more than one part in this many of the inputs
_READ_LEAST = 8  # one number
_BY_KIND = frozenset({"matmul", "convolution"})
_GATHERS = frozenset({"index", "index_select", "gather", "embedding", "take"})
_READS_NUMBERS = ("_local_scalar_dense", "nonzero", "unique")
_MOVES = frozenset({"host to device", "copy", "fill"})
"""Copies that the device process records itself."""


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
    computing = [record for record in reference if record.kind != "copy"] or list(reference)
    wanted, found = Counter(map(_plain, computing)), Counter(map(_plain, operations))
    if not wanted or wanted - found:
        return ""
    named = ", ".join(sorted(wanted))
    return (
        f"Torch runs every operation of the task in it ({named}): its kernels only pass on what the library computed."
    )


def _plain(record: OpRecord) -> str:
    """An operation's name without overload and the sign of in-place forms; products, convolutions and gathers are alike."""
    if record.name in _MOVES:
        return f"({record.name})"
    if record.kind in _BY_KIND:
        return record.kind
    name = record.name.removeprefix("aten.").split(".")[0].rstrip("_")
    return "gather" if name in _GATHERS else name
