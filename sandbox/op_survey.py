"""What the operations of a module's forward do to the values they get: which hand their input on, give a constant, or are for nothing.

Runs in worker processes: standard library and torch only.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kernelwright.sandbox.dispatch import DispatchMode
from kernelwright.sandbox.idle_op import MOVES, IdleOp
from kernelwright.sandbox.optrace import decomposed, is_free, is_idle_dropout, written_arguments
from kernelwright.sandbox.trees import tensors_of

__all__ = ["Trace", "idle_ops", "trace"]

_ASKS = frozenset({"_local_scalar_dense", "item", "equal", "is_nonzero", "nonzero"})
"""Operations whose result decides what Python does next, or how large things are."""


@dataclass(frozen=True)
class _Op:
    name: str
    line: int
    shapes: tuple[tuple[int, ...], ...]
    moves: bool
    identity: bool
    constant: float | None
    digest: tuple[float, ...]
    reads: frozenset[int]
    writes: frozenset[int]
    asks: bool


@dataclass(frozen=True)
class Trace:
    """The operations of one call in order."""

    ops: tuple[_Op, ...]
    needed: frozenset[int]
    """Those that the outputs, the module's state or its inputs depend on, by position."""
    read: frozenset[int]
    """Storages that these read."""


def trace(call: Callable[[], Any], kept: Sequence[torch.Tensor], file: str) -> Trace:
    """Runs `call` once and looks at every ATen operation of it.

    Args:
        call: gives the outputs; it may raise anything.
        kept: tensors whose changes matter beside the outputs: inputs and state.
        file: the task's file, to tell lines by.
    """
    watcher = _Watcher(file)
    with watcher:
        outputs = call()
    roots = {_storage(t) for t in (*tensors_of(outputs), *kept)}
    needed: set[int] = set()
    wanted = set(roots)
    for position in range(len(watcher.ops) - 1, -1, -1):
        op = watcher.ops[position]
        if op.asks or op.writes & wanted:
            needed.add(position)
            wanted |= op.reads
    read = {storage for position in needed for storage in watcher.ops[position].reads}
    return Trace(tuple(watcher.ops), frozenset(needed), frozenset(read))


def idle_ops(given: Sequence[Trace], others: Sequence[Trace]) -> list[IdleOp]:
    """Operations that are idle in every one of the traces `given`; nothing where calls do not run the same operations.

    Args:
        given: of the task's own inputs, two at least.
        others: of inputs drawn otherwise.
    """
    names = [op.name for op in given[0].ops]
    if any([op.name for op in each.ops] != names for each in given[1:]):
        return []
    others = [each for each in others if [op.name for op in each.ops] == names]
    found = []
    for position, op in enumerate(given[0].ops):
        here = [each.ops[position] for each in given]
        there = [each.ops[position] for each in others]
        if all(position not in each.needed for each in (*given, *others)):
            what, always = "unused", True
        elif op.moves:
            continue
        elif all(each.identity for each in here):
            what, always = "identity", all(each.identity for each in there)
        elif op.constant is not None and all(each.constant == op.constant for each in here) and _vary(here):
            what, always = "constant", all(each.constant == op.constant for each in there)
        else:
            continue
        found.append(IdleOp(op.name, op.line, op.shapes, what, always))
    return found


def _vary(ops: Iterable[_Op]) -> bool:
    return len({op.digest for op in ops}) > 1


def _storage(tensor: torch.Tensor) -> int:
    if tensor.layout is not torch.strided:
        return id(tensor)
    return int(tensor.untyped_storage()._cdata)


class _Watcher(DispatchMode):
    """Keeps every tensor that it sees, so that no storage is taken for another one that is gone."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.ops: list[_Op] = []
        self._file = file
        self._alive: list[torch.Tensor] = []

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_idle_dropout(func, args, kwargs):
            return args[0]
        with self:
            parts = decomposed(func, args, kwargs)
        if parts is not NotImplemented:
            return parts
        if is_free(func):
            out = func(*args, **kwargs)
            self._alive += tensors_of(out)
            return out
        inputs, written = tensors_of((args, kwargs)), written_arguments(func, args, kwargs)
        changed = {id(t) for t in written}
        before = [t.clone() if id(t) in changed else t for t in inputs]
        shapes, digest = tuple(tuple(t.shape) for t in inputs), tuple(_digest(t) for t in inputs)
        out = func(*args, **kwargs)
        results = tensors_of(out) or written
        self._alive += [*inputs, *results]
        name = func.overloadpacket.__name__ if isinstance(func, torch._ops.OpOverload) else str(func)
        first = results[0] if results else None
        self.ops.append(
            _Op(
                name=str(func),
                line=self._line(),
                shapes=shapes,
                moves=name in MOVES or not inputs,
                identity=first is not None and any(_same(first, t) for t in before),
                constant=None if first is None else _constant(first),
                digest=digest,
                reads=frozenset(_storage(t) for t in inputs),
                writes=frozenset(_storage(t) for t in (*results, *written)),
                asks=not results or name in _ASKS,
            )
        )
        return out

    def _line(self) -> int:
        frame = sys._getframe(2)
        while frame is not None:
            if frame.f_code.co_filename == self._file:
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return 0


def _same(result: torch.Tensor, given: torch.Tensor) -> bool:
    if result.dtype != given.dtype or result.numel() != given.numel() or not result.numel():
        return False
    return torch.equal(result.reshape(-1), given.reshape(-1))


def _constant(result: torch.Tensor) -> float | None:
    if not result.numel() or result.dtype.is_complex:
        return None
    first = result.reshape(-1)[0]
    value = float(first)
    return value if math.isfinite(value) and bool((result == first).all()) else None


def _digest(tensor: torch.Tensor) -> float:
    if tensor.dtype.is_complex or tensor.layout is not torch.strided:
        return 0.0
    total = float(tensor.detach().double().sum())
    return total if math.isfinite(total) else 0.0
