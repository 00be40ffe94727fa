"""The pointwise template: each thread computes `unroll` vectors of neighbouring elements of every output."""

from __future__ import annotations

from collections.abc import Mapping

from kernelwright.agents.builtin.dtypes import SIZE
from kernelwright.agents.builtin.emit import Code, ScopeWriter, vector_width_limit
from kernelwright.agents.builtin.generated import (
    Generated,
    Launch,
    ceil_div,
    dtype_features,
    index_type,
    kernel_buffers,
    read_parameter,
    signature,
    write_parameter,
)
from kernelwright.agents.builtin.loops import Indexer, LoopVar, is_vector, merge, spec_affines
from kernelwright.agents.builtin.persistent import KNOB, fits, pieces, resident, values
from kernelwright.agents.builtin.spec import KernelSpec
from kernelwright.agents.builtin.stores import ElementStores
from kernelwright.agents.builtin.values import Buffer

__all__ = ["defaults", "generate", "legal", "space"]

_BYTES_PER_THREAD = 16
_FULL_WAVE_THREADS = 132 * 2048
"""Threads that fill an H200 once: with fewer elements than this per vector width, narrower vectors keep more SMs busy."""


def _loops(spec: KernelSpec) -> tuple[LoopVar, ...]:
    return merge(spec.rows, spec.space.extents, spec_affines(spec), "i")


def vector_widths(spec: KernelSpec, inner: LoopVar | None) -> tuple[int, ...]:
    """Widths that divide the innermost extent and make at least one access a vector."""
    reads, writes = kernel_buffers(spec)
    widest = max((vector_width_limit(b.dtype) for b in (*reads, *writes)), default=1)
    found = [1]
    if inner is None:
        return (1,)
    accesses = [(s.buffer, s.offset) for s in spec.stores]
    roots = [r.value for r in spec.reductions] + [s.value for s in spec.stores]
    for number in spec.evaluator.reachable(roots):
        value = spec.evaluator.values[number]
        if value.kind == "load":
            accesses.append((value.extra[0], value.extra[1]))
    for width in (2, 4, 8):
        if width > min(widest, 8) or inner.extent % width:
            break
        if any(width <= vector_width_limit(b.dtype) and is_vector(o, inner, width) for b, o in accesses):
            found.append(width)
    return tuple(found)


def space(spec: KernelSpec) -> dict[str, tuple[int | str | bool, ...]]:
    """Legal values of each knob."""
    loops = _loops(spec)
    threads = (64, 128, 256, 512, 1024)
    return {
        "vector_width": vector_widths(spec, loops[-1] if loops else None),
        "threads": threads,
        "unroll": (1, 2, 4),
        KNOB: values(spec, ceil_div(spec.extent(spec.rows), threads[0])),
    }


def legal(spec: KernelSpec, p: Mapping[str, int | str | bool]) -> bool:
    """Whether a combination makes sense."""
    return fits(spec, p, _blocks(spec, p))


def _blocks(spec: KernelSpec, p: Mapping[str, int | str | bool]) -> int:
    """Of a plain grid."""
    width, threads, unroll = (int(p[k]) for k in ("vector_width", "threads", "unroll"))
    return ceil_div(spec.extent(spec.rows) // width, threads * unroll)


def defaults(spec: KernelSpec) -> dict[str, int | str | bool]:
    """A good start: 16-byte accesses where there is enough work for them."""
    widths = [int(w) for w in space(spec)["vector_width"]]
    narrowest = min(
        (b.dtype for b in (*kernel_buffers(spec)[0], *kernel_buffers(spec)[1])),
        key=lambda d: SIZE[d],
        default="float32",
    )
    fitting = [w for w in widths if w * max(SIZE[narrowest], 4) <= _BYTES_PER_THREAD or w == 1]
    if SIZE[narrowest] == 2:
        fitting = [w for w in widths if w * 2 <= _BYTES_PER_THREAD]
    total = spec.extent(spec.rows)
    width = max(fitting)
    while width > 1 and total // width < _FULL_WAVE_THREADS // 4:
        width //= 2
    return {"vector_width": width, "threads": 256, "unroll": 1, KNOB: 0}


def generate(
    spec: KernelSpec, name: str, parameters: Mapping[str, int | str | bool], pointers: Mapping[Buffer, str]
) -> Generated:
    """Writes the kernel."""
    width, threads, unroll = (int(parameters[k]) for k in ("vector_width", "threads", "unroll"))
    loops = _loops(spec)
    inner = loops[-1] if loops else None
    total = spec.extent(spec.rows)
    vectors = total // width
    reads, writes = kernel_buffers(spec)
    blocks = _blocks(spec, parameters)
    grid = resident(spec, parameters, blocks)
    index = index_type((blocks + grid) * threads * unroll)
    writer = ScopeWriter(spec.evaluator, Indexer(spec.space.extents, loops), pointers, inner, width)
    code = Code()
    what = f"{width} neighbouring elements" if width > 1 else "one element"
    code.add(f"// Each thread computes {f'{unroll} times ' if unroll > 1 else ''}{what} of {total}.")
    signature(
        code,
        name,
        threads,
        [read_parameter(b.dtype, pointers[b]) for b in reads],
        [write_parameter(b.dtype, pointers[b]) for b in writes],
    )
    code.add(f"constexpr {index} VECTORS = {vectors};", "")
    exact = vectors == blocks * threads * unroll
    with pieces(code, grid, blocks, index, shared=False) as block:
        if unroll > 1:
            code.add("#pragma unroll")
            code.open(f"for (int u = 0; u < {unroll}; ++u) {{")
            code.add(f"const {index} vector = ({block} * {unroll} + u) * {threads} + threadIdx.x;")
            if not exact:
                code.open("if (vector < VECTORS) {")
        else:
            code.add(f"const {index} vector = {block} * {threads} + threadIdx.x;")
            if not exact:
                code.add(f"if (vector >= VECTORS) {'break' if grid else 'return'};")
        if inner is not None:
            code.add(*writer.indexer.decompose("vector", loops, index, width))
        write_elements(code, writer, spec, {}, pointers)
        if unroll > 1:
            if not exact:
                code.close()
            code.close()
    code.close()
    features = dtype_features([b.dtype for b in (*reads, *writes)])
    if width > 1:
        features.add("vector")
    summary = f"{width * unroll} element{'s' if width * unroll > 1 else ''} a thread, {threads} threads a block"
    summary += f", {grid} blocks that stay" if grid else ""
    return Generated(
        code.text(),
        [Launch(name, (grid or blocks, 1, 1), threads, (*reads, *writes))],
        writer.helpers,
        features,
        summary,
    )


def write_elements(
    code: Code,
    writer: ScopeWriter,
    spec: KernelSpec,
    names: dict[int, str],
    pointers: Mapping[Buffer, str],
) -> None:
    """Loads, computes and stores `writer.width` neighbouring elements of every store of the kernel."""
    width = writer.width
    roots = [s.value for s in spec.stores]
    elements = ElementStores(code, writer, spec.stores, pointers)
    if width == 1:
        writer.write(code, roots, names, lane=False)
        elements.store(names)
        return
    needed = writer.evaluator.reachable(roots, frozenset(names))
    lanes_known = set(names)
    writer.load_vectors(code, needed, names)
    lanes_known |= set(names)
    constant = [n for n in needed if n not in names and not writer.varies(n, lanes_known)]
    kept = [
        n
        for n in constant
        if any(n in spec.evaluator.values[u].args or u in roots for u in needed if u not in constant)
    ]
    writer.write(code, [n for n in constant if n in kept or n in roots], names, lane=False)
    elements.declare()
    code.add("#pragma unroll")
    code.open(f"for (int j = 0; j < {width}; ++j) {{")
    writer.write(code, roots, names, lane=True)
    elements.store(names)
    code.close()
    elements.finish()
