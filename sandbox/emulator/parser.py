"""PTX text to `ptx.Program`: the statements of a module; `parse_variables` and `parse_bodies` read what is in them."""

from __future__ import annotations

from dataclasses import replace

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.emulator.parse_bodies import BodyParser
from kernelwright.sandbox.emulator.parse_lines import LineTable
from kernelwright.sandbox.emulator.parse_tokens import Reader
from kernelwright.sandbox.emulator.parse_variables import SPACES, read_params, read_variables
from kernelwright.sandbox.emulator.ptx import Function, Param, Program

__all__ = ["parse"]


def parse(text: str, source_name: str) -> Program:
    """Parses a PTX module; `source_name` is the file name of the user's CUDA source in its line table.

    Raises:
        EmulatorError: the text is not the PTX that this parser knows.
        UnsupportedError: textures, surfaces, vector registers, or thread-block clusters.
    """
    read = Reader(text)
    lines = LineTable(text, source_name)
    program = Program()
    while word := read.peek():
        if read.kind in ("loc", "file"):
            read.next()
        elif word in (".version", ".address_size"):
            read.next()
            read.next()
        elif word == ".target":
            read.next()
            read.next()
            while read.take(","):
                read.next()
        else:
            _declaration(read, lines, program)
    for alias, name in program.aliases.items():
        if name in program.functions:
            program.functions[alias] = replace(program.functions[name], name=alias)
    return program


def _declaration(read: Reader, lines: LineTable, program: Program) -> None:
    extern = False
    while read.peek() in (".visible", ".extern", ".weak", ".common"):
        extern |= read.next() == ".extern"
    word = read.peek()
    if word in (".entry", ".func"):
        function = _function(read, lines)
        known = program.functions.get(function.name)
        if known is None or known.body is None:
            program.functions[function.name] = function
    elif word in SPACES:
        program.variables.extend(read_variables(read, extern))
    elif word == ".alias":
        read.next()
        alias = read.next()
        read.need(",")
        program.aliases[alias] = read.next()
        read.need(";")
    elif word == ".pragma":
        read.skip_statement()
    else:
        raise read.error("a declaration")


def _function(read: Reader, lines: LineTable) -> Function:
    entry = read.next() == ".entry"
    returns: tuple[Param, ...] = ()
    if not entry and read.peek() == "(":
        returns = read_params(read)
    while read.peek() == ".noreturn":
        read.next()
    name = read.next()
    params = read_params(read) if read.peek() == "(" else ()
    function = Function(name, entry, params, returns)
    while read.peek() not in ("{", ";"):
        _directive(read, function)
    if read.take("{"):
        lines.leave_function()
        function.body = BodyParser(read, lines, function).body()
    else:
        read.need(";")
    return function


def _directive(read: Reader, function: Function) -> None:
    word = read.next()
    if word in (".maxntid", ".reqntid"):
        total = read.integer()
        while read.take(","):
            total *= read.integer()
        function.max_threads = total
    elif word in (".minnctapersm", ".maxnreg", ".maxnctapersm", ".maxclusterrank"):
        read.next()
        while read.take(","):
            read.next()
    elif word == ".noreturn":
        pass
    elif word in (".explicitcluster", ".reqnctapercluster"):
        raise UnsupportedError(f"thread-block clusters ({word}) in kernel {function.name} are not supported")
    elif word == ".pragma":
        read.skip_statement()
    else:
        raise read.error(f"the directive {word!r} of a function is not known")
