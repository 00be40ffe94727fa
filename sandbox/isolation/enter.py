"""The last steps before a worker's own program, in its process: run as a file, by ``python -I -S``, with one JSON argument.

It joins control groups before anything can be started outside them; fetches descriptors over a socket, where they
can't be inherited (a container); sets limits; gives up capabilities; installs the system call filter; and becomes the
command. Standard library only, and nothing of this package: it starts in 10 ms.
"""

import ctypes
import json
import os
import resource
import socket
import struct
import sys
from typing import Any

_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_CAP_AMBIENT = 4, 24, 38, 22, 47
_SECCOMP_MODE_FILTER = 2
_CAPABILITIES = 64  # more than there are; asking for one that is not fails


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def main() -> None:
    """Reads the argument and becomes the command."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    for group in job["groups"]:
        with open(group, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    if job["control"]:
        _fetch(job["control"], job["fds"])
    for name, value in job["rlimits"].items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))
    libc = ctypes.CDLL(None, use_errno=True)
    if job["drop"]:
        _drop(libc)
    if job["filter"]:
        _install(libc, bytes.fromhex(job["filter"]))
    os.execvp(job["command"][0], job["command"])


def _fetch(path: str, numbers: list[int]) -> None:
    """Receives descriptors and puts them where the worker expects them; the last one is standard output and error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.connect(path)
        _, received, _, _ = socket.recv_fds(control, 1, len(numbers) + 1)
    # first out of the way of every number that is wanted
    above = 1 + max([2, *numbers, *received])
    moved = []
    for i, fd in enumerate(received):
        os.dup2(fd, above + i, inheritable=False)
        os.close(fd)
        moved.append(above + i)
    for fd, number in zip(moved, [*numbers, 2], strict=True):
        os.dup2(fd, number)
    os.dup2(2, 1)


def _drop(libc: ctypes.CDLL) -> None:
    """Gives up every capability, for good: also those that root has."""
    for capability in range(_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, 4, 0, 0, 0)  # PR_CAP_AMBIENT_CLEAR_ALL
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    libc.capset(header, bytes(24))


def _install(libc: ctypes.CDLL, code: bytes) -> None:
    kept = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(kept))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    main()
