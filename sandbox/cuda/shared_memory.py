"""Memory that the judge and a GPU's process both map, through which the tensors of their messages go: pinned where there is CUDA.

Two segments, made by the judge, that nobody can shorten: one for what the process is given, one for what it gives. Both stay from
message to message, since pinning memory and touching its pages for the first time cost more than copying it. The judge
writes what it sends anew each time, keeps what it compares with to itself, and copies what comes before it looks at it: whoever
changes a segment afterwards changes nothing that is judged.

The process's end imports the standard library and torch only.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kernelwright.errors import ProtocolError
from kernelwright.sandbox.channel import Message, decode_tree, encode_tree
from kernelwright.sandbox.tensor_memory import copy_in, extent, lay_out, memory_file, views

if TYPE_CHECKING:
    import torch

    from kernelwright.sandbox.process import Worker

__all__ = ["ATTACH", "JudgeMemory", "WorkerMemory", "reply_room"]

ATTACH = {"inputs": "attach_inputs", "outputs": "attach_outputs"}
"""Requests by which the process gets a segment for either."""
_LEAST_BYTES = 1 << 20  # of a segment
_MOST_BYTES = 1 << 30  # of a segment: pinned memory is taken from everybody; what is larger goes in a file of its own
_ATTACH_SECONDS = 60.0  # for mapping and pinning one
_GAPS_BYTES = 1 << 16  # between the tensors of an answer: room for about a hundred


class JudgeMemory:
    """The judge's end: requests to one process, with their tensors.

    Raises (from `request`):
        WorkerTimeout, WorkerCrashed, ProtocolError: as `Worker.request`; and the process has been ended.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._segments: dict[str, mmap.mmap] = {}
        self.pinned: dict[str, str] = {}
        """For each segment that the process has: empty if it says that it has pinned it, else why not."""

    def request(
        self, op: str, *, timeout: float, values: Any = None, reply_bytes: int = 0, max_bytes: int = 1 << 36, **fields: Any
    ) -> Message:  # fmt: skip
        """One request and its answer, whose tensors are copies.

        Args:
            timeout: in seconds; at its end the process is killed.
            reply_bytes: what the tensors of the answer are expected to hold.
            max_bytes: the most that they may hold.
        """
        tensors: list[torch.Tensor] = []
        tree = encode_tree(values, tensors)
        rows, size = lay_out(tensors)
        if reply_bytes:
            self._fit("outputs", reply_bytes)
        if tensors and (segment := self._fit("inputs", size)) is not None:
            copy_in(segment, tensors, rows)
            fields["laid"] = {"tree": tree, "rows": rows}
            values = None
        message = self._worker.request(op, timeout=timeout, values=values, max_bytes=max_bytes, **fields)
        if "laid" in message.body:
            try:
                message.values = self._taken(message.body["laid"], max_bytes)
            except ProtocolError:
                self._worker.close()
                raise
        return message

    def _fit(self, which: str, size: int) -> mmap.mmap | None:
        """The segment for so many bytes; None if that is too much for one."""
        segment = self._segments.get(which)
        if segment is not None and len(segment) >= size:
            return segment
        if size > _MOST_BYTES:
            return None
        room = max(_LEAST_BYTES, 1 << (size - 1).bit_length())
        descriptor = memory_file(room)
        try:
            answer = self._worker.hand_over(ATTACH[which], descriptor, timeout=_ATTACH_SECONDS)
            self._segments[which] = made = mmap.mmap(descriptor, room)
        finally:
            os.close(descriptor)
        self.pinned[which] = str(answer.body.get("problem", ""))[:400]
        return made

    def _taken(self, laid: Any, max_bytes: int) -> Any:
        segment = self._segments.get("outputs")
        if segment is None or not isinstance(laid, dict) or not isinstance(laid.get("rows"), list):
            raise ProtocolError("a worker answers with tensors that lie nowhere")
        found = [_copied(tensor) for tensor in views(laid["rows"], segment, max_bytes)]
        return decode_tree(laid.get("tree"), found)


def reply_room(nbytes: int) -> int:
    """Bytes of a segment that holds tensors of so many, with the gaps between them."""
    return nbytes + _GAPS_BYTES


class WorkerMemory:
    """The process's end.

    Args:
        pin: makes the driver lock memory at an address, of so many bytes; why it can't, empty if it has.
        unpin: undoes it.
    """

    def __init__(self, pin: Callable[[int, int], str], unpin: Callable[[int], None]) -> None:
        self._pin, self._unpin = pin, unpin
        self._segments: dict[str, mmap.mmap] = {}
        self._pinned: dict[str, int] = {}

    def attach(self, which: str, descriptor: int) -> str:
        """Maps and pins the segment, in the place of the one before; why it is not pinned, empty if it is.

        Raises:
            OSError: it can't be mapped.
        """
        if (address := self._pinned.pop(which, None)) is not None:
            self._unpin(address)
        self._segments.pop(which, None)
        segment = mmap.mmap(descriptor, 0)
        self._segments[which] = segment
        address = ctypes.addressof(ctypes.c_char.from_buffer(segment))
        problem = self._pin(address, len(segment))
        if not problem:
            self._pinned[which] = address
        return problem

    def given(self, message: Message) -> Any:
        """A request's values, over the segment: they are gone with the next request.

        Raises:
            ProtocolError: there is no such segment, or it does not hold them.
        """
        laid = message.body.get("laid")
        if laid is None:
            return message.values
        segment = self._segments.get("inputs")
        if segment is None:
            raise ProtocolError("the judge sends tensors that lie nowhere")
        return decode_tree(laid["tree"], views(laid["rows"], segment, len(segment)))

    def lay(self, values: Any) -> dict[str, Any] | None:
        """Puts an answer's tensors, on whichever device, into the segment; None if there is none or they don't fit.

        Raises:
            ProtocolError: they are of a kind that can't be sent.
        """
        tensors: list[torch.Tensor] = []
        tree = encode_tree(values, tensors)
        if not tensors:
            return None
        tensors = [tensor.resolve_conj().resolve_neg() for tensor in tensors]
        rows, size = lay_out(tensors)
        segment = self._segments.get("outputs")
        if segment is None or size > len(segment):
            return None
        copy_in(segment, tensors, rows)
        return {"tree": tree, "rows": rows}


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in memory of its own, with its strides, expanded dimensions included."""
    import torch

    count = extent(tensor.shape, tensor.stride())
    return torch.as_strided(tensor, (count,), (1,)).clone().as_strided(tensor.shape, tensor.stride())
