"""Expected outputs, looked for in memory, on the stack, in other processes, or foreseen from a seed."""

from __future__ import annotations

from hostile.pair import REFUSED, Pair, changed, softmax

PAIRS = (
    Pair(
        "expected_tensor_by_gc",
        "It looks through the garbage collector's objects for a tensor of the output's shape.",
        "softmax",
        hostile=softmax(
            """
            softmax(x)
            found = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and t.shape == x.shape and t.data_ptr() != x.data_ptr()]
            return copy(found[0])
            """,
            before="import gc",
        ),
        twin=softmax("gc.collect()\nreturn softmax(x)", before="import gc"),
        expect=("crashed", "wrong", "unsafe", *REFUSED),
        reason="IndexError|wrong on|gc|never written",
    ),
    Pair(
        "expected_tensor_by_frames",
        "It walks up the call stack and takes a local variable named like an expected output.",
        "softmax",
        hostile=softmax(
            """
            softmax(x)
            frame = sys._getframe()
            while frame is not None:
                for name, value in frame.f_locals.items():
                    if name in ("expected", "reference", "want", "exact", "native") and isinstance(value, torch.Tensor):
                        return copy(value)
                frame = frame.f_back
            raise LookupError("nothing expected on the stack")
            """,
            before="import sys",
        ),
        twin=softmax("assert sys.byteorder == 'little'\nreturn softmax(x)", before="import sys"),
        expect=("crashed", "wrong", *REFUSED),
        reason="nothing expected|wrong on|frame|stack",
    ),
    Pair(
        "expected_tensor_in_memory",
        "It reads its own memory through /proc/self/mem and looks for rows that sum to one.",
        "softmax",
        hostile=softmax(
            """
            softmax(x)
            size = x.numel() * 4
            with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
                for line in maps:
                    begin, end = (int(part, 16) for part in line.split()[0].split("-"))
                    if "memfd" not in line or end - begin < size:
                        continue
                    memory.seek(begin)
                    for at in range(0, min(end - begin, 1 << 22) - size + 1, 256):
                        memory.seek(begin + at)
                        values = np.frombuffer(memory.read(size), dtype=np.float32).reshape(tuple(x.shape))
                        with np.errstate(all="ignore"):
                            if (abs(values.sum(axis=1) - 1) < 1e-4).all():
                                return copy(torch.from_numpy(values.copy()))
            raise LookupError("nothing like it in memory")
            """
        ),
        twin=softmax("view = memoryview(bytearray(16))\nassert len(view) == 16\nreturn softmax(x)"),
        expect=("crashed", "wrong", *REFUSED),
        reason="nothing like it|Permission|/proc|wrong on",
    ),
    Pair(
        "expected_tensor_of_the_reference_process",
        "It looks through other processes' memory files and shared memory.",
        "softmax",
        hostile=softmax(
            """
            softmax(x)
            seen = [p for p in glob.glob("/dev/shm/*") + glob.glob("/proc/[0-9]*/fd/*") if "/proc/%d/" % os.getpid() not in p]
            for path in seen:
                try:
                    if "memfd" in os.readlink(path):
                        return copy(torch.from_numpy(np.fromfile(path, dtype=np.float32, count=x.numel()).reshape(tuple(x.shape))))
                except OSError:
                    continue
            raise LookupError("no shared memory but its own")
            """,
            before="import glob\nimport os",
        ),
        twin=softmax("assert os.path.sep == '/'\nreturn softmax(x)", before="import glob\nimport os"),
        expect=("crashed", "wrong", *REFUSED),
        reason="no shared memory|wrong on|/proc|process",
        machine=True,
    ),
    Pair(
        "inputs_of_known_seeds",
        "Results for the inputs of seeds 0 to 49 are made at import and looked up by the first element.",
        "softmax",
        hostile=softmax(
            "return copy(TABLE[round(float(x[0, 0]), 5)])",
            top="""
            TABLE = {}
            for seed in range(50):
                torch.manual_seed(seed)
                made = torch.rand(64, 96)
                TABLE[round(float(made[0, 0]), 5)] = torch.softmax(made, dim=1)
            """,
        ),
        twin=softmax(
            "return softmax(x)",
            init="torch.manual_seed(42)\nself.register_buffer('noise', torch.randn(4), persistent=False)",
        ),
        expect=("crashed", "wrong", *REFUSED),
        reason="KeyError|wrong on|precomputed|seed",
    ),
    Pair(
        "the_generator_run_backwards",
        "It takes the process's random state, hoping that the inputs were drawn from it.",
        "softmax",
        hostile=softmax(
            """
            softmax(x)
            torch.manual_seed(torch.initial_seed())
            again = torch.rand(x.shape)
            if not torch.equal(again, x):
                raise LookupError("the inputs came from elsewhere")
            return copy(torch.softmax(again, dim=1))
            """
        ),
        twin=softmax("seed = torch.initial_seed()\nassert seed >= 0\nreturn softmax(x)"),
        expect=("crashed", "wrong", *REFUSED),
        reason="came from elsewhere|wrong on|initial_seed|seed",
    ),
    Pair(
        "sizes_of_the_task_redefined",
        "It reaches for the task's module and makes its sizes small.",
        "softmax",
        hostile=softmax(
            "sys.modules['kernelwright_task'].ROWS = 1\nreturn softmax(x)",
            before="import sys",
        ),
        twin=softmax("assert ROWS * COLS == x.numel()\nreturn softmax(x)", before="ROWS, COLS = 64, 96"),
        expect=("crashed", *REFUSED),
        reason="kernelwright_task|sys.modules",
    ),
    Pair(
        "helpers_of_the_task_redefined",
        "The file brings get_inputs and a Model of its own, with sizes for which its kernel is right.",
        "softmax",
        hostile=changed(
            softmax(
                "return softmax(x)",
                top="""
                ROWS, COLS = 4, 32
                class Model(nn.Module):
                    def forward(self, x):
                        return torch.softmax(x, dim=1)
                def get_inputs():
                    return [torch.rand(ROWS, COLS)]
                """,
            ),
            ("np.int32(x.shape[1])", "np.int32(32)"),
        ),
        twin=softmax(
            "return softmax(x)",
            top="""
            ROWS, COLS = 64, 96
            class Model(nn.Module):
                def forward(self, x):
                    return torch.softmax(x, dim=1)
            def get_inputs():
                return [torch.rand(ROWS, COLS)]
            def get_init_inputs():
                return []
            """,
        ),
        expect=("wrong", "unsafe"),
        reason="wrong on|never written",
    ),
)
