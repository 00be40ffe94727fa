"""C++ symbols as their author wrote them."""

from __future__ import annotations

import re

__all__ = ["plain_name"]

_PIECE = re.compile(r"\d+")


def plain_name(symbol: str) -> str:
    """The qualified name in a mangled function symbol, without parameters and template arguments.

    ``_ZN4math6reduceIfLi8EEvPKT_Pf`` gives ``math::reduce``; what is not mangled, or not understood, is returned as it
    is. (Itanium C++ ABI, section 5.1: names are decimal lengths followed by that many characters.)
    """
    if not symbol.startswith("_Z"):
        return symbol
    rest = symbol[2:]
    nested = rest.startswith("N")
    rest = re.sub(r"^N[rVK]*", "", rest)
    pieces: list[str] = []
    while found := _PIECE.match(rest):
        begin, length = found.end(), int(found[0])
        piece = rest[begin : begin + length]
        if len(piece) < length:
            return symbol
        pieces.append("(anonymous namespace)" if piece.startswith("_GLOBAL__N_") else piece)
        rest = rest[begin + length :]
        if not nested:
            break
    return "::".join(pieces) if pieces else symbol
