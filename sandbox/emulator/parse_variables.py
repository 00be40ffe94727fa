"""Parameters and variables of PTX, with their initial values (PTX ISA 5.4)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.emulator.parse_tokens import Reader
from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Imm, Param, Variable

__all__ = ["SPACES", "read_param", "read_params", "read_variables"]

SPACES = (".global", ".const", ".shared", ".local")
"""The words that begin a variable's declaration."""


def read_params(read: Reader) -> tuple[Param, ...]:
    """`(.param .u32 a, ...)`.

    Raises:
        EmulatorError: it is no list of parameters.
    """
    read.need("(")
    params = []
    while not read.take(")"):
        read.need(".param")
        params.append(read_param(read))
        read.take(",")
    return tuple(params)


def read_param(read: Reader) -> Param:
    """A parameter, from the token after `.param`.

    Raises:
        EmulatorError: it has no type.
    """
    align = 0
    type_ = ""
    while read.peek().startswith("."):
        word = read.next()
        if word == ".align":
            align = read.integer()
        elif word == ".ptr":
            while read.peek() in SPACES:
                read.next()
        elif word[1:] in TYPE_BYTES:
            type_ = word[1:]
    name = read.next()
    count = 1
    if read.take("["):
        count = 0 if read.peek() == "]" else read.integer()
        read.need("]")
    if type_ not in TYPE_BYTES:
        raise read.error("a parameter's type")
    size = TYPE_BYTES[type_]
    return Param(name, type_, align or size, size * count)


def read_variables(read: Reader, extern: bool) -> Iterator[Variable]:
    """The variables of one declaration, from its state space to its semicolon.

    Raises:
        EmulatorError: it is no declaration of variables.
        UnsupportedError: textures and surfaces; an initial value with a part of an address.
    """
    space = read.next()[1:]
    align = 0
    type_ = ""
    vector = 1
    while read.peek().startswith("."):
        word = read.next()
        if word == ".align":
            align = read.integer()
        elif word in (".v2", ".v4"):
            vector = int(word[2:])
        elif word[1:] in TYPE_BYTES:
            type_ = word[1:]
        elif word in (".texref", ".samplerref", ".surfref"):
            raise UnsupportedError(f"textures and surfaces ({word}) are not supported")
        elif word == ".attribute":
            while read.next() != ")":
                pass
        elif word != ".managed":
            raise read.error(f"{word!r} in a variable's declaration is not known")
    if type_ not in TYPE_BYTES:
        raise read.error("a variable's type")
    size = TYPE_BYTES[type_]
    while True:
        name = read.next()
        count = vector
        while read.take("["):
            count = 0 if read.peek() == "]" else count * read.integer()
            read.need("]")
        data = bytearray()
        relocations: list[tuple[int, str, int]] = []
        if read.take("="):
            _initial(read, type_, data, relocations)
            if len(data) > size * count:
                raise read.error(f"{name} has an initial value larger than itself")
        yield Variable(name, space, align or size, size * count, bytes(data), tuple(relocations), extern)
        if not read.take(","):
            break
    read.need(";")


def _initial(read: Reader, type_: str, data: bytearray, relocations: list[tuple[int, str, int]]) -> None:
    """Appends the bytes of an initial value, and the pointers in it."""
    size = TYPE_BYTES[type_]
    if read.take("{"):
        while not read.take("}"):
            _initial(read, type_, data, relocations)
            read.take(",")
    elif read.kind == "word":
        _address(read, data, relocations, size)
    else:
        data.extend((_bits(read.number(), type_) & ((1 << (8 * size)) - 1)).to_bytes(size, "little"))


def _bits(constant: Imm, type_: str) -> int:
    if constant.kind == "f64" and type_ == "f32":
        (value,) = struct.unpack("<d", constant.value.to_bytes(8, "little"))
        return int.from_bytes(struct.pack("<f", value), "little")
    return constant.value


def _address(read: Reader, data: bytearray, relocations: list[tuple[int, str, int]], size: int) -> None:
    word = read.next()
    if word == "generic":
        read.need("(")
        word = read.next()
        read.need(")")
    elif word == "mask" or size != 8:
        raise UnsupportedError("an initialiser with a part of an address is not supported")
    addend = 0
    if read.take("+"):
        addend = read.integer()
    elif read.take("-"):
        addend = -read.integer()
    relocations.append((len(data), word, addend))
    data.extend(bytes(size))
