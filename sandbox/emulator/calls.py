"""C++ that calls the runtime: memory, atomics, warp-wide operations, barriers, printf."""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.emulator.alu import refuse
from kernelwright.sandbox.emulator.flow import Block, is_barrier, is_collective
from kernelwright.sandbox.emulator.lower import destination_count
from kernelwright.sandbox.emulator.operands import is_helper
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Instr, Mem, Reg, Vec
from kernelwright.sandbox.emulator.sites import Registers, Sites
from kernelwright.sandbox.emulator.tensor import TENSOR_OPS, matrix_table, mma_table, stride_of, wmma_table

__all__ = ["CallEmitter"]

_ATOMIC_OPS = ("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec")
_ATOMIC_TYPES = {
    "u32": 0, "b32": 0, "s32": 1, "u64": 2, "b64": 2, "s64": 3, "f32": 4, "f64": 5,
    "f16": 6, "bf16": 7, "f16x2": 8, "bf16x2": 9, "b16": 10, "u16": 10, "b128": 11,
}  # fmt: skip

_MBARRIER_OPS = (
    "init", "inval", "arrive", "arrive_drop", "expect_tx", "complete_tx", "test_wait", "try_wait", "copies", "copies_noinc",
    "pending_count",
)  # fmt: skip
"""In the order of `Op` in runtime/mbarrier.cpp."""


def _space(instr: Instr) -> str:
    for mod in instr.mods:
        if mod in ("global", "const"):
            return "global"
        if mod in ("shared", "shared::cta"):
            return "shared"
        if mod == "local":
            return "local"
        if mod in ("param", "shared::cluster"):
            raise UnsupportedError(
                f"the PTX instruction {instr.opcode} is not supported by the emulator", line=instr.where.line
            )
    return "generic"


class CallEmitter:
    """Appends calls to `out`; `read` holds the names of registers that are read anywhere, `floats` of those read as numbers with a point."""

    def __init__(
        self,
        sites: Sites,
        registers: Registers,
        read: frozenset[str],
        floats: frozenset[str],
        out: list[str],
    ) -> None:
        self._sites = sites
        self._floats = floats
        self._registers = registers
        self._read = read
        self._out = out
        self.cell_bytes = 0
        """The narrowest access that may go to shared memory."""
        self._tables = 0
        self.ordered = False
        """Whether blocks must run one after the other for the result to be the same every time."""

    def call(self, instr: Instr) -> None:
        """Appends the call for one instruction.

        Raises:
            UnsupportedError: an instruction or a form that is not known.
        """
        handlers: dict[str, Callable[[Instr], None]] = {
            "ld": self._load_store,
            "st": self._load_store,
            "atom": self._atomic,
            "red": self._atomic,
            "cp": self._copy_async,
            "membar": self._fence,
            "fence": self._fence,
            "shfl": self._emit_collective,
            "vote": self._emit_collective,
            "match": self._emit_collective,
            "redux": self._emit_collective,
            "elect": self._emit_collective,
            "mbarrier": self._mbarrier,
            "mma": self._tensor,
            "wmma": self._tensor,
            "ldmatrix": self._tensor,
            "stmatrix": self._tensor,
            "movmatrix": self._tensor,
            "barresult": self._barrier_result,
            "trap": self._trap,
            "brkpt": self._trap,
            "assert": self._assert,
            "printf": self._printf,
        }
        if instr.op in ("bar", "barrier"):
            if "warp" in instr.mods:
                return  # its lanes have been collected at the block's beginning
            site = self._barrier_site(instr)
            self._out.append(f"w->mask = M; kw_arrive(w, {site});")
            return
        handler = handlers.get(instr.op)
        if handler is None:
            refuse(instr)
        handler(instr)

    def _load_store(self, instr: Instr) -> None:
        load = instr.op == "ld"
        if "param" in instr.mods:
            self._load_param(instr)
            return
        address, value = (instr.operands[1], instr.operands[0]) if load else (instr.operands[0], instr.operands[1])
        assert isinstance(address, Mem)
        assert isinstance(value, Vec)
        size = TYPE_BYTES[instr.mods[-1]]
        count = len(value.items)
        self._note_shared(instr, size)
        if size * count > 32 or (size < 4 and count > 4):
            refuse(instr, "moves more than 32 bytes a lane, which is not supported by the emulator")
        site = self._sites.add(instr, address)
        for i, item in enumerate(value.items):
            assert isinstance(item, Reg)
            site.slot[i] = self._registers.slot(item)
            site.loads_float |= load and item.name in self._floats
        site.loads_float |= load and instr.mods[-1][0] == "f"
        if _space(instr) in ("global", "generic") and (load or not site.is_volatile):
            site.accesses_global("load" if load else "store", size * count)
        mask = self._sites.mask(instr)
        call = f"kw_{instr.op}_{_space(instr)}_{size}_{count}(w, {mask}, {site.number});"
        fence = f"if ({mask}) kw_fence(w, M, {site.number});"
        if "acquire" in instr.mods:
            call = f"{call} {fence}"
        elif "release" in instr.mods:
            call = f"{fence} {call}"
        self._out.append(call)

    def _load_param(self, instr: Instr) -> None:
        """ld.param at an address in a register; see runtime/stack.cpp."""
        value, address = instr.operands
        if instr.op != "ld" or not isinstance(address, Mem) or not isinstance(value, Vec):
            refuse(instr)
        site = self._sites.add(instr, address)
        for i, item in enumerate(value.items):
            assert isinstance(item, Reg)
            site.slot[i] = self._registers.slot(item)
        site.extra[0], site.extra[1] = TYPE_BYTES[instr.mods[-1]], len(value.items)
        site.imm[0], site.imm[1] = self._sites.parameter_bounds(site.info.origins)
        self._out.append(f"kw_ld_param(w, {self._sites.mask(instr)}, {site.number});")

    def _note_shared(self, instr: Instr, size: int) -> None:
        if _space(instr) in ("shared", "generic"):
            self.cell_bytes = min(self.cell_bytes or 4, size)

    def _fence(self, instr: Instr) -> None:
        site = self._sites.add(instr)
        site.extra[0] = int("cta" not in instr.mods)
        self._out.append(f"kw_fence(w, {self._sites.mask(instr)}, {site.number});")

    def _atomic(self, instr: Instr) -> None:
        has_result = instr.op == "atom"
        operands = instr.operands[1:] if has_result else instr.operands
        address = operands[0]
        assert isinstance(address, Mem)
        type_ = instr.mods[-1]
        operation = next((m for m in instr.mods if m in _ATOMIC_OPS), None)
        if operation is None or type_ not in _ATOMIC_TYPES:
            refuse(instr)
        site = self._sites.add(instr, address)
        target = instr.operands[0] if has_result else None
        results = target.items if isinstance(target, Vec) else (target,)
        wanted = any(isinstance(r, Reg) and r.name in self._read for r in results)
        for i, operand in enumerate((target if wanted else None, *operands[1:3])):
            # The upper halves of 128-bit operands have numbers of their own.
            low, high = operand.items if isinstance(operand, Vec) else (operand, None)
            self._sites.operand(site, i, low)
            self._sites.operand(site, 4 + i, high)
        site.extra[0] = _ATOMIC_OPS.index(operation)
        site.extra[1] = _ATOMIC_TYPES[type_]
        self._note_shared(instr, TYPE_BYTES[type_])
        space = _space(instr)
        if space != "shared":
            site.accesses_global("atomic", TYPE_BYTES[type_])
        exact = type_ not in ("f32", "f64", "f16", "bf16", "f16x2", "bf16x2") and operation not in ("exch", "cas")
        if space != "shared" and (wanted or not exact):
            self.ordered = True
        self._out.append(f"kw_atom_{space}(w, {self._sites.mask(instr)}, {site.number});")

    def _copy_async(self, instr: Instr) -> None:
        mask = self._sites.mask(instr)
        if "commit_group" in instr.mods:
            self._out.append(f"kw_copy_commit(w, {mask}, {self._sites.add(instr).number});")
            return
        if "wait_group" in instr.mods or "wait_all" in instr.mods:
            site = self._sites.add(instr)
            count = instr.operands[0] if instr.operands else Imm(-1)
            if not isinstance(count, Imm):
                refuse(instr)
            site.imm[0] = count.value
            self._out.append(f"kw_copy_wait(w, {mask}, {site.number});")
            return
        if "mbarrier" in instr.mods:
            target = instr.operands[0]
            assert isinstance(target, Mem)
            site = self._sites.add(instr, target)
            site.extra[0] = _MBARRIER_OPS.index("copies_noinc" if "noinc" in instr.mods else "copies")
            site.extra[2:5] = [0, 0, 0]
            self._out.append(f"kw_mbarrier(w, {mask}, {site.number});")
            return
        to, of, size, *rest = instr.operands
        assert isinstance(to, Mem)
        assert isinstance(of, Mem)
        assert isinstance(size, Imm)
        assert isinstance(to.base, Reg)
        site = self._sites.add(instr, of)
        site.accesses_global("load", size.value)
        site.slot[1] = self._registers.slot(to.base)
        site.imm[1] = to.offset
        site.extra[0] = size.value
        self.cell_bytes = self.cell_bytes or 4
        site.extra[1] = to.base.bits
        site.imm[2] = size.value
        for operand in rest:
            if isinstance(operand, Reg) and operand.bits == 1:
                site.extra[2] = self._registers.slot(operand)
            elif isinstance(operand, Reg | Imm) and "L2::cache_hint" not in instr.mods:
                self._sites.operand(site, 2, operand)
        self._out.append(f"kw_copy_async(w, {mask}, {site.number});")

    def collect(self, block: Block) -> None:
        """At the beginning of a block: waits for the lanes that a warp-wide operation or a barrier needs."""
        first = next((i for i in block.instrs if not is_helper(i)), block.instrs[0])
        if is_barrier(first):
            self._out.append(f"COLLECT({block.number}, {self._barrier_site(first)}, 0);")
        elif first.op in TENSOR_OPS:
            self._out.append(f"COLLECT({block.number}, {self._sites.add(first).number}, 2);")
        elif is_collective(first):
            self._out.append(f"COLLECT({block.number}, {self._collective_site(first)}, 1); w->converged++;")

    def _collective_site(self, instr: Instr) -> int:
        site = self._sites.add(instr)
        operands = instr.operands
        if instr.op == "bar":  # bar.warp.sync members
            self._sites.operand(site, 4, operands[0])
        elif instr.op == "shfl":
            target, a, b, c, members = operands
            first, second = target.items if isinstance(target, Vec) else (target, None)
            for i, operand in enumerate((first, a, b, c, members)):
                self._sites.operand(site, i, operand)
            site.extra[0] = ("up", "down", "bfly", "idx").index(instr.mods[1])
            site.extra[1] = self._sites.predicate(second)[0]
        elif instr.op == "elect":
            target, members = operands
            first, second = target.items if isinstance(target, Vec) else (target, None)
            self._sites.operand(site, 0, first)
            site.extra[0] = self._sites.predicate(second)[0]
            self._sites.operand(site, 4, members)
        elif instr.op == "vote":
            target, a, members = operands
            site.extra[0], site.extra[1] = self._sites.predicate(a)
            if isinstance(a, Imm):
                site.imm[1] = a.value
            site.extra[2] = ("all", "any", "uni", "ballot").index(instr.mods[1])
            if site.extra[2] == 3:
                self._sites.operand(site, 0, target)
            else:
                site.extra[3] = self._sites.predicate(target)[0]
            self._sites.operand(site, 4, members)
        elif instr.op == "match":
            target, a, members = operands
            first, second = target.items if isinstance(target, Vec) else (target, None)
            self._sites.operand(site, 0, first)
            self._sites.operand(site, 1, a)
            self._sites.operand(site, 4, members)
            site.extra[0] = ("any", "all").index(instr.mods[0])
            site.extra[1] = 64 if instr.mods[-1] == "b64" else 32
            site.extra[2] = self._sites.predicate(second)[0]
        else:
            target, a, members = operands
            site.extra[2] = int(instr.mods[-1] == "f32") + 2 * ("abs" in instr.mods) + 4 * ("NaN" in instr.mods)
            for i, operand in ((0, target), (1, a), (4, members)):
                self._sites.operand(site, i, operand)
            site.extra[0] = ("add", "min", "max", "and", "or", "xor").index(instr.mods[1])
            site.extra[1] = int(instr.mods[-1][0] == "s")
        return site.number

    def _emit_collective(self, instr: Instr) -> None:
        if "sync" not in instr.mods:
            refuse(instr, "without .sync is not supported by the emulator")
        # Its site was made at the block's beginning.
        self._out.append(f"kw_{instr.op}(w, M, {len(self._sites.listed) - 1});")

    def _mbarrier(self, instr: Instr) -> None:
        """See runtime/mbarrier.cpp for what goes where."""
        op = instr.mods[0]
        operands = list(instr.operands)
        result = operands.pop(0) if destination_count(instr) else None
        if op == "pending_count":
            site = self._sites.add(instr)
            self._sites.operand(site, 2, operands[0])
        else:
            address = operands.pop(0)
            assert isinstance(address, Mem)
            site = self._sites.add(instr, address)
            self.cell_bytes = self.cell_bytes or 4
        if op not in _MBARRIER_OPS or any(m.startswith("multicast") for m in instr.mods):
            refuse(instr)
        site.extra[0] = _MBARRIER_OPS.index(op)
        site.extra[2:5] = [0, int(op.startswith("arrive") and "expect_tx" in instr.mods), int("parity" in instr.mods)]
        if op in ("test_wait", "try_wait"):
            site.extra[1] = self._sites.predicate(result)[0]
            self._sites.operand(site, 1 if "parity" in instr.mods else 2, operands[0])
        else:
            self._sites.operand(site, 0, result)
            if op != "pending_count" and operands:
                site.extra[2] = 1
                self._sites.operand(site, 1, operands[0])
        self._out.append(f"kw_mbarrier(w, {self._sites.mask(instr)}, {site.number});")

    def _tensor(self, instr: Instr) -> None:
        self._tables += 1
        name = f"tensor{self._tables}"
        slot = self._registers.slot
        if instr.op == "mma" or (instr.op == "wmma" and "mma" in instr.mods):
            table, call = mma_table(instr, slot), f"kw_mma(w, M, {name})"
        elif instr.op == "movmatrix":
            table, call = matrix_table(instr, slot), f"kw_movmatrix(w, M, {name})"
        else:
            address = next(o for o in instr.operands if isinstance(o, Mem))
            site = self._sites.add(instr, address)
            site.extra[0] = int(_space(instr) == "shared")
            site.moves_matrix = True
            if instr.op == "wmma":
                self._sites.operand(site, 4, stride_of(instr))
                table, call = wmma_table(instr, slot), f"kw_wmma_move(w, M, {site.number}, {name})"
                size = TYPE_BYTES.get(instr.mods[-1], 1)
            else:
                table, call = matrix_table(instr, slot), f"kw_matrix_move(w, M, {site.number}, {name})"
                size = 4
            if _space(instr) != "global":
                self.cell_bytes = min(self.cell_bytes or 4, size)
            stores = instr.op == "stmatrix" or "store" in instr.mods
            if _space(instr) != "shared":
                site.accesses_global("store" if stores else "load", size)
            # a load is done for all lanes at once, and what they read before it is done when they store; but to wait for each
            # other makes no lane's earlier writes visible, and a store has not ended when they go on
            call = f"w->converged++; {call}" if stores else f"{call}; w->converged++"
        self._out.append(f"{{ static const int32_t {name}[] = {{{', '.join(map(str, table))}}}; {call}; }}")

    def _barrier_site(self, instr: Instr) -> int:
        site = self._sites.add(instr)
        site.imm[3] = -1
        site.extra[2] = 0
        operands = list(instr.operands)
        if instr.op == "barred":
            site.extra[0], site.extra[1] = self._sites.predicate(operands.pop())
            site.extra[2] = ("popc", "and", "or").index(next(m for m in instr.mods if m in ("popc", "and", "or")))
        if operands:
            self._sites.operand(site, 2, operands[0])
        if len(operands) > 1:
            self._sites.operand(site, 3, operands[1])
        return site.number

    def _barrier_result(self, instr: Instr) -> None:
        site = self._sites.add(instr)
        target = instr.operands[0]
        site.extra[3] = self._sites.predicate(target)[0] if isinstance(target, Reg) and target.bits == 1 else -1
        if site.extra[3] < 0:
            self._sites.operand(site, 0, target)
        self._out.append(f"kw_barrier_result(w, M, {site.number});")

    def _trap(self, instr: Instr) -> None:
        self._out.append(f"kw_trap(w, M, {self._sites.add(instr).number}); if (M) return KW_STOP;")

    def _assert(self, instr: Instr) -> None:
        site = self._sites.add(instr)
        self._sites.operand(site, 0, instr.operands[0])
        self._out.append(f"kw_assert(w, M, {site.number}); if (M) return KW_STOP;")

    def _printf(self, instr: Instr) -> None:
        site = self._sites.add(instr)
        for i, operand in enumerate(instr.operands):
            self._sites.operand(site, i, operand)
        self.ordered = True
        self._out.append(f"kw_printf(w, M, {site.number});")
