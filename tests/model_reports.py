"""Launch reports of textbook kernels with counters worked out by hand, for tests of the model and the judge."""

from __future__ import annotations

from kernelwright.sandbox.launch import Counters, KernelResources, LaunchReport

WARP, SECTOR = 32, 32


def _report(
    name: str,
    grid: int,
    threads: int,
    warp_instructions: dict[str, int],
    registers: int,
    shared: int = 0,
    **counters: object,
) -> LaunchReport:
    warps = grid * -(-threads // WARP)
    merged = {
        "warp_instructions": warp_instructions,
        "thread_instructions": {name: WARP * count for name, count in warp_instructions.items()},
        "warps": warps,
        "blocks": grid,
        "longest_warp_instructions": sum(warp_instructions.values()) // max(1, warps),
        **counters,
    }
    return LaunchReport(
        name,
        (grid, 1, 1),
        (threads, 1, 1),
        0,
        Counters(**merged),  # type: ignore[arg-type]
        KernelResources(registers=registers, static_shared=shared, arch="sm_90"),
    )


def copy(
    elements: int,
    width: int = 4,
    threads: int = 256,
    registers: int = 32,
    *,
    scattered: bool = False,
    name: str = "copy",
) -> LaunchReport:
    """out[i] = in[i] of float32, one vector of `width` elements a thread; `scattered`: every lane in a sector of its own."""
    assert elements % (width * threads) == 0
    grid = elements // width // threads
    requests = elements // width // WARP
    sectors = requests * (WARP if scattered else 4 * width)
    warps = grid * threads // WARP
    return _report(
        name,
        grid,
        threads,
        {"int": 8 * warps, "load_store": 2 * requests, "control": 2 * warps},
        registers,
        global_load_requests=requests,
        global_load_sectors=sectors,
        global_load_bytes=4 * elements,
        global_load_unique_bytes=4 * elements,
        global_store_requests=requests,
        global_store_sectors=sectors,
        global_store_bytes=4 * elements,
        global_store_unique_bytes=4 * elements,
        branches=warps,
        longest_warp_global_requests=2,
    )


def softmax_rows(
    rows: int,
    columns: int,
    threads: int = 256,
    width: int = 4,
    *,
    passes: int = 1,
    registers: int = 32,
    name: str = "softmax",
) -> LaunchReport:
    """One block a row; `passes` loads of each element (1: kept in registers); two block reductions."""
    warps_per_block = threads // WARP
    warps = rows * warps_per_block
    turns = max(1, columns // (threads * width))
    requests = warps * turns * passes
    stores = warps * turns
    elements = rows * columns
    shuffles = warps * 2 * 10
    barriers = warps * 4
    return _report(
        name,
        rows,
        threads,
        {
            "int": 10 * warps + 4 * requests,
            "fp32": elements * 4 // WARP,
            "sfu": elements // WARP,
            "load_store": requests + stores + 4 * warps,
            "shuffle": shuffles,
            "barrier": barriers,
            "control": 4 * warps + requests,
        },
        registers,
        shared=4 * warps_per_block,
        flops={"fp32": 5 * elements},
        global_load_requests=requests,
        global_load_sectors=requests * 4 * width,
        global_load_bytes=4 * elements * passes,
        global_load_unique_bytes=4 * elements,
        global_store_requests=stores,
        global_store_sectors=stores * 4 * width,
        global_store_bytes=4 * elements,
        global_store_unique_bytes=4 * elements,
        barriers=barriers,
        branches=2 * warps + (requests if turns > 1 else 0),
        longest_warp_global_requests=turns * (passes + 1),
        longest_warp_barriers=4,
    )


def naive_matmul(n: int) -> LaunchReport:
    """C = A B of n x n float32, one result a thread, 32 columns by 8 rows a block, everything read from global memory."""
    grid, warps, steps = n // 32 * (n // 8), n * n // WARP, n
    loads = warps * steps
    return _report(
        "naive_matmul",
        grid,
        256,
        {
            "fp32": warps * steps,
            "int": 2 * warps * steps,
            "load_store": 2 * loads + warps,
            "control": warps * steps // 4,
        },
        32,
        flops={"fp32": 2 * n**3},
        global_load_requests=2 * loads,
        global_load_sectors=loads * (1 + 4),  # A: one value for all lanes; B: 128 bytes
        global_load_bytes=2 * loads * 128,
        global_load_unique_bytes=8 * n * n,
        global_store_requests=warps,
        global_store_sectors=4 * warps,
        global_store_bytes=4 * n * n,
        global_store_unique_bytes=4 * n * n,
        branches=warps * steps // 4,
        longest_warp_global_requests=2 * steps + 1,
    )


def tiled_matmul(n: int, tile: int = 64, per_thread: int = 4, tile_k: int = 16) -> LaunchReport:
    """The same from shared memory: a tile x tile block of C, per_thread x per_thread results a thread."""
    grid, threads = (n // tile) ** 2, (tile // per_thread) ** 2
    warps = grid * threads // WARP
    steps = n
    global_bytes = grid * (n // tile_k) * 2 * tile * tile_k * 4
    loads = global_bytes // 512  # float4 a lane
    shared_loads = warps * steps * 2 * per_thread // 4  # float4 fragments
    barriers = warps * 2 * (n // tile_k)
    return _report(
        "tiled_matmul",
        grid,
        threads,
        {
            "fp32": warps * steps * per_thread**2,
            "int": warps * (steps // tile_k) * 12,
            "load_store": loads + shared_loads + 2 * loads,
            "barrier": barriers,
            "control": warps * (steps // tile_k) * 2,
        },
        64,
        shared=2 * tile * tile_k * 4,
        flops={"fp32": 2 * n**3},
        global_load_requests=loads,
        global_load_sectors=global_bytes // SECTOR,
        global_load_bytes=global_bytes,
        global_load_unique_bytes=8 * n * n,
        global_store_requests=n * n // 128,
        global_store_sectors=n * n // 8,
        global_store_bytes=4 * n * n,
        global_store_unique_bytes=4 * n * n,
        shared_load_requests=shared_loads,
        shared_load_wavefronts=shared_loads * 2,
        shared_load_bytes=shared_loads * 256,
        shared_store_requests=loads,
        shared_store_wavefronts=loads * 4,
        shared_store_bytes=global_bytes,
        barriers=barriers,
        branches=warps * (steps // tile_k),
        longest_warp_barriers=2 * (n // tile_k),
        longest_warp_global_requests=loads // warps + per_thread,
    )


def bank_conflicts(ways: int, accesses: int = 200, grid: int = 4096) -> LaunchReport:
    """Each warp reads shared memory `accesses` times, `ways` lanes to a bank; little else."""
    threads = 256
    warps = grid * threads // WARP
    requests = warps * accesses
    return _report(
        "conflicts",
        grid,
        threads,
        {"load_store": requests, "fp32": requests, "int": requests},
        32,
        shared=32 * 33 * 4,
        flops={"fp32": requests * WARP},
        shared_load_requests=requests,
        shared_load_wavefronts=requests * ways,
        shared_load_bytes=requests * 128,
        global_store_requests=warps,
        global_store_sectors=4 * warps,
        global_store_bytes=128 * warps,
        global_store_unique_bytes=128 * warps,
        longest_warp_global_requests=1,
    )
