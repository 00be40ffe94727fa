"""What native code found, in words: violations with names, lines and a likely fix."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence

from kernelwright.sandbox.emulator.emit import Translated
from kernelwright.sandbox.emulator.lower import Lowered
from kernelwright.sandbox.emulator.memory import Allocation, Memory
from kernelwright.sandbox.emulator.native import KINDS, NativeViolation
from kernelwright.sandbox.emulator.ptx import Where
from kernelwright.sandbox.emulator.sites import SiteInfo
from kernelwright.sandbox.launch import Violation

__all__ = ["Explainer"]

_DTYPE_BYTES = {
    "bool": 1, "int8": 1, "uint8": 1, "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4,
    "float32": 4, "int64": 8, "uint64": 8, "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
_SPACES = ("global", "shared", "local")
_GLOBAL = 0  # in that order


def _within_warp(native: NativeViolation) -> bool:
    """Whether it is a race between lanes of one warp (`within_warp` of runtime/runtime.hpp)."""
    return KINDS[native.kind] == "shared_race" and native.extra & 255 >= 3


class Explainer:
    """Turns native violations of one launch into `Violation`s."""

    def __init__(
        self,
        source: str,
        lowered: Lowered,
        translated: Translated,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        memory: Memory,
        params: bytes,
        names: Sequence[str],
        dynamic_shared: int,
    ) -> None:
        self._lines = source.splitlines()
        self._lowered = lowered
        self._translated = translated
        self._grid = grid
        self._block = block
        self._memory = memory
        self._params = params
        self._names = {slot.offset: name for slot, name in zip(lowered.params, names, strict=True)}
        self._dynamic_shared = dynamic_shared

    def explain(self, found: Sequence[NativeViolation]) -> tuple[Violation, ...]:
        """One violation per kind and line, in order of the block where it happened first.

        A race between warps speaks for one between lanes at its line: what mends it mends both.
        """
        merged: dict[tuple[str, int | None], Violation] = {}
        for native in sorted(found, key=_within_warp):
            made = self._one(native)
            key = (made.kind, made.line)
            if key in merged:
                first = merged[key]
                merged[key] = Violation(**{**vars(first), "count": first.count + made.count})
            else:
                merged[key] = made
        return tuple(merged.values())

    def notes(self, found: Sequence[NativeViolation], violations: Sequence[Violation]) -> tuple[Violation, ...]:
        """What is worth telling and allowed, one a line; nothing of a line that has a race: that says more."""
        races = {v.line for v in violations if v.kind in ("shared_race", "global_race")}
        return tuple(note for note in self.explain(found) if note.line not in races)

    def _one(self, native: NativeViolation) -> Violation:
        kind = KINDS[native.kind]
        site = self._translated.sites[native.site] if native.site >= 0 else None
        where = site.where if site else self._block_where(native.site)
        block = thread = None
        if site is not None or native.thread >= 0:
            block = _unravel(native.block, self._grid)
        if native.thread >= 0:
            thread = _unravel(native.thread, self._block)
        text = self._text(where.line)
        message, hint = self._words(kind, native, site, where)
        if block is not None:
            message += f", by thread {thread} of block {block}" if thread is not None else f", in block {block}"
        if where.called_from:
            message += f" (in a function called at line {where.called_from})"
        return Violation(
            kind=kind,
            message=message,
            line=where.line,
            source=text,
            block=block,
            thread=thread,
            count=native.count,
            hint=hint,
        )

    def _block_where(self, site: int) -> Where:
        number = -1 - site
        blocks = self._translated.blocks
        return blocks[number].where if 0 <= number < len(blocks) else Where()

    def _text(self, line: int | None) -> str:
        return self._lines[line - 1].strip() if line and 0 < line <= len(self._lines) else ""

    def _words(self, kind: str, native: NativeViolation, site: SiteInfo | None, where: Where) -> tuple[str, str]:
        """The message (without thread and block) and the hint."""
        line = f"line {where.line}" if where.line else "it"
        if kind in ("out_of_bounds", "misaligned", "null_pointer"):
            return self._access(kind, native, site, line)
        if kind == "divergent_barrier":
            return self._barrier(native, line)
        if kind == "missing_lanes":
            return self._lanes(native, site)
        if kind == "exit_before_barrier":
            return (
                "threads of a warp have returned while others of it wait at __syncthreads()",
                f"Replace the early return by a condition around the work, so that every thread reaches {line}.",
            )
        if kind == "endless_loop":
            if native.size == 2:
                return (
                    "a loop did not end; blocks wait for others, and the grid has more blocks than a GPU holds at once",
                    "Launch no more blocks than are resident together (cudaOccupancyMaxActiveBlocksPerMultiprocessor), "
                    "or let no block wait for a later one.",
                )
            if native.size:
                return "the launch did not end within its time limit", "Give it less work, or a longer limit."
            return (
                f"a loop did not end within the limit ({native.extra} instructions of one warp were run)",
                f"Look at the condition that should end the loop around {line}.",
            )
        if kind == "trap":
            if native.extra == 2:
                return (
                    "a thread's stack is full: the calls of device functions are nested too deeply, or without end",
                    "Look at the condition that should end the recursion; a GPU has 1 KiB a thread unless "
                    "cudaDeviceSetLimit(cudaLimitStackSize, ...) asks for more.",
                )
            if native.extra == 3:
                return (
                    f"a call through a pointer that is no function with these parameters (address {native.address:#x})",
                    "Take the function's address in device code, and set every entry of the table; a pointer that the host "
                    "took is none.",
                )
            if native.extra == 5:
                return (
                    "there is no memory for the stacks of a block's threads",
                    "Ask for smaller stacks, or fewer threads.",
                )
            if native.extra == 6:
                return (
                    f"stackrestore to {native.address:#x}, which is no earlier top of the stack",
                    "Give it what stacksave gave.",
                )
            if native.extra == 4:
                why = "has been freed already" if native.size else "malloc in device code has not given"
                return f"free() of address {native.address:#x}, which {why}", "Free each pointer from malloc once."
            if native.extra:
                return (
                    f"an assertion failed: {self._string(native.address)}",
                    "Look at why the asserted condition is false.",
                )
            return "the kernel executed a trap", "Look at the condition that leads there."
        if kind == "shared_race":
            return self._race(native, site)
        if kind == "uninitialised_read":
            return self._uninitialised(native, site, line)
        if kind == "global_race":
            return self._global_race(native, site)
        if kind == "same_value":
            return self._same_value(native, site)
        return f"{kind} at {line}", ""

    def _race(self, native: NativeViolation, site: SiteInfo | None) -> tuple[str, str]:
        how, other_warp, other_site = native.extra & 255, native.extra >> 8 & 255, native.extra >> 16
        place = self._shared_place(native.address, native.size, site).split(";")[0]
        before = self._translated.sites[other_site].where.line
        written = f" at line {before}" if before else ""
        hint = "Put __syncthreads() between the two accesses."
        if how == 3:
            return (
                f"race between lanes of a warp: {place} is read after lane {other_warp} wrote it{written}, with no __syncwarp() "
                "between",
                "Put __syncwarp() between the two accesses; lanes of a warp need not run in step.",
            )
        if how == 4:
            return (
                f"race between lanes of a warp: {place} is written after another lane read it, with no __syncwarp() between",
                "Put __syncwarp() between the two accesses; lanes of a warp need not run in step.",
            )
        if how == 0:
            return f"race: {place} is read while warp {other_warp} writes it{written}, with no barrier between", hint
        if how == 1:
            return f"race: {place} is written while warp {other_warp} still may read it, with no barrier between", hint
        return f"race: {place} is written by this warp and by warp {other_warp}{written}, with no barrier between", hint

    def _global_race(self, native: NativeViolation, site: SiteInfo | None) -> tuple[str, str]:
        how, number = native.extra & 3, (native.extra >> 2) - 1
        place = self._global_place(native.address, native.size, site).split(";")[0]
        other = f"block {_unravel(number, self._grid)}" if number >= 0 else "another block"
        hint = (
            "Blocks run in any order: use an atomic, give each block places of its own, or split the kernel in two. Where "
            "one block must wait for another, write, __threadfence(), then set a flag with an atomic; read the flag with one."
        )
        if how == 0:
            return (
                f"race between blocks: {place} is read after {other} wrote it{self._stores(site)}, with nothing that orders the two",
                hint,
            )
        if how == 1:
            return (
                f"race between blocks: {place} is written after {other} read it, with nothing that orders the two",
                hint,
            )
        return (
            f"race between blocks: {place} is written by this block and by {other}, with nothing that orders the two",
            hint,
        )

    def _same_value(self, native: NativeViolation, site: SiteInfo | None) -> tuple[str, str]:
        if native.extra & 255 == _GLOBAL:
            place = self._global_place(native.address, native.size, site).split(";")[0]
            writers = f"this block and by block {_unravel(native.extra >> 8, self._grid)}"
        else:
            place = self._shared_place(native.address, native.size, site).split(";")[0]
            before = self._translated.sites[native.extra >> 16].where.line
            at = f" at line {before}" if before and (site is None or before != site.where.line) else ""
            writers = f"this warp and by warp {native.extra >> 8 & 255}{at}"
        return (
            f"benign: {place} is written by {writers}, with nothing that orders the two, but all writers so far stored the "
            "same value",
            "Nothing to mend; let one thread write it if only one is meant to.",
        )

    def _stores(self, site: SiteInfo | None) -> str:
        """The line of the stores that may have written what `site` reads, if it is one."""
        if site is None:
            return ""
        stores = [s for s in self._translated.sites if s.role == "store" and s.origins & site.origins]
        lines = {s.where.line for s in stores}
        return f" at line {lines.pop()}" if len(lines) == 1 and None not in lines else ""

    def _uninitialised(self, native: NativeViolation, site: SiteInfo | None, line: str) -> tuple[str, str]:
        if native.extra & 15 == _GLOBAL:
            place = self._global_place(native.address, native.size, site).split(";")[0]
            if native.extra & 32:
                return (
                    f"{place} is read, but the array probably was never written: every byte of it is the poison 0xFF that "
                    "new memory is filled with",
                    "Write the array before it is read (torch.zeros instead of torch.empty, a memset, or an earlier kernel).",
                )
            return (
                f"{place} is read, but nothing has written it",
                "Write every element that is read, with a copy, a memset or an earlier kernel.",
            )
        place = self._shared_place(native.address, native.size, site).split(";")[0]
        if native.extra & 16:
            return (
                f"{place} is read while a cp.async copy to it is still on its way",
                f"Wait for the copy (cp.async.wait_group and a barrier) before {line}.",
            )
        return (
            f"{place} is read, but no thread of the block has written it",
            "Write every element that is read, also at the edges of the tile.",
        )

    def _lanes(self, native: NativeViolation, site: SiteInfo | None) -> tuple[str, str]:
        lanes = ", ".join(str(i) for i in range(32) if native.address >> i & 1)
        operation = (site.opcode if site else "a warp operation").split(".")[0]
        if native.size == 3:
            return (
                f"{operation} needs all 32 lanes of the warp; lanes {lanes} do not take part",
                "Let whole warps reach it: move it out of the branch, and launch a multiple of 32 threads.",
            )
        hint = "Let every lane of the mask reach it: move it out of the branch, or take the mask from __ballot_sync before it."
        if native.size == 1:
            return f"lanes {lanes} take part in {operation}, but its member mask does not name them", hint
        if native.size == 2:
            return (
                f"the member mask of {operation} names lanes that have returned: {lanes}; what they give is undefined",
                hint,
            )
        return f"the member mask of {operation} names lanes that do not take part: {lanes}", hint

    def _string(self, pointer: int) -> str:
        allocation = self._memory.find(pointer)
        if allocation is None:
            return ""
        room = allocation.pointer + allocation.nbytes - pointer
        return ctypes.string_at(pointer, min(room, 200)).split(b"\0")[0].decode(errors="replace")

    def _barrier(self, native: NativeViolation, line: str) -> tuple[str, str]:
        hint = f"Move the barrier at {line} out of the branch, so that every thread of the block reaches it."
        if native.size == 1:
            other = self._translated.sites[native.extra].where.line
            return f"some warps wait at the barrier at {line}, others at the one at line {other}", hint
        if native.size == 2:
            return f"the barrier at {line} is not reached by every thread that it waits for", hint
        missing = ", ".join(str(i) for i in range(32) if native.address >> i & 1)
        elsewhere = ""
        if native.extra >= 0:
            at = self._translated.blocks[native.extra].where.line
            elsewhere = f"; those lanes are at line {at}" if at else ""
        return f"a barrier inside a divergent branch: lanes {missing} of the warp do not reach it{elsewhere}", hint

    def _access(self, kind: str, native: NativeViolation, site: SiteInfo | None, line: str) -> tuple[str, str]:
        opcode = site.opcode if site else ""
        reads, writes = ("ld", "cp", "wmma.load"), ("st", "wmma.store")
        verb = "read" if opcode.startswith(reads) else "write" if opcode.startswith(writes) else "atomic update"
        size = native.size
        if native.extra == 3:
            return (
                f"{verb} of {size} bytes in memory of device malloc that has been freed (address {native.address:#x})",
                "Free the memory after its last use.",
            )
        if native.extra == 4:
            return (
                f"{'misaligned' if kind == 'misaligned' else 'out-of-bounds'} read of {size} bytes of the kernel's "
                f"parameters, at byte {native.address} of {self._lowered.param_bytes}",
                "Correct the index into the struct that is passed by value.",
            )
        space = _SPACES[native.extra] if 0 <= native.extra < 3 else "global"
        if kind == "null_pointer":
            return (
                f"{verb} of {size} bytes through a null pointer (address {native.address:#x})",
                "Check that every pointer argument was given an array.",
            )
        if space == "local":
            place = f"local array, byte {native.address} of a frame of {self._lowered.frame_bytes}"
            if self._lowered.stack:
                place = f"local memory, byte {native.address}, above the top of the thread's stack"
        elif space == "shared":
            place = self._shared_place(native.address, size, site)
        else:
            place = self._global_place(native.address, size, site)
        if kind == "misaligned":
            return (
                f"misaligned {verb}: {place} at address {native.address:#x} is not a multiple of {size} bytes",
                f"A {size}-byte access needs an index that is a multiple of {size // 4 or 1} elements and an aligned array; "
                "use narrower accesses for the rest.",
            )
        target = self._memory.find(native.address) if space == "global" and verb != "read" else None
        if target is not None and target.read_only:
            return f"{verb} of {size} bytes to {place}, which is read-only", "Pass a writeable array."
        if space == "global" and (strange := self._strange_pointer(site)):
            return (
                f"{verb} of {size} bytes at address {native.address:#x}: {strange}, which is no memory of the device",
                "Pass memory that the device owns (cudaMalloc, a CUDA tensor) and that is not freed yet, not a host pointer.",
            )
        return f"out-of-bounds {verb} of {size} bytes: {place}", self._guard_hint(line, site)

    def _strange_pointer(self, site: SiteInfo | None) -> str:
        """The one argument that the address derives from, if it points to no live array."""
        if site is None or {kind for kind, _ in site.origins} != {"param"}:
            return ""
        pointers = origin_pointers(site.origins, self._params)
        if len(pointers) != 1 or self._memory.find(pointers[0]) is not None:
            return ""
        names = [name for offset, name in self._names.items() if ("param", offset) in site.origins]
        return f"`{names[0]}` is {pointers[0]:#x}" if len(names) == 1 else f"the pointer is {pointers[0]:#x}"

    def _guard_hint(self, line: str, site: SiteInfo | None) -> str:
        text = self._text(site.where.line) if site else ""
        subscript = re.search(r"\w+\s*\[([^\[\]]+)\]", text)
        index = subscript[1].strip() if subscript else "index"
        return f"Guard the access, for instance `if ({index} < n)` before {line}, or correct the index."

    def _global_place(self, address: int, size: int, site: SiteInfo | None) -> str:
        allocation = (
            self._origin_allocation(site) or self._memory.find(address) or self._memory.find(address, below=True)
        )
        if allocation is None:
            return f"address {address:#x}, which belongs to no array"
        name = self._name(allocation)
        known = _DTYPE_BYTES.get(allocation.dtype or "")
        element = known or min(size, 8)
        distance = address - allocation.pointer
        if not -(2**40) < distance < 2**40:
            return f"address {address:#x}, far from `{name}`"
        index, rest = divmod(distance, element)
        count = allocation.nbytes // element
        what = allocation.dtype if known else f"{element}-byte"
        return f"`{name}[{index}]`{f' (+{rest} bytes)' if rest else ''}; {name} has {count} {what} elements"

    def _origin_allocation(self, site: SiteInfo | None) -> Allocation | None:
        found = [self._memory.find(p) for p in origin_pointers(site.origins, self._params)] if site else []
        kept = [a for a in found if a is not None]
        return kept[0] if len(kept) == 1 else None

    def _name(self, allocation: Allocation) -> str:
        """The kernel parameter's name if the allocation was passed as one, else the allocation's own."""
        for offset, name in self._names.items():
            value = self._params[offset : offset + 8]
            if len(value) == 8 and int.from_bytes(value, "little") == allocation.pointer:
                return name
        return allocation.name or "array"

    def _shared_place(self, address: int, size: int, site: SiteInfo | None) -> str:
        ranges = shared_ranges(self._lowered, self._dynamic_shared)
        name = next((n for k, n in site.origins if k == "shared"), None) if site and len(site.origins) == 1 else None
        if name is None:
            before = [n for n, (lo, _) in ranges.items() if lo <= address]
            name = max(before, key=lambda n: ranges[n][0]) if before else None
        if name is None or not isinstance(name, str):
            return f"shared memory, byte {address}"
        lo, hi = ranges[name]
        element = min(size, 8)
        shown = demangled(name)
        index = (address - lo) // element
        return f"shared `{shown}[{index}]`; {shown} has {(hi - lo) // element} {element}-byte elements"


def shared_ranges(lowered: Lowered, dynamic_shared: int) -> Mapping[str, tuple[int, int]]:
    """(first byte, byte past the end) of each shared variable, dynamic memory included."""
    end = lowered.static_shared + dynamic_shared
    return {name: (lo, hi if hi >= 0 else end) for name, (lo, hi) in lowered.shared.items()}


def origin_pointers(origins: frozenset[tuple[str, str | int]], params: bytes) -> list[int]:
    """Values of the pointer arguments that an address derives from; empty if some of its origins are unknown."""
    if any(kind == "unknown" for kind, _ in origins):
        return []
    return [
        int.from_bytes(params[offset : offset + 8], "little")
        for kind, offset in origins
        if kind == "param" and isinstance(offset, int)
    ]


def demangled(name: str) -> str:
    """`tile` for `_ZZ6kernelPfE4tile`; the name itself where this rule does not hold."""
    found = re.search(r"E_?(?:\d+_)?(\d+)(\w+)$", name)
    while found and len(found[2]) > int(found[1]):
        inner = re.search(r"(\d+)(\w+)$", found[2])
        if inner is None or len(inner[2]) < int(inner[1]):
            break
        found = inner
    if name.startswith("_ZZ") and found:
        return found[2][: int(found[1])]
    return name


def _unravel(index: int, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return index % shape[0], index // shape[0] % shape[1], index // (shape[0] * shape[1])
