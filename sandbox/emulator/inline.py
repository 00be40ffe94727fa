"""Calls out of a kernel's body: device functions are put in place of their calls, or get a frame of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kernelwright.errors import EmulatorError, UnsupportedError
from kernelwright.sandbox.emulator.callgraph import CallPlan
from kernelwright.sandbox.emulator.frames import (
    ABI,
    STACK,
    abi_names,
    abi_registers,
    argument,
    callees,
    copies,
    entry_label,
    lay_out_local,
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
    Sym,
    Variable,
    Vec,
    Where,
)

__all__ = ["Inliner"]

_MAX_INLINED = 200_000
"""Instructions of one kernel, above which it is refused."""

_CALLED = {"vprintf": "printf", "__assertfail": "assert", "malloc": "malloc", "free": "free"}


class Inliner:
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
        layout, size = lay_out_local(self.local)
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
        target = instr.operands[1]
        if not isinstance(target, Reg | Sym):
            raise EmulatorError(f"the PTX calls what is neither a function nor a register{_at(instr.where)}")
        pointer = target if isinstance(target, Reg) else None
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
