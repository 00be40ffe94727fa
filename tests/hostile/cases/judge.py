"""Attacks on the judge from inside: its functions, its messages, its memory, its seeds and its clock."""

from __future__ import annotations

from hostile.pair import (
    POWERLESS,
    REFUSED,
    Pair,
    changed,
    softmax,
)

CAUGHT = (*REFUSED, "wrong", "unsafe", "crashed", "timeout")
NO_WORK = r"computed by something else|decoy|torch|kernelwright|judge|patch|replace|No module|not .*own|recorder|has no|sandbox"

HEAD = 'extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ y, int cols) {\n'
BEYOND = (
    HEAD,
    HEAD + "    float after = x[(size_t)gridDim.x * cols];\n    if (after > 3.0e38f) { y[0] = after; return; }\n",
)
"""A read beyond the input: unsafe, and the outputs are right all the same."""

FORGED = """
import sys
RECORDER = sys.modules["kernelwright.sandbox.emulated.recorder"]
KEPT = []
"""

PAIRS = (
    Pair(
        "comparisons_that_say_yes",
        "torch.allclose, torch.equal and isclose are replaced by functions that are content with anything.",
        "softmax",
        hostile=softmax(
            "return fill(torch.empty_like(x), 0.01)",
            top="torch.allclose = torch.equal = lambda *a, **k: True\ntorch.isclose = lambda a, b, **k: torch.ones_like(a, dtype=torch.bool)\n",
        ),
        twin=softmax("return softmax(x)", top="def allclose(a, b):\n    return torch.allclose(a, b)\n"),
        expect=("wrong", *REFUSED),
        reason="elements are wrong|patch|replace|allclose|assign",
    ),
    Pair(
        "tensor_methods_that_say_yes",
        "Tensor's comparison operators are replaced through setattr.",
        "softmax",
        hostile=softmax(
            "return fill(torch.empty_like(x), 0.01)",
            top="""
            yes = lambda self, other: torch.ones(self.shape, dtype=torch.bool)
            for name in ("__eq__", "__le__", "__lt__", "isnan"):
                setattr(torch.Tensor, name, yes)
            """,
        ),
        twin=softmax(
            "assert self.names == ['rows', 'cols']\nreturn softmax(x)",
            init="setattr(self, 'names', ['rows', 'cols'])",
        ),
        expect=("wrong", "crashed", *REFUSED),
        reason="elements are wrong|patch|replace|setattr|assign|Tensor",
    ),
    Pair(
        "reports_without_violations",
        "The recorder's log is emptied of violations before the judge reads it.",
        "softmax",
        hostile=changed(
            softmax(
                "return softmax(x)",
                top="""
                import dataclasses, sys
                Session = sys.modules["kernelwright.sandbox.emulated.recorder"].Session
                take = Session.take_reports
                Session.take_reports = lambda self: [dataclasses.replace(r, violations=()) for r in take(self)]
                """,
            ),
            BEYOND,
        ),
        twin=softmax("return softmax(x)", top="import dataclasses\nimport sys\nVERSION = sys.version_info\n"),
        expect=CAUGHT,
        reason="beyond|outside|past|out.of.bounds|recorder|No module|kernelwright|KeyError|has no",
    ),
    Pair(
        "launches_forged_in_the_log",
        "One real launch's report is put into the log at every call; torch computes, and a suppressed call is told from a real one.",
        "softmax",
        hostile=softmax(
            """
            session = RECORDER.current()
            if session.suppressed:
                return torch.empty_like(x)
            if not KEPT:
                softmax(x)
                KEPT.extend(session.reports)
            session.reports[:] = KEPT
            return torch.softmax(x, dim=1)
            """,
            top=FORGED,
        ),
        twin=softmax(
            """
            if not KEPT:
                KEPT.append(MODULE.get_function("softmax"))
            return softmax(x)
            """,
            top="KEPT = []",
        ),
        expect=CAUGHT,
        reason=NO_WORK + "|KeyError",
    ),
    Pair(
        "answer_to_the_decoy_test",
        "It asks the recorder whether launches are being suppressed, and spoils the output only then.",
        "softmax",
        hostile=softmax(
            "softmax(x)\nreturn torch.empty_like(x) if RECORDER.current().suppressed else torch.softmax(x, dim=1)",
            top=FORGED,
        ),
        twin=softmax("return torch.empty_like(x) if x.numel() == 0 else softmax(x)"),
        expect=CAUGHT,
        reason=NO_WORK + "|KeyError",
    ),
    Pair(
        "counters_made_smaller",
        "The counters in each report are scaled down, so that the modelled time shrinks.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            import dataclasses, sys
            Session = sys.modules["kernelwright.sandbox.emulated.recorder"].Session
            take = Session.take_reports
            Session.take_reports = lambda self: [
                dataclasses.replace(r, counters=r.counters.scaled(0.01)) for r in take(self)
            ]
            """,
        ),
        twin=softmax("return softmax(x)", top="def scaled(counters, factor):\n    return counters * factor\n"),
        expect=(*REFUSED, "crashed", POWERLESS),
        reason=NO_WORK + "|KeyError",
    ),
    Pair(
        "json_that_hides",
        "json.dumps in the worker is replaced: violations never reach the text.",
        "softmax",
        hostile=changed(
            softmax(
                "return softmax(x)",
                top="""
                import json
                dumps = json.dumps
                def silent(frame, **options):
                    for report in frame.get("body", {}).get("reports", []):
                        report["violations"] = []
                    return dumps(frame, **options)
                json.dumps = silent
                """,
            ),
            BEYOND,
        ),
        twin=softmax("return softmax(x)", top="import json\nCONFIG = json.loads(json.dumps({'warps': 1}))\n"),
        expect=CAUGHT,
        reason="beyond|outside|past|out.of.bounds|json|patch|replace|assign",
    ),
    Pair(
        "message_on_the_workers_socket",
        "It finds the judge's socket among its descriptors and writes an answer of its own.",
        "softmax",
        hostile=softmax(
            """
            body = {"ok": True, "reports": [], "ops": [], "aliases": [], "written": [True], "lazy": []}
            text = json.dumps({"body": body, "tree": {"v": None}, "tensors": []}).encode()
            sent = 0
            for fd in range(3, 256):
                try:
                    if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                        os.write(fd, struct.pack("<IB", len(text), 0) + text)
                        sent += 1
                except OSError:
                    continue
            if not sent:
                raise LookupError("no socket")
            return softmax(x)
            """,
            before="import json\nimport os\nimport struct",
        ),
        twin=softmax("assert os.cpu_count() >= 1\nreturn softmax(x)", before="import json\nimport os\nimport struct"),
        expect=CAUGHT,
        reason="tensors|schema|frame|something else|no socket|/proc|message|answer|descriptor|wrong",
    ),
    Pair(
        "send_replaced",
        "The channel's send is replaced: it answers with torch's result and a report kept from an honest call.",
        "softmax",
        hostile=softmax(
            """
            LAST.clear()
            LAST.append(x.clone())
            return softmax(x)
            """,
            top="""
            import sys
            Channel = sys.modules["kernelwright.sandbox.channel"].Channel
            LAST, send, KEPT = [], Channel.send, {}
            def forged(self, body, values=None):
                if LAST and body.get("ok"):
                    body["reports"] = KEPT.setdefault("reports", body["reports"])
                    for report in body["reports"]:
                        report["violations"] = []
                        report["counters"]["warp_instructions"] = {"fp32": 1}
                    if body["reports"]:
                        values = torch.softmax(LAST[0], dim=1)
                return send(self, body, values)
            Channel.send = forged
            """,
        ),
        twin=softmax("return softmax(x)", top="class Channel:\n    send = None\nChannel.send = len\n"),
        expect=CAUGHT,
        reason=NO_WORK + "|KeyError|race|channel",
    ),
    Pair(
        "object_that_is_code",
        "An output whose __reduce__ would run a command where it is unpickled.",
        "softmax",
        hostile=softmax(
            "softmax(x)\nreturn Payload()",
            top="""
            import os
            class Payload:
                def __reduce__(self):
                    return os.system, ("touch @OUTSIDE@/unpickled",)
            """,
        ),
        twin=softmax(
            "return softmax(x)",
            top="class Shape:\n    def __reduce__(self):\n        return Shape, ()\n",
        ),
        expect=("crashed", "wrong", *REFUSED),
        reason="Payload|can't be sent|tensor",
    ),
    Pair(
        "parameter_that_requires_grad",
        "The output is a leaf that requires a gradient: a training step would go wrong behind the user's back.",
        "softmax",
        hostile=softmax("return nn.Parameter(softmax(x))"),
        twin=softmax("return softmax(x).detach()"),
        expect=("wrong", "cheating", "crashed"),
        reason="grad|Parameter|subclass",
    ),
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
    Pair(
        "clocks_that_stand_still",
        "time.perf_counter, Event.elapsed_time and synchronize are replaced.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            import time
            time.perf_counter = time.monotonic = time.time = lambda: 0.0
            torch.cuda.Event.elapsed_time = lambda self, other: 1e-6
            torch.cuda.synchronize = lambda *a: None
            """,
        ),
        twin=softmax("torch.cuda.synchronize()\nreturn softmax(x)", top="import time\nSTARTED = time.perf_counter()\n"),
        expect=(*REFUSED, "crashed", POWERLESS),
        reason="clock|time|patch|replace|assign",
    ),
    Pair(
        "precision_flags",
        "Global flags that would slow or speed a reference in the same process.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.enabled = False
            torch.set_float32_matmul_precision("medium")
            torch.set_num_threads(1)
            """,
        ),
        twin=softmax("assert torch.get_default_dtype() == torch.float32\nreturn softmax(x)"),
        expect=(*REFUSED, POWERLESS),
        reason="flag|global|tf32|allow_tf32|precision|backends",
    ),
    Pair(
        "default_dtype_changed",
        "torch.set_default_dtype(float16): a judge in the same process would make its inputs coarse.",
        "softmax",
        hostile=softmax("torch.set_default_dtype(torch.float16)\nreturn softmax(x)"),
        twin=softmax(
            "y = torch.empty(x.shape, dtype=torch.get_default_dtype())\nassert y.shape == x.shape\nreturn softmax(x)"
        ),
        expect=(*REFUSED, POWERLESS),
        reason="default|dtype|global",
    ),
    Pair(
        "lazy_output",
        "A subclass of Tensor that computes when somebody looks at it, after the clock has stopped.",
        "softmax",
        hostile=softmax(
            "softmax(x)\nreturn torch.empty_like(x).as_subclass(Later)._with(x)",
            top="""
            class Later(torch.Tensor):
                def _with(self, x):
                    self.given = x.clone()
                    return self
                @classmethod
                def __torch_function__(cls, func, types, args=(), kwargs=None):
                    if args and isinstance(args[0], Later) and "given" in args[0].__dict__:
                        given = args[0].__dict__.pop("given")
                        with torch._C.DisableTorchFunctionSubclass():
                            args[0].copy_(torch.softmax(given, 1))
                    return super().__torch_function__(func, types, args, kwargs or {})
            """,
        ),
        twin=softmax("return softmax(x).as_subclass(torch.Tensor)"),
        expect=(*REFUSED, "wrong", "crashed"),
        reason="subclass|Later|never written|something else|decoy",
    ),
    Pair(
        "words_for_the_judge",
        "Printed and raised text that claims the verdict.",
        "softmax",
        hostile=softmax(
            """
            print('{"verdict": "passed", "speedup": 100}', flush=True)
            raise SystemExit("passed: all outputs are right")
            """
        ),
        twin=softmax("print('failed: wrong, unsafe, cheating', flush=True)\nreturn softmax(x)"),
        expect=("crashed",),
        reason="SystemExit",
    ),
    Pair(
        "error_object_that_fights_back",
        "An exception whose __str__ and __class__ raise when the judge wants its text.",
        "softmax",
        hostile=softmax(
            "raise Odd()",
            top="""
            class Odd(Exception):
                @property
                def message(self):
                    raise RuntimeError("no message")
                def __str__(self):
                    raise RuntimeError("no text")
                __repr__ = __str__
            """,
        ),
        twin=softmax(
            "try:\n    raise Odd()\nexcept Odd:\n    return softmax(x)",
            top="class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError('no text')\n",
        ),
        expect=("crashed", *REFUSED),
        reason="Odd|no readable message|exit code|Exception",
    ),
    Pair(
        "error_object_without_end",
        "An exception whose text takes for ever.",
        "softmax",
        hostile=softmax(
            "raise Odd()",
            top="class Odd(Exception):\n    def __str__(self):\n        while True:\n            pass\n",
        ),
        twin=softmax(
            "try:\n    raise Odd()\nexcept Odd:\n    return softmax(x)",
            top="class Odd(Exception):\n    def __str__(self):\n        return 'odd'\n",
        ),
        expect=("crashed", "timeout"),
        reason="did not (finish|answer)|Odd",
        call_seconds=3.0,
        build_seconds=8.0,
    ),
    Pair(
        "error_kind_forged",
        "It raises the product's own error for an unsupported device, to be excused instead of judged wrong.",
        "softmax",
        hostile=softmax(
            "raise errors.LaunchError('\\x1b[2J passed', mend='This kernel is right.')",
            before="from kernelwright import errors",
        ),
        twin=softmax("errors = []\nassert not errors\nreturn softmax(x)"),
        expect=("crashed", *REFUSED),
        reason="passed|kernelwright|errors",
    ),
)
