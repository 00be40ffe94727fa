"""Kernel specifications: what one kernel computes, as loop dimensions, values, reductions and stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kernelwright.agents.builtin.affine import Affine, Space, flatten, unflatten
from kernelwright.agents.builtin.errors import CannotFold, NeedSplit
from kernelwright.agents.builtin.ir import Node, contiguous, numel
from kernelwright.agents.builtin.values import Buffer, Evaluator, buffer_of

__all__ = ["AttentionSpec", "KernelSpec", "Operand", "Reduction", "Store", "Unit", "build_spec"]

_MOST_SPLITS = 24
"""Splits of loop dimensions tried before a kernel is given up; each needs one more evaluation."""


@dataclass(frozen=True)
class Store:
    """A value written to global memory."""

    buffer: Buffer
    offset: Affine
    value: int


@dataclass(frozen=True)
class Reduction:
    """A reduction over the columns of a row; its result is the value of kind `row` with this node's id."""

    node: Node
    op: str
    value: int
    """What is reduced."""


@dataclass(frozen=True)
class Operand:
    """A matrix operand: where element (batch, row, column) lies."""

    buffer: Buffer
    offset: Affine


@dataclass
class Unit:
    """A kernel in the making: the anchors it computes and the nodes it stores."""

    kind: str
    """`rows`, `pointwise`, `matmul`, `attention` or `torch`."""
    members: list[Node] = field(default_factory=list)
    stores: list[Node] = field(default_factory=list)
    spec: KernelSpec | None = None
    external: list[Node] = field(default_factory=list)


@dataclass
class KernelSpec:
    """One kernel. `rows` and `columns` are loop dimensions, outermost first; a pointwise kernel has rows only, a matrix
    product has (batch, m, n) as `rows` groups and k as `columns`."""

    kind: str
    space: Space
    evaluator: Evaluator
    rows: list[int]
    columns: list[int]
    stores: list[Store]
    reductions: list[Reduction] = field(default_factory=list)
    a: Operand | None = None
    b: Operand | None = None
    batch_dims: list[int] = field(default_factory=list)
    m_dims: list[int] = field(default_factory=list)
    n_dims: list[int] = field(default_factory=list)
    arch: str = ""
    """Architecture it is for (`sm_90`); empty for any from compute capability 8.0 on."""
    sms: int = 0
    """Streaming multiprocessors of the GPU that it is for; 0 if that is not known."""

    def extent(self, dims: Sequence[int]) -> int:
        """Product of the extents of some loop dimensions."""
        return numel([self.space.extents[d] for d in dims])

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Matrix operands, in order; none outside products."""
        return tuple(o for o in (self.a, self.b) if o is not None)


@dataclass
class AttentionSpec(KernelSpec):
    """Attention: `a` are the queries (batch, m, d), `b` the keys (batch, d, n), `v` the values (batch, n, c); `n_dims` counts
    keys, `columns` is d, and results are stored at (batch, m, c)."""

    v: Operand | None = None
    c_dims: list[int] = field(default_factory=list)
    score: int = 0
    """What the softmax is taken of, per (batch, m, n): a function of the product of query and key, of positions and of masks."""
    product: int = 0
    """That product, as a value of kind `acc`."""
    result: int = 0
    """An element of the attention's own result, as a value of kind `acc`."""
    zero_if_masked: bool = False
    """A query that sees no key gives zeros, not NaN."""

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Queries, keys and values."""
        return tuple(o for o in (self.a, self.b, self.v) if o is not None)


def build_spec(unit: Unit, materialised: frozenset[Node]) -> KernelSpec:
    """The specification of a unit.

    Raises:
        CannotFold: some view is no affine map of this kernel's loops.
    """
    make: Callable[[Unit, frozenset[Node], Space], KernelSpec]
    if unit.kind == "rows":
        space, make = Space(unit.members[0].args[0].shape), _rows
    elif unit.kind == "pointwise":
        space, make = Space(unit.stores[0].shape), _pointwise
    elif unit.kind == "attention":
        scores, (_, v) = unit.members[0].attrs["scores"], unit.members[0].args
        space, make = Space((*scores.args[0].shape, scores.shape[2], v.shape[2])), _attention
    else:
        a, b = unit.members[0].args
        space, make = Space((*a.shape, b.shape[2])), _matmul
    for _ in range(_MOST_SPLITS):
        try:
            return make(unit, materialised, space)
        except NeedSplit as need:
            space.split(need.dim, need.inner)
    raise CannotFold("too many splits of the loops")


def _dims(space: Space, groups: Sequence[int]) -> list[int]:
    return [d for g in groups for d in space.groups[g] if space.extents[d] > 1]


def _rows(unit: Unit, materialised: frozenset[Node], space: Space) -> KernelSpec:
    first = unit.members[0]
    shape = first.args[0].shape
    column_groups = list(first.attrs["dims"])
    row_groups = [g for g in range(len(shape)) if g not in column_groups]
    c = space.coordinates()
    row = flatten([c[g] for g in row_groups], contiguous([shape[g] for g in row_groups]))
    column = flatten([c[g] for g in column_groups], contiguous([shape[g] for g in column_groups]))
    element = flatten(c, contiguous(shape))
    places: dict[Node, tuple[Affine, ...]] = {}
    own: dict[Node, tuple[Affine, ...]] = {}
    for member in unit.members:
        dims = member.attrs["dims"]
        extents = member.args[0].shape
        outer = iter(unflatten(row, member.shape, space))
        inner = iter(unflatten(column, [extents[d] for d in dims], space))
        place = tuple(next(inner) if d in dims else next(outer) for d in range(len(extents)))
        places[member] = place
        own[member] = tuple(x for d, x in enumerate(place) if d not in dims)
    evaluator = Evaluator(space, own, materialised, frozenset(unit.stores))
    reductions = [Reduction(m, m.attrs["op"], evaluator.at(m.args[0], places[m])) for m in unit.members]
    stores = []
    row_count = numel([shape[g] for g in row_groups])
    for node in unit.stores:
        flat = row if node.numel == row_count else element
        place = own[node] if node in own else unflatten(flat, node.shape, space)
        buffer = buffer_of(node)
        stores.append(Store(buffer, flatten(place, buffer.stride), evaluator.at(node, place)))
    rows, columns = _dims(space, row_groups), _dims(space, column_groups)
    return KernelSpec("rows", space, evaluator, rows, columns, stores, reductions)


def _pointwise(unit: Unit, materialised: frozenset[Node], space: Space) -> KernelSpec:
    first = unit.stores[0]
    c = space.coordinates()
    element = flatten(c, contiguous(first.shape))
    evaluator = Evaluator(space, {}, materialised, frozenset(unit.stores))
    stores = []
    for node in unit.stores:
        place = unflatten(element, node.shape, space)
        buffer = buffer_of(node)
        stores.append(Store(buffer, flatten(place, buffer.stride), evaluator.at(node, place)))
    # Threads follow the order of the output in memory, so that stores are coalesced.
    stride = buffer_of(first).stride
    groups = sorted(range(len(first.shape)), key=lambda g: -stride[g])
    return KernelSpec("pointwise", space, evaluator, _dims(space, groups), [], stores)


def _matmul(unit: Unit, materialised: frozenset[Node], space: Space) -> KernelSpec:
    node = unit.members[0]
    batch, m, k, n = space.coordinates()
    evaluator = Evaluator(space, {node: (batch, m, n)}, materialised, frozenset(unit.stores))
    operands = [_operand(evaluator, *pair) for pair in zip(node.args, ((batch, m, k), (batch, k, n)), strict=True)]
    element = flatten((batch, m, n), contiguous(node.shape))
    stores = []
    for store in unit.stores:
        place: tuple[Affine, ...] = (batch, m, n)
        if store is not node:
            place = unflatten(element, store.shape, space)
        buffer = buffer_of(store)
        stores.append(Store(buffer, flatten(place, buffer.stride), evaluator.at(store, place)))
    groups = [_dims(space, [g]) for g in range(4)]
    for x, operand in zip(node.args, operands, strict=True):
        for role in (groups[1], groups[2], groups[3]):
            _check_linear(x, operand.offset, role, space)
    return KernelSpec(
        "matmul", space, evaluator, groups[0] + groups[1] + groups[3], groups[2], stores,
        [], operands[0], operands[1], groups[0], groups[1], groups[3],
    )  # fmt: skip


def _operand(evaluator: Evaluator, node: Node, where: tuple[Affine, ...]) -> Operand:
    value = evaluator.values[evaluator.at(node, where)]
    if value.kind != "load" or value.extra[2]:
        raise CannotFold("a matrix operand is not in memory", node)
    return Operand(value.extra[0], value.extra[1])


def _attention(unit: Unit, materialised: frozenset[Node], space: Space) -> AttentionSpec:
    node = unit.members[0]
    product: Node = node.attrs["scores"]
    score, v = node.args
    batch, m, d, n, c = space.coordinates()
    element = flatten((batch, m, c), contiguous((product.shape[0], product.shape[1], v.shape[2])))
    own = {product: (batch, m, n), node: unflatten(element, node.shape, space)}
    evaluator = Evaluator(space, own, materialised, frozenset(unit.stores))
    q, k = product.args
    operands = [
        _operand(evaluator, x, where) for x, where in ((q, (batch, m, d)), (k, (batch, d, n)), (v, (batch, n, c)))
    ]
    place = unflatten(flatten((batch, m, n), contiguous(product.shape)), score.shape, space)
    number = evaluator.at(score, place)
    stores = []
    for store in unit.stores:
        place = own[node] if store is node else unflatten(element, store.shape, space)
        buffer = buffer_of(store)
        stores.append(Store(buffer, flatten(place, buffer.stride), evaluator.at(store, place)))
    batch_dims, m_dims, d_dims, n_dims, c_dims = (_dims(space, [g]) for g in range(5))
    for x, operand in zip((q, k, v), operands, strict=True):
        for role in (m_dims, d_dims, n_dims, c_dims):
            _check_linear(x, operand.offset, role, space)
    return AttentionSpec(
        "attention", space, evaluator, batch_dims + m_dims + c_dims, d_dims, stores, [], operands[0], operands[1],
        batch_dims, m_dims, n_dims, v=operands[2], c_dims=c_dims, score=number, product=evaluator.at(product, own[product]),
        result=evaluator.at(node, own[node]), zero_if_masked=node.attrs["zero_if_masked"],
    )  # fmt: skip


def _check_linear(operand: Node, offset: Affine, role: Sequence[int], space: Space) -> None:
    """Operands are addressed by one stride along each of m, n and k, even when the epilogue splits these."""
    if len(role) < 2:
        return
    stride = 1
    unit = offset.coefficient(role[-1])
    for d in reversed(role):
        if offset.coefficient(d) != unit * stride:
            raise CannotFold("a matrix operand has no single stride", operand)
        stride *= space.extents[d]
