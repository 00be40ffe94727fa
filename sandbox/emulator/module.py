"""`compile` CUDA C++ and `launch` its kernels: the emulator's door."""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from kernelwright.errors import LaunchError, UnsupportedError
from kernelwright.sandbox.build import Build, build_cuda
from kernelwright.sandbox.emulator import native
from kernelwright.sandbox.emulator.arguments import Packed, pack_arguments, parameter_names
from kernelwright.sandbox.emulator.emit import Translated
from kernelwright.sandbox.emulator.fingerprint import fingerprint, without_names
from kernelwright.sandbox.emulator.launch_sizes import check_sizes, triple
from kernelwright.sandbox.emulator.lines import line_counters
from kernelwright.sandbox.emulator.lower import RESERVED, Lowered
from kernelwright.sandbox.emulator.memory import Allocation, Memory
from kernelwright.sandbox.emulator.ptx import Variable
from kernelwright.sandbox.emulator.reach import reach
from kernelwright.sandbox.emulator.report import Explainer, origin_pointers, shared_ranges
from kernelwright.sandbox.emulator.residency import resident_blocks
from kernelwright.sandbox.emulator.sampling import chosen_blocks
from kernelwright.sandbox.emulator.sites import SiteInfo
from kernelwright.sandbox.emulator.toolchain import Toolchain, toolchain
from kernelwright.sandbox.emulator.translation import Refusal, Translation, translate_ptx
from kernelwright.sandbox.launch import (
    SCHEDULES,
    Counters,
    CudaCode,
    KernelResources,
    LaunchOptions,
    LaunchReport,
    LineCounters,
)

__all__ = ["LaunchLimits", "Module", "compile"]

log = logging.getLogger(__name__)

_PRINTED_BYTES = 1 << 20  # the size of CUDA's own printf buffer by default


@dataclass(frozen=True)
class LaunchLimits:
    """What a launch may use before it is stopped and reported as `endless_loop`."""

    max_warp_instructions: int = 500_000_000
    """PTX instructions of one warp."""
    seconds: float = 120.0
    """Wall time of the launch."""
    threads: int | None = None
    """Processor cores to use; None takes all that this process may run on."""
    max_violations: int = 100_000
    """Violations after which the launch is stopped."""
    check_shared: bool = True
    """Whether to look for races between warps and uninitialised reads in shared memory."""
    check_global: bool = True
    """Whether to look for races between blocks in global memory."""
    on_print: Callable[[str], None] | None = None
    """Takes what device `printf` wrote, once per launch; None sends it to the log."""
    stack_bytes: int = 32768
    """Stack memory of a thread, for functions that are not inlined (recursion, calls through pointers) and alloca: their
    variables, and the registers saved around their calls. A GPU gives 1024 unless cudaLimitStackSize says more."""
    heap_bytes: int = 8 * 2**20
    """Memory that malloc in device code hands out, of all launches together, as cudaLimitMallocHeapSize has it."""
    options: LaunchOptions = field(default_factory=LaunchOptions)
    """Order, line profile, block sampling."""


_DEFAULT_LIMITS = LaunchLimits()


@dataclass
class _Kernel:
    """A kernel on its way to machine code; `run` is filled at the first launch."""

    lowered: Lowered
    translated: Translated
    names: tuple[str, ...]
    run: int = 0
    sites: int = 0
    library: ctypes.CDLL | None = None


class Module:
    """A compiled CUDA source: launches its kernels on the CPU. Made by `compile`.

    Global variables (`__device__`, `__constant__`) live as long as the module does.
    """

    def __init__(
        self,
        source: str,
        build: Build,
        translation: Translation,
        tools: Toolchain,
        cache_dir: Path | None,
        made_from: CudaCode | None = None,
    ) -> None:
        self._source = source
        self._made_from = made_from
        self._told: set[str] = set()
        self._tools = tools
        self._cache_dir = cache_dir
        self.build = build
        self._prints = translation.prints
        self._variables = translation.variables
        self._entries = tuple(translation.kernels)
        self._kernels: dict[str, _Kernel] = {}
        self._refused: dict[str, Refusal] = {}
        for name, kernel in translation.kernels.items():
            if isinstance(kernel, Refusal):
                self._refused[name] = kernel
            else:
                names = parameter_names(source, name, len(kernel.lowered.params))
                self._kernels[name] = _Kernel(kernel.lowered, kernel.translated, names)
        if self._refused and not self._kernels:
            raise next(iter(self._refused.values())).error()
        self._workspace = (ctypes.c_uint64 * 4)()  # what a cooperative launch gives its grid
        self._globals = _allocate_globals(self._variables, translation.functions)

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels in the PTX: mangled, or plain for `extern "C"`."""
        return self._entries

    @property
    def resources(self) -> Mapping[str, KernelResources]:
        """What ptxas says about each kernel."""
        return self.build.resources

    def global_pointer(self, name: str) -> tuple[int, int]:
        """(host address, bytes) of a `__device__` or `__constant__` variable.

        Raises:
            LaunchError: there is none of that name.
        """
        for variable, (buffer, address) in zip(self._variables, self._globals, strict=True):
            if variable.name == name and buffer is not None:
                return address, variable.size
        raise LaunchError(f"the CUDA source has no global variable {name}")

    def _kernel(self, name: str) -> tuple[str, _Kernel]:
        mangled = self.build.lowered_names.get(name, name)
        if mangled in self._refused:
            raise self._refused[mangled].error()
        if mangled not in self._kernels:
            listed = ", ".join(self._entries) or "none"
            raise LaunchError(f"the CUDA source has no kernel {name}", mend=f"It has: {listed}.")
        return mangled, self._kernels[mangled]

    def prepare(self, name: str) -> None:
        """Compiles a kernel to machine code now rather than at its first launch."""
        _, kernel = self._kernel(name)
        self._load(kernel)

    def _load(self, kernel: _Kernel) -> None:
        if kernel.library is None:
            library = self._tools.compile_kernel(kernel.translated.cpp, self._cache_dir)
            kernel.run = _address(library.kw_kernel)
            kernel.sites = ctypes.addressof(ctypes.c_char.in_dll(library, "kw_sites"))
            kernel.library = library

    def launch(
        self,
        name: str,
        grid: Sequence[int] | int,
        block: Sequence[int] | int,
        args: Sequence[object],
        *,
        shared: int = 0,
        memory: Memory | None = None,
        limits: LaunchLimits = _DEFAULT_LIMITS,
    ) -> LaunchReport:
        """Runs a kernel to its end and says what it did.

        Args:
            name: a kernel's name, or a name expression given to `compile`.
            grid, block: up to three sizes each.
            args: as CuPy takes them; pointers are host addresses known to `memory`.
            shared: dynamic shared memory in bytes.
            memory: the live allocations that the kernel may touch, beside the NumPy arrays in `args`; None for those alone.
            limits: when to stop, and what to look for and to record.

        Raises:
            LaunchError: what a GPU would refuse as well: sizes, arguments, an unknown kernel; a block sample of a kernel
                whose blocks depend on each other.
            UnsupportedError: the kernel holds an instruction that the emulator does not know.
            EmulatorError: the C++ compiler fails.
        """
        if limits.options.schedule not in SCHEDULES:
            raise LaunchError(
                f"there is no schedule {limits.options.schedule!r}", mend=f"Choose one of {', '.join(SCHEDULES)}."
            )
        mangled, kernel = self._kernel(name)
        lowered = kernel.lowered
        resources = self.build.resources.get(mangled)
        grid3, block3 = triple(grid, "grid"), triple(block, "block")
        check_sizes(mangled, grid3, block3, shared, lowered, resources, self.build.arch)
        packed = pack_arguments(mangled, lowered.params, lowered.param_bytes, args, kernel.names)
        resident = resident_blocks(self.build.arch, block3, shared, resources)
        if kernel.translated.cooperative and grid3[0] * grid3[1] * grid3[2] > resident:
            raise LaunchError(
                f"kernel {mangled}: its blocks wait for the whole grid, and a GPU holds {resident} of them at once; "
                f"the grid has {grid3[0] * grid3[1] * grid3[2]}",
                mend="Launch fewer blocks and let each do more (a grid-stride loop).",
            )
        chosen = chosen_blocks(
            mangled, kernel.translated, grid3, limits.options.sample_blocks, limits.options.sample_seed
        )
        self._load(kernel)
        memory = Memory(cache_dir=self._cache_dir) if memory is None else memory
        begin = time.perf_counter()
        with memory.lock:
            temporary = self._register(memory, packed)
            params = ctypes.create_string_buffer(packed.data, max(1, len(packed.data)))
            if kernel.translated.reads_params:
                memory.register(ctypes.addressof(params), ctypes.sizeof(params), "parameters")
                temporary.append(ctypes.addressof(params))
            if kernel.translated.cooperative:
                memory.register(ctypes.addressof(self._workspace), ctypes.sizeof(self._workspace), "grid workspace")
                temporary.append(ctypes.addressof(self._workspace))
            try:
                counters, lines, found, noted, printed = self._run(
                    kernel, grid3, block3, params, shared, memory, limits, resident, chosen
                )
                explainer = Explainer(
                    self._source, lowered, kernel.translated, grid3, block3, memory, packed.data, kernel.names, shared
                )
                violations = explainer.explain(found)
                notes = explainer.notes(noted, violations)
            finally:
                for pointer in temporary:
                    memory.unregister(pointer)
        if printed:
            (limits.on_print or _log_printed)(printed)
        return LaunchReport(
            kernel=mangled,
            grid=grid3,
            block=block3,
            dynamic_shared=shared,
            counters=counters,
            resources=resources,
            violations=violations,
            notes=notes,
            emulated_seconds=time.perf_counter() - begin,
            lines=lines,
            code=self._code_once(mangled) if limits.options.keep_code else None,
            fingerprint=fingerprint(self._plain_ptx, list(self._entries).index(mangled), packed.data, lowered.params),
        )

    @cached_property
    def _plain_ptx(self) -> str:
        return without_names(self.build.ptx)

    def _code_once(self, kernel: str) -> CudaCode | None:
        """What this was compiled from, the first time that it is asked for a kernel."""
        if kernel in self._told:
            return None
        self._told.add(kernel)
        return self._made_from

    def _register(self, memory: Memory, packed: Packed) -> list[int]:
        """Makes the module's variables and NumPy arguments accessible for the launch."""
        temporary = []
        for variable, (buffer, address) in zip(self._variables, self._globals, strict=True):
            if buffer is not None and variable.size:
                memory.register(address, variable.size, variable.name)
                temporary.append(address)
        for array, name in packed.arrays:
            if memory.find(array.ctypes.data) is None and array.nbytes:
                pointer, end = np.lib.array_utils.byte_bounds(
                    array
                )  # an array with steps reaches further than its size
                memory.register(pointer, end - pointer, name, str(array.dtype), read_only=not array.flags.writeable)
                temporary.append(pointer)
        return temporary

    def _reached(self, translated: Translated, params: bytes, memory: Memory) -> list[list[int] | None]:
        """For each site, the addresses of the arrays that its address derives from; None if they are not known."""
        variables = {v.name: address for v, (_, address) in zip(self._variables, self._globals, strict=True)}
        live: dict[int, bool] = {}

        def known(pointer: int) -> bool:
            if pointer not in live:
                live[pointer] = memory.find(pointer) is not None
            return live[pointer]

        def of(site: SiteInfo) -> list[int] | None:
            kinds = {kind for kind, _ in site.origins}
            if kinds == {"shared"}:
                return []
            if "unknown" in kinds:
                return None
            named = [variables[str(name)] for kind, name in site.origins if kind == "global"]
            return [p for p in (*origin_pointers(site.origins, params), *named) if known(p)] or None

        return [of(site) for site in translated.sites]

    def _run(
        self,
        kernel: _Kernel,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        params: ctypes.Array[ctypes.c_char],
        shared: int,
        memory: Memory,
        limits: LaunchLimits,
        resident: int,
        chosen: list[int] | None,
    ) -> tuple[Counters, tuple[LineCounters, ...], list[native.NativeViolation], list[native.NativeViolation], str]:
        lowered, translated = kernel.lowered, kernel.translated
        addresses = (ctypes.c_uint64 * max(1, len(self._globals)))(*(a for _, a in self._globals))
        ranges = [n for pair in shared_ranges(lowered, shared).values() for n in pair]
        reserved = lowered.shared.get(RESERVED, (0, 0))
        range_array = (ctypes.c_uint32 * max(1, len(ranges)))(*ranges)
        bases = (ctypes.c_uint64 * max(1, len(translated.sites)))()
        reached = self._reached(translated, params.raw, memory)
        for i, pointers in enumerate(reached):
            of_arguments = all(kind != "global" for kind, _ in translated.sites[i].origins)
            bases[i] = pointers[0] if pointers and len(pointers) == 1 and of_arguments else 0
        reaching = reach(translated.sites, reached)
        written, read = (_array(found) for found in (reaching.written, reaching.read))
        workspace = ctypes.addressof(self._workspace) if translated.cooperative else 0
        if workspace:
            ctypes.memset(workspace, 0, ctypes.sizeof(self._workspace))
        counts = (ctypes.c_uint64 * (3 * len(translated.blocks)))()
        profiled = limits.options.profile_lines
        by_site = (native.SiteCounts * (max(1, len(translated.sites)) if profiled else 0))()
        blocks = (ctypes.c_uint64 * len(chosen or ()))(*(chosen or ()))
        found = (native.NativeViolation * native.MAX_VIOLATIONS)()
        noted = (native.NativeViolation * native.MAX_VIOLATIONS)()
        printed = ctypes.create_string_buffer(_PRINTED_BYTES if self._prints else 1)
        request = native.Request(
            kernel=kernel.run,
            sites=kernel.sites,
            site_count=len(translated.sites),
            site_base=ctypes.addressof(bases),
            basic_blocks=len(translated.blocks),
            register_words=translated.slots,
            predicates=translated.predicates,
            grid=(ctypes.c_uint32 * 3)(*grid),
            block=(ctypes.c_uint32 * 3)(*block),
            params=ctypes.addressof(params),
            param_bytes=lowered.param_bytes,
            globals=ctypes.addressof(addresses),
            shared_ranges=ctypes.addressof(range_array),
            shared_variables=len(ranges) // 2,
            static_shared=lowered.static_shared,
            dynamic_shared=shared,
            workspace=workspace,
            resident_blocks=resident,
            frame_bytes=lowered.frame_bytes,
            reserved_shared=reserved[0],
            reserved_bytes=reserved[1] - reserved[0],
            stack_slot=translated.stack_slot,
            stack_bytes=max(0, limits.stack_bytes),
            heap_bytes=max(0, limits.heap_bytes),
            threads=1 if translated.ordered else limits.threads or len(os.sched_getaffinity(0)),
            max_warp_instructions=limits.max_warp_instructions,
            seconds=limits.seconds,
            max_violations=limits.max_violations,
            cell_shift=translated.cell_bytes.bit_length() - 1 if limits.check_shared else -1,
            chosen=ctypes.addressof(blocks) if chosen else None,
            chosen_count=len(blocks),
            lanes_may_race=int(translated.lanes_may_race),
            race_shift=reaching.cell_bytes.bit_length() - 1 if limits.check_global else -1,
            written=ctypes.addressof(written),
            written_count=-1 if reaching.written is None else len(reaching.written),
            read=ctypes.addressof(read),
            read_count=-1 if reaching.read is None else len(reaching.read),
            schedule=SCHEDULES.index(limits.options.schedule),
            schedule_seed=limits.options.schedule_seed & (2**64 - 1),
            block_counts=ctypes.addressof(counts),
            site_counts=ctypes.addressof(by_site) if profiled else None,
            violations=ctypes.addressof(found),
            notes=ctypes.addressof(noted),
            printed=ctypes.addressof(printed),
            printed_room=ctypes.sizeof(printed) - 1,
        )
        self._tools.runtime.kw_launch(ctypes.c_void_p(memory.handle), ctypes.byref(request))
        if request.unknown_read:
            raise _reads_unknown(lowered.name, memory.find(request.unknown_read))
        counters = _counters(request, translated, counts)
        lines = line_counters(self._source, translated, counts, by_site) if profiled else ()
        text = printed.raw[: request.printed_bytes].decode(errors="replace")
        return counters, lines, list(found[: request.violation_count]), list(noted[: request.note_count]), text


def compile(
    source: str,
    options: Sequence[str] = (),
    *,
    arch: str = "sm_90",
    name_expressions: Sequence[str] = (),
    cache_dir: Path | None = None,
) -> Module:
    """Compiles CUDA C++ for the emulator.

    Args:
        source, options, arch, name_expressions: see `sandbox.build.build_cuda`.
        cache_dir: keeps PTX and machine code; None takes the user's cache folder.

    Raises:
        BuildError: the source does not compile.
        UnsupportedError: no kernel of it can be emulated (one that can't be is refused at its launch).
        EmulatorError: there is no C++ compiler.
    """
    build = build_cuda(
        source,
        options,
        arch=arch,
        name_expressions=name_expressions,
        cache_dir=None if cache_dir is None else cache_dir / "build",
    )
    tools = toolchain(cache_dir)
    native.check_abi(tools.runtime)
    made_from = CudaCode(source, arch, tuple(options), tuple(name_expressions))
    return Module(source, build, translate_ptx(build.ptx, cache_dir), tools, cache_dir, made_from)


def _array(addresses: Sequence[int] | None) -> ctypes.Array[ctypes.c_uint64]:
    listed = addresses or ()
    return (ctypes.c_uint64 * max(1, len(listed)))(*listed)


def _address(function: object) -> int:
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)  # type: ignore[arg-type]


def _reads_unknown(kernel: str, allocation: Allocation | None) -> LaunchError:
    name = (allocation.name if allocation is not None else "") or "an array"
    return LaunchError(
        f"kernel {kernel} reads parts of `{name}` that an earlier launch left unwritten, since only some of its blocks were run",
        mend="Run the whole grids of kernels that read each other's results, on a smaller shape if they take too long.",
    )


def _log_printed(text: str) -> None:
    log.info("device printf: %s", text.rstrip("\n"))


def _allocate_globals(
    variables: Sequence[Variable], functions: Mapping[str, int]
) -> list[tuple[mmap.mmap | None, int]]:
    """Memory for the module's variables, initialised; (None, 0) for those of other spaces."""
    alignment = 256
    made: list[tuple[mmap.mmap | None, int]] = []
    for variable in variables:
        if variable.space not in ("global", "const") or (variable.extern and not variable.size):
            made.append((None, 0))
            continue
        try:
            buffer = mmap.mmap(-1, variable.size + alignment)  # zero, and takes memory only where it is touched
        except (OSError, OverflowError, ValueError) as error:
            raise UnsupportedError(f"the variable {variable.name} of {variable.size} bytes: {error}") from error
        address = -(-ctypes.addressof(ctypes.c_char.from_buffer(buffer)) // alignment) * alignment
        ctypes.memmove(address, variable.initial, min(len(variable.initial), variable.size))
        made.append((buffer, address))
    known = dict(functions)
    known |= {v.name: address for v, (buffer, address) in zip(variables, made, strict=True) if buffer is not None}
    for variable, (_, address) in zip(variables, made, strict=True):
        for offset, symbol, addend in variable.relocations:
            if symbol not in known:
                raise UnsupportedError(
                    f"{variable.name} holds the address of {symbol}, which the emulator does not support"
                )
            ctypes.memmove(address + offset, ((known[symbol] + addend) % 2**64).to_bytes(8, "little"), 8)
    return made


def _counters(request: native.Request, translated: Translated, counts: ctypes.Array[ctypes.c_uint64]) -> Counters:
    warp: dict[str, int] = {}
    thread: dict[str, int] = {}
    operations: dict[str, int] = {}
    tensor: dict[str, int] = {}
    branches = 0
    for i, block in enumerate(translated.blocks):
        warps, lanes = int(counts[3 * i]), int(counts[3 * i + 1])
        if not warps:
            continue
        branches += warps * block.branches
        for name, count in block.classes.items():
            warp[name] = warp.get(name, 0) + warps * count
            thread[name] = thread.get(name, 0) + lanes * count
        for name, count in block.flops.items():
            operations[name] = operations.get(name, 0) + lanes * count
        for name, count in block.tensor_flops.items():
            tensor[name] = tensor.get(name, 0) + lanes * count
    direct = dict(zip(native.COUNTERS, (int(n) for n in request.counters), strict=True))
    direct["branches"] = branches
    return Counters(warp_instructions=warp, thread_instructions=thread, flops=operations, tensor_flops=tensor, **direct)
