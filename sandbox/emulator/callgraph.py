"""Which device functions of a kernel are inlined, and which need a frame of their own: recursion, calls through pointers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.sandbox.emulator.ptx import Function, Instr, Mem, Operand, Program, Sym, Vec

__all__ = ["CallPlan", "plan_calls"]

_STACK_OPS = frozenset(("alloca", "stacksave", "stackrestore"))


@dataclass(frozen=True)
class CallPlan:
    """How the calls under one kernel are made."""

    framed: tuple[str, ...]
    """Functions with a body of their own, callees before callers."""
    direct: frozenset[str]
    """Of those, the ones that direct calls go to; direct calls of the others are inlined."""
    pointed: tuple[str, ...]
    """Functions that a call through a pointer may reach."""
    reach: Mapping[str, frozenset[str]]
    """Framed function to the framed functions that may run before it returns, itself included."""
    stack: bool
    """Whether threads take stack memory at run time."""
    size: int
    """Instructions once everything is inlined that is to be."""


def plan_calls(program: Program, kernel: str, *, inline: bool = True) -> CallPlan:
    """Finds cycles and calls through pointers.

    Args:
        inline: whether functions outside of cycles are inlined; False gives every called function a frame.
    """
    calls = {name: _direct_calls(program, function) for name, function in program.functions.items()}
    pointed = _pointed(program)
    indirect = {name for name, function in program.functions.items() if _calls_through_pointer(function)}
    under = _closure([kernel], lambda name: calls[name])
    used: tuple[str, ...] = ()
    if under & indirect:
        used = pointed
        under = _closure([kernel, *used], lambda name: calls[name])
    direct = {name for name in under if name in _closure(calls[name], lambda n: calls[n])}
    if not inline:
        direct = under - {kernel}

    def framed_callees(name: str) -> list[str]:
        """Framed functions that `name` calls, with what is inlined into it."""
        body = _closure([name], lambda n: [c for c in calls[n] if c not in direct])
        found = [c for n in sorted(body) for c in calls[n] if c in direct]
        return [*dict.fromkeys(found), *(used if body & indirect else ())]

    order: list[str] = []
    edges: dict[str, list[str]] = {}

    def visit(name: str) -> None:
        edges[name] = framed_callees(name)
        for callee in edges[name]:
            if callee not in edges:
                visit(callee)
        order.append(name)

    visit(kernel)
    framed = tuple(name for name in order if name != kernel)
    reach = {name: frozenset(_closure([name], lambda n: edges[n])) for name in framed}
    allocates = any(i.op in _STACK_OPS for name in under for i in _instructions(program.functions[name]))
    size = _size_inlined(program, (kernel, *framed), direct)
    return CallPlan(framed, frozenset(direct), used, reach, bool(framed or under & indirect) or allocates, size)


def _size_inlined(program: Program, roots: Sequence[str], framed: set[str]) -> int:
    """Instructions of the functions in `roots`, with all in them that has no frame."""
    known: dict[str, int] = {}

    def size(name: str) -> int:
        if name not in known:
            called = [i.operands[1] for i in _instructions(program.functions[name]) if i.op == "call"]
            within = [c.name for c in called if isinstance(c, Sym) and c.name not in framed]
            own = len(program.functions[name].body or ())
            known[name] = own + sum(size(c) for c in within if c in program.functions)
        return known[name]

    return sum(size(name) for name in roots)


def _instructions(function: Function) -> Iterable[Instr]:
    return (item for item in function.body or () if isinstance(item, Instr))


def _direct_calls(program: Program, function: Function) -> list[str]:
    found = []
    for instr in _instructions(function):
        if instr.op == "call" and isinstance(target := instr.operands[1], Sym):
            called = program.functions.get(target.name)
            if called is not None and called.body is not None:
                found.append(target.name)
    return list(dict.fromkeys(found))


def _calls_through_pointer(function: Function) -> bool:
    return any(i.op == "call" and not isinstance(i.operands[1], Sym) for i in _instructions(function))


def _pointed(program: Program) -> tuple[str, ...]:
    """Functions with a body whose address is taken anywhere in the module: another kernel may have stored it."""
    names: set[str] = set()

    def visit(operand: Operand | None) -> None:
        if isinstance(operand, Sym):
            names.add(operand.name)
        elif isinstance(operand, Mem):
            visit(operand.base)
        elif isinstance(operand, Vec):
            for item in operand.items:
                visit(item)

    for variable in program.variables:
        names.update(symbol for _, symbol, _ in variable.relocations)
    for function in program.functions.values():
        for instr in _instructions(function):
            for operand in instr.operands if instr.op != "call" else ():
                visit(operand)
    return tuple(n for n, f in program.functions.items() if n in names and not f.entry and f.body is not None)


def _closure(start: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    seen = set(start)
    pending = list(seen)
    while pending:
        for name in following(pending.pop()):
            if name not in seen:
                seen.add(name)
                pending.append(name)
    return seen
