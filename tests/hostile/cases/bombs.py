"""Bombs: processes, threads, memory, files. Run under a sandbox only, whose limits they are to meet.

Each tries in earnest, and says `nothing stopped it` when it gets through, which no reason below allows.
"""

from __future__ import annotations

from hostile.pair import DENIED, REFUSED, Pair, softmax, softmax_after

PAIRS = (
    Pair(
        "fork_bomb",
        "Children that make children. Bounded here at 4,000, should nothing else bound it.",
        "softmax",
        hostile=softmax_after(
            """
            children = []
            for _ in range(4000):
                child = os.fork()
                if child == 0:
                    time.sleep(60)
                    os._exit(0)
                children.append(child)
            raise LookupError("nothing stopped it")
            """,
            "import os\nimport time",
        ),
        twin=softmax(
            """
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            return softmax(x)
            """,
            before="import os",
        ),
        expect=("crashed", "timeout", *REFUSED),
        reason="Resource temporarily|BlockingIOError|processes|fork|memory",
        machine=True,
    ),
    Pair(
        "thread_bomb",
        "4,000 threads that sleep.",
        "softmax",
        hostile=softmax_after(
            """
            for _ in range(4000):
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            raise LookupError("nothing stopped it")
            """,
            "import threading\nimport time",
        ),
        twin=softmax_after(
            """
            threads = [threading.Thread(target=time.sleep, args=(0,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            """,
            "import threading\nimport time",
        ),
        expect=("crashed", "timeout", *REFUSED),
        reason="can't start new thread|Resource|processes|memory",
        machine=True,
    ),
    Pair(
        "memory_bomb",
        "Bytes without end, each page touched.",
        "softmax",
        hostile=softmax_after(
            """
            held = []
            for _ in range(200):
                held.append(bytearray(b"x" * (1 << 26)))
            raise LookupError("nothing stopped it")
            """,
            "import os",
        ),
        twin=softmax_after('held = bytearray(b"x" * (1 << 26))\nassert len(held) == 1 << 26', "import os"),
        expect=("crashed",),
        reason="memory|MemoryError",
        machine=True,
        memory_bytes=8 << 30,
    ),
    Pair(
        "memory_bomb_by_tensors",
        "A tensor of a terabyte.",
        "softmax",
        hostile=softmax("torch.empty(1 << 38)\nreturn softmax(x)"),
        twin=softmax("torch.empty(1 << 20)\nreturn softmax(x)"),
        expect=("crashed",),
        reason="memory|alloc",
        machine=True,
    ),
    Pair(
        "memory_bomb_by_shared_files",
        "Memory files, which no limit on address space counts.",
        "softmax",
        hostile=softmax_after(
            """
            held = []
            for _ in range(240):
                held.append(os.memfd_create("bomb"))
                for _ in range(64):
                    os.write(held[-1], bytes(1 << 20))
            raise LookupError("nothing stopped it")
            """,
            "import os",
        ),
        twin=softmax_after('fd = os.memfd_create("scratch")\nos.write(fd, b"x")\nos.close(fd)', "import os"),
        expect=("crashed",),
        reason="memory|No space|Errno",
        machine=True,
        memory_bytes=6 << 30,
    ),
    Pair(
        "disk_filling",
        "Files of 64 MiB in its own /tmp, until something says no.",
        "softmax",
        hostile=softmax_after(
            """
            for number in range(64):
                with open(os.path.join(tempfile.gettempdir(), "filler%d" % number), "wb") as file:
                    for _ in range(64):
                        file.write(bytes(1 << 20))
            raise LookupError("nothing stopped it")
            """,
            "import os\nimport tempfile",
        ),
        twin=softmax_after(
            """
            with tempfile.NamedTemporaryFile() as file:
                file.write(bytes(1 << 20))
            """,
            "import tempfile",
        ),
        expect=("crashed",),
        reason="No space|OSError",
        machine=True,
    ),
    Pair(
        "shared_memory_filling",
        "The same in /dev/shm.",
        "softmax",
        hostile=softmax_after(
            """
            for number in range(64):
                with open("/dev/shm/@MARK@-%d" % number, "wb") as file:
                    for _ in range(64):
                        file.write(bytes(1 << 20))
            raise LookupError("nothing stopped it")
            """,
            "import os",
        ),
        twin=softmax_after('assert os.path.isdir("/dev/shm") in (True, False)', "import os"),
        expect=("crashed",),
        reason="No space|" + DENIED,
        machine=True,
    ),
)
