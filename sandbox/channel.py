"""Messages between the judge and its worker processes: JSON for structure, a memory file for tensors, nothing else.

One message is a JSON object and at most one file descriptor of anonymous shared memory (`memfd`), sent over a Unix
socket with `SCM_RIGHTS`. Tensors lie in that memory at aligned offsets. Nothing that arrives can carry code, and the
receiver never maps what it does not trust: `copy=True` reads the bytes into memory of its own, so a sender that
changes or truncates the file afterwards changes nothing.

Worker processes import this module: standard library and torch only.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.errors import ProtocolError
from kernelwright.sandbox.tensor_memory import fill, lay_out, load, memory_file, place_rows, write_bytes

if TYPE_CHECKING:
    import torch

__all__ = ["Channel", "ChannelClosed", "ChannelTimeout", "Message", "Regions", "decode_tree", "encode_tree"]

_HEADER = struct.Struct("<IB")  # length of the JSON text in bytes, number of descriptors (0 or 1)
_MAX_JSON = 256 << 20  # bytes; a longer message is refused before it is read
_MAX_TENSORS = 4096


class ChannelClosed(Exception):
    """The other side is gone."""


class ChannelTimeout(Exception):
    """No message came before the deadline."""


class Message:
    """What arrived: the JSON object, and the values that travelled with it.

    `values` is a tree of None, bool, int, float, str, list, tuple, dict (string keys) and tensors.
    """

    def __init__(self, body: dict[str, Any], values: Any, memory: mmap.mmap | None) -> None:
        self.body = body
        self.values = values
        self.memory = memory
        """The shared mapping behind `values` (None when they were copied)."""
        self.rows: list[dict[str, Any]] = []
        """Where the tensors lie in `memory`, if it was received `raw`; then `values` is the tree, not decoded."""
        self.descriptor: int | None = None
        """The descriptor handed over by `send_descriptor`; the receiver closes it, or sets this to None."""


@dataclass(frozen=True)
class Regions:
    """Tensors to be sent from where they lie, by a process without torch: the tree, a row and an address for each."""

    tree: Any
    rows: list[dict[str, Any]]
    """dtype, shape and stride of each."""
    addresses: list[int]


class Channel:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Closes this end."""
        self._sock.close()

    def send(self, body: dict[str, Any], values: Any = None) -> None:
        """Sends one message. The memory file stays the receiver's.

        Raises:
            ChannelClosed: the other side is gone.
            ProtocolError: `values` holds something else than the tree that `Message` describes.
        """
        tensors: list[torch.Tensor] = []
        tree = encode_tree(values, tensors)
        layout, size = lay_out(tensors)
        text = json.dumps({"body": body, "tree": tree, "tensors": layout}).encode()
        fds = []
        try:
            if tensors:
                fds.append(fill(tensors, layout, size))
            header = _HEADER.pack(len(text), len(fds))
            if fds:
                socket.send_fds(self._sock, [header], fds)
            else:
                self._sock.sendall(header)
            self._sock.sendall(text)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed from error
        finally:
            for fd in fds:
                os.close(fd)

    def send_regions(self, body: dict[str, Any], regions: Regions) -> None:
        """Sends memory of this process as tensors; needs no torch.

        Raises:
            ChannelClosed: the other side is gone.
        """
        layout, offset = place_rows(regions.rows)
        fd = None
        try:
            if layout:
                fd = memory_file(offset)
                for row, address in zip(layout, regions.addresses, strict=True):
                    if row["nbytes"]:
                        write_bytes(
                            fd, memoryview((ctypes.c_char * row["nbytes"]).from_address(address)), row["offset"]
                        )
            self.send_shared(body, (regions.tree, layout, fd))
        finally:
            if fd is not None:
                os.close(fd)

    def send_descriptor(self, body: dict[str, Any], descriptor: int) -> None:
        """Hands a descriptor over; the sender keeps its own copy.

        Raises:
            ChannelClosed: the other side is gone.
        """
        text = json.dumps({"body": body, "tree": {"v": None}, "tensors": [], "descriptor": True}).encode()
        try:
            socket.send_fds(self._sock, [_HEADER.pack(len(text), 1)], [descriptor])
            self._sock.sendall(text)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed from error

    def share(self, values: Any) -> tuple[Any, list[dict[str, Any]], int | None]:
        """Lays `values` out in a memory file of the caller's: (tree, layout, descriptor). See `send_shared`."""
        tensors: list[torch.Tensor] = []
        tree = encode_tree(values, tensors)
        layout, size = lay_out(tensors)
        return tree, layout, fill(tensors, layout, size) if tensors else None

    def send_shared(self, body: dict[str, Any], shared: tuple[Any, list[dict[str, Any]], int | None]) -> None:
        """Sends values laid out by `share`; the caller keeps the descriptor and sees what the receiver writes there."""
        tree, layout, fd = shared
        text = json.dumps({"body": body, "tree": tree, "tensors": layout}).encode()
        header = _HEADER.pack(len(text), 0 if fd is None else 1)
        try:
            if fd is None:
                self._sock.sendall(header)
            else:
                socket.send_fds(self._sock, [header], [fd])
            self._sock.sendall(text)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed from error

    def receive(
        self,
        *,
        timeout: float | None = None,
        copy: bool = True,
        max_bytes: int = 1 << 36,
        raw: bool = False,
        descriptors: bool = False,
    ) -> Message:
        """Waits for one message.

        Args:
            timeout: in seconds; None waits for ever.
            copy: read tensors into memory of our own (trust nothing); False maps the shared memory.
            max_bytes: refuse tensors that together are larger than this.
            raw: map the memory and make no tensors of it (`Message.rows`); needs no torch.
            descriptors: accept what `send_descriptor` sends.

        Raises:
            ChannelClosed, ChannelTimeout, ProtocolError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._wait(deadline)
        try:
            header, fds, _flags, _address = socket.recv_fds(self._sock, _HEADER.size, 1)
        except ConnectionResetError as error:
            raise ChannelClosed from error
        try:
            header += self._read(_HEADER.size - len(header), deadline) if header else b""
            if len(header) < _HEADER.size:
                raise ChannelClosed
            length, count = _HEADER.unpack(header)
            if length > _MAX_JSON or count != len(fds):
                raise ProtocolError(f"a worker sent a message of {length} bytes with {len(fds)} descriptors")
            try:
                frame = json.loads(self._read(length, deadline))
                tree, layout, body = frame["tree"], frame["tensors"], frame["body"]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ProtocolError("a worker sent a message that is no frame of ours") from error
            if not isinstance(body, dict) or not isinstance(layout, list) or len(layout) > _MAX_TENSORS:
                raise ProtocolError("a worker sent a message that is no frame of ours")
            if frame.get("descriptor") is True and descriptors and fds and not layout:
                message = Message(body, None, None)
                message.descriptor = fds.pop()
                return message
            if raw:
                message = Message(body, tree, mmap.mmap(fds[0], 0, prot=mmap.PROT_READ) if fds else None)
                message.rows = layout
                return message
            memory, tensors = load(layout, fds[0] if fds else None, copy, max_bytes)
            return Message(body, decode_tree(tree, tensors), memory)
        finally:
            for fd in fds:
                os.close(fd)

    def _wait(self, deadline: float | None) -> None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self._sock], [], [], left)
        if not ready:
            raise ChannelTimeout

    def _read(self, length: int, deadline: float | None) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            self._wait(deadline)
            try:
                part = self._sock.recv(min(length - len(parts), 1 << 20))
            except ConnectionResetError as error:
                raise ChannelClosed from error
            if not part:
                raise ChannelClosed
            parts += part
        return bytes(parts)


def encode_tree(value: Any, tensors: list[torch.Tensor]) -> Any:
    """A tree as JSON, with numbers in the place of its tensors, which join `tensors`.

    Raises:
        ProtocolError: it holds something else than `Message` describes.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return {"v": value}
    import torch

    if isinstance(value, torch.Tensor):
        tensors.append(value.detach())
        return {"t": len(tensors) - 1}
    if isinstance(value, tuple):
        return {"u": [encode_tree(item, tensors) for item in value]}
    if isinstance(value, list):
        return {"l": [encode_tree(item, tensors) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"d": {key: encode_tree(item, tensors) for key, item in value.items()}}
    raise ProtocolError(f"a value of type {type(value).__name__} can't be sent; tensors, numbers, lists and dicts can")


def decode_tree(tree: Any, tensors: Sequence[torch.Tensor]) -> Any:
    """What `encode_tree` was given.

    Raises:
        ProtocolError: it is no such tree.
    """
    try:
        ((kind, content),) = tree.items()
        if kind == "v" and (content is None or isinstance(content, bool | int | float | str)):
            return content
        if kind == "t":
            return tensors[int(content)]
        if kind in "ul" and isinstance(content, list):
            items = [decode_tree(item, tensors) for item in content]
            return tuple(items) if kind == "u" else items
        if kind == "d":
            return {str(key): decode_tree(item, tensors) for key, item in content.items()}
    except (AttributeError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise ProtocolError("a worker sent values that are no tree of ours") from error
    raise ProtocolError("a worker sent values that are no tree of ours")
