"""Memory instructions in the form that the runtime takes: data in registers of the lane's width, addresses in registers."""

from __future__ import annotations

from kernelwright.sandbox.emulator.alu import refuse
from kernelwright.sandbox.emulator.lower import destination_count
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Instr, Mem, Operand, Reg, Sym, Vec, has_register_address
from kernelwright.sandbox.emulator.tensor import TENSOR_OPS, check_form, listed_registers

__all__ = ["Splitter", "is_helper"]

_HELPER = "%%t"


def is_helper(instr: Instr) -> bool:
    """Whether the translator added the instruction (`Splitter`, or the mark `helper`): it is not counted as issued."""
    return "helper" in instr.mods or (
        instr.op in ("mov", "cvt")
        and any(isinstance(o, Reg) and o.name.startswith(_HELPER) for o in instr.operands[:2])
    )


class Splitter:
    """Adds the moves and conversions around memory instructions."""

    def __init__(self) -> None:
        self._temporaries = 0

    def _fresh(self, bits: int) -> Reg:
        self._temporaries += 1
        return Reg(f"{_HELPER}{self._temporaries}", "b64" if bits == 64 else "b32")

    def split(self, instr: Instr) -> list[Instr]:
        """Memory instructions with their operands in registers of the lane's width, the rest as moves around them."""
        op, mods = instr.op, instr.mods
        if op == "ldu":
            instr = Instr("ld", mods, instr.operands, instr.where, instr.guard, instr.guard_negated)
            op = "ld"
        if op == "ld" and ("param" not in mods or has_register_address(instr)):
            return self._split_load(instr)
        if op == "st":
            return self._split_store(instr)
        if op in ("atom", "red"):
            return self._split_atomic(instr)
        if op == "cp":
            return self._split_copy(instr)
        if op == "mbarrier":
            return self._split_mbarrier(instr)
        if op in TENSOR_OPS:
            return self._split_tensor(instr)
        return [instr]

    def _address_register(self, instr: Instr, address: Operand | None, before: list[Instr]) -> Mem:
        """`[symbol+n]` as `[register+0]`."""
        if not isinstance(address, Mem):
            refuse(instr)
        if isinstance(address.base, Reg):
            return address
        reg = self._fresh(64)
        value: Operand = Imm(address.offset) if address.base is None else Sym(address.base.name, address.base.offset)
        before.append(Instr("mov", ("b64",), (reg, value), instr.where))
        return Mem(reg, address.offset if address.base is not None else 0)

    def _split_load(self, instr: Instr) -> list[Instr]:
        target, address = instr.operands[0], instr.operands[1]
        before: list[Instr] = []
        after: list[Instr] = []
        memory = self._address_register(instr, address, before)
        type_ = instr.mods[-1]
        size = TYPE_BYTES.get(type_)
        if size is None or size > 8:
            refuse(instr)
        items = list(target.items) if isinstance(target, Vec) else [target]
        made: list[Operand | None] = []
        for item in items:
            if not isinstance(item, Reg):
                made.append(self._fresh(64 if size == 8 else 32))
                continue
            fits = item.bits == (64 if size == 8 else 32)
            plain = size >= 4 or (type_[0] != "s" and item.bits == 32)
            if fits and plain:
                made.append(item)
                continue
            raw = self._fresh(64 if size == 8 else 32)
            made.append(raw)
            kind = type_ if type_[0] in "su" else f"u{8 * size}"
            to = f"{'s' if kind[0] == 's' else 'u'}{64 if item.bits == 64 else 32}"
            after.append(Instr("cvt", (to, kind), (item, raw), instr.where, instr.guard, instr.guard_negated))
        load = Instr("ld", instr.mods, (Vec(tuple(made)), memory), instr.where, instr.guard, instr.guard_negated)
        return [*before, load, *after]

    def _split_store(self, instr: Instr) -> list[Instr]:
        address, value = instr.operands[0], instr.operands[1]
        before: list[Instr] = []
        memory = self._address_register(instr, address, before)
        size = TYPE_BYTES.get(instr.mods[-1])
        if size is None or size > 8:
            refuse(instr)
        items = list(value.items) if isinstance(value, Vec) else [value]
        made = tuple(self._in_register(item, 64 if size == 8 else 32, instr, before) for item in items)
        return [*before, Instr("st", instr.mods, (memory, Vec(made)), instr.where, instr.guard, instr.guard_negated)]

    def _in_register(self, item: Operand | None, bits: int, instr: Instr, before: list[Instr]) -> Reg:
        if isinstance(item, Reg) and item.bits == bits:
            return item
        reg = self._fresh(bits)
        if isinstance(item, Reg):
            before.append(Instr("cvt", (f"u{bits}", f"u{item.bits}"), (reg, item), instr.where))
        else:
            before.append(Instr("mov", (f"b{bits}",), (reg, item), instr.where))
        return reg

    def _split_atomic(self, instr: Instr) -> list[Instr]:
        before: list[Instr] = []
        operands = list(instr.operands)
        at = 0 if instr.op == "red" else 1
        vectors = [o for o in operands if isinstance(o, Vec)]
        if "b128" in instr.mods:
            operands[at] = self._address_register(instr, operands[at], before)
            for i in range(at + 1, len(operands)):
                if isinstance(value := operands[i], Vec):
                    operands[i] = Vec(tuple(self._in_register(o, 64, instr, before) for o in value.items))
            return [*before, instr.with_operands(*operands)]
        if vectors:
            return self._split_vector_atomic(instr, at, len(vectors[0].items))
        operands[at] = self._address_register(instr, operands[at], before)
        size = TYPE_BYTES.get(instr.mods[-1])
        if size is None or size > 8:
            refuse(instr)
        for i in range(at + 1, len(operands)):
            operands[i] = self._in_register(operands[i], 64 if size == 8 else 32, instr, before)
        return [*before, instr.with_operands(*operands)]

    def _split_vector_atomic(self, instr: Instr, at: int, count: int) -> list[Instr]:
        """One atomic an element: the ISA promises no more than that each element is atomic."""
        address = instr.operands[at]
        size = TYPE_BYTES.get(instr.mods[-1])
        if not isinstance(address, Mem) or size is None:
            refuse(instr)
        mods = tuple(m for m in instr.mods if m not in ("v2", "v4", "v8"))
        out: list[Instr] = []
        for i in range(count):
            operands = [
                o.items[i] if isinstance(o, Vec) else Mem(address.base, address.offset + i * size) if n == at else o
                for n, o in enumerate(instr.operands)
            ]
            one = Instr(instr.op, mods, tuple(operands), instr.where, instr.guard, instr.guard_negated)
            out.extend(self._split_atomic(one))
        return out

    def _split_mbarrier(self, instr: Instr) -> list[Instr]:
        """Tokens and counts that are constants stay so; the address goes into a register."""
        if any(m.startswith("shared::cluster") or m == "cluster" for m in instr.mods) or instr.mods[0] == "tx-count":
            refuse(instr)
        before: list[Instr] = []
        operands = [self._address_register(instr, o, before) if isinstance(o, Mem) else o for o in instr.operands]
        return [*before, instr.with_operands(*operands)]

    def _split_tensor(self, instr: Instr) -> list[Instr]:
        check_form(instr)
        before: list[Instr] = []
        operands: list[Operand | None] = []
        bits = 64 if "f64" in instr.mods else 32
        for i, operand in enumerate(instr.operands):
            if isinstance(operand, Mem):
                operands.append(self._address_register(instr, operand, before))
            elif i < destination_count(instr) or (instr.op == "wmma" and i == 2 and "mma" not in instr.mods):
                operands.append(operand)
            else:
                operands.append(
                    Vec(tuple(self._in_register(o, bits, instr, before) for o in listed_registers(operand)))
                )
        return [*before, instr.with_operands(*operands)]

    def _split_copy(self, instr: Instr) -> list[Instr]:
        before: list[Instr] = []
        if instr.mods[:3] == ("async", "mbarrier", "arrive"):
            target = self._address_register(instr, instr.operands[0], before)
            return [*before, instr.with_operands(target)]
        if instr.mods[:1] != ("async",) or "bulk" in instr.mods:
            refuse(instr)
        if "commit_group" in instr.mods or "wait_group" in instr.mods or "wait_all" in instr.mods:
            return [instr]
        before = []
        to, of, *rest = instr.operands
        operands: list[Operand | None] = [
            self._address_register(instr, to, before),
            self._address_register(instr, of, before),
            *rest,
        ]
        return [*before, instr.with_operands(*operands)]
