"""The bodies of PTX functions: registers in their scopes, labels and instructions."""

from __future__ import annotations

import re

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.emulator.parse_lines import LineTable
from kernelwright.sandbox.emulator.parse_tokens import Reader
from kernelwright.sandbox.emulator.parse_variables import SPACES, read_param, read_variables
from kernelwright.sandbox.emulator.ptx import (
    TYPE_BYTES,
    Function,
    Imm,
    Instr,
    LabelDef,
    Mem,
    Operand,
    Reg,
    Special,
    Sym,
    Vec,
)

__all__ = ["BodyParser"]

_SPECIAL = re.compile(
    r"%(?:tid|ntid|ctaid|nctaid|clusterid|nclusterid|cluster_ctaid|cluster_nctaid)\.[xyz]|%(?:laneid|warpid|nwarpid|smid"
    r"|nsmid|gridid|clock|clock_hi|clock64|globaltimer|globaltimer_lo|globaltimer_hi|lanemask_(?:eq|lt|le|gt|ge)"
    r"|dynamic_smem_size|total_smem_size|aggr_smem_size|cluster_ctarank|cluster_nctarank|is_explicit_cluster|pm\d"
    r"|envreg\d+|reserved_smem_\w+)"
)
VIDEO = re.compile(r"v(?:add|sub|avrg|absdiff|min|max|set)[24]|v(?:add|sub|absdiff|min|max|set|shl|shr|mad)")
"""Video instructions: operands may be parts of registers (PTX ISA 9.7.18)."""
_BRACKETS = {"{": "}", "(": ")"}


class BodyParser:
    """Reads the body of `function` from after its opening brace; names of nested blocks get the block's number."""

    def __init__(self, read: Reader, lines: LineTable, function: Function) -> None:
        self._read = read
        self._lines = lines
        self._function = function
        self._body: list[Instr | LabelDef] = []
        self._scopes: list[dict[str, str]] = []
        self._ranges: list[list[tuple[str, int, str, str]]] = []
        self._scope_count = 0
        self._scope_ids: list[int] = []
        self._tables: dict[str, tuple[str, ...]] = {}

    def body(self) -> list[Instr | LabelDef]:
        """The instructions and labels; what the body declares is added to the function.

        Raises:
            EmulatorError: a statement that this parser does not know.
            UnsupportedError: vector registers.
        """
        self._block({param.name: param.name for param in (*self._function.params, *self._function.returns)})
        return self._body

    # -- statements -----------------------------------------------------------------------------------------------

    def _block(self, names: dict[str, str]) -> None:
        """Statements up to the closing brace, in a scope of their own that begins with `names`."""
        read = self._read
        self._scopes.append(names)
        self._ranges.append([])
        self._scope_count += 1
        self._scope_ids.append(self._scope_count)
        for label in read.labels_ahead():  # a nested block's get names of their own, before they are used
            names[label] = self._unique(label)
        while not read.take("}"):
            self._statement()
        self._scopes.pop()
        self._ranges.pop()
        self._scope_ids.pop()

    def _statement(self) -> None:
        read = self._read
        word = read.peek()
        if not word:
            raise read.error("'}' is missing")
        if read.kind == "loc":
            self._lines.follow(read.next())
        elif read.kind == "file" or word == ";":
            read.next()
        elif word == "{":
            read.next()
            self._block({})
        elif word == ".reg":
            self._registers()
        elif word == ".param":
            read.next()
            param = read_param(read)
            unique = self._unique(param.name)
            self._scopes[-1][param.name] = unique
            self._function.param_bytes[unique] = param.size
            read.need(";")
        elif word in SPACES:
            self._function.variables.extend(read_variables(read, extern=False))
        elif word == ".pragma":
            read.skip_statement()
        elif word.startswith(".") and word not in (".branchtargets", ".calltargets", ".callprototype"):
            raise read.error(f"the directive {word!r} is not known")
        elif read.peek(1) == ":":
            self._label()
        else:
            self._body.append(self._instruction())

    def _label(self) -> None:
        read = self._read
        name = self._resolve(read.next())
        read.need(":")
        if read.take(".branchtargets"):
            targets = []
            while not read.take(";"):
                targets.append(self._resolve(read.next()))
                read.take(",")
            self._tables[name] = tuple(targets)
        elif read.peek() in (".callprototype", ".calltargets"):
            read.skip_statement()
        else:
            self._body.append(LabelDef(name))

    def _registers(self) -> None:
        read = self._read
        read.next()
        type_ = ""
        while read.peek().startswith("."):
            type_ = read.next()[1:]
            if type_ in ("v2", "v4"):
                raise UnsupportedError("vector registers (.reg .v2) are not supported")
        if type_ != "pred" and type_ not in TYPE_BYTES:
            raise read.error(f"the register type {type_!r} is not known")
        while True:
            name = read.next()
            if read.take("<"):
                count = read.integer()
                read.need(">")
                self._ranges[-1].append((name, count, type_, self._unique("")))
            else:
                self._scopes[-1][name] = f"{self._unique(name)}:{type_}"
            if not read.take(","):
                break
        read.need(";")

    # -- names ----------------------------------------------------------------------------------------------------

    def _unique(self, name: str) -> str:
        return name if len(self._scopes) == 1 else f"{name}@{self._scope_ids[-1]}"

    def _resolve(self, name: str) -> str:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return name

    def _named(self, name: str) -> Operand:
        for scope, ranges in zip(reversed(self._scopes), reversed(self._ranges), strict=True):
            if name in scope:
                unique, _, type_ = scope[name].partition(":")
                return Reg(unique, type_) if type_ else Sym(unique)
            for prefix, count, type_, suffix in ranges:
                digits = name[len(prefix) :]
                if name.startswith(prefix) and digits.isdigit() and int(digits) < count:
                    return Reg(name + suffix, type_)
        if name == "WARP_SZ":
            return Imm(32)
        if name.startswith("%"):
            if _SPECIAL.fullmatch(name):
                return Special(name)
            raise self._read.error(f"the register {name!r} is not declared")
        return Sym(name)

    # -- instructions ---------------------------------------------------------------------------------------------

    def _instruction(self) -> Instr:
        read = self._read
        guard: Reg | None = None
        negated = False
        if read.take("@"):
            negated = read.take("!")
            found = self._named(read.next())
            if not isinstance(found, Reg):
                raise read.error("a guard must be a predicate")
            guard = found
        op, *mods = read.next().split(".")
        operands: list[Operand | None] = []
        if op == "call":
            operands = self._call_operands()
        elif VIDEO.fullmatch(op):
            operands = self._video_operands(mods)
        else:
            while read.peek() != ";":
                operands.append(self._operand())
                if not read.take(","):
                    break
        read.need(";")
        targets: tuple[str, ...] = ()
        if op == "brx" and isinstance(operands[-1], Sym):
            targets = self._tables.get(operands[-1].name, ())
        return Instr(op, tuple(mods), tuple(operands), self._lines.where, guard, negated, targets)

    def _call_operands(self) -> list[Operand | None]:
        """`call (ret), name, (args)`: always returns, name, args (and a prototype, dropped)."""
        groups: list[Operand | None] = []
        while self._read.peek() != ";":
            groups.append(self._vector() if self._read.peek() == "(" else self._operand())
            self._read.take(",")
        if not isinstance(groups[0], Vec):
            groups.insert(0, Vec(()))
        if len(groups) < 3 or not isinstance(groups[2], Vec):
            groups.insert(2, Vec(()))
        return groups[:3]

    def _video_operands(self, mods: list[str]) -> list[Operand | None]:
        """Operands of which each may be a part (`%r1.h10`) or negated (`-%r1`); `mods` gets `a:h10` and `a:-`."""
        read = self._read
        operands: list[Operand | None] = []
        for name in "dabc":
            if read.peek() == ";":
                break
            if read.peek() == "-" and read.peek(1).startswith(("%", "$", "_")):
                read.next()
                mods.append(f"{name}:-")
            if read.kind == "word":
                register, _, part = read.next().partition(".")
                operands.append(self._named(register))
                if part:
                    mods.append(f"{name}:{part}")
            else:
                operands.append(read.number())
            if not read.take(","):
                break
        return operands

    def _operand(self) -> Operand | None:
        read = self._read
        word = read.peek()
        if word in _BRACKETS:
            return self._vector()
        if word == "[":
            return self._memory()
        if word == "!":
            read.next()
            inner = self._operand()
            return Vec((inner, None)) if isinstance(inner, Reg) else inner
        if word in ("-", "+") or read.kind == "number":
            return read.number()
        read.next()
        first: Operand | None = None if word == "_" else self._named(word)
        if read.take("|"):
            second = read.next()
            return Vec((first, None if second == "_" else self._named(second)))
        if isinstance(first, Sym) and read.peek() in ("+", "-"):
            sign = 1 if read.next() == "+" else -1
            return Sym(first.name, sign * read.integer())
        return first

    def _vector(self) -> Vec:
        closing = _BRACKETS[self._read.next()]
        items: list[Operand | None] = []
        while not self._read.take(closing):
            items.append(self._operand())
            self._read.take(",")
        return Vec(tuple(items))

    def _memory(self) -> Mem:
        read = self._read
        read.need("[")
        base: Reg | Sym | None = None
        offset = 0
        if read.kind == "word":
            found = self._named(read.next())
            if not isinstance(found, Reg | Sym):
                raise read.error("an address")
            base = found
        while not read.take("]"):
            sign = -1 if read.peek() == "-" else 1
            if read.peek() in ("+", "-"):
                read.next()
            if read.take("-"):
                sign = -sign
            offset += sign * read.integer()
        return Mem(base, offset)
