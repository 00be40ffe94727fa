"""Attacks on its own process: sudden ends, loops without end, other modules under known names, broken interpreters."""

from __future__ import annotations

from hostile.cpp import LAUNCH, cpp
from hostile.pair import BY_TORCH, HONEST_SOFTMAX, POWERLESS, REFUSED, Pair, changed, softmax

ENDED = r"died|ended|exit|signal|SystemExit"
SLOW = r"did not finish|did not end|endless|too long|within"

PAIRS = (
    Pair(
        "exit_at_once",
        "os._exit(0), as a process that has done its work.",
        "softmax",
        hostile=softmax("softmax(x)\nos._exit(0)", before="import os"),
        twin=softmax("assert os._exit\nreturn softmax(x)", before="import os"),
        expect=("crashed",),
        reason=ENDED,
    ),
    Pair(
        "exit_of_the_interpreter",
        "sys.exit('passed') while the module loads.",
        "softmax",
        hostile=softmax("return softmax(x)", top="import sys\nsys.exit('passed')\n"),
        twin=softmax("return softmax(x)", top="import sys\nif not sys.version:\n    sys.exit('no version')\n"),
        expect=("crashed", "compile_error"),
        reason=ENDED,
    ),
    Pair(
        "segmentation_fault",
        "It reads address zero.",
        "softmax",
        hostile=softmax("ctypes.string_at(0)\nreturn softmax(x)", before="import ctypes"),
        twin=softmax("assert ctypes.sizeof(ctypes.c_float) == 4\nreturn softmax(x)", before="import ctypes"),
        expect=("crashed",),
        reason=ENDED,
    ),
    Pair(
        "abort_in_cpp",
        "std::abort in the extension.",
        "softmax",
        hostile=cpp("    std::abort();\n" + LAUNCH + "    return y;", includes="#include <cstdlib>"),
        twin=cpp("    if (rows < 0) std::abort();\n" + LAUNCH + "    return y;", includes="#include <cstdlib>"),
        expect=("crashed",),
        reason=ENDED,
    ),
    Pair(
        "recursion_without_end",
        "The interpreter's stack is used up.",
        "softmax",
        hostile=softmax(
            "sys.setrecursionlimit(10**9)\nreturn deeper(x)",
            top="import sys\ndef deeper(x):\n    return deeper(x) + deeper(x)\n",
        ),
        twin=softmax(
            "return deeper(x, 5)", top="def deeper(x, n):\n    return deeper(x, n - 1) if n else softmax(x)\n"
        ),
        expect=("crashed", "timeout"),
        reason=ENDED + "|Recursion|memory|" + SLOW,
        call_seconds=3.0,
        build_seconds=8.0,
    ),
    Pair(
        "endless_loop_in_python",
        "forward never returns.",
        "softmax",
        hostile=softmax("while True:\n    pass"),
        twin=softmax("while True:\n    return softmax(x)"),
        expect=("timeout",),
        reason=SLOW,
        call_seconds=2.0,
        build_seconds=6.0,
    ),
    Pair(
        "endless_loop_that_ignores_signals",
        "The same, deaf to everything that can be ignored.",
        "softmax",
        hostile=softmax(
            """
            for number in range(1, 32):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except OSError:
                    continue
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    continue
            """,
            before="import signal",
        ),
        twin=softmax("signal.getsignal(signal.SIGTERM)\nreturn softmax(x)", before="import signal"),
        expect=("timeout",),
        reason=SLOW,
        call_seconds=2.0,
        build_seconds=6.0,
    ),
    Pair(
        "endless_loop_in_a_kernel",
        "A kernel that waits for what never comes.",
        "softmax",
        hostile=changed(
            HONEST_SOFTMAX,
            (
                "    float sum = 0.0f;",
                "    out[0] = 1.0f;\n    while (((volatile float*)out)[0] != 42.0f) out[0] = 1.0f;\n    float sum = 0.0f;",
            ),
        ),
        twin=changed(
            HONEST_SOFTMAX,
            (
                "    float sum = 0.0f;",
                "    for (int spin = 0; spin < 100 && largest < -3e38f; ++spin) __nanosleep(1);\n    float sum = 0.0f;",
            ),
        ),
        expect=("timeout",),
        reason=SLOW,
        call_seconds=3.0,
        build_seconds=20.0,
    ),
    Pair(
        "endless_loop_in_cpp",
        "The extension's C++ never returns.",
        "softmax",
        hostile=cpp("    volatile int go = 1;\n    while (go) { }\n" + LAUNCH + "    return y;"),
        twin=cpp("    volatile int go = 0;\n    while (go) { }\n" + LAUNCH + "    return y;"),
        expect=("timeout",),
        reason=SLOW,
        call_seconds=4.0,
        build_seconds=30.0,
    ),
    Pair(
        "endless_loop_in_the_constructor",
        "__init__ waits in a sleep that nothing ends.",
        "softmax",
        hostile=softmax("return softmax(x)", init="time.sleep(100000)", before="import time"),
        twin=softmax("return softmax(x)", init="time.sleep(0)", before="import time"),
        expect=("timeout",),
        reason=SLOW,
        load_seconds=15.0,
    ),
    Pair(
        "template_without_end",
        "The compiler is kept busy by templates that make templates.",
        "softmax",
        hostile=changed(
            HONEST_SOFTMAX,
            (
                'extern "C" __global__ void softmax(',
                "template <int N, int K> struct Tower { static constexpr long value = Tower<N - 1, 2 * K>::value + Tower<N - 1, 2 * K + 1>::value; };\n"
                "template <int K> struct Tower<0, K> { static constexpr long value = K; };\n"
                "__device__ long height = Tower<26, 1>::value;\n"
                'extern "C" __global__ void softmax(',
            ),
        ),
        twin=changed(
            HONEST_SOFTMAX,
            (
                'extern "C" __global__ void softmax(',
                "template <int N> struct Tower { static constexpr long value = Tower<N - 1>::value + 1; };\n"
                "template <> struct Tower<0> { static constexpr long value = 0; };\n"
                "__device__ long height = Tower<26>::value;\n"
                'extern "C" __global__ void softmax(',
            ),
        ),
        expect=("timeout", "compile_error", "crashed"),
        reason=SLOW + "|memory|compile",
        call_seconds=4.0,
        build_seconds=10.0,
        memory_bytes=8 << 30,
        machine=True,
    ),
    Pair(
        "cupy_shadowed",
        "A module of its own under cupy's name, whose launches are torch operations.",
        "softmax",
        hostile=softmax(
            "MODULE.get_function('softmax')(x)\nreturn MODULE.last",
            before="""
            class Fake:
                def __init__(self, code):
                    self.last = None
                def get_function(self, name):
                    return self.run
                def run(self, x):
                    self.last = torch.softmax(x, dim=1)
            import types
            cupy = types.SimpleNamespace(RawModule=Fake)
            """,
        ),
        twin=softmax("return softmax(x)", before="import types\nnames = types.SimpleNamespace(RawModule=None)"),
        expect=REFUSED,
        reason=BY_TORCH,
    ),
    Pair(
        "modules_replaced",
        "sys.modules gets another torch for whoever imports it later.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            import sys
            import types
            sys.modules["json"] = sys.modules["struct"] = types.ModuleType("empty")
            """,
        ),
        twin=softmax("return softmax(x)", top="import sys\nNAMES = sorted(sys.modules)\n"),
        expect=("crashed", POWERLESS, *REFUSED),
        reason="sys.modules|module|" + ENDED,
    ),
    Pair(
        "builtins_replaced",
        "len, isinstance and getattr of everybody else in its process.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="import builtins\nbuiltins.len = lambda value: 0\nbuiltins.zip = lambda *a, **k: iter(())\n",
        ),
        twin=softmax("return softmax(x)", top="import builtins\nCOUNT = builtins.len([1])\n"),
        expect=("crashed", "wrong", "cheating", "rejected", POWERLESS),
        reason=r"\w",
    ),
    Pair(
        "threads_that_spin",
        "Threads that keep the interpreter busy while others are timed.",
        "softmax",
        hostile=softmax(
            "return softmax(x)",
            top="""
            import threading
            def spin():
                while True:
                    pass
            threading.Thread(target=spin, daemon=True).start()
            """,
        ),
        twin=softmax("return softmax(x)", top="import threading\nLOCK = threading.Lock()\n"),
        expect=("timeout", POWERLESS, *REFUSED),
        reason=SLOW + "|thread",
    ),
    Pair(
        "excuses_itself",
        "It raises the errors by which a machine's faults are told from a kernel's.",
        "softmax",
        hostile=softmax("raise MemoryError('the judge has too little memory; this kernel is right')"),
        twin=softmax("try:\n    raise MemoryError\nexcept MemoryError:\n    return softmax(x)"),
        expect=("crashed",),
        reason="memory",
    ),
    Pair(
        "outputs_never_end",
        "An iterator instead of a tensor.",
        "softmax",
        hostile=softmax("return (softmax(x) for _ in iter(int, 1))"),
        twin=softmax("return next(softmax(x) for _ in range(1))"),
        expect=("crashed", "wrong"),
        reason="generator|can't be sent",
    ),
    Pair(
        "outputs_nested_without_end",
        "A list that holds itself.",
        "softmax",
        hostile=softmax("y = [softmax(x)]\ny.append(y)\nreturn y"),
        twin=softmax("y = [softmax(x)]\nreturn y[0]"),
        expect=("crashed", "wrong"),
        reason="Recursion|sequence|no tree|depth",
    ),
    Pair(
        "keys_that_are_no_strings",
        "A dict whose keys are objects that compare equal to everything.",
        "softmax",
        hostile=softmax(
            "return {Any(): softmax(x)}",
            top="class Any:\n    __hash__ = lambda self: 0\n    __eq__ = lambda self, other: True\n",
        ),
        twin=softmax('return {"y": softmax(x)}["y"]'),
        expect=("crashed", "wrong"),
        reason="dict|can't be sent",
    ),
)
