"""Sizes of axes: those of workloads, ours where there is none, and the small ones of a twin."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence

from kernelwright.bench_tasks.readers.flashinfer_definition import Definition

__all__ = ["elements", "sizes_without_workloads", "spread", "twin_of"]

_SIZES = {
    "batch_size": (16, 3), "num_seqs": (8, 3), "len_indptr": (9, 4), "len_cu_seqlens": (9, 4),
    "M": (512, 6), "num_tokens": (256, 5), "seq_len": (256, 5), "total_q": (512, 13), "total_kv": (4096, 29),
    "total_seq_len": (1024, 13), "num_qo_heads": (32, 4), "num_kv_heads": (8, 2), "max_seq_len": (4096, 32),
    "pool_size": (32, 5), "state_cache_size": (32, 5), "max_num_pages": (64, 2),
}  # fmt: skip
"""Of axes that go by these names: ours, and at most that many in a twin."""
_TOKENS = (4096, 40)  # of all pages that are read together
_OTHER = (128, 8)
_CONSTANT = 128  # of a twin: enough for several tiles


def sizes_without_workloads(definition: Definition) -> dict[str, int]:
    """Values of the variable axes, ours: realistic for a server, small enough for one GPU."""
    return {axis: _size(definition, axis, 0) for axis in definition.variables}


def _size(definition: Definition, axis: str, which: int) -> int:
    page = definition.constants.get("page_size", 1)
    if definition.op_type == "sampling" and axis == "batch_size":
        return (128, 80)[which]  # random values in an output: fewer than 64 say nothing
    if axis == "seq_len" and "batch_size" in definition.variables:
        return (4, 2)[which]  # new tokens of each sequence
    if axis in {"num_kv_indices", "num_pages"}:
        pages = max(-(-_TOKENS[which] // page), 16 if which == 0 else 4)
        return 2 * pages if axis == "num_pages" else pages
    return _SIZES.get(axis, _OTHER)[which]


def twin_of(definition: Definition, sizes: Mapping[str, int]) -> dict[str, int]:
    """Smaller values of axes: variable ones, and constant ones if the reference does not insist on theirs."""
    twin = {axis: min(size, _size(definition, axis, 1)) for axis, size in sizes.items()}
    values = {
        node.value for node in ast.walk(ast.parse(definition.reference))
        if isinstance(node, ast.Constant) and type(node.value) is int
    }  # fmt: skip
    named = " ".join(definition.constraints)
    if not values & set(definition.constants.values()) and not any(axis in named for axis in definition.constants):
        twin |= {axis: min(size, _CONSTANT) for axis, size in definition.constants.items()}
    before = {**definition.constants, **sizes}
    return {axis: size for axis, size in twin.items() if size != before[axis]}


def elements(definition: Definition, sizes: Mapping[str, int]) -> int:
    """Of all inputs and outputs together."""
    axes = {**definition.constants, **sizes}
    return sum(
        math.prod(axes[axis] for axis in spec.shape or ())
        for spec in (*definition.inputs.values(), *definition.outputs.values())
    )


def spread(items: Sequence[Mapping[str, int]], most: int) -> list[int]:
    """Places of at most `most` of some sets of sizes, evenly over their order by size, the smallest and the largest among them."""
    order = sorted(range(len(items)), key=lambda place: (_product(items[place]), place))
    if len(order) <= most:
        return sorted(order)
    return sorted({order[round(step * (len(order) - 1) / (most - 1))] for step in range(most)})


def _product(sizes: Mapping[str, int]) -> int:
    return math.prod(max(size, 1) for size in sizes.values())
