"""Attacks on other processes, and processes left behind. Run under a sandbox only.

Each tries in earnest, and says `nothing stopped it` when it gets through, which no reason below allows.
"""

from __future__ import annotations

from hostile.pair import DENIED, POWERLESS, REFUSED, Pair, softmax, softmax_after

PAIRS = (
    Pair(
        "process_left_behind",
        "A child in a session of its own, that shall live on.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            import subprocess
            import sys
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", "@MARK@"], start_new_session=True)
            """,
        ),
        twin=softmax(
            "return softmax(x)",
            top="import subprocess\nimport sys\nsubprocess.run(['true'], check=True)\n",
        ),
        expect=("crashed", POWERLESS, *REFUSED),
        reason="subprocess|process",
        machine=True,
    ),
    Pair(
        "process_left_behind_twice_removed",
        "A grandchild, whose parent has ended and whom init has adopted.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            import os
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.execvp("python3", ["python3", "-c", "import time; time.sleep(300)", "@MARK@"])
                os._exit(0)
            """,
        ),
        twin=softmax(
            "return softmax(x)",
            top="import os\nCHILD = os.fork()\nif CHILD == 0:\n    os._exit(0)\nos.waitpid(CHILD, 0)\n",
        ),
        expect=("crashed", POWERLESS, *REFUSED),
        reason="fork|process",
        machine=True,
    ),
    Pair(
        "work_at_exit",
        "A function that runs when the worker ends, and writes outside.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            import atexit
            def last():
                with open("@OUTSIDE@/@MARK@", "w") as file:
                    file.write("here")
            atexit.register(last)
            """,
        ),
        twin=softmax("return softmax(x)", top="import atexit\natexit.register(len, ())\n"),
        expect=(POWERLESS, *REFUSED),
        reason="atexit",
        machine=True,
    ),
    Pair(
        "ptrace_of_the_parent",
        "It attaches to its parent as a debugger would.",
        "softmax",
        hostile=softmax_after(
            """
            libc = ctypes.CDLL(None, use_errno=True)
            for process in {os.getppid(), 1, *(int(p) for p in os.listdir("/proc") if p.isdigit())} - {os.getpid()}:
                if libc.ptrace(16, process, 0, 0) == 0:  # PTRACE_ATTACH
                    raise LookupError("nothing stopped it")
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            """,
            "import ctypes\nimport os",
        ),
        twin=softmax_after("assert ctypes.sizeof(ctypes.c_int) == 4", "import ctypes"),
        expect=("crashed", *REFUSED),
        reason=DENIED + "|ctypes",
        machine=True,
    ),
    Pair(
        "memory_of_another_process",
        "process_vm_readv and /proc/PID/mem on everything it sees.",
        "softmax",
        hostile=softmax_after(
            """
            libc = ctypes.CDLL(None, use_errno=True)
            room = ctypes.create_string_buffer(8)
            class Vector(ctypes.Structure):
                _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
            said = PermissionError("no other process")
            # 1 is the sandbox's own init: no capabilities, the same filter
            for process in {os.getppid(), *(int(p) for p in os.listdir("/proc") if p.isdigit())} - {os.getpid(), 1}:
                try:
                    with open("/proc/%d/maps" % process) as maps:
                        first = int(maps.readline().split("-")[0], 16)
                    mine, theirs = Vector(ctypes.addressof(room), 8), Vector(first, 8)
                    if libc.process_vm_readv(process, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0) == 8:
                        raise LookupError("nothing stopped it")
                    with open("/proc/%d/mem" % process, "r+b") as memory:
                        memory.seek(first)
                        memory.read(8)
                    raise LookupError("nothing stopped it")
                except OSError as error:
                    said = error
                except ValueError:
                    continue
            raise PermissionError(str(said))
            """,
            "import ctypes\nimport os",
        ),
        twin=softmax_after("room = ctypes.create_string_buffer(8)\nassert len(room) == 8", "import ctypes"),
        expect=("crashed", *REFUSED),
        reason=DENIED + "|no other process",
        machine=True,
    ),
    Pair(
        "kills_all",
        "SIGKILL to every process that it may signal.",
        "softmax",
        hostile=softmax_after("os.kill(-1, signal.SIGKILL)\ntime.sleep(5)", "import os\nimport signal\nimport time"),
        twin=softmax_after("os.kill(os.getpid(), 0)", "import os"),
        expect=("crashed", POWERLESS, *REFUSED),
        reason="died|ended|signal|" + DENIED,
        machine=True,
    ),
    Pair(
        "kills_its_parent",
        "SIGKILL to its parent, who may be the judge.",
        "softmax",
        hostile=softmax_after("os.kill(os.getppid(), signal.SIGKILL)", "import os\nimport signal"),
        twin=softmax_after("assert os.getppid() >= 0", "import os"),
        expect=("crashed", POWERLESS, *REFUSED),
        reason="died|ended|signal|" + DENIED,
        machine=True,
    ),
    Pair(
        "new_namespaces",
        "A user namespace of its own, in which it is root and may mount.",
        "softmax",
        hostile=softmax_after(
            """
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(0x10000000) == 0 or libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0:
                raise LookupError("nothing stopped it")
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            """,
            "import ctypes\nimport os",
        ),
        twin=softmax_after("assert os.getuid() >= 0", "import os"),
        expect=("crashed", *REFUSED),
        reason=DENIED,
        machine=True,
    ),
    Pair(
        "types_on_the_terminal",
        "TIOCSTI puts characters into the terminal of whoever started it.",
        "softmax",
        hostile=softmax_after(
            """
            for fd in range(3):
                try:
                    fcntl.ioctl(fd, termios.TIOCSTI, b"x")
                    raise LookupError("nothing stopped it")
                except OSError as error:
                    said = error
            raise said
            """,
            "import fcntl\nimport termios",
        ),
        twin=softmax_after("assert termios.TIOCSTI", "import termios"),
        expect=("crashed", *REFUSED),
        reason=DENIED + "|ioctl",
        machine=True,
    ),
)
