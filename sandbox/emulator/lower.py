"""A kernel made ready for translation: calls inlined, memory laid out, constants propagated, unknown opcodes refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kernelwright.errors import EmulatorError, UnsupportedError
from kernelwright.sandbox.emulator.callgraph import CallPlan, plan_calls
from kernelwright.sandbox.emulator.frames import (
    ABI,
    STACK,
    abi_names,
    abi_registers,
    argument,
    callees,
    copies,
    entry_label,
    function_addresses,
    place_locals,
)
from kernelwright.sandbox.emulator.ptx import (
    TYPE_BYTES,
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
    Where,
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

_MAX_INLINED = 200_000
"""Instructions of one kernel, above which it is refused."""

_CALLED = {"vprintf": "printf", "__assertfail": "assert", "malloc": "malloc", "free": "free"}


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
    inliner = _Inliner(program, plan)
    body = inliner.run(function)
    body = _propagate_constants(split_wide(body))
    shared_variables = [v for v in program.variables if v.space == "shared"] + inliner.shared
    used = _names_used(body)
    if RESERVED in used:
        shared_variables.append(Variable(RESERVED, "shared", 128, RESERVED_BYTES))
    shared, static_shared = _lay_out_shared(shared_variables, used)
    local, frame = _lay_out_local(inliner.local)
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


class _Inliner:
    """Puts the bodies of called functions in place of the calls; parameters become registers.

    Functions that `plan` gives a frame come first, each once. Their parameters travel in registers of their own (see
    `frames`), and what a caller still needs of its registers is saved around a call that may come back to it.
    """

    def __init__(self, program: Program, plan: CallPlan) -> None:
        self._program = program
        self._plan = plan
        self._copies = 0
        self._calls = 0
        self._pieces: dict[str, set[tuple[int, int]]] = {}  # (offset, bytes) of arguments that are written
        self._first = 0  # where the kernel's own body begins
        self._context = ""  # the framed function whose body is being appended; empty for the kernel
        self._out: list[Instr | LabelDef] = []
        self.shared: list[Variable] = []
        self.local: list[Variable] = []

    def run(self, function: Function) -> list[Instr | LabelDef]:
        for name in self._plan.framed:
            self._append_framed(self._program.functions[name])
        self._first = len(self._out)
        if self._plan.framed:
            self._out.append(LabelDef("$kernel"))
        self._append(function, "", {}, None, (function.name,))
        return self._out

    def begin_stack(self, frame: int) -> list[Instr | LabelDef]:
        """What a thread does first: its stack begins behind its `frame` bytes of local variables."""
        first = next((i.where for i in self._out[self._first :] if isinstance(i, Instr)), Where())
        begin: list[Instr | LabelDef] = [Instr("mov", ("helper", "b64"), (STACK, Imm(frame)), first)]
        if self._plan.framed:
            begin.append(Instr("jump", (), (Sym("$kernel"),), first))
        return begin

    def _append_framed(self, function: Function) -> None:
        name = function.name
        suffix, end = f"#{name}", f"$return#{name}"
        outer, self.local, self._context = self.local, [], name
        frame = Reg(f"%%frame{suffix}", "b64")
        begin = len(self._out)
        bound = {p.name: p.name + suffix for p in (*function.params, *function.returns)}
        self._append(function, suffix, bound, end, (name,))
        body, self._out = self._out[begin:], self._out[:begin]
        layout, size = _lay_out_local(self.local)
        moves = any(isinstance(i, Instr) and STACK in i.operands for i in body)
        where = next((i.where for i in body if isinstance(i, Instr)), Where())
        self._out.append(LabelDef(entry_label(name)))
        if size or moves:
            self._out.append(Instr("frame", (), (frame, Imm(size), STACK), where))
        self._out.extend(copies(function, suffix, where, into=True))
        self._out.extend(place_locals(body, layout, frame))
        self._out.append(LabelDef(end))
        self._out.extend(copies(function, suffix, where, into=False))
        if size or moves:
            self._out.append(Instr("mov", ("helper", "b64"), (STACK, frame), where))
        results = abi_registers(function, function.returns, "r")
        self._out.append(Instr("retf", (), (Vec(results), STACK), where))
        self.local, self._context = outer, ""

    def _append(
        self, function: Function, suffix: str, bound: Mapping[str, str], end: str | None, stack: tuple[str, ...]
    ) -> None:
        """Appends the body with `suffix` on every local name; `bound` maps formal parameters to the caller's."""
        if function.body is None:
            raise UnsupportedError(f"the function {function.name} is called and has no body")
        own = {v.name for v in function.variables if v.space == "local"}
        for variable in function.variables:
            if variable.space == "local":
                self.local.append(replace(variable, name=variable.name + suffix))
            elif variable.space == "shared" and all(v.name != variable.name for v in self.shared):
                self.shared.append(variable)
        labels = {item.name for item in function.body if isinstance(item, LabelDef)}
        entry_params = {p.name for p in function.params} if function.entry else set()
        rename = _Renamer(suffix, own | labels, {**bound, **abi_names(function, self._is_framed_call)})
        for item in function.body:
            if len(self._out) > _MAX_INLINED:
                raise UnsupportedError(f"kernel {stack[0]} is too large after inlining its device functions")
            if isinstance(item, LabelDef):
                self._out.append(LabelDef(item.name + suffix))
                continue
            instr = rename.instr(item)
            if instr.op == "call":
                self._call(instr, stack, callees(item, function, self._program, self._plan.pointed))
            elif instr.op == "st" and "param" in instr.mods:
                self._param_moves(instr, store=True)
            elif instr.op == "ld" and "param" in instr.mods and not _is_entry_param(instr, entry_params):
                self._param_moves(instr, store=False)
            elif instr.op == "ret" and end is not None:
                self._out.append(replace(instr, op="bra", mods=("uni",), operands=(Sym(end),)))
            elif instr.op == "alloca":
                align = instr.operands[2] if len(instr.operands) > 2 else Imm(8)
                self._out.append(instr.with_operands(*instr.operands[:2], align, STACK))
            elif instr.op == "stacksave":
                self._out.append(replace(instr, op="mov", mods=("b64",), operands=(instr.operands[0], STACK)))
            elif instr.op == "stackrestore":
                self._out.append(instr.with_operands(instr.operands[0], STACK))
            else:
                self._out.append(instr)

    def _is_framed_call(self, instr: Instr) -> bool:
        target = instr.operands[1]
        return not isinstance(target, Sym) or target.name in self._plan.direct

    def _framed_call(self, instr: Instr, names: tuple[str, ...]) -> None:
        """A call of a function with a frame, or through a pointer to one of several."""
        number = self._calls
        self._calls += 1
        pointer = instr.operands[1] if isinstance(instr.operands[1], Reg) else None
        back, skip = f"$back{number}", f"$past{number}"
        if instr.guard is not None:
            self._out.append(Instr("bra", (), (Sym(skip),), instr.where, instr.guard, not instr.guard_negated))
        targets = (back, *(entry_label(name) for name in names))
        addresses = tuple(Sym(name) for name in names)
        self._out.append(
            Instr("callf", (), (pointer, Imm(number), STACK, Vec(addresses)), instr.where, targets=targets)
        )
        self._out.append(LabelDef(back))
        again = any(self._context in self._plan.reach[name] for name in names)
        self._out.append(Instr("restore", ("saved",) if again else (), (Imm(number),), instr.where))
        if instr.guard is not None:
            self._out.append(LabelDef(skip))

    def _call(self, instr: Instr, stack: tuple[str, ...], fitting: tuple[str, ...]) -> None:
        """Appends a call; `fitting` are the functions that one through a pointer may reach."""
        returns, target, arguments = instr.operands
        assert isinstance(returns, Vec)
        assert isinstance(arguments, Vec)
        where = _at(instr.where)
        if not isinstance(target, Sym):
            self._framed_call(instr, fitting)
            return
        if target.name not in self._program.functions:
            raise UnsupportedError(f"the device function {target.name} is not there{where}", line=instr.where.line)
        name = target.name
        if name in _CALLED and self._program.functions[name].body is None:
            values = tuple(argument(_param_name(a), 0, 8) for a in arguments.items)
            if name == "malloc":
                made = argument(_param_name(returns.items[0]), 0, 8)
                self._out.append(replace(instr, op="malloc", mods=("b64",), operands=(made, values[0])))
                return
            result = tuple(argument(_param_name(r), 0, 4) for r in returns.items)
            self._out.append(replace(instr, op=_CALLED[name], mods=(), operands=(*values[:2], *result[:1])))
            return
        if name in self._plan.direct:
            self._framed_call(instr, (name,))
            return
        callee = self._program.functions[name]
        if callee.body is None:
            raise UnsupportedError(f"the device function {name} is not supported{where}", line=instr.where.line)
        self._copies += 1
        suffix = f"#{self._copies}"
        formal = [*callee.params, *callee.returns]
        actual = [*arguments.items, *returns.items]
        bound = {f.name: _param_name(a) for f, a in zip(formal, actual, strict=False)}
        end = f"$end{suffix}"
        skip = f"$skip{suffix}"
        if instr.guard is not None:
            self._out.append(Instr("bra", (), (Sym(skip),), instr.where, instr.guard, not instr.guard_negated))
        if _allocates(callee):  # what it takes is given back where it returns
            self._out.append(Instr("mov", ("helper", "b64"), (Reg(f"%%top{suffix}", "b64"), STACK), instr.where))
        self._append(callee, suffix, bound, end, (*stack, name))
        self._out.append(LabelDef(end))
        if _allocates(callee):
            self._out.append(Instr("mov", ("helper", "b64"), (STACK, Reg(f"%%top{suffix}", "b64")), instr.where))
        if instr.guard is not None:
            self._out.append(LabelDef(skip))

    def _param_moves(self, instr: Instr, *, store: bool) -> None:
        """`st.param` and `ld.param` of a call as moves between registers."""
        address, value = (instr.operands[0], instr.operands[1]) if store else (instr.operands[1], instr.operands[0])
        if not isinstance(address, Mem) or not isinstance(address.base, Sym):
            raise UnsupportedError(
                f"an argument that is addressed by a register is not supported{_at(instr.where)}", line=instr.where.line
            )
        type_ = instr.mods[-1]
        size = TYPE_BYTES[type_]
        items: tuple[Operand | None, ...] = value.items if isinstance(value, Vec) else (value,)
        for i, item in enumerate(items):
            if item is None:
                continue
            offset = address.offset + address.base.offset + i * size
            slot = argument(address.base.name, offset, size)
            if not address.base.name.startswith(ABI):
                self._note_piece(address.base.name, offset, size, instr, store=store)
            wide = "b64" if size == 8 else "b32"
            if store:
                self._out.append(replace(instr, op="mov", mods=(wide,), operands=(slot, item)))
            else:
                self._out.append(replace(instr, op="mov", mods=(wide,), operands=(item, slot)))
                if size < 4 and type_[0] == "s":
                    self._out.append(replace(instr, op="cvt", mods=("s32", type_), operands=(item, item)))
                elif size < 4 and isinstance(item, Reg):
                    mask = Imm((1 << (8 * size)) - 1)
                    self._out.append(replace(instr, op="and", mods=("b32",), operands=(item, item, mask)))

    def _note_piece(self, name: str, offset: int, size: int, instr: Instr, *, store: bool) -> None:
        """Arguments live in registers, so what is read must be what was written, or the lower part of a word of it."""
        if store:
            self._pieces.setdefault(name, set()).add((offset, size))
            return
        for o, s in self._pieces.get(name, ()):
            apart = o >= offset + size or offset >= o + s
            if not (apart or (o == offset and (s == size or size < s <= 4))):
                raise UnsupportedError(
                    f"an argument that is written and read in pieces of another width is not supported{_at(instr.where)}",
                    line=instr.where.line,
                )


class _Renamer:
    def __init__(self, suffix: str, symbols: set[str], bound: Mapping[str, str]) -> None:
        self._suffix = suffix
        self._symbols = symbols
        self._bound = bound

    def instr(self, instr: Instr) -> Instr:
        if not self._suffix and not self._bound:
            return instr
        guard = None if instr.guard is None else Reg(instr.guard.name + self._suffix, instr.guard.type)
        return replace(
            instr,
            operands=tuple(self._operand(o) for o in instr.operands),
            guard=guard,
            targets=tuple(t + self._suffix for t in instr.targets),
        )

    def _operand(self, operand: Operand | None) -> Operand | None:
        if isinstance(operand, Reg):
            return Reg(operand.name + self._suffix, operand.type)
        if isinstance(operand, Sym):
            return Sym(self.symbol(operand.name), operand.offset)
        if isinstance(operand, Mem) and operand.base is not None:
            base = self._operand(operand.base)
            assert isinstance(base, Reg | Sym)
            return Mem(base, operand.offset)
        if isinstance(operand, Vec):
            return Vec(tuple(self._operand(o) for o in operand.items))
        return operand

    def symbol(self, name: str) -> str:
        if name in self._bound:
            return self._bound[name]
        return name + self._suffix if name in self._symbols or "@" in name else name


def _allocates(function: Function) -> bool:
    return any(isinstance(i, Instr) and i.op == "alloca" for i in function.body or ())


def _param_name(operand: Operand | None) -> str:
    if isinstance(operand, Sym):
        return operand.name
    raise UnsupportedError("a call whose argument is no parameter variable is not supported")


def _is_entry_param(instr: Instr, names: set[str]) -> bool:
    address = instr.operands[1]
    if not isinstance(address, Mem):
        return False
    return not isinstance(address.base, Sym) or address.base.name in names


def _at(where: Where) -> str:
    return f" (line {where.line})" if where.line else ""


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


def _lay_out_local(variables: list[Variable]) -> tuple[dict[str, int], int]:
    layout: dict[str, int] = {}
    at = 0
    for variable in variables:
        at = -(-at // variable.align) * variable.align
        layout[variable.name] = at
        at += variable.size
    return layout, -(-at // 16) * 16


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
