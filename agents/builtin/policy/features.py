"""A choice as the policy sees it: numbers that mean the same in every task and on every GPU.

Sizes are logarithms to base 2. A knob that a kind of kernel does not have is 0, like one at its value 1; which kind it is, is
told beside it. Derived numbers (how far the grid fills the GPU, bytes a thread, shared memory of a tile) spare the net from
finding out how knobs combine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from kernelwright.agents.builtin.policy.facts import ChoiceFacts, KernelFacts, Value
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["CHOICE", "CONTEXT", "NAMES", "RELATIVE", "choice_features", "context_features", "features"]

_KINDS = ("rows", "pointwise", "matmul", "attention")
_SIZES = ("rows", "columns", "batch", "m", "n", "c", "read_bytes", "write_bytes")
_COUNTS = ("operands", "loads", "gathers", "operations", "costly", "reductions", "passes", "stored_per_element")
_FLAGS = ("strided", "windowed")
_NUMERIC = (
    "vector_width", "threads", "rows_per_block", "unroll", "split", "blocks_per_sm", "tile_m", "tile_n", "tile_k", "thread_m",
    "thread_n", "stages", "slices", "tile_q",
)  # fmt: skip
_WORDS = (
    ("strategy", "registers"), ("strategy", "loop"), ("strategy", "online"), ("copy", "async"), ("cores", "tensor"),
)  # fmt: skip
_SWITCHES = ("prefetch", "tensor_cores")

CONTEXT = (
    *(f"is {kind}" for kind in _KINDS), *(f"log {name}" for name in _SIZES), "log item bytes", "log least item bytes",
    *(f"log {name}" for name in _COUNTS), *_FLAGS, "log FLOPs a byte", "log SMs", "log bandwidth", "log fp32 peak",
    "log tensor peak", "log shared of an SM", "log L2", "log threads of an SM", "log bytes over L2",
)  # fmt: skip
"""Names of what describes the kernel and the GPU."""
CHOICE = (
    *(f"log {name}" for name in _NUMERIC), *(f"{name} is {word}" for name, word in _WORDS), *_SWITCHES, "persistent",
    "log block", "log blocks", "log blocks an SM", "fill", "log waves", "tail", "log threads of the GPU", "log bytes a thread",
    "log bytes an access", "log shared of a block", "held by shared", "launches", "log tile work", "tile over m", "tile over n",
    "log lanes", "log columns a lane", "log sums a thread",
)  # fmt: skip
"""Names of what describes the choice."""
_HELD_AGAINST_FIRST = (
    "log block",
    "log blocks",
    "log bytes an access",
    "log tile work",
    "log columns a lane",
    "log sums a thread",
)
RELATIVE = ("is first", "changed knobs", *(f"{name} over first" for name in _HELD_AGAINST_FIRST))
"""Names of what a choice is beside the coder's own first one, which its templates take with care: that, the share of knobs that
differ, and how far some numbers are from its."""
NAMES = CONTEXT + RELATIVE + CHOICE
_COMPARED = [CHOICE.index(name) for name in _HELD_AGAINST_FIRST]

Vector = npt.NDArray[np.float64]


def _log(value: float) -> float:
    return math.log2(max(float(value), 1e-9) + 0.0) if value >= 1 else 0.0


def context_features(kernel: KernelFacts, gpu: Gpu) -> Vector:
    """The kernel and the GPU, in the order of `CONTEXT`."""
    n = kernel.numbers
    get = lambda name, other=0.0: float(n.get(name, other))  # noqa: E731
    total = get("read_bytes") + get("write_bytes")
    if kernel.kind in ("matmul", "attention"):
        width = get("columns") + (get("c") if kernel.kind == "attention" else 0.0)
        work = 2 * get("batch") * get("m") * get("n") * width
    else:
        work = get("rows") * max(get("columns"), 1.0) * (1 + get("operations") + 8 * get("costly"))
    values = [
        *(float(kernel.kind == kind) for kind in _KINDS),
        *(_log(get(name)) for name in _SIZES),
        math.log2(max(get("item_bytes", 4), 1)),
        math.log2(max(get("least_item_bytes", 4), 1)),
        *(math.log2(1 + get(name)) for name in _COUNTS),
        *(get(name) for name in _FLAGS),
        math.log2(1 + work / max(total, 1.0)),
        math.log2(gpu.sms),
        math.log2(gpu.achievable_bandwidth / 1e9),
        math.log2(gpu.fp32_peak / 1e9),
        math.log2(gpu.matmul_peak("float16") / 1e9),
        math.log2(gpu.shared_per_sm),
        math.log2(gpu.l2_bytes),
        math.log2(gpu.max_threads),
        math.log2(max(total, 1.0) / gpu.l2_bytes),
    ]
    return np.array(values)


def choice_features(kernel: KernelFacts, choice: ChoiceFacts, gpu: Gpu) -> Vector:
    """The choice, in the order of `CHOICE`."""
    n, knobs = kernel.numbers, choice.knobs
    number = lambda name, other=1: _number(knobs, name, other)  # noqa: E731
    first = choice.launches[0]
    item = n.get("item_bytes", 4.0)
    if kernel.kind == "matmul":
        shared = (number("tile_m") + number("tile_n")) * number("tile_k") * number("stages") * item * number("slices")
        tile_m, tile_n = number("tile_m"), number("tile_n")
        sums = number("thread_m") * number("thread_n")
        work = tile_m * tile_n * number("tile_k")
    elif kernel.kind == "attention":
        width = n.get("columns", 1.0) + n.get("c", 1.0)
        tile_m, tile_n = number("tile_q"), number("tile_k")
        shared = (tile_m + tile_n) * width * (item if knobs.get("tensor_cores") else 4)
        sums = tile_m * (tile_n + n.get("c", 1.0)) / max(first.threads, 1)
        work = tile_m * tile_n * width
    else:
        shared, tile_m, tile_n, sums, work = 0.0, 0.0, 0.0, 1.0, 1.0
    shared = max(shared, float(first.shared))
    by_shared = gpu.shared_per_sm // max(shared + gpu.shared_reserved, 1.0)
    held = max(1.0, min(gpu.max_threads // max(first.threads, 1), gpu.max_blocks, by_shared))
    waves = first.blocks / (gpu.sms * held)
    threads = first.blocks * first.threads
    lanes = first.threads / number("rows_per_block") if kernel.kind == "rows" else 1.0
    columns = n.get("columns", 1.0) / max(lanes * number("split"), 1e-9) if kernel.kind == "rows" else 1.0
    values = [
        *(math.log2(max(number(name), 1)) for name in _NUMERIC),
        *(float(knobs.get(name) == word) for name, word in _WORDS),
        *(float(bool(knobs.get(name, False))) for name in _SWITCHES),
        float(bool(knobs.get("blocks_per_sm", 0))),
        math.log2(max(first.threads, 1)),
        math.log2(max(first.blocks, 1)),
        math.log2(max(first.blocks, 1) / gpu.sms),
        min(1.0, first.blocks / gpu.sms),
        math.log2(1 + waves),
        waves / math.ceil(waves) if waves > 0 else 0.0,
        math.log2(max(threads, 1) / (gpu.sms * gpu.max_threads)),
        math.log2(1 + (n.get("read_bytes", 0.0) + n.get("write_bytes", 0.0)) / max(threads, 1)),
        math.log2(max(number("vector_width") * item, 1)),
        math.log2(1 + shared),
        float(by_shared < gpu.max_threads // max(first.threads, 1)),
        float(len(choice.launches)),
        math.log2(max(work, 1)),
        min(4.0, tile_m / max(n.get("m", 1.0), 1.0)),
        min(4.0, tile_n / max(n.get("n", 1.0), 1.0)),
        math.log2(max(lanes, 1.0)),
        math.log2(max(columns, 2**-4)),
        math.log2(max(sums, 1.0)),
    ]
    return np.array(values)


def _number(knobs: Mapping[str, Value], name: str, other: float) -> float:
    value = knobs.get(name, other)
    return float(value) if isinstance(value, bool | int | float) else other


def features(kernel: KernelFacts, choices: Sequence[ChoiceFacts], gpu: Gpu, first: ChoiceFacts | None = None) -> Vector:
    """One row a choice, in the order of `NAMES`: shape (choices, features), float64.

    Args:
        first: what the coder would choose by itself; None where that is the first of `choices`.
    """
    first = choices[0] if first is None else first
    context = context_features(kernel, gpu)
    own = choice_features(kernel, first, gpu)
    rows = []
    for choice in choices:
        values = choice_features(kernel, choice, gpu)
        changed = sum(repr(value) != repr(first.knobs.get(name)) for name, value in choice.knobs.items())
        beside = [float(not changed), changed / max(1, len(choice.knobs)), *(values - own)[_COMPARED]]
        rows.append(np.concatenate([context, beside, values]))
    return np.stack(rows)
