"""What the emulator knows of PTX: operands, instructions, variables, functions. See the PTX ISA, chapters 4 and 5."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

__all__ = [
    "TYPE_BYTES",
    "Function",
    "Imm",
    "Instr",
    "LabelDef",
    "Mem",
    "Operand",
    "Param",
    "Program",
    "Reg",
    "Special",
    "Sym",
    "Variable",
    "Vec",
    "Where",
    "has_register_address",
    "register_bits",
]

TYPE_BYTES = {
    "b8": 1, "u8": 1, "s8": 1,
    "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2,
    "b32": 4, "u32": 4, "s32": 4, "f32": 4, "f16x2": 4, "bf16x2": 4, "tf32": 4,
    "b64": 8, "u64": 8, "s64": 8, "f64": 8,
    "b128": 16,
}  # fmt: skip
"""Size in bytes of each fundamental type (PTX ISA 5.2)."""


def register_bits(type_: str) -> int:
    """Bits a register of this type occupies here: 1 for predicates, 32 for all up to 32 bits, else 64 (or 128)."""
    if type_ == "pred":
        return 1
    return max(32, 8 * TYPE_BYTES[type_])


@dataclass(frozen=True, slots=True)
class Reg:
    """A register; `type` as declared. Names are unique in a function (scopes are resolved by the parser)."""

    name: str
    type: str

    @property
    def bits(self) -> int:
        """1, 32, 64 or 128."""
        return register_bits(self.type)


@dataclass(frozen=True, slots=True)
class Imm:
    """A constant. `kind` is `i` (value is a Python int), `f32` or `f64` (value is the bit pattern)."""

    value: int
    kind: str = "i"


@dataclass(frozen=True, slots=True)
class Sym:
    """The address of a variable or the name of a label or function."""

    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Special:
    """A special register, `%tid.x` for instance."""

    name: str


@dataclass(frozen=True, slots=True)
class Mem:
    """`[base+offset]`; `base` is None for an absolute address."""

    base: Reg | Sym | None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Vec:
    """`{a, b, ...}`, or the pair `d|p` of shfl, match and setp. None stands for the sink `_`."""

    items: tuple[Operand | None, ...]


Operand = Reg | Imm | Sym | Special | Mem | Vec


@dataclass(frozen=True, slots=True)
class Where:
    """A place in the CUDA source: the innermost line in the user's file, and the line it was inlined at."""

    line: int | None = None
    called_from: int | None = None
    in_header: bool = False
    """The code itself is a library header's; `line` is where the user's file calls it."""


@dataclass(frozen=True, slots=True)
class Instr:
    """One instruction: `op` is the part before the first dot, `mods` the rest, `guard` the predicate of `@p`."""

    op: str
    mods: tuple[str, ...]
    operands: tuple[Operand | None, ...]
    where: Where
    guard: Reg | None = None
    guard_negated: bool = False
    targets: tuple[str, ...] = ()
    """Labels of a branch table (brx.idx)."""

    @property
    def opcode(self) -> str:
        """As written: `ld.global.f32`."""
        return ".".join((self.op, *self.mods))

    def with_operands(self, *operands: Operand | None) -> Instr:
        """The same instruction on other operands."""
        return replace(self, operands=operands)


def has_register_address(instr: Instr) -> bool:
    """Whether an operand in memory is at an address in a register."""
    return any(isinstance(o, Mem) and isinstance(o.base, Reg) for o in instr.operands)


@dataclass(frozen=True, slots=True)
class LabelDef:
    """A label in a body."""

    name: str


@dataclass(frozen=True, slots=True)
class Param:
    """A formal parameter; `size` bytes in all, `type` of one element."""

    name: str
    type: str
    align: int
    size: int


@dataclass(frozen=True, slots=True)
class Variable:
    """A `.global`, `.const`, `.shared` or `.local` variable.

    `relocations` are (byte offset, symbol, addend) for pointers in the initialiser. `size` is 0 for `extern .shared`.
    """

    name: str
    space: str
    align: int
    size: int
    initial: bytes = b""
    relocations: tuple[tuple[int, str, int], ...] = ()
    extern: bool = False


@dataclass(slots=True)
class Function:
    """An `.entry` or a `.func`. `body` is None for a declaration."""

    name: str
    entry: bool
    params: tuple[Param, ...]
    returns: tuple[Param, ...]
    body: list[Instr | LabelDef] | None = None
    variables: list[Variable] = field(default_factory=list)
    param_bytes: dict[str, int] = field(default_factory=dict)
    """Sizes of the `.param` variables declared in the body for calls."""
    max_threads: int | None = None


@dataclass(slots=True)
class Program:
    """One PTX module."""

    variables: list[Variable] = field(default_factory=list)
    functions: dict[str, Function] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    """Another name of a function to its own."""
