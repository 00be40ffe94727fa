"""A kernel made ready for translation: calls inlined, memory laid out, constants propagated, unknown opcodes refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernelwright.errors import EmulatorError
from kernelwright.sandbox.emulator.callgraph import plan_calls
from kernelwright.sandbox.emulator.frames import function_addresses, lay_out_local
from kernelwright.sandbox.emulator.inline import Inliner
from kernelwright.sandbox.emulator.ptx import (
    Function,
    Imm,
    Instr,
    LabelDef,
    Mem,
    Operand,
    Program,
    Reg,
    Special,
    Sym,
    Variable,
    Vec,
)
from kernelwright.sandbox.emulator.wide import split_wide

__all__ = [
    "CARRY",
    "RED_ZONE",
    "RESERVED",
    "RESERVED_BYTES",
    "Lowered",
    "ParamSlot",
    "destination_count",
    "destinations",
    "lower",
    "sources",
]

RED_ZONE = 128
"""Bytes kept free between shared variables; a multiple of 128 leaves the banks of every variable as they are."""

RESERVED = "%reserved_smem"
"""Stands for the shared memory that the system keeps for itself, and gives cooperative groups a part of."""

RESERVED_BYTES = 1024
"""Its size from compute capability 8.0 on (CUDA C++ Programming Guide, shared memory)."""

_LARGE = 20_000
"""Instructions of one kernel after inlining, above which every device function gets a frame: the C++ compiler would take
minutes for them."""


@dataclass(frozen=True)
class ParamSlot:
    """A kernel parameter's place in the parameter buffer, in bytes."""

    name: str
    type: str
    offset: int
    bytes: int
    align: int


@dataclass(frozen=True)
class Lowered:
    """A kernel without calls. Addresses in `shared` and `local` are bytes from the beginning of that space."""

    name: str
    body: tuple[Instr | LabelDef, ...]
    params: tuple[ParamSlot, ...]
    param_bytes: int
    shared: Mapping[str, tuple[int, int]]
    """Variable to (first byte, byte past its end); for dynamic shared memory the end is -1."""
    static_shared: int
    local: Mapping[str, int]
    frame_bytes: int
    globals: Mapping[str, int]
    """Variable to its index in `Program.variables`."""
    max_threads: int | None
    functions: Mapping[str, int] = field(default_factory=dict)
    """Device function to its address."""
    stack: bool = False
    """Whether threads take stack memory at run time: for the frames of functions that are not inlined, and alloca."""


def lower(program: Program, name: str) -> Lowered:
    """Inlines, lays out and checks the kernel `name`.

    Raises:
        UnsupportedError: an undefined function, or what `split_wide` refuses.
    """
    function = program.functions[name]
    plan = plan_calls(program, name)
    if plan.size > _LARGE:
        plan = plan_calls(program, name, inline=False)
    inliner = Inliner(program, plan)
    body = inliner.run(function)
    body = _propagate_constants(split_wide(body))
    shared_variables = [v for v in program.variables if v.space == "shared"] + inliner.shared
    used = _names_used(body)
    if RESERVED in used:
        shared_variables.append(Variable(RESERVED, "shared", 128, RESERVED_BYTES))
    shared, static_shared = _lay_out_shared(shared_variables, used)
    local, frame = lay_out_local(inliner.local)
    if plan.stack:
        body = [*inliner.begin_stack(frame), *body]
    params, param_bytes = _lay_out_params(function)
    return Lowered(
        name=name,
        body=tuple(body),
        params=params,
        param_bytes=param_bytes,
        shared=shared,
        static_shared=static_shared,
        local=local,
        frame_bytes=frame,
        globals={v.name: i for i, v in enumerate(program.variables) if v.space in ("global", "const")},
        max_threads=function.max_threads,
        functions=function_addresses(program),
        stack=plan.stack,
    )


def _names_used(body: list[Instr | LabelDef]) -> set[str]:
    names: set[str] = set()

    def visit(operand: Operand | None) -> None:
        if isinstance(operand, Sym):
            names.add(operand.name)
        elif isinstance(operand, Special) and operand.name.startswith(RESERVED):
            names.add(RESERVED)
        elif isinstance(operand, Mem):
            visit(operand.base)
        elif isinstance(operand, Vec):
            for item in operand.items:
                visit(item)

    for instr in body:
        if isinstance(instr, Instr):
            for operand in instr.operands:
                visit(operand)
    return names


def _lay_out_shared(variables: list[Variable], used: set[str]) -> tuple[dict[str, tuple[int, int]], int]:
    """Every variable at the bank where CUDA would put it, with a red zone behind it; dynamic memory last."""
    layout: dict[str, tuple[int, int]] = {}
    at = 0
    for variable in variables:
        if variable.extern or variable.size == 0 or variable.name not in used:
            continue
        at = -(-at // variable.align) * variable.align
        layout[variable.name] = (at, at + variable.size)
        at += variable.size + RED_ZONE
    align = max([16, *(v.align for v in variables if v.extern or v.size == 0)])
    static = -(-at // align) * align
    for variable in variables:
        if (variable.extern or variable.size == 0) and variable.name in used:
            layout[variable.name] = (static, -1)
    return layout, static


def _lay_out_params(function: Function) -> tuple[tuple[ParamSlot, ...], int]:
    slots = []
    at = 0
    for param in function.params:
        at = -(-at // param.align) * param.align
        slots.append(ParamSlot(param.name, param.type, at, param.size, param.align))
        at += param.size
    return tuple(slots), at


def _propagate_constants(body: list[Instr | LabelDef]) -> list[Instr | LabelDef]:
    """Registers that only ever hold one constant give way to it."""
    definitions: dict[str, int] = {}
    constants: dict[str, Imm] = {}
    for item in body:
        if not isinstance(item, Instr):
            continue
        for reg in destinations(item):
            definitions[reg.name] = definitions.get(reg.name, 0) + 1
        if item.op == "mov" and item.guard is None and item.mods[-1:] != ("pred",) and len(item.operands) == 2:
            target, value = item.operands
            if isinstance(target, Reg) and isinstance(value, Imm) and target.bits != 128:
                constants[target.name] = _as_bits(value, target.bits)
    constants = {name: value for name, value in constants.items() if definitions[name] == 1}
    if not constants:
        return body

    def replaced(operand: Operand | None) -> Operand | None:
        if isinstance(operand, Reg):
            return constants.get(operand.name, operand)
        if isinstance(operand, Vec):
            return Vec(tuple(replaced(o) for o in operand.items))
        return operand

    out: list[Instr | LabelDef] = []
    for item in body:
        if isinstance(item, Instr):
            if item.op == "mov" and isinstance(item.operands[0], Reg) and item.operands[0].name in constants:
                # Addresses still need the register; an unused definition costs nothing after liveness.
                out.append(item)
                continue
            count = destination_count(item)
            operands = (*item.operands[:count], *(replaced(o) for o in item.operands[count:]))
            out.append(item.with_operands(*operands) if operands != item.operands else item)
        else:
            out.append(item)
    return out


def _as_bits(value: Imm, bits: int) -> Imm:
    if value.kind == "f64" and bits == 32:
        raise EmulatorError("a 64-bit constant is moved to a 32-bit register")
    return Imm(value.value & ((1 << bits) - 1))


_NO_DESTINATION = frozenset(
    [
        "st",
        "red",
        "bra",
        "brx",
        "ret",
        "exit",
        "trap",
        "brkpt",
        "bar",
        "barrier",
        "barred",
        "membar",
        "fence",
        "nanosleep",
        "cp",
        "pmevent",
        "assert",
        "prefetch",
        "prefetchu",
        "discard",
        "applypriority",
        "griddepcontrol",
        "stmatrix",
        "jump",
        "callf",
        "retf",
        "restore",
        "stackrestore",
        "free",
    ]
)


def destination_count(instr: Instr) -> int:
    """How many leading operands are written."""
    if instr.op in ("bar", "barrier"):
        return 1 if "red" in instr.mods else 0
    if instr.op == "mbarrier":
        return int(instr.mods[0] in ("arrive", "arrive_drop", "test_wait", "try_wait", "pending_count"))
    if instr.op == "wmma" and "store" in instr.mods:
        return 0
    return 0 if instr.op in _NO_DESTINATION or instr.op == "printf" else 1


def destinations(instr: Instr) -> list[Reg]:
    """The registers an instruction writes."""
    if instr.op == "printf":
        return [o for o in instr.operands[2:] if isinstance(o, Reg)]
    found: list[Reg] = []
    for operand in instr.operands[: destination_count(instr)]:
        if isinstance(operand, Reg):
            found.append(operand)
        elif isinstance(operand, Vec):
            found.extend(o for o in operand.items if isinstance(o, Reg))
    if instr.op in ("add", "addc", "sub", "subc", "mad", "madc") and "cc" in instr.mods:
        found.append(CARRY)
    return found


def sources(instr: Instr) -> list[Reg]:
    """The registers an instruction reads, its guard included."""
    found: list[Reg] = []

    def visit(operand: Operand | None) -> None:
        if isinstance(operand, Reg):
            found.append(operand)
        elif isinstance(operand, Mem):
            visit(operand.base)
        elif isinstance(operand, Vec):
            for item in operand.items:
                visit(item)

    count = destination_count(instr)
    for operand in instr.operands[:2] if instr.op == "printf" else instr.operands[count:]:
        visit(operand)
    if instr.guard is not None:
        found.append(instr.guard)
    if instr.op in ("addc", "subc", "madc"):
        found.append(CARRY)
    return found


CARRY = Reg("%CC", "pred")
"""The carry flag of add.cc and its kin, a predicate here (register_bits gives 1)."""
