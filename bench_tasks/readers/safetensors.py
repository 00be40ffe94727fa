"""Single tensors out of a safetensors file: eight bytes of length, a JSON header with dtypes, shapes and places, then the data."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["StoredTensor", "read_tensor"]

_LARGEST_HEADER = 1 << 24  # bytes; the format's own limit is 100 MB, which no file of single inputs comes near
_DTYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1),
    "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1), "BOOL": ("bool", 1),
}  # fmt: skip
_POINTER = b"version https://git-lfs"  # what git keeps in the place of a large file that was not fetched


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in the file: contiguous, little-endian."""

    dtype: str
    """As torch spells it."""
    shape: tuple[int, ...]
    data: bytes


def read_tensor(file: Path, key: str, *, most_bytes: int) -> StoredTensor | str:
    """The tensor called `key`, or why it can't be had, as the end of a sentence. Nothing else of the file is read.

    Args:
        most_bytes: a larger tensor is not read.
    """
    try:
        # a pipe would be waited for: opened so, it is not
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                return f"{file.name} is no regular file"
            return _read(stream, found.st_size, key, most_bytes)
    except FileNotFoundError:
        return f"{file.name} is not there"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        return f"{file.name} is no safetensors file ({type(error).__name__})"


def _read(stream: BinaryIO, size: int, key: str, most_bytes: int) -> StoredTensor | str:
    head = stream.read(8)
    if _POINTER.startswith(head) and stream.read(16):
        return "its file is a pointer of Git LFS and was not fetched"
    length = int.from_bytes(head, "little")
    if len(head) != 8 or not 2 <= length <= min(_LARGEST_HEADER, size - 8):
        return "its file is no safetensors file"
    entry = json.loads(stream.read(length)).get(key)
    if entry is None:
        return f"its file holds no {key!r}"
    name, width = _DTYPES.get(entry["dtype"], ("", 0))
    if not name:
        return f"it has the dtype {str(entry['dtype'])[:20]!r}, which is not known here"
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(number) is int for number in (*shape, begin, end)):
        return "its place in the file can't be right"
    nbytes = math.prod(shape) * width
    if min(shape, default=0) < 0 or end - begin != nbytes or not 0 <= begin <= end <= size - 8 - length:
        return "its place in the file can't be right"
    if nbytes > most_bytes:
        return f"it has {nbytes:,} bytes, over the limit of {most_bytes:,}"
    stream.seek(8 + length + begin)
    return StoredTensor(name, shape, stream.read(nbytes))
