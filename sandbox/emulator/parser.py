"""PTX text to `ptx.Program`."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kernelwright.errors import EmulatorError, UnsupportedError
from kernelwright.sandbox.emulator.ptx import (
    TYPE_BYTES,
    Function,
    Imm,
    Instr,
    LabelDef,
    Mem,
    Operand,
    Param,
    Program,
    Reg,
    Special,
    Sym,
    Variable,
    Vec,
    Where,
)

__all__ = ["parse"]

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*|/\*.*?\*/)
    | (?P<loc>\.loc\s[^\n]*)
    | (?P<file>\.file\s[^\n]*)
    | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<number>0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}|0[xX][0-9a-fA-F]+U?|\d+\.\d+(?:[eE][+-]?\d+)?|\d+U?)
    | (?P<word>\.[A-Za-z_]\w*|[%$A-Za-z_][\w$.%]*(?:::[\w.]+)*)
    | (?P<sign>[{}()\[\];:,@!+\-<>=|*])
    """,
    re.VERBOSE | re.DOTALL,
)
_SPECIAL = re.compile(
    r"%(?:tid|ntid|ctaid|nctaid|clusterid|nclusterid|cluster_ctaid|cluster_nctaid)\.[xyz]|%(?:laneid|warpid|nwarpid|smid"
    r"|nsmid|gridid|clock|clock_hi|clock64|globaltimer|globaltimer_lo|globaltimer_hi|lanemask_(?:eq|lt|le|gt|ge)"
    r"|dynamic_smem_size|total_smem_size|aggr_smem_size|cluster_ctarank|cluster_nctarank|is_explicit_cluster|pm\d"
    r"|envreg\d+|reserved_smem_\w+)"
)
_SPACES = (".global", ".const", ".shared", ".local")
_BRACKETS = {"{": "}", "[": "]", "(": ")"}


def parse(text: str, source_name: str) -> Program:
    """Parses a PTX module; `source_name` is the file name of the user's CUDA source in its line table.

    Raises:
        EmulatorError: the text is not the PTX that this parser knows.
    """
    return _Parser(text, source_name).program()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise EmulatorError(f"the PTX has a character that is not known, {text[position]!r}, in its line {line}")
        if match.lastgroup != "space":
            yield _Token(match.lastgroup or "", match[0], position)
        position = match.end()


class _Parser:
    def __init__(self, text: str, source_name: str) -> None:
        self._text = text
        # Debug sections at the end of the text are no statements; registers of NUL bytes end some listings.
        cut = text.find("\n\t.section")
        body = text if cut < 0 else text[:cut]
        self._tokens = list(_tokens(body.replace("\x00", "")))
        self._at = 0
        self._source_files = {
            number
            for number, path in re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', text, re.MULTILINE)
            if re.split(r"[/\\]", path)[-1] == source_name
        }
        self._where = Where()
        self._inlined_at: dict[tuple[str, str, str], tuple[str, str, str]] = {}
        self._scopes: list[dict[str, str]] = []
        self._ranges: list[list[tuple[str, int, str, str]]] = []
        self._scope_count = 0
        self._scope_ids: list[int] = []
        self._program = Program("", [], {})
        self._tables: dict[str, tuple[str, ...]] = {}

    # -- tokens ---------------------------------------------------------------------------------------------------

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].text if at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise EmulatorError("the PTX ends in the middle of a statement")
        self._at += 1
        return self._tokens[self._at - 1].text

    def _take(self, text: str) -> bool:
        if self._peek() == text:
            self._at += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._error(f"{text!r} was expected")

    def _error(self, said: str) -> EmulatorError:
        at = min(self._at, len(self._tokens) - 1)
        position = self._tokens[at].position if self._tokens else 0
        line = self._text.count("\n", 0, position) + 1
        return EmulatorError(f"the PTX can't be read: {said} before {self._peek()!r} in its line {line}")

    def _skip_statement(self) -> None:
        while self._next() != ";":
            pass

    # -- module ---------------------------------------------------------------------------------------------------

    def program(self) -> Program:
        while self._at < len(self._tokens):
            word = self._peek()
            if self._tokens[self._at].kind in ("loc", "file"):
                self._at += 1
            elif word in (".version", ".address_size"):
                self._at += 2
            elif word == ".target":
                self._at += 1
                self._program.target = self._next()
                while self._take(","):
                    self._next()
            else:
                self._declaration()
        return self._program

    def _declaration(self) -> None:
        extern = False
        while self._peek() in (".visible", ".extern", ".weak", ".common"):
            extern |= self._next() == ".extern"
        word = self._peek()
        if word in (".entry", ".func"):
            self._function()
        elif word in _SPACES:
            self._program.variables.extend(self._variables(extern))
        elif word in (".pragma", ".alias"):
            self._skip_statement()
        else:
            raise self._error("a declaration")

    def _function(self) -> None:
        entry = self._next() == ".entry"
        returns: tuple[Param, ...] = ()
        if not entry and self._peek() == "(":
            returns = self._params()
        while self._peek() == ".noreturn":
            self._next()
        name = self._next()
        params = self._params() if self._peek() == "(" else ()
        function = Function(name, entry, params, returns)
        while self._peek() not in ("{", ";"):
            self._directive(function)
        if self._take("{"):
            function.body = []
            self._where = Where()
            self._tables = {}
            self._push_scope()
            for param in (*params, *returns):
                self._scopes[-1][param.name] = param.name
            self._declare_labels()
            self._block(function, function.body)
            self._pop_scope()
        else:
            self._need(";")
        known = self._program.functions.get(name)
        if known is None or known.body is None:
            self._program.functions[name] = function

    def _directive(self, function: Function) -> None:
        word = self._next()
        if word in (".maxntid", ".reqntid"):
            total = int(self._next())
            while self._take(","):
                total *= int(self._next())
            function.max_threads = total
        elif word in (".minnctapersm", ".maxnreg", ".maxnctapersm", ".maxclusterrank"):
            self._next()
            while self._take(","):
                self._next()
        elif word == ".noreturn":
            pass
        elif word in (".explicitcluster", ".reqnctapercluster"):
            raise UnsupportedError(f"thread-block clusters ({word}) in kernel {function.name} are not supported")
        elif word == ".pragma":
            self._skip_statement()
        else:
            raise self._error(f"the directive {word!r} of a function is not known")

    def _params(self) -> tuple[Param, ...]:
        self._need("(")
        params = []
        while not self._take(")"):
            self._need(".param")
            params.append(self._param())
            self._take(",")
        return tuple(params)

    def _param(self) -> Param:
        align = 0
        type_ = ""
        while self._peek().startswith("."):
            word = self._next()
            if word == ".align":
                align = int(self._next())
            elif word == ".ptr":
                while self._peek() in (".global", ".shared", ".const", ".local"):
                    self._next()
            elif word[1:] in TYPE_BYTES:
                type_ = word[1:]
        name = self._next()
        count = 1
        if self._take("["):
            count = 0 if self._peek() == "]" else self._int(self._next())
            self._need("]")
        if type_ not in TYPE_BYTES:
            raise self._error("a parameter's type")
        size = TYPE_BYTES[type_]
        return Param(name, type_, align or size, size * count)

    def _variables(self, extern: bool) -> Iterator[Variable]:
        space = self._next()[1:]
        align = 0
        type_ = ""
        vector = 1
        while self._peek().startswith("."):
            word = self._next()
            if word == ".align":
                align = int(self._next())
            elif word in (".v2", ".v4"):
                vector = int(word[2:])
            elif word[1:] in TYPE_BYTES:
                type_ = word[1:]
            elif word in (".texref", ".samplerref", ".surfref"):
                raise UnsupportedError(f"textures and surfaces ({word}) are not supported")
            elif word not in (".attribute", ".managed"):
                raise self._error(f"{word!r} in a variable's declaration is not known")
            if word == ".attribute":
                while self._next() != ")":
                    pass
        if type_ not in TYPE_BYTES:
            raise self._error("a variable's type")
        while True:
            name = self._next()
            count = vector
            while self._take("["):
                count = 0 if self._peek() == "]" else count * self._int(self._next())
                self._need("]")
            size = TYPE_BYTES[type_]
            data, relocations = self._initial(type_) if self._take("=") else (b"", ())
            yield Variable(name, space, align or size, size * count, data, relocations, extern)
            if not self._take(","):
                break
        self._need(";")

    def _initial(self, type_: str) -> tuple[bytes, tuple[tuple[int, str, int], ...]]:
        """The bytes of an initialiser, and the pointers in it."""
        size = TYPE_BYTES[type_]
        data = bytearray()
        relocations: list[tuple[int, str, int]] = []

        def element() -> None:
            if self._take("{"):
                while not self._take("}"):
                    element()
                    self._take(",")
                return
            text = self._peek()
            if self._tokens[self._at].kind == "word":
                self._address(data, relocations, size)
                return
            negative = self._take("-")
            self._take("+")
            text = self._next()
            if text[:2] in ("0f", "0F", "0d", "0D") and len(text) in (10, 18):
                bits = int(text[2:], 16)
            elif type_ in ("f32", "f64") and "." in text:
                bits = int.from_bytes(struct.pack("<f" if type_ == "f32" else "<d", float(text)), "little")
            else:
                bits = self._int(text)
            bits = -bits if negative else bits
            data.extend((bits & ((1 << (8 * size)) - 1)).to_bytes(size, "little"))

        element()
        return bytes(data), tuple(relocations)

    def _address(self, data: bytearray, relocations: list[tuple[int, str, int]], size: int) -> None:
        word = self._next()
        if word == "generic":
            self._need("(")
            word = self._next()
            self._need(")")
        elif word == "mask" or size != 8:
            raise UnsupportedError("an initialiser with a part of an address is not supported")
        addend = 0
        if self._take("+"):
            addend = self._int(self._next())
        elif self._take("-"):
            addend = -self._int(self._next())
        relocations.append((len(data), word, addend))
        data.extend(bytes(size))

    def _int(self, text: str) -> int:
        try:
            return int(text.rstrip("U"), 0) if not re.fullmatch(r"0\d+U?", text) else int(text.rstrip("U"), 8)
        except ValueError:
            raise self._error(f"{text!r} is no integer") from None

    # -- bodies ---------------------------------------------------------------------------------------------------

    def _push_scope(self) -> None:
        self._scopes.append({})
        self._ranges.append([])
        self._scope_count += 1
        self._scope_ids.append(self._scope_count)

    def _pop_scope(self) -> None:
        self._scopes.pop()
        self._ranges.pop()
        self._scope_ids.pop()

    def _unique(self, name: str) -> str:
        return name if len(self._scopes) == 1 else f"{name}@{self._scope_ids[-1]}"

    def _block(self, function: Function, body: list[Instr | LabelDef]) -> None:
        """Statements up to the closing brace."""
        while not self._take("}"):
            token = self._tokens[self._at] if self._at < len(self._tokens) else None
            if token is None:
                raise self._error("'}' is missing")
            word = token.text
            if token.kind == "loc":
                self._at += 1
                self._location(word)
            elif token.kind == "file":
                self._at += 1
            elif word == "{":
                self._at += 1
                self._push_scope()
                self._declare_labels()
                self._block(function, body)
                self._pop_scope()
            elif word == ";":
                self._at += 1
            elif word == ".reg":
                self._registers()
            elif word == ".param":
                self._at += 1
                param = self._param()
                unique = self._unique(param.name)
                self._scopes[-1][param.name] = unique
                function.param_bytes[unique] = param.size
                self._need(";")
            elif word in _SPACES:
                for variable in self._variables(extern=False):
                    function.variables.append(variable)
            elif word == ".pragma":
                self._skip_statement()
            elif word.startswith(".") and word not in (".branchtargets", ".calltargets", ".callprototype"):
                raise self._error(f"the directive {word!r} is not known")
            elif self._peek(1) == ":":
                self._label(body)
            else:
                body.append(self._instruction())

    def _declare_labels(self) -> None:
        """Labels of a nested block get names of their own, before they are used."""
        depth = 0
        at = self._at
        while at < len(self._tokens) and depth >= 0:
            text = self._tokens[at].text
            depth += (text == "{") - (text == "}")
            if depth == 0 and text == ":" and self._tokens[at - 1].kind == "word":
                name = self._tokens[at - 1].text
                self._scopes[-1][name] = self._unique(name)
            at += 1

    def _label(self, body: list[Instr | LabelDef]) -> None:
        name = self._resolve(self._next())
        self._need(":")
        if self._take(".branchtargets"):
            targets = []
            while not self._take(";"):
                targets.append(self._resolve(self._next()))
                self._take(",")
            self._tables[name] = tuple(targets)
        elif self._peek() in (".callprototype", ".calltargets"):
            self._skip_statement()
        else:
            body.append(LabelDef(name))

    def _location(self, text: str) -> None:
        """Keeps the line in the user's file: the innermost one, and where it was inlined."""
        match = re.match(r"\.loc\s+(\d+)\s+(\d+)\s+(\d+)(?:.*inlined_at\s+(\d+)\s+(\d+)\s+(\d+))?", text)
        if match is None:
            return
        here = (match[1], match[2], match[3])
        if match[4]:
            self._inlined_at[here] = (match[4], match[5], match[6])
        elif match[2] == "0":
            return  # compiler-made code: stay on the line before
        lines = [int(here[1])] if here[0] in self._source_files else []
        place = (match[4], match[5], match[6]) if match[4] else None
        seen = set()
        while place is not None and place not in seen:
            seen.add(place)
            if place[0] in self._source_files:
                lines.append(int(place[1]))
            place = self._inlined_at.get(place)
        lines = [line for line in lines if line > 0]
        if lines:
            called_from = lines[-1] if lines[-1] != lines[0] else None
            self._where = Where(lines[0], called_from, here[0] not in self._source_files)

    def _registers(self) -> None:
        self._next()
        type_ = ""
        while self._peek().startswith("."):
            type_ = self._next()[1:]
            if type_ in ("v2", "v4"):
                raise UnsupportedError("vector registers (.reg .v2) are not supported")
        if type_ != "pred" and type_ not in TYPE_BYTES:
            raise self._error(f"the register type {type_!r} is not known")
        while True:
            name = self._next()
            if self._take("<"):
                count = int(self._next())
                self._need(">")
                self._ranges[-1].append((name, count, type_, self._unique("")))
            else:
                self._scopes[-1][name] = f"{self._unique(name)}:{type_}"
            if not self._take(","):
                break
        self._need(";")

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
            raise self._error(f"the register {name!r} is not declared")
        return Sym(name)

    def _instruction(self) -> Instr:
        guard: Reg | None = None
        negated = False
        if self._take("@"):
            negated = self._take("!")
            found = self._named(self._next())
            if not isinstance(found, Reg):
                raise self._error("a guard must be a predicate")
            guard = found
        op, *mods = self._next().split(".")
        operands: list[Operand | None] = []
        if op == "call":
            operands = self._call_operands()
        else:
            while self._peek() != ";":
                operands.append(self._operand())
                if not self._take(","):
                    break
        self._need(";")
        targets: tuple[str, ...] = ()
        if op == "brx" and isinstance(operands[-1], Sym):
            targets = self._tables.get(operands[-1].name, ())
        return Instr(op, tuple(mods), tuple(operands), self._where, guard, negated, targets)

    def _call_operands(self) -> list[Operand | None]:
        """`call (ret), name, (args)`: always returns, name, args (and a prototype, dropped)."""
        groups: list[Operand | None] = []
        while self._peek() != ";":
            if self._take("("):
                items: list[Operand | None] = []
                while not self._take(")"):
                    items.append(self._operand())
                    self._take(",")
                groups.append(Vec(tuple(items)))
            else:
                groups.append(self._operand())
            self._take(",")
        if not isinstance(groups[0], Vec):
            groups.insert(0, Vec(()))
        if len(groups) < 3 or not isinstance(groups[2], Vec):
            groups.insert(2, Vec(()))
        return groups[:3]

    def _operand(self) -> Operand | None:
        word = self._peek()
        if word in ("{", "("):
            self._next()
            items: list[Operand | None] = []
            while not self._take(_BRACKETS[word]):
                items.append(self._operand())
                self._take(",")
            return Vec(tuple(items))
        if word == "[":
            return self._memory()
        if word == "!":
            self._next()
            inner = self._operand()
            return Vec((inner, None)) if isinstance(inner, Reg) else inner
        token = self._tokens[self._at]
        if word in ("-", "+") or token.kind == "number":
            return self._number()
        self._next()
        first: Operand | None = None if word == "_" else self._named(word)
        if self._take("|"):
            second = self._next()
            return Vec((first, None if second == "_" else self._named(second)))
        if isinstance(first, Sym) and self._peek() in ("+", "-"):
            sign = 1 if self._next() == "+" else -1
            return Sym(first.name, sign * self._int(self._next()))
        return first

    def _number(self) -> Imm:
        negative = self._take("-")
        self._take("+")
        text = self._next()
        prefix = text[:2].lower()
        if prefix == "0f" and len(text) == 10:
            return Imm(int(text[2:], 16) ^ (0x80000000 if negative else 0), "f32")
        if prefix == "0d" and len(text) == 18:
            return Imm(int(text[2:], 16) ^ (1 << 63 if negative else 0), "f64")
        if "." in text:
            value = -float(text) if negative else float(text)
            return Imm(int.from_bytes(struct.pack("<d", value), "little"), "f64")
        value = self._int(text)
        return Imm(-value if negative else value)

    def _memory(self) -> Mem:
        self._need("[")
        base: Reg | Sym | None = None
        offset = 0
        if self._tokens[self._at].kind == "word":
            found = self._named(self._next())
            if not isinstance(found, Reg | Sym):
                raise self._error("an address")
            base = found
        while not self._take("]"):
            sign = -1 if self._peek() == "-" else 1
            if self._peek() in ("+", "-"):
                self._next()
            if self._take("-"):
                sign = -sign
            offset += sign * self._int(self._next())
        return Mem(base, offset)
