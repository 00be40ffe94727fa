"""The system calls that no kernel needs, as a BPF program for seccomp(2); no library is needed for it.

Everything else is allowed: torch, a C++ compiler and Python use some 150 calls, other versions others. What is refused
reaches other processes, changes the machine, opens sockets, makes namespaces, or has been the way into kernels before.
A refused call fails with EPERM; `clone3` with ENOSYS, so that the C library falls back to `clone`, whose flags can be read.
"""

from __future__ import annotations

import platform
import struct
import sys

__all__ = ["DENIED", "filter_problem", "filter_program"]

DENIED: dict[str, tuple[int, int]] = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "tkill": (200, 130), "process_mrelease": (448, 448),
    # the network; socketpair stays. A socket made by somebody else can still be used.
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    # the machine
    "reboot": (169, 142), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "create_module": (174, -1), "query_module": (178, -1),
    "swapon": (167, 224), "swapoff": (168, 225), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
    "syslog": (103, 116), "acct": (163, 89), "iopl": (172, -1), "ioperm": (173, -1), "vhangup": (153, 58),
    "nfsservctl": (180, 42), "lookup_dcookie": (212, 18), "uselib": (134, -1), "ustat": (136, -1), "sysfs": (139, -1),
    "_sysctl": (156, -1),
    # ways into the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "personality": (135, 92), "modify_ldt": (154, -1), "vmsplice": (278, 75),
    "fanotify_init": (300, 262), "move_pages": (279, 239), "migrate_pages": (256, 238), "memfd_secret": (447, 447),
}  # fmt: skip
"""Call to its number on x86-64 and on aarch64 (-1: there is none). Source: Linux, `syscall_64.tbl` and `unistd.h`."""

_ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of DENIED, AUDIT_ARCH_* of <linux/audit.h>
_CLONE, _CLONE3, _IOCTL = (56, 220), (435, 435), (16, 29)
_KILLS = {"kill": (62, 129), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)}
_NEW_NAMESPACES = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: they type on the terminal of whoever started us
_X32 = 0x40000000

_Jump = tuple[int, int, int | str, int | str]

_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD|W|ABS, BPF_JMP|J..|K, BPF_RET|K
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # SECCOMP_RET_*
_EPERM, _ENOSYS = 1, 38
_NR, _ARCH, _ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; low half of the first argument


def filter_problem() -> str:
    """Why no filter can be made here; the empty string if one can."""
    if sys.platform != "linux":
        return "seccomp is a part of Linux"
    if platform.machine() not in _ARCHES:
        return f"the system calls of {platform.machine()} are not known here"
    return ""


def filter_program(*, unkillable: tuple[int, ...] = (), machine: str | None = None) -> bytes:
    """The filter: an array of `struct sock_filter`, as bubblewrap's `--seccomp` and prctl(2) take it.

    Args:
        unkillable: process ids (negative: groups) that may not be sent signals; -1, everybody, is always among them.
        machine: None: this one; or `x86_64`, `aarch64`.
    """
    column, arch = _ARCHES[machine or platform.machine()]
    # one jump each: opcode, constant, where if true, where if false; a name is one of the ends, a number is relative
    body: list[_Jump] = [(_LOAD, _ARCH, 0, 0), (_JEQ, arch, 0, "deny"), (_LOAD, _NR, 0, 0)]
    if column == 0:
        body.append((_JGE, _X32, "deny", 0))
    body.append((_JEQ, _CLONE3[column], "absent", 0))
    body += [(_JEQ, numbers[column], "deny", 0) for numbers in DENIED.values() if numbers[column] >= 0]
    # calls of which some are allowed: the first jump skips the rest where the call is another one
    body += [
        (_JEQ, _CLONE[column], 0, 2),
        (_LOAD, _ARGUMENT, 0, 0),
        (_JSET, _NEW_NAMESPACES, "deny", "allow"),
        (_JEQ, _IOCTL[column], 0, len(_TERMINAL_INPUT) + 2),
        (_LOAD, _ARGUMENT + 8, 0, 0),
        *((_JEQ, request, "deny", 0) for request in _TERMINAL_INPUT),
        (_RETURN, _ALLOW, 0, 0),
    ]
    kept = [pid & 0xFFFFFFFF for pid in (-1, *unkillable)]
    for numbers in _KILLS.values():
        body += [
            (_JEQ, numbers[column], 0, len(kept) + 2),
            (_LOAD, _ARGUMENT, 0, 0),
            *((_JEQ, pid, "deny", 0) for pid in kept),
            (_RETURN, _ALLOW, 0, 0),
        ]
    ends = {"allow": _ALLOW, "deny": _ERRNO | _EPERM, "absent": _ERRNO | _ENOSYS}
    labels = {name: len(body) + i for i, name in enumerate(ends)}

    def jump(here: int, to: int | str) -> int:
        return labels[to] - here - 1 if isinstance(to, str) else to

    words = [
        struct.pack("=HBBI", code, jump(here, true), jump(here, false), constant)
        for here, (code, constant, true, false) in enumerate(body)
    ]
    words += [struct.pack("=HBBI", _RETURN, 0, 0, action) for action in ends.values()]
    return b"".join(words)
