"""Stores of the elements that a thread computes one after another: as one vector where they are neighbours in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kernelwright.agents.builtin.dtypes import C_TYPE
from kernelwright.agents.builtin.emit import Code, ScopeWriter, to_memory, vector_width_limit
from kernelwright.agents.builtin.loops import is_vector
from kernelwright.agents.builtin.spec import Store
from kernelwright.agents.builtin.values import Buffer

__all__ = ["ElementStores"]


class ElementStores:
    """Writes the stores of `writer.width` neighbouring elements: `declare`, then `store` for each one, then `finish`.

    `guard` is a C++ condition for everything that reaches memory; empty for none.
    """

    def __init__(
        self,
        code: Code,
        writer: ScopeWriter,
        stores: Sequence[Store],
        pointers: Mapping[Buffer, str],
        guard: str = "",
    ) -> None:
        self._code, self._writer, self._stores, self._pointers = code, writer, stores, pointers
        self._if = f"if ({guard}) " if guard else ""
        self._vectors: dict[int, str] = {}

    def declare(self) -> None:
        """Before the loop over the elements: a vector for each store that can use one."""
        width, inner = self._writer.width, self._writer.inner
        if width == 1 or inner is None:
            return
        for at, store in enumerate(self._stores):
            dtype = store.buffer.dtype
            if width <= vector_width_limit(dtype) and is_vector(store.offset, inner, width):
                self._vectors[at] = self._writer.fresh(f"{self._pointers[store.buffer]}_v")
                self._code.add(f"Vector<{C_TYPE[dtype]}, {width}> {self._vectors[at]};")

    def store(self, names: Mapping[int, str]) -> None:
        """Inside that loop, or without one if the width is 1: the element `j`."""
        for at, store in enumerate(self._stores):
            text = to_memory(store.buffer.dtype, names[store.value])
            if at in self._vectors:
                self._code.add(f"{self._vectors[at]}.at[j] = {text};")
            else:
                target = f"{self._pointers[store.buffer]}[{self._writer.index_text(store.offset, lane=True)}]"
                self._code.add(f"{self._if}{target} = {text};")

    def finish(self) -> None:
        """After the loop: the vectors go to memory."""
        for at, name in self._vectors.items():
            store = self._stores[at]
            where = f"{self._pointers[store.buffer]} + {self._writer.indexer.text(store.offset)}"
            self._code.add(f"{self._if}store_vector<{self._writer.width}>({where}, {name});")
