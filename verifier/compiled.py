"""What a kernel's compiled code and its launches are, in one hash: the same for sources that differ in looks only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from kernelwright.sandbox.launch import LaunchReport, OpRecord

__all__ = ["compiled_hash"]


def compiled_hash(reports: Sequence[LaunchReport], ops: Sequence[OpRecord]) -> str:
    """16 hex digits over one call: of each launch its code without names and its numbers, grid, block and dynamic shared
    memory, and of each operation that torch did its name and shapes; empty if a launch does not say what it ran.

    Structures that are passed by value do not count, nor do pointers.
    """
    if not reports or not all(report.fingerprint for report in reports):
        return ""
    launched = [[r.fingerprint, list(r.grid), list(r.block), r.dynamic_shared] for r in reports]
    by_torch = [[op.name, op.dtype, [list(shape) for shape in op.shapes]] for op in ops]
    return hashlib.sha256(json.dumps([launched, by_torch]).encode()).hexdigest()[:16]
