"""What the compiler made of a kernel, read from its machine code with no GPU: instructions by kind and line, widths of accesses,
use of local memory, occupancy, and (with cuxray) bank conflicts.

Everything here is static: an instruction counts once, however often it runs. What runs how often is what the emulator counts.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernelwright.errors import BuildError
from kernelwright.sandbox.build import SOURCE_NAME, build_cubin
from kernelwright.sandbox.launch import CudaCode, KernelResources, LaunchReport
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.occupancy import Occupancy, occupancy
from kernelwright.verifier.profilers.sass import Instruction, access_width, classify, parse_disassembly
from kernelwright.verifier.profilers.tools import Problem, ProblemKind, Runner, find_tool, run_tool, tool_environment

__all__ = ["AccessSite", "CodeLine", "CompiledKernel", "LaunchShape", "analyse", "of_launches"]

_SECONDS = 120.0  # wall limit of one tool; nvdisasm takes 0.1 s for a file of 20 kernels, cuxray 1 to 10
_FEWEST_REGISTERS = 16
"""What ptxas gives at least where it is held to a number (`--maxrregcount`, nvcc's documentation)."""
_SASS_EXTRA = "Install it with `pip install 'kernelwright[sass]'`."


@dataclass(frozen=True)
class LaunchShape:
    """A kernel and how it is launched."""

    kernel: str
    """Mangled, as in the machine code."""
    block: tuple[int, int, int]
    dynamic_shared: int = 0
    """Bytes a block."""


@dataclass(frozen=True)
class CodeLine:
    """The machine code of one source line."""

    line: int
    """1-based, the author's; 0 gathers what the compiler names no line for."""
    instructions: int
    classes: Mapping[str, int]
    """`instructions` by class (`INSTRUCTION_CLASSES`, `other`)."""
    local_loads: int = 0
    local_stores: int = 0
    """Instructions on local memory: spilled registers, or arrays that are indexed at run time."""


@dataclass(frozen=True)
class AccessSite:
    """What cuxray found about the accesses of one source line, for this block shape."""

    line: int
    space: str
    """`shared` or `global`."""
    verdict: str
    """`conflict`, `clean`, `coalesced`, `uncoalesced`."""
    count: int
    """Instructions."""
    ways: int = 1
    """Lanes that meet in one bank, at worst."""
    fixes: tuple[str, ...] = ()
    """What cuxray says would mend it."""


@dataclass(frozen=True)
class CompiledKernel:
    """One kernel's machine code for one architecture and block shape."""

    shape: LaunchShape
    arch: str
    instructions: int
    """Without `NOP`; functions that it calls are counted in."""
    classes: Mapping[str, int]
    widths: Mapping[str, int]
    """Loads, stores and asynchronous copies by opcode and bits a lane: ``LDG.128``."""
    tensor: Mapping[str, int]
    """Tensor-core instructions by opcode: ``HMMA.16816.F32``."""
    async_copies: int
    """Copies from global to shared memory that pass no register: `LDGSTS` and the bulk copies."""
    unknown: tuple[str, ...]
    """Opcodes whose class is not known here."""
    lines: tuple[CodeLine, ...]
    resources: KernelResources | None
    """What ptxas says; None if it says nothing of this kernel."""
    occupancy: Occupancy
    more_blocks: str
    """What one block more an SM would take; empty if registers and shared memory do not limit it."""
    accesses: tuple[AccessSite, ...] | None
    """None if cuxray gave nothing."""
    not_analysed: int = 0
    """Accesses whose addresses cuxray could not follow."""
    problems: tuple[Problem, ...] = ()

    @property
    def kernel(self) -> str:
        """Its mangled name."""
        return self.shape.kernel

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        plain = asdict(self)
        return {
            **plain.pop("shape"),
            **plain,
            "static": True,
            "occupancy": self.occupancy.to_json(),
            "problems": [problem.to_json() for problem in self.problems],
        }


def analyse(
    code: CudaCode, shapes: Sequence[LaunchShape], gpu: Gpu, *, runner: Runner = run_tool
) -> list[CompiledKernel] | Problem:
    """Compiles for the GPU's architecture and reads the machine code of the kernels in `shapes`, in that order.

    A kernel that the machine code does not hold is left out. Without cuxray `accesses` are None and the reason is
    among the `problems`; without nvdisasm, or if the source does not compile, there is only a Problem.
    """
    disassembler = find_tool("nvdisasm")
    if disassembler is None:
        return Problem(
            "nvdisasm", ProblemKind.MISSING, "nvdisasm is not installed, so machine code can't be read.", _SASS_EXTRA
        )
    try:
        cubin, resources = build_cubin(CudaCode(code.source, gpu.arch, code.options, code.name_expressions))
    except BuildError as error:
        return Problem("NVRTC", ProblemKind.FAILED, f"there is no machine code to read: {error.message}.", error.mend)
    with tempfile.TemporaryDirectory(prefix="kernelwright-sass-") as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(cubin)
        listing = _disassemble(file, disassembler, runner)
        if isinstance(listing, Problem):
            return listing
        return [
            _compiled(
                shape, listing[shape.kernel], code, resources.get(shape.kernel), gpu, _access(file, shape, code, runner)
            )
            for shape in shapes
            if shape.kernel in listing
        ]


def _disassemble(file: Path, tool: Path, runner: Runner) -> dict[str, tuple[Instruction, ...]] | Problem:
    try:
        done = runner([str(tool), "-c", "-gi", str(file)], seconds=_SECONDS, environment=tool_environment())
    except OSError as error:
        return Problem("nvdisasm", ProblemKind.FAILED, f"nvdisasm does not start: {error}.")
    if done.timed_out:
        return Problem("nvdisasm", ProblemKind.TIMEOUT, f"nvdisasm did not end within {_SECONDS:g} s.")
    if done.returncode:
        said = next((line.strip() for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")
        return Problem(
            "nvdisasm", ProblemKind.UNSUPPORTED, f"nvdisasm can't read the machine code: {said}",
            "A newer nvdisasm knows newer architectures.",
        )  # fmt: skip
    found = parse_disassembly(done.stdout, SOURCE_NAME)
    if not any(found.values()):
        return Problem("nvdisasm", ProblemKind.UNREADABLE, "nvdisasm listed no instruction.")
    return found


def _compiled(
    shape: LaunchShape,
    instructions: Sequence[Instruction],
    code: CudaCode,
    resources: KernelResources | None,
    gpu: Gpu,
    access: tuple[tuple[AccessSite, ...], int] | Problem,
) -> CompiledKernel:
    threads = shape.block[0] * shape.block[1] * shape.block[2]
    occ = occupancy(resources, threads, shape.dynamic_shared, gpu)
    by_class = Counter(classify(each.opcode) for each in instructions)
    widths = Counter(
        f"{each.base}.{width}" for each in instructions if (width := access_width(each.opcode)) is not None
    )
    return CompiledKernel(
        shape=shape,
        arch=gpu.arch,
        instructions=len(instructions),
        classes=dict(by_class.most_common()),
        widths=dict(sorted(widths.items())),
        tensor=dict(Counter(each.opcode for each in instructions if classify(each.opcode) == "tensor").most_common()),
        async_copies=sum(each.base in ("LDGSTS", "UBLKCP", "UTMALDG") for each in instructions),
        unknown=tuple(sorted({each.base for each in instructions if classify(each.opcode) == "other"})),
        lines=_lines(instructions, code),
        resources=resources,
        occupancy=occ,
        more_blocks=_more_blocks(occ, resources, threads, shape.dynamic_shared, gpu),
        accesses=None if isinstance(access, Problem) else access[0],
        not_analysed=0 if isinstance(access, Problem) else access[1],
        problems=(access,) if isinstance(access, Problem) else (),
    )


def _lines(instructions: Sequence[Instruction], code: CudaCode) -> tuple[CodeLine, ...]:
    by_line: dict[int, list[Instruction]] = {}
    for each in instructions:
        by_line.setdefault(code.author_line(each.line) if each.line else 0, []).append(each)
    return tuple(
        CodeLine(
            line,
            len(members),
            dict(Counter(classify(each.opcode) for each in members).most_common()),
            sum(each.base == "LDL" for each in members),
            sum(each.base == "STL" for each in members),
        )
        for line, members in sorted(by_line.items())
    )


def _more_blocks(occ: Occupancy, resources: KernelResources | None, threads: int, dynamic: int, gpu: Gpu) -> str:
    """How many registers, or bytes of shared memory, fewer would let one block more be resident."""
    if resources is None or occ.blocks == 0:
        return ""
    if occ.limited_by == "registers":
        for registers in range(resources.registers - 1, _FEWEST_REGISTERS - 1, -1):
            fewer = KernelResources(registers, static_shared=resources.static_shared)
            if (gain := occupancy(fewer, threads, dynamic, gpu)).blocks > occ.blocks:
                return (
                    f"{registers} registers a thread ({resources.registers - registers} fewer) would let {gain.blocks} blocks run "
                    f"on an SM instead of {occ.blocks}"
                )
    if occ.limited_by == "shared":
        room = gpu.shared_per_sm // (occ.blocks + 1) // gpu.shared_unit * gpu.shared_unit - gpu.shared_reserved
        asked = resources.static_shared + dynamic
        if 0 <= room < asked:
            gain = occupancy(KernelResources(resources.registers), threads, room, gpu)
            if gain.blocks > occ.blocks:
                return (
                    f"{room:,} bytes of shared memory a block ({asked - room:,} fewer) would let {gain.blocks} blocks run on an "
                    f"SM instead of {occ.blocks}"
                )
    return ""


def _access(
    file: Path, shape: LaunchShape, code: CudaCode, runner: Runner
) -> tuple[tuple[AccessSite, ...], int] | Problem:
    """Bank conflicts and scattered accesses, as far as cuxray follows the addresses."""
    if importlib.util.find_spec("cuxray") is None:
        return Problem(
            "cuxray", ProblemKind.MISSING, "cuxray is not installed, so bank conflicts are not looked for in the machine code.",
            _SASS_EXTRA,
        )  # fmt: skip
    tool, dumper = find_tool("nvdisasm"), find_tool("cuobjdump")
    if tool is None or dumper is None or tool.parent != dumper.parent:
        return Problem(
            "cuxray", ProblemKind.MISSING, "cuxray needs cuobjdump beside nvdisasm, and it is not there.", _SASS_EXTRA
        )
    # it would fetch a toolchain over the network by itself, and keep results in the user's home
    environment = tool_environment(
        CUXRAY_TOOLCHAIN=str(tool.parent), CUXRAY_NO_FETCH="1", CUXRAY_CACHE=str(file.parent)
    )
    command = [
        sys.executable, "-m", "cuxray", "report", str(file), "--json", "--no-cache", "--fast",
        "--threads", ",".join(map(str, shape.block)), "--smem-dynamic", str(shape.dynamic_shared),
        "--kernel", f"^{re.escape(shape.kernel)}$",
    ]  # fmt: skip
    try:
        done = runner(command, seconds=_SECONDS, environment=environment)
    except OSError as error:
        return Problem("cuxray", ProblemKind.FAILED, f"cuxray does not start: {error}.")
    if done.timed_out:
        return Problem("cuxray", ProblemKind.TIMEOUT, f"cuxray did not end within {_SECONDS:g} s.")
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:300]
        return Problem("cuxray", ProblemKind.FAILED, f"cuxray gave nothing: {said or f'exit code {done.returncode}'}")
    try:
        return _sites(json.loads(done.stdout), shape.kernel, code)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Problem(
            "cuxray", ProblemKind.UNREADABLE, f"cuxray's report is not of the form known here (schema 1): {error!r}."
        )


def _sites(report: Mapping[str, Any], kernel: str, code: CudaCode) -> tuple[tuple[AccessSite, ...], int] | Problem:
    for unit in report["units"]:
        for found in unit["kernels"]:
            access = found["access"]
            if found["name"] != kernel or access is None:
                continue
            sites = tuple(
                AccessSite(
                    line=code.author_line(int(site["line"])) if _own(site) else 0,
                    space=str(site["space"]),
                    verdict=str(site["verdict"]),
                    count=int(site["count"]),
                    ways=int(site.get("conflict_ways") or 1),
                    fixes=tuple(str(fix["description"]) for fix in site.get("fixes", ())),
                )
                for site in access["by_site"]
            )
            return sites, int(access["unanalyzed_count"])
    return Problem("cuxray", ProblemKind.UNREADABLE, f"cuxray says nothing of the accesses of {kernel}.")


def _own(site: Mapping[str, Any]) -> bool:
    """Whether the site lies in the author's text rather than in a header."""
    return site.get("line") is not None and Path(str(site.get("file") or "")).name == SOURCE_NAME


def of_launches(
    shapes: Sequence[LaunchShape], reports: Sequence[LaunchReport], gpu: Gpu, *, runner: Runner = run_tool
) -> list[CompiledKernel | Problem]:
    """The machine code of each shape, in that order, from what the reports say their kernels were compiled from.

    The launches were run with `LaunchOptions(keep_code=True)`. What was compiled together is compiled together again.
    """
    codes: dict[str, CudaCode] = {}
    for report in reports:
        if report.code is not None:
            codes.setdefault(report.kernel, report.code)
    groups: dict[CudaCode, list[LaunchShape]] = {}
    for shape in shapes:
        if shape.kernel in codes:
            groups.setdefault(codes[shape.kernel], []).append(shape)
    found: dict[LaunchShape, CompiledKernel | Problem] = {}
    for code, members in groups.items():
        made = analyse(code, list(dict.fromkeys(members)), gpu, runner=runner)
        if isinstance(made, Problem):
            found |= dict.fromkeys(members, made)
            continue
        found |= {
            shape: each for shape in members for each in made if each.kernel == shape.kernel and each.shape == shape
        }
    nothing = Problem(
        "nvdisasm",
        ProblemKind.NOTHING_MATCHED,
        "what this kernel was compiled from is not known, so its machine code isn't.",
    )
    return [found.get(shape, nothing) for shape in shapes]
