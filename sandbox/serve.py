"""The loop that every worker process runs: set limits on itself, then answer requests until the socket closes.

A handler gets the request and returns (fields, values); what it raises is answered as an error object with the kind
by which the judge tells a verdict: `build`, `unsupported`, `launch`, `task`, `lowering`, `memory`, `python`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from kernelwright.errors import BuildError, KernelwrightError, LaunchError, LoweringError, TaskError, UnsupportedError
from kernelwright.sandbox.channel import Channel, ChannelClosed, Message, Regions

__all__ = ["Handler", "answer", "describe_error", "judge_channel", "serve"]

Handler = Callable[[Message], tuple[dict[str, Any], Any]]

_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (BuildError, "build"),
    (UnsupportedError, "unsupported"),
    (LaunchError, "launch"),
    (TaskError, "task"),
    (LoweringError, "lowering"),
    (MemoryError, "memory"),
)
_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_DUMPABLE = 4
_TEXT_KEPT = 4000  # characters of a message or a traceback that are sent on


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answers requests on the descriptor named by the last command-line argument; returns when the judge is gone."""
    channel = judge_channel()
    while True:
        try:
            answer(channel, handlers, channel.receive(copy=False, descriptors=True))
        except (ChannelClosed, KeyboardInterrupt):
            return


def judge_channel() -> Channel:
    """The channel to the judge, after this process has set its own limits; a worker opens it once."""
    _limit_self()
    gc.freeze()  # what was imported stays
    gc.enable()
    return Channel(socket.socket(fileno=int(sys.argv[-1])))


def answer(channel: Channel, handlers: Mapping[str, Handler], message: Message) -> None:
    """Lets a handler answer one request.

    Raises:
        ChannelClosed: the other side is gone.
        KeyboardInterrupt: it was raised by the handler.
    """
    try:
        handler = handlers[str(message.body["op"])]
        fields, values = handler(message)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever untrusted code raises, SystemExit too, is an answer
        channel.send({"ok": False, "error": describe_error(error)})
        return
    finally:
        if message.descriptor is not None:  # the handler did not take it over
            os.close(message.descriptor)
    try:
        if isinstance(values, Regions):
            channel.send_regions({"ok": True, **fields}, values)
        else:
            channel.send({"ok": True, **fields}, values)
    except KernelwrightError as error:
        channel.send({"ok": False, "error": describe_error(error)})


def describe_error(error: BaseException, source_file: str | None = None) -> dict[str, Any]:
    """An error as plain data.

    Args:
        source_file: the file name under which the code was compiled; the last frame in it gives `line`.
    """
    kind = next((name for known, name in _KINDS if isinstance(error, known)), "python")
    line = getattr(error, "line", None)
    if line is None and isinstance(error, SyntaxError):
        line = error.lineno
    if line is None and source_file is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == source_file:
                line = frame.lineno
    # an exception of untrusted code may have a __str__ that raises
    try:
        text = getattr(error, "message", None) or str(error)
    except Exception:  # noqa: BLE001
        text = "(the exception has no readable message)"
    return {
        "kind": kind,
        "type": type(error).__name__,
        "message": str(text)[:_TEXT_KEPT],
        "mend": str(getattr(error, "mend", ""))[:_TEXT_KEPT],
        "line": line,
        "log": str(getattr(error, "log", ""))[:_TEXT_KEPT],
        "traceback": "".join(traceback.format_exception(error, limit=-8))[-_TEXT_KEPT:] if kind == "python" else "",
    }


def _limit_self() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a killed judge leaves no worker behind
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the judge's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit, name in (
        (resource.RLIMIT_AS, "KERNELWRIGHT_MEMORY_BYTES"),
        (resource.RLIMIT_FSIZE, "KERNELWRIGHT_FILE_BYTES"),
    ):
        value = int(os.environ[name])
        resource.setrlimit(limit, (value, value))
    if processes := os.environ.get("KERNELWRIGHT_PROCESSES"):  # only where the kernel counts the sandbox's own
        resource.setrlimit(resource.RLIMIT_NPROC, (int(processes), int(processes)))
