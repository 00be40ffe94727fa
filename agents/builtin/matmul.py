"""The matrix product template: what may be chosen, and what is chosen first.

`cores` says who multiplies: CUDA cores (`simt_tiles`) or, for float16 and bfloat16, tensor cores (`tensor_tiles`). `copy` says how
operands reach shared memory: through registers, fetched while the tiles before are multiplied, or by cp.async, with `stages`
tiles of each operand on their way or in use.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin import simt_tiles, tensor_tiles
from kernelwright.agents.builtin.generated import Generated, ceil_div
from kernelwright.agents.builtin.persistent import KNOB, fits, values
from kernelwright.agents.builtin.spec import KernelSpec
from kernelwright.agents.builtin.tile_operands import Choice, can_copy_async, sizes
from kernelwright.agents.builtin.values import Buffer

__all__ = ["defaults", "generate", "legal", "space"]

Value = int | str | bool

_BUSY_THREADS = 512
"""Threads per SM that the default slices aim at: 16 warps hide most of the latency of shared memory."""
_SMS = 132
"""SMs of an H200: the default tiles give at least one block to each where the matrix allows."""
_LEAST_PART, _LONG_PART = 128, 1024
"""Elements of K that a part has at least, and those from which the first choice splits where SMs would be idle: the second
launch costs as long as some 400 elements take (modelled for H200)."""


def space(spec: KernelSpec) -> dict[str, tuple[Value, ...]]:
    """Values of each knob; combinations are checked by `legal`."""
    tensor = tensor_tiles.suits(spec)
    return {
        "tile_m": (16, 32, 64, 128, 256) if tensor else (16, 32, 64, 128),
        "tile_n": (16, 32, 64, 128, 256) if tensor else (16, 32, 64, 128),
        "tile_k": (8, 16, 32, 64) if tensor else (8, 16, 32),
        "thread_m": (1, 2, 4, 8),
        "thread_n": (1, 2, 4, 8, 16) if tensor else (1, 2, 4, 8),
        "stages": (1, 2, 3, 4),
        "slices": (1, 2, 4, 8),
        "split": _splits(spec),
        "copy": ("registers", "async") if can_copy_async(spec) else ("registers",),
        "cores": ("cuda", "tensor") if tensor else ("cuda",),
        KNOB: values(spec, _tiles(spec, 16, 16)),
    }


def legal(spec: KernelSpec, p: Choice) -> bool:
    """Whether a combination can run."""
    steps, split = ceil_div(sizes(spec)[3], int(p["tile_k"])), int(p["split"])
    if split not in _splits(spec) or ceil_div(steps, split) * (split - 1) >= steps:  # a part without work
        return False
    if not fits(spec, p, _tiles(spec, int(p["tile_m"]), int(p["tile_n"]))) or (split > 1 and p.get(KNOB)):
        return False
    return tensor_tiles.legal(spec, p) if p["cores"] == "tensor" else simt_tiles.legal(spec, p)


def _tiles(spec: KernelSpec, tile_m: int, tile_n: int) -> int:
    """Tiles of the result, of all batches."""
    batch, m, n, _ = sizes(spec)
    return batch * ceil_div(m, tile_m) * ceil_div(n, tile_n)


def _splits(spec: KernelSpec) -> tuple[int, ...]:
    """Parts in which K may be cut; indices of the partial sums stay below 2**31."""
    batch, m, n, k = sizes(spec)
    return tuple(s for s in (1, 2, 4, 8, 16, 32) if s == 1 or (k >= _LEAST_PART * s and batch * m * n * s < 2**31))


def defaults(spec: KernelSpec) -> dict[str, Value]:
    """Tensor cores where they suit, and cp.async where what is copied can be."""
    chosen = _tensor_defaults(spec) if tensor_tiles.suits(spec) else _cuda_defaults(spec)
    blocks = _tiles(spec, int(chosen["tile_m"]), int(chosen["tile_n"]))
    for split in _splits(spec)[1:]:
        trial = {**chosen, "split": split}
        if blocks * split > _SMS or sizes(spec)[3] < _LONG_PART * split:
            break
        chosen = trial if legal(spec, trial) else chosen
    return chosen


def _choice(tile: tuple[int, int, int, int, int], stages: int, copy: str, cores: str) -> dict[str, Value]:
    names = ("tile_m", "tile_n", "tile_k", "thread_m", "thread_n")
    return {
        **dict(zip(names, tile, strict=True)),
        "stages": stages,
        "slices": 1,
        "split": 1,
        "copy": copy,
        "cores": cores,
        KNOB: 0,
    }


def _tensor_defaults(spec: KernelSpec) -> dict[str, Value]:
    """The largest tiles that still give every SM a block; the smallest if none do."""
    batch, m, n, k = sizes(spec)
    shapes: tuple[tuple[int, int, int, int, int], ...] = (
        (128, 256, 32, 8, 16),
        (128, 128, 64, 8, 8),
        (128, 64, 64, 4, 8),
        (64, 64, 64, 4, 8),
        (64, 32, 64, 4, 4),
        (32, 32, 64, 2, 4),
    )
    if m <= 16:
        shapes = ((16, 64, 64, 2, 4), (16, 32, 64, 2, 2))
    # no more stages than there are steps along K to fill them with
    ways = [(min(stages, max(2, ceil_div(k, 32))), "async") for stages in (4, 3, 2)] + [
        (2, "registers"),
        (1, "registers"),
    ]
    chosen: dict[str, Value] = {}
    for shape in shapes:
        legal_ways = [c for stages, copy in ways if legal(spec, c := _choice(shape, stages, copy, "tensor"))]
        if legal_ways:
            chosen = legal_ways[0]
            if shape[0] < 2 * m and shape[1] < 2 * n and batch * ceil_div(m, shape[0]) * ceil_div(n, shape[1]) >= _SMS:
                break
    return chosen


def _cuda_defaults(spec: KernelSpec) -> dict[str, Value]:
    """The largest tiles that still give every SM a block (32 x 32 if none do), and slices until every SM has threads enough."""
    batch, m, n, k = sizes(spec)
    shapes: tuple[tuple[int, int, int, int, int], ...] = (
        (128, 128, 16, 8, 8),
        (128, 64, 16, 8, 4),
        (64, 64, 16, 4, 4),
        (32, 64, 16, 4, 4),
        (32, 32, 16, 4, 4),
    )
    if m <= 16:
        shapes = ((16, 64, 16, 2, 4), (16, 32, 16, 2, 4))
    chosen: dict[str, Value] = {}
    for shape in shapes:
        tm, tn = shape[:2]
        chosen = _choice(shape, 2, "registers", "cuda")
        fits = tm < 2 * m and tn < 2 * n
        if fits and legal(spec, chosen) and batch * ceil_div(m, tm) * ceil_div(n, tn) >= _SMS:
            break
    if not legal(spec, chosen):
        chosen = {**chosen, "stages": 1}
    tm, tn = int(chosen["tile_m"]), int(chosen["tile_n"])
    group = (tm // int(chosen["thread_m"])) * (tn // int(chosen["thread_n"]))
    blocks_per_sm = max(1, batch * ceil_div(m, tm) * ceil_div(n, tn) // _SMS)
    for slices in (2, 4, 8):
        trial = {**chosen, "slices": slices, "tile_k": 32 if slices > 2 else 16}
        enough = blocks_per_sm * group * int(chosen["slices"]) >= _BUSY_THREADS
        if enough or k < 32 * slices or not legal(spec, trial):
            break
        chosen = trial
    return chosen


def generate(spec: KernelSpec, name: str, parameters: Choice, pointers: Mapping[Buffer, str]) -> Generated:
    """Writes the kernel."""
    writer = tensor_tiles.TensorWriter if parameters["cores"] == "tensor" else simt_tiles.SimtWriter
    return writer(spec, name, parameters, pointers).run()
