"""Comparisons, clocks and global flags that the candidate changes for everybody in its process."""

from __future__ import annotations

from hostile.pair import POWERLESS, REFUSED, Pair, softmax

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
)
