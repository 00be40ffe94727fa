"""What one kernel launch did: counters, resources, violations. Filled by the emulator, later by a GPU's profiler.

Worker processes import this module, so it needs the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = [
    "INSTRUCTION_CLASSES",
    "SCHEDULES",
    "TENSOR_TYPES",
    "Counters",
    "CudaCode",
    "GpuLaunch",
    "KernelResources",
    "LaunchOptions",
    "LaunchReport",
    "LineCounters",
    "OpRecord",
    "Violation",
]

INSTRUCTION_CLASSES = (
    "fp32",  # add, mul, fma, min/max, compare of binary32
    "fp16",  # binary16, bfloat16 and their packed forms
    "fp64",
    "int",  # integer arithmetic, logic, shifts, selects, moves, predicates
    "sfu",  # ex2, lg2, sin, cos, tanh, rcp, rsqrt, sqrt (approximate forms)
    "convert",
    "load_store",  # every memory instruction except atomics
    "atomic",
    "shuffle",  # shfl, vote, match, redux
    "barrier",
    "control",  # branches, calls, exits
    "tensor",
)
"""Issue classes of instructions, as the performance model sees pipes."""

TENSOR_TYPES = ("fp16", "bf16", "tf32", "fp8", "int8", "int4", "int1", "fp64")
"""Types of the factors of matrix products on tensor cores; `fp8` is e4m3 and e5m2."""


@dataclass(frozen=True)
class KernelResources:
    """What ptxas reports for one kernel and one architecture (bytes per thread except `*_shared`, per block)."""

    registers: int
    static_shared: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    constant: int = 0
    barriers: int = 0
    arch: str = ""


@dataclass(frozen=True)
class Counters:
    """PTX-level totals over one launch (all blocks that were run).

    A *request* is one warp-level memory instruction with at least one active lane; a *sector* is 32 bytes of global
    memory touched by a request; a *wavefront* is one pass over the 32 four-byte banks of shared memory; *unique*
    bytes count each 32-byte sector once per launch, however often it was touched.
    """

    warp_instructions: Mapping[str, int] = field(default_factory=dict)
    """Issued instructions by class (`INSTRUCTION_CLASSES`)."""
    thread_instructions: Mapping[str, int] = field(default_factory=dict)
    """The same, each counted once per active lane."""
    flops: Mapping[str, int] = field(default_factory=dict)
    """By `fp32`, `fp16`, `fp64`, `tensor`; a fused multiply-add counts two."""
    tensor_flops: Mapping[str, int] = field(default_factory=dict)
    """Those of `tensor` by the type of the factors (`TENSOR_TYPES`); empty in what older versions stored."""

    global_load_requests: int = 0
    global_load_sectors: int = 0
    global_load_bytes: int = 0
    """Bytes asked for by active lanes."""
    global_load_unique_bytes: int = 0
    global_store_requests: int = 0
    global_store_sectors: int = 0
    global_store_bytes: int = 0
    global_store_unique_bytes: int = 0
    global_atomic_requests: int = 0
    global_atomic_sectors: int = 0
    shared_load_requests: int = 0
    shared_load_wavefronts: int = 0
    shared_load_bytes: int = 0
    shared_store_requests: int = 0
    shared_store_wavefronts: int = 0
    shared_store_bytes: int = 0
    shared_atomic_requests: int = 0
    local_load_bytes: int = 0
    local_store_bytes: int = 0

    barriers: int = 0
    """Warp-level arrivals at block barriers."""
    branches: int = 0
    divergent_branches: int = 0
    """Branches whose active lanes went both ways."""

    longest_warp_instructions: int = 0
    """Instructions issued by the busiest warp: a lower bound on the launch's length."""
    longest_warp_global_requests: int = 0
    longest_warp_barriers: int = 0

    warps: int = 0
    blocks: int = 0
    """Blocks that were run; less than the grid only under block sampling."""

    def scaled(self, factor: float) -> Counters:
        """All counters but the `longest_warp_*` times `factor`, rounded."""

        def times(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: round(count * factor) for name, count in value.items()}
            return round(value * factor)

        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return Counters(**{name: v if name.startswith("longest_") else times(v) for name, v in kept.items()})

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counters:
        """Reads what `to_json` wrote; unknown names are an error."""
        return cls(**data)


@dataclass(frozen=True)
class LineCounters:
    """`Counters` of the instructions of one source line, over all blocks that were run."""

    line: int
    """1-based, in the CUDA source; 0 gathers instructions of which the compiler names no line. Code of a function that was
    inlined counts at the line where it stands, code of a library's header at the line that calls it."""
    text: str = ""
    """The text of that line."""
    called_from: tuple[int, ...] = ()
    """Lines that call the function in which this one stands, where it was inlined."""
    warp_instructions: int = 0
    thread_instructions: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    """`warp_instructions` by class (`INSTRUCTION_CLASSES`)."""
    flops: Mapping[str, int] = field(default_factory=dict)
    global_load_requests: int = 0
    global_load_sectors: int = 0
    global_load_ideal_sectors: int = 0
    """Sectors that each request's distinct addresses would need if they lay side by side."""
    global_load_bytes: int = 0
    global_store_requests: int = 0
    global_store_sectors: int = 0
    global_store_ideal_sectors: int = 0
    global_store_bytes: int = 0
    global_atomic_requests: int = 0
    global_atomic_sectors: int = 0
    shared_load_requests: int = 0
    shared_load_wavefronts: int = 0
    shared_load_bytes: int = 0
    shared_store_requests: int = 0
    shared_store_wavefronts: int = 0
    shared_store_bytes: int = 0
    shared_atomic_requests: int = 0
    local_load_bytes: int = 0
    local_store_bytes: int = 0
    branches: int = 0
    divergent_branches: int = 0
    barriers: int = 0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LineCounters:
        """Reads what `LaunchReport.to_json` wrote; unknown names are an error."""
        return cls(**{**data, "called_from": tuple(int(n) for n in data.get("called_from", ()))})


SCHEDULES = ("forward", "reversed", "random")
"""Orders in which the blocks of a grid and the warps of a block get their turns."""


@dataclass(frozen=True)
class LaunchOptions:
    """How launches are run and what is recorded of them, beside the counters that every report has."""

    schedule: str = "forward"
    """One of `SCHEDULES`."""
    schedule_seed: int = 0
    """Of the random schedule."""
    profile_lines: bool = False
    """Whether reports have `lines`."""
    sample_blocks: int | None = None
    """Run only so many blocks of each grid (at least 2), chosen at random with the first and the last; None runs all. A
    launch whose blocks depend on each other is refused."""
    sample_seed: int = 0
    keep_code: bool = False
    """Whether the report of each kernel's first launch says what it was compiled from (`LaunchReport.code`)."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `LaunchOptions(**it)` reads it back."""
        return asdict(self)


@dataclass(frozen=True)
class CudaCode:
    """What a kernel was compiled from: enough for the same compiler to make machine code of it."""

    source: str
    """The text that NVRTC was given; of compiled host code, the device part behind a prelude of ours."""
    arch: str
    """`sm_90`."""
    options: tuple[str, ...] = ()
    name_expressions: tuple[str, ...] = ()
    parts: tuple[tuple[int, str], ...] = ()
    """(first line, name) of each of the author's texts in the compiler's line numbering; empty: it is the author's."""

    def author_line(self, line: int) -> int:
        """The author's number of a line that the compiler names."""
        first = max((first for first, _ in self.parts if first <= line), default=1)
        return line - first + 1

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CudaCode:
        """Reads what `to_json` wrote; unknown names are an error."""
        raw = {**data, "parts": tuple((int(first), str(name)) for first, name in data.get("parts", ()))}
        for name in ("options", "name_expressions"):
            raw[name] = tuple(map(str, raw.get(name, ())))
        return cls(**raw)


@dataclass(frozen=True)
class Violation:
    """Something a kernel did that CUDA does not allow, at the source line where it happened.

    `kind` is one of `out_of_bounds`, `misaligned`, `null_pointer`, `uninitialised_read`, `shared_race`, `global_race`,
    `divergent_barrier`, `missing_lanes`, `exit_before_barrier`, `endless_loop`, `trap`. As a note (`LaunchReport.notes`),
    which is nothing wrong: `same_value`.
    """

    kind: str
    message: str
    """One plain sentence, naming thread, block and address as `array[index]` where known."""
    line: int | None = None
    """1-based line in the CUDA source given to the compiler."""
    source: str = ""
    """The text of that line."""
    block: tuple[int, int, int] | None = None
    thread: tuple[int, int, int] | None = None
    count: int = 1
    """How often it happened at this line."""
    hint: str = ""
    """The likely fix."""


@dataclass(frozen=True)
class LaunchReport:
    """One launch: what was asked, what it cost, what it did wrong."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic_shared: int
    counters: Counters
    resources: KernelResources | None = None
    violations: tuple[Violation, ...] = ()
    notes: tuple[Violation, ...] = ()
    """What CUDA allows and a reader may want to know: `same_value`, several warps or blocks that nothing orders stored the
    same value at one place."""
    emulated_seconds: float = 0.0
    """Wall time the emulator took, in seconds: says nothing about a GPU."""
    lines: tuple[LineCounters, ...] = ()
    """By line, if the launch was run with `profile_lines`. Their sums are the launch's counters."""
    code: CudaCode | None = None
    """What the kernel was compiled from: of its first launch, if that was run with `keep_code`."""
    fingerprint: str = ""
    """16 hex digits over the compiled code without names and the arguments that are numbers; empty where it is not known."""

    @property
    def blocks_total(self) -> int:
        """Blocks of the grid; `counters.blocks` were run."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def sampled(self) -> bool:
        """Whether only some blocks of the grid were run."""
        return self.counters.blocks < self.blocks_total

    def extrapolated(self) -> Counters:
        """An estimate of the whole grid's counters: those of the blocks that ran, scaled by their number.

        The `longest_warp_*` are not scaled. Unique bytes come out too high where blocks share what they read. Without
        sampling these are the counters themselves.
        """
        if not self.sampled or not self.counters.blocks:
            return self.counters
        return self.counters.scaled(self.blocks_total / self.counters.blocks)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        plain: dict[str, Any] = _plain(asdict(self))
        for name in ("code", "fingerprint"):  # which earlier versions do not know
            if not plain[name]:
                del plain[name]
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LaunchReport:
        """Reads what `to_json` wrote; unknown names are an error."""
        known = {f.name for f in fields(cls)}
        if extra := set(data) - known:
            raise ValueError(f"unknown fields in a launch report: {sorted(extra)}")
        raw = dict(data)
        resources = raw.get("resources")

        def triple(value: Any) -> tuple[int, int, int] | None:
            return None if value is None else (int(value[0]), int(value[1]), int(value[2]))

        def each(name: str) -> tuple[Violation, ...]:
            return tuple(
                Violation(**{**v, "block": triple(v.get("block")), "thread": triple(v.get("thread"))})
                for v in raw.get(name, ())
            )

        return cls(
            kernel=str(raw["kernel"]),
            grid=triple(raw["grid"]) or (0, 0, 0),
            block=triple(raw["block"]) or (0, 0, 0),
            dynamic_shared=int(raw["dynamic_shared"]),
            counters=Counters.from_json(raw["counters"]),
            resources=None if resources is None else KernelResources(**resources),
            violations=each("violations"),
            notes=each("notes"),
            emulated_seconds=float(raw.get("emulated_seconds", 0.0)),
            lines=tuple(LineCounters.from_json(line) for line in raw.get("lines", ())),
            code=None if raw.get("code") is None else CudaCode.from_json(raw["code"]),
            fingerprint=str(raw.get("fingerprint", "")),
        )


@dataclass(frozen=True)
class GpuLaunch:
    """A kernel that ran on a GPU, as CUPTI recorded it in the process that launched it."""

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    seconds: float
    registers: int = 0
    shared_bytes: int = 0
    stream: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GpuLaunch:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        (gx, gy, gz), (bx, by, bz) = data["grid"], data["block"]
        return cls(
            str(data["name"]), (int(gx), int(gy), int(gz)), (int(bx), int(by), int(bz)), float(data["seconds"]),
            int(data["registers"]), int(data["shared_bytes"]), int(data["stream"]),
        )  # fmt: skip


@dataclass(frozen=True)
class OpRecord:
    """One ATen operation that torch ran: what the performance model needs to price it.

    Views and allocations (no data moved) are not recorded. `bytes_read` and `bytes_written` are the sizes of the
    distinct tensors; `flops` as torch's FLOP counter gives it for matrix products and convolutions, else one per
    output element for pointwise operations and one per input element for reductions.
    """

    name: str
    """For instance `aten._softmax.default`."""
    bytes_read: int
    bytes_written: int
    flops: int
    dtype: str
    """dtype of the first floating tensor, `float32` for instance."""
    kind: str
    """`pointwise`, `reduction`, `matmul`, `convolution`, `copy`, `other`."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Shapes of the tensor inputs."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> OpRecord:
        """Reads what `to_json` wrote."""
        raw = dict(data)
        raw["shapes"] = tuple(tuple(int(n) for n in shape) for shape in raw.get("shapes", ()))
        return cls(**raw)


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON reads them back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
