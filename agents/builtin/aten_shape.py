"""Rules for views, concatenation, padding and indexing: all become index arithmetic in the kernel that uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelwright.agents.builtin.aten import Translator, rule
from kernelwright.agents.builtin.errors import NotLowered
from kernelwright.agents.builtin.ir import Node, Number
from kernelwright.bench_tasks.graph import TensorMeta

__all__: list[str] = []


@rule(
    "aten.view.default", "aten._unsafe_view.default", "aten.reshape.default", "aten.squeeze", "aten.unsqueeze.default"
)
def _view(t: Translator, meta: TensorMeta, x: Node, *_: Any) -> Node:
    return t.b.reshape(x, meta.shape)


@rule("aten.permute.default")
def _permute(t: Translator, meta: TensorMeta, x: Node, dims: Sequence[int]) -> Node:
    return t.b.permute(x, dims)


@rule("aten.t.default")
def _t(t: Translator, meta: TensorMeta, x: Node) -> Node:
    return t.b.permute(x, tuple(reversed(range(len(x.shape)))))


@rule("aten.transpose.int")
def _transpose(t: Translator, meta: TensorMeta, x: Node, a: int, b: int) -> Node:
    order = list(range(len(x.shape)))
    order[a], order[b] = order[b], order[a]
    return t.b.permute(x, order)


@rule("aten.expand.default")
def _expand(t: Translator, meta: TensorMeta, x: Node, *_: Any, **__: Any) -> Node:
    return t.b.expand(x, meta.shape)


@rule("aten.repeat.default")
def _repeat(t: Translator, meta: TensorMeta, x: Node, repeats: Sequence[int]) -> Node:
    b = t.b
    source = (1,) * (len(repeats) - len(x.shape)) + x.shape
    spread = [n for pair in zip([1] * len(source), source, strict=True) for n in pair]
    wide = [n for pair in zip(repeats, source, strict=True) for n in pair]
    return b.reshape(b.expand(b.reshape(x, spread), wide), meta.shape)


@rule("aten.slice.Tensor")
def _slice(
    t: Translator,
    meta: TensorMeta,
    x: Node,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Node:
    dim %= len(x.shape)
    first = range(x.shape[dim])[slice(start, end, step)]
    return t.b.slice(x, dim, first.start if len(first) else 0, meta.shape[dim], step)


@rule("aten.select.int")
def _select(t: Translator, meta: TensorMeta, x: Node, dim: int, index: int) -> Node:
    dim %= len(x.shape)
    return t.b.reshape(t.b.slice(x, dim, index % x.shape[dim], 1), meta.shape)


@rule("aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default")
def _split(t: Translator, meta: TensorMeta, x: Node, sizes: int | Sequence[int], dim: int = 0) -> tuple[Node, ...]:
    dim %= len(x.shape)
    extent = x.shape[dim]
    parts = [sizes] * -(-extent // sizes) if isinstance(sizes, int) else list(sizes)
    found, start = [], 0
    for size in parts:
        length = min(size, extent - start)
        found.append(t.b.slice(x, dim, start, length))
        start += length
    return tuple(found)


@rule("aten.unbind.int")
def _unbind(t: Translator, meta: TensorMeta, x: Node, dim: int = 0) -> tuple[Node, ...]:
    dim %= len(x.shape)
    shape = [n for d, n in enumerate(x.shape) if d != dim]
    return tuple(t.b.reshape(t.b.slice(x, dim, i, 1), shape) for i in range(x.shape[dim]))


@rule("aten.flip.default")
def _flip(t: Translator, meta: TensorMeta, x: Node, dims: Sequence[int]) -> Node:
    return t.b.flip(x, sorted({d % len(x.shape) for d in dims})) if dims else x


@rule("aten.cat.default")
def _cat(t: Translator, meta: TensorMeta, parts: Sequence[Node], dim: int = 0) -> Node:
    dim %= len(meta.shape)
    # torch lets an empty one-dimensional tensor stand for nothing, whatever the others' rank is
    kept = [t.b.cast(p, meta.dtype) for p in parts if len(p.shape) == len(meta.shape) and p.shape[dim]]
    if not kept:
        return t.b.full(meta.shape, 0, meta.dtype)
    return kept[0] if len(kept) == 1 else t.b.add("cat", meta.shape, meta.dtype, kept, dim=dim)


@rule("aten.stack.default")
def _stack(t: Translator, meta: TensorMeta, parts: Sequence[Node], dim: int = 0) -> Node:
    dim %= len(meta.shape)
    return _cat(t, meta, [t.b.unsqueeze(p, dim) for p in parts], dim)  # type: ignore[return-value]


@rule("aten.constant_pad_nd.default")
def _pad(t: Translator, meta: TensorMeta, x: Node, pad: Sequence[int], value: Number = 0) -> Node:
    if any(p < 0 for p in pad):
        raise NotLowered("padding by a negative amount")
    low = [0] * len(x.shape)
    for place in range(len(pad) // 2):
        low[len(x.shape) - 1 - place] = pad[2 * place]
    return t.b.add("pad", meta.shape, meta.dtype, (x,), low=tuple(low), value=value)


@rule("aten.embedding.default")
def _embedding(t: Translator, meta: TensorMeta, weight: Node, index: Node, *_: Any) -> Node:
    spread = t.b.expand(t.b.reshape(index, (*index.shape, 1)), meta.shape)
    return _take(t, weight, [spread, None], meta.shape, [len(meta.shape) - 1], wrap=False)


@rule("aten.index_select.default")
def _index_select(t: Translator, meta: TensorMeta, x: Node, dim: int, index: Node) -> Node:
    dim %= len(x.shape)
    shape = [1] * len(x.shape)
    shape[dim] = meta.shape[dim]
    spread = t.b.expand(t.b.reshape(index, shape), meta.shape)
    indices = [spread if d == dim else None for d in range(len(x.shape))]
    return _take(t, x, indices, meta.shape, [d for d in range(len(x.shape)) if d != dim], wrap=False)


@rule("aten.gather.default")
def _gather(t: Translator, meta: TensorMeta, x: Node, dim: int, index: Node, sparse_grad: bool = False) -> Node:
    if not x.shape:
        return x
    dim %= len(x.shape)
    return _gather_from(t, x, dim, index)


def _gather_from(t: Translator, x: Node, dim: int, index: Node) -> Node:
    """Gathering from a computed tensor computes only what is gathered: the index moves to what it is computed from."""
    b = t.b
    for d in range(len(x.shape)):
        if d != dim:
            x = b.slice(x, d, 0, index.shape[d])
    if x.kind == "slice":
        return _gather_memory(t, x, dim, index)
    if x.kind == "scalar":
        return b.expand(x, index.shape)
    if x.kind == "pointwise":
        parts = [_gather_from(t, part, dim, index) for part in x.args]
        return b.add("pointwise", index.shape, x.dtype, parts, fn=x.attrs["fn"])
    if x.kind == "expand":
        source = x.args[0]
        lead = len(x.shape) - len(source.shape)
        if dim < lead or source.shape[dim - lead] == 1:
            return b.expand(source, index.shape)
        # The table repeats along its other dimensions: read the one copy there is.
        kept = [d for d, n in enumerate(source.shape) if n != 1 or d == dim - lead]
        table = b.reshape(source, [source.shape[d] for d in kept])
        indices = [index if d == dim - lead else None for d in kept]
        return _take(t, table, indices, index.shape, [d + lead for d in kept if d != dim - lead], wrap=False)
    return _gather_memory(t, x, dim, index)


def _gather_memory(t: Translator, x: Node, dim: int, index: Node) -> Node:
    indices = [index if d == dim else None for d in range(len(x.shape))]
    return _take(t, x, indices, index.shape, [d for d in range(len(x.shape)) if d != dim], wrap=False)


@rule("aten.index.Tensor")
def _index(t: Translator, meta: TensorMeta, x: Node, indices: Sequence[Node | None]) -> Node:
    given = [*indices, *([None] * (len(x.shape) - len(indices)))]
    places = [d for d, i in enumerate(given) if i is not None]
    tensors = [i for i in given if i is not None]
    if any(i.dtype == "bool" or i.dtype == "uint8" for i in tensors):
        raise NotLowered("indexing with a mask: the result's shape depends on values")
    if places != list(range(places[0], places[0] + len(places))):
        raise NotLowered("indexing dimensions that are not neighbours")
    rank = len(meta.shape) - (len(x.shape) - len(places))
    shape = meta.shape[places[0] : places[0] + rank]
    after = len(x.shape) - places[-1] - 1
    spread: list[Node | None] = []
    for i in given:
        if i is None:
            spread.append(None)
        else:
            same = t.b.expand(i, shape)
            spread.append(t.b.expand(t.b.reshape(same, (*shape, *([1] * after))), meta.shape))
    own = [d if d < places[0] else d - len(places) + rank for d, i in enumerate(given) if i is None]
    return _take(t, x, spread, meta.shape, own, wrap=True)


def _take(
    t: Translator, table: Node, indices: Sequence[Node | None], shape: Sequence[int], own: Sequence[int], wrap: bool
) -> Node:
    return t.b.gather(table, indices, shape, own, wrap)
