"""How the tensors of a message lie in shared memory: aligned, each with its strides, described by rows of plain data.

What reads rows trusts none of them. Worker processes import this module: standard library and torch only.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelwright.errors import ProtocolError

if TYPE_CHECKING:
    import torch

__all__ = [
    "DTYPES",
    "copy_in",
    "extent",
    "fill",
    "lay_out",
    "load",
    "memory_file",
    "place_rows",
    "row_bytes",
    "views",
    "write_bytes",
]

_ALIGN = 256  # bytes: what cudaMalloc guarantees, and the gap that lets a range check see an overrun
_ITEM_BYTES = {
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1,
    "bool": 1, "complex64": 8, "complex128": 16, "uint16": 2, "uint32": 4, "uint64": 8,
}  # fmt: skip
DTYPES = tuple(_ITEM_BYTES)
_MOST_DIMENSIONS = 64  # what torch's operations take (at::TensorIterator)
_LARGEST = 1 << 47  # elements: the address space of x86-64; torch counts in 64 bits


def extent(shape: Sequence[int], stride: Sequence[int]) -> int:
    """Elements from the first to one past the last, in storage order; 0 for an empty tensor."""
    if any(size == 0 for size in shape):
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def row_bytes(row: Mapping[str, Any]) -> int:
    """Bytes from the first to one past the last of a tensor described by dtype, shape and stride.

    Raises:
        ProtocolError: that is no description of ours.
    """
    name, shape, stride = _described(row)
    return extent(shape, stride) * _ITEM_BYTES[name]


def _described(row: Mapping[str, Any]) -> tuple[str, list[int], list[int]]:
    try:
        name, shape, stride = row["dtype"], [int(n) for n in row["shape"]], [int(n) for n in row["stride"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError("a worker described a tensor badly") from error
    sizes = shape + stride
    if name not in DTYPES or len(shape) != len(stride) or len(shape) > _MOST_DIMENSIONS:
        raise ProtocolError("a worker described a tensor badly")
    if min(sizes, default=0) < 0 or max(sizes, default=0) > _LARGEST:
        raise ProtocolError("a worker described a tensor badly")
    return name, shape, stride


def place_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Rows with the offset and size of each in a memory of their own, and the bytes of that memory.

    Raises:
        ProtocolError: one is no description of ours.
    """
    placed, offset = [], _ALIGN
    for row in rows:
        nbytes = row_bytes(row)
        placed.append({**row, "offset": offset, "nbytes": nbytes})
        offset += -(-nbytes // _ALIGN) * _ALIGN + _ALIGN
    return placed, offset


def lay_out(tensors: Sequence[torch.Tensor]) -> tuple[list[dict[str, Any]], int]:
    """Where each of these lies in a memory file of so many bytes.

    Raises:
        ProtocolError: one is of a kind that can't be sent.
    """
    rows = []
    for tensor in tensors:
        name = str(tensor.dtype).removeprefix("torch.")
        if name not in DTYPES or tensor.layout.__str__() != "torch.strided":
            raise ProtocolError(f"a tensor of {tensor.dtype}, {tensor.layout} can't be sent")
        rows.append({"dtype": name, "shape": list(tensor.shape), "stride": list(tensor.stride())})
    return place_rows(rows)


def memory_file(size: int) -> int:
    """Anonymous memory of `size` bytes, which nobody can shorten under a reader."""
    fd = os.memfd_create("kernelwright", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


def fill(tensors: Sequence[torch.Tensor], rows: Sequence[Mapping[str, Any]], size: int) -> int:
    """A new memory file with the tensors in their places."""
    import torch

    fd = memory_file(size)
    try:
        for tensor, row in zip(tensors, rows, strict=True):
            if not row["nbytes"]:
                continue
            flat = torch.as_strided(tensor.cpu(), (row["nbytes"] // tensor.element_size(),), (1,))
            write_bytes(fd, memoryview(flat.view(torch.uint8).numpy().data), row["offset"])
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_bytes(fd: int, view: memoryview, offset: int) -> None:
    """Writes all of `view` at an offset of a file."""
    done = 0
    while done < len(view):
        done += os.pwrite(fd, view[done:], offset + done)


def copy_in(memory: mmap.mmap, tensors: Sequence[torch.Tensor], rows: Sequence[Mapping[str, Any]]) -> None:
    """Puts tensors, on whichever device, into their places in a mapping; with conjugation and negation done."""
    import torch

    for tensor, row in zip(tensors, rows, strict=True):
        if row["nbytes"]:
            count = row["nbytes"] // tensor.element_size()
            place = torch.frombuffer(memory, dtype=tensor.dtype, count=count, offset=row["offset"])
            place.copy_(torch.as_strided(tensor, (count,), (1,)))


def views(rows: Sequence[Mapping[str, Any]], memory: mmap.mmap, max_bytes: int) -> list[torch.Tensor]:
    """Tensors over a mapping.

    Raises:
        ProtocolError: the rows are none of ours, or the mapping does not hold what they describe, or it is more than `max_bytes`.
    """
    import torch

    tensors = []
    for row in rows:
        name, shape, stride = _described(row)
        offset, nbytes = _checked(row, len(memory))
        max_bytes -= nbytes
        if max_bytes < 0:
            raise ProtocolError("a worker sent more data than its outputs can be")
        dtype = getattr(torch, name)
        if nbytes:
            flat = torch.frombuffer(memory, dtype=dtype, count=nbytes // dtype.itemsize, offset=offset)
            tensors.append(flat.as_strided(shape, stride))
        else:
            tensors.append(torch.empty_strided(shape, stride, dtype=dtype))
    return tensors


def load(
    rows: Sequence[Mapping[str, Any]], fd: int | None, copy: bool, max_bytes: int
) -> tuple[mmap.mmap | None, list[torch.Tensor]]:
    """Tensors from a memory file: copied out of it, or over a mapping of it, which is returned too.

    Raises:
        ProtocolError: as `views`.
    """
    if not rows:
        return None, []
    import torch

    if fd is None:
        raise ProtocolError("a worker announced tensors and sent no memory")
    size = os.fstat(fd).st_size
    if not copy:
        memory = mmap.mmap(fd, size)
        return memory, views(rows, memory, max_bytes)
    tensors = []
    for row in rows:
        name, shape, stride = _described(row)
        offset, nbytes = _checked(row, size)
        max_bytes -= nbytes
        if max_bytes < 0:
            raise ProtocolError("a worker sent more data than its outputs can be")
        dtype = getattr(torch, name)
        if not nbytes:
            tensors.append(torch.empty_strided(shape, stride, dtype=dtype))
            continue
        own = bytearray(nbytes)
        view, done = memoryview(own), 0
        while done < nbytes:
            got = os.preadv(fd, [view[done:]], offset + done)
            if got == 0:
                raise ProtocolError("a worker took its memory back")
            done += got
        flat = torch.frombuffer(own, dtype=dtype, count=nbytes // dtype.itemsize)
        tensors.append(flat.as_strided(shape, stride))
    return None, tensors


def _checked(row: Mapping[str, Any], size: int) -> tuple[int, int]:
    """(offset, bytes) of a row that lies within `size` bytes.

    Raises:
        ProtocolError: it does not.
    """
    expected = row_bytes(row)
    try:
        offset, nbytes = int(row["offset"]), int(row["nbytes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError("a worker described a tensor badly") from error
    if nbytes != expected or offset < 0 or offset + nbytes > size:
        raise ProtocolError("a worker described a tensor that its memory does not hold")
    return offset, nbytes
