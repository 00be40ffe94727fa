"""The process in which NVRTC runs, so that a compilation can be ended and its memory bounded.

Run as a file, with the standard library only (12 ms until it is ready, measured):
``python -I -S nvrtc_worker.py DESCRIPTOR BYTES DETACHED``. `sandbox.nvrtc` is its other end. Messages are JSON objects behind
their length in eight bytes; the first one names the library, each further one asks for a compilation. It ends when the other
end does, also within a compilation.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
from typing import Any

_LENGTH = struct.Struct("<Q")


class Nvrtc:
    """NVRTC's functions, by `ctypes`, which lets other threads run meanwhile.

    Args:
        path: the library's file.

    Raises:
        OSError: it can't be loaded.
    """

    def __init__(self, path: str) -> None:
        folder = os.path.dirname(path)
        for each in sorted(os.listdir(folder)):
            # NVRTC opens it by its bare name, which the loader knows once it is here
            if each.startswith("libnvrtc-builtins.so"):
                ctypes.CDLL(os.path.join(folder, each), mode=ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(path)
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def version(self) -> str:
        """`13.0`."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def compile(
        self, source: str, name: str, options: list[str], names: list[str], cubin: bool = False
    ) -> dict[str, Any]:
        """One compilation: `outcome` (empty if it went well), `log`, and then `ptx` and `lowered` (mangled names).

        `cubin` asks for the machine code too, in base64; the options then name a real architecture.
        """
        call = self._library
        program = ctypes.c_void_p()
        outcome = call.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        if outcome:
            return {"outcome": self._said(outcome), "log": ""}
        try:
            for each in names:
                if outcome := call.nvrtcAddNameExpression(program, each.encode()):
                    return {"outcome": self._said(outcome), "log": ""}
            listed = (ctypes.c_char_p * max(1, len(options)))(*(option.encode() for option in options))
            outcome = call.nvrtcCompileProgram(program, len(options), listed)
            log = self._text(program, "ProgramLog")
            if outcome:
                return {"outcome": self._said(outcome), "log": log}
            lowered = {}
            for each in names:
                mangled = ctypes.c_char_p()
                if outcome := call.nvrtcGetLoweredName(program, each.encode(), ctypes.byref(mangled)):
                    return {"outcome": self._said(outcome), "log": log}
                lowered[each] = (mangled.value or b"").decode()
            made = {"outcome": "", "log": log, "lowered": lowered, "ptx": self._text(program, "PTX")}
            return made | ({"cubin": base64.b64encode(self._bytes(program, "CUBIN")).decode()} if cubin else {})
        finally:
            call.nvrtcDestroyProgram(ctypes.byref(program))

    def _said(self, outcome: int) -> str:
        return str(self._library.nvrtcGetErrorString(outcome).decode())

    def _text(self, program: ctypes.c_void_p, what: str) -> str:
        return self._bytes(program, what).partition(b"\0")[0].decode(errors="replace")

    def _bytes(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        if getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)):
            return b""
        buffer = ctypes.create_string_buffer(size.value + 1)
        getattr(self._library, f"nvrtcGet{what}")(program, buffer)
        return buffer.raw[: size.value]


def _end_with(channel: socket.socket) -> None:
    """Ends this process when the other end closes."""
    poller = select.poll()
    poller.register(channel, select.POLLRDHUP)
    poller.poll()
    os._exit(0)


def _read(channel: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = channel.recv(min(count - len(data), 1 << 20))
        if not piece:
            os._exit(0)
        data += piece
    return bytes(data)


def _receive(channel: socket.socket) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_read(channel, _LENGTH.unpack(_read(channel, _LENGTH.size))[0]))
    return found


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    raw = json.dumps(message).encode()
    try:
        channel.sendall(_LENGTH.pack(len(raw)) + raw)
    except OSError:
        os._exit(0)


def _answer(nvrtc: Nvrtc, request: dict[str, Any]) -> dict[str, Any]:
    try:
        os.chdir(request["folder"])  # for relative -I
        return nvrtc.compile(
            request["source"], request["name"], request["options"], request["names"], bool(request.get("cubin"))
        )
    except MemoryError:
        return {"outcome": "NVRTC_ERROR_OUT_OF_MEMORY", "log": ""}
    except OSError as error:
        return {"outcome": str(error), "log": ""}


def main() -> None:
    """Answers requests until the other end closes."""
    descriptor, limit, detached = (int(word) for word in sys.argv[1:4])
    if detached and os.fork():
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other end's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or most > limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    channel = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with, args=(channel,), daemon=True).start()
    try:
        nvrtc = Nvrtc(str(_receive(channel)["library"]))
    except (OSError, AttributeError) as error:
        _send(channel, {"failed": str(error)})
        return
    _send(channel, {"version": nvrtc.version()})
    while True:
        _send(channel, _answer(nvrtc, _receive(channel)))


if __name__ == "__main__":
    main()
