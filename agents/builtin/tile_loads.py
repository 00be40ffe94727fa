"""Writes how the tiles of the operands of a matrix product reach shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelwright.agents.builtin.dtypes import C_TYPE, SIZE
from kernelwright.agents.builtin.generated import ceil_div
from kernelwright.agents.builtin.tile_operands import OperandTile

if TYPE_CHECKING:
    from kernelwright.agents.builtin.tiles import TileWriter

__all__ = ["Loader", "bytes_between"]


class Loader:
    """Writes how one operand's tiles are moved: each thread takes some vectors of each.

    Where the threads of a block take whole rows of the tile, a thread's vectors stand in one column of it, a fixed number of
    rows apart: then its first place is worked out once, before the loop over K.
    """

    def __init__(self, writer: TileWriter, tile: OperandTile, letter: str) -> None:
        self.writer, self.tile, self.letter, self.code = writer, tile, letter, writer.code
        # cp.async can't put neighbours apart
        self.width = tile.width if writer.straight(tile) or not writer.asynchronous else 1
        self.extent = writer.tm if tile.name == "a" else writer.tn
        self.vectors = self.extent * writer.tk // self.width
        self.loads = ceil_div(self.vectors, writer.threads)
        self.per_row = (writer.tk if tile.along_k else self.extent) // self.width
        self.regular = writer.threads % self.per_row == 0
        self.apart = writer.threads // self.per_row
        """Rows between a thread's vectors."""
        self.kind = f"Vector<{C_TYPE[tile.dtype]}, {self.width}>"

    def first(self) -> None:
        """Defines the thread's first place in the tile, and where that lies in global memory."""
        if not self.regular:
            return
        tile, name, letter = self.tile, self.tile.name, self.letter
        row, column = (letter, "k") if tile.along_k else ("k", letter)
        at, across = f"threadIdx.x / {self.per_row}", f"threadIdx.x % {self.per_row}"
        across += f" * {self.width}" if self.width > 1 else ""
        self.code.add(f"const int {name}_{row} = {at};", f"const int {name}_{column} = {across};")
        where = self._address(f"{name}_{letter}", f"{name}_k")
        self.code.add(f"const {C_TYPE[tile.dtype]}* const {name}_from = {where};")

    def _address(self, outer: str, k: str) -> str:
        tile, letter = self.tile, self.letter
        pointer, base = self.writer.pointers[tile.buffer], self.writer.indexer.text(tile.base)
        parts = [pointer] + ([base] if base != "0" else [])
        parts += [
            f"(tile_{letter} + {outer}){_times(tile.outer_stride, tile.big)}",
            f"{k}{_times(tile.k_stride, tile.big)}",
        ]
        return " + ".join(parts)

    def _place(self) -> tuple[str, str]:
        """C++ of the place in the tile, (row or column of the product, k), of vector `i`."""
        name, letter, tile = self.tile.name, self.letter, self.tile
        if not self.regular:
            return letter, "k"
        step = f" + i * {self.apart}" if self.loads > 1 else ""
        return (f"{name}_{letter}{step}", f"{name}_k") if tile.along_k else (f"{name}_{letter}", f"{name}_k{step}")

    def _source(self) -> tuple[str, str]:
        """C++ of the address in global memory of vector `i`, and of the test that it lies inside the matrix (empty if all do)."""
        tile, letter, writer = self.tile, self.letter, self.writer
        outer, k = self._place()
        if self.regular:
            where = f"{tile.name}_from + k_begin{_times(tile.k_stride, tile.big)}"
            step = self.apart * (tile.outer_stride if tile.along_k else tile.k_stride)
            where += f" + i{_times(step, tile.big)}" if self.loads > 1 else ""
        else:
            where = self._address(outer, f"(k_begin + {k})")
        tests = []
        if tile.extent % self.extent:
            tests.append(f"tile_{letter} + {outer} < {'M' if letter == 'm' else 'N'}")
        if writer.k % writer.tk:
            tests.append(f"k_begin + {k} < K")
        return where, " && ".join(tests)

    def _each(self) -> None:
        """Opens the loop over the thread's vectors."""
        code = self.code
        code.add("#pragma unroll")
        code.open(f"for (int i = 0; i < {self.loads}; ++i) {{")
        if self.vectors % self.writer.threads:
            code.add(f"if (threadIdx.x + i * THREADS >= {self.vectors}) break;")
        if not self.regular:
            code.add("const int v = threadIdx.x + i * THREADS;")
            row, column = (self.letter, "k") if self.tile.along_k else ("k", self.letter)
            code.add(
                f"const int {row} = v / {self.per_row};", f"const int {column} = v % {self.per_row} * {self.width};"
            )

    def copy(self) -> None:
        """Global to shared memory by cp.async."""
        code, name, tile = self.code, self.tile.name, self.tile
        outer, k = self._place()
        where, test = self._source()
        size = self.width * SIZE[tile.dtype]
        target = f"shared_address(&{self.writer.place(tile, 'stage', outer, k)})"
        if self.regular:
            code.add(
                f"const unsigned {name}_to = shared_address(&{self.writer.place(tile, '0', f'{name}_{self.letter}', f'{name}_k')});"
            )
            # a constant number of bytes from the first place
            step = f"i * {self.apart}"
            rows, columns = (step, "0") if tile.along_k else ("0", step)
            target = f"{name}_to + {self.writer.distance(tile, 'stage', rows, columns)}"
        code.open(f"const auto copy_{name} = [&](int stage, int k_begin) {{")
        self._each()
        code.add(f"copy_async<{size}>({target}, {where}, {test or 'true'});")
        code.close()
        code.close("};")

    def fetch(self) -> None:
        """Global memory to registers."""
        code, name = self.code, self.tile.name
        where, test = self._source()
        code.add(f"{self.kind} {name}_next[{self.loads}];")
        code.open(f"const auto fetch_{name} = [&](int k_begin) {{")
        self._each()
        load = f"load_vector<{self.width}>({where})"
        code.add(f"{name}_next[i] = {f'({test}) ? {load} : {self.kind}{{}}' if test else load};")
        code.close()
        code.close("};")

    def stage(self) -> None:
        """Registers to shared memory."""
        code, name, tile, writer = self.code, self.tile.name, self.tile, self.writer
        outer, k = self._place()
        code.open(f"const auto stage_{name} = [&](int stage) {{")
        self._each()
        if writer.straight(tile) and writer.in_shared(tile, "x") == "x":
            code.add(f"store_vector<{self.width}>(&{writer.place(tile, 'stage', outer, k)}, {name}_next[i]);")
        else:
            outer, k = (outer, f"{k} + j") if tile.along_k else (f"{outer} + j", k)
            element = writer.in_shared(tile, f"{name}_next[i].at[j]")
            code.add("#pragma unroll")
            code.add(f"for (int j = 0; j < {self.width}; ++j) {writer.place(tile, 'stage', outer, k)} = {element};")
        code.close()
        code.close("};")


def bytes_between(size: int, *steps: tuple[str, int]) -> str:
    """C++ of a distance in bytes: how often each step of so many elements of `size` bytes is made."""
    return " + ".join(f"{count} * {step * size}" for count, step in steps if count != "0") or "0"


def _times(factor: int, suffix: str) -> str:
    return f" * {factor}{suffix}" if factor != 1 else ""
