"""What `profile --machine-code` shows people of a kernel's machine code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelwright.verifier.profilers.machine_code import AccessSite, CompiledKernel
from kernelwright.verifier.profilers.tools import Problem
from kernelwright.words import counted, one_line, share

__all__ = ["machine_code_view"]

_LINES_SHOWN = 6
_ACCESSES = (
    ("LDG", "global loads"), ("STG", "global stores"), ("LD", "generic loads"), ("ST", "generic stores"),
    ("LDS", "shared loads"), ("STS", "shared stores"), ("LDGSTS", "copies global to shared"),
    ("LDL", "local loads"), ("STL", "local stores"),
)  # fmt: skip
_WIDE = 128  # bits: the widest access that every architecture has


def machine_code_view(found: CompiledKernel | Problem, sources: Sequence[str]) -> RenderableType:
    """One kernel's machine code, below its profile; or why there is none.

    Args:
        sources: the CUDA texts whose lines are meant; a line's text is shown if there is but one.
    """
    if isinstance(found, Problem):
        return Text(f"  machine code: {one_line(str(found), 1000)}", style="yellow")
    text = sources[0].splitlines() if len(sources) == 1 else []
    table = Table.grid(padding=(0, 2))
    mix = ", ".join(f"{name} {share(count / found.instructions)}" for name, count in found.classes.items() if count)
    table.add_row(
        "  machine code", f"{counted(found.instructions, 'instruction')} for {found.arch}, each counted once: {mix}"
    )
    if found.resources is not None:
        res = found.resources
        spilled = (
            f"{res.spill_stores} bytes of registers stored and {res.spill_loads} loaded back (spills)"
            if res.spill_stores or res.spill_loads
            else "no spills"
        )
        table.add_row("  registers", f"{res.registers} a thread, {spilled}, {res.stack} bytes of stack")
    occ = found.occupancy
    more = f"; {found.more_blocks}" if found.more_blocks else ""
    table.add_row(
        "  resident",
        f"{counted(occ.blocks, 'block')} an SM ({share(occ.fraction)} of its warps), limited by {occ.limited_by}{more}",
    )
    if accesses := _widths(found.widths):
        table.add_row("  accesses", accesses)
    if found.tensor:
        table.add_row("  tensor cores", ", ".join(f"{count:,} {opcode}" for opcode, count in found.tensor.items()))
    if found.async_copies:
        table.add_row(
            "  async copies",
            f"{counted(found.async_copies, 'instruction')} that copy to shared memory past the registers",
        )
    for remark in _remarks(found, text):
        table.add_row("  worth a look", remark)
    if found.unknown:
        table.add_row("  not known", f"opcodes of no class known here: {', '.join(found.unknown)}")
    notes = [Text(f"  {one_line(str(problem), 1000)}", style="yellow") for problem in found.problems]
    return Group(table, *notes)


def _widths(widths: Mapping[str, int]) -> str:
    parts = []
    for base, name in _ACCESSES:
        sizes = sorted(
            ((int(key.partition(".")[2]), count) for key, count in widths.items() if key.partition(".")[0] == base),
            reverse=True,
        )
        if sizes:
            parts.append(f"{name} " + " + ".join(f"{count} x {bits} bits" for bits, count in sizes))
    return ", ".join(parts)


def _remarks(found: CompiledKernel, text: Sequence[str]) -> list[str]:
    remarks = []
    local = sorted(
        (line for line in found.lines if line.local_loads or line.local_stores), key=lambda line: -line.local_loads
    )
    if local:
        where = ", ".join(
            f"{_line(line.line, text)} ({line.local_loads} loads, {line.local_stores} stores)"
            for line in local[:_LINES_SHOWN]
        )
        spilled = found.resources is not None and (found.resources.spill_stores or found.resources.spill_loads)
        why = "registers were spilled" if spilled else "an array is indexed at run time, or a function keeps a frame"
        remarks.append(f"local memory is used at {where}: {why}")
    remarks += [_conflict(site, text) for site in found.accesses or () if site.verdict == "conflict"]
    scattered = [site for site in found.accesses or () if site.verdict == "uncoalesced"]
    if scattered:
        remarks.append(
            "cuxray sees lanes scattered over more sectors than they need at "
            + ", ".join(_line(site.line, text) for site in scattered[:_LINES_SHOWN])
        )
    loads = {int(key.partition(".")[2]) for key in found.widths if key.startswith("LDG.")}
    if loads and max(loads) < _WIDE and not found.async_copies:
        remarks.append(
            f"no global load is wider than {max(loads)} bits: 128 bits a lane need a fourth of the instructions (float4)"
        )
    if found.not_analysed:
        remarks.append(f"cuxray could not follow the addresses of {counted(found.not_analysed, 'access', 'accesses')}")
    return remarks


def _conflict(site: AccessSite, text: Sequence[str]) -> str:
    fix = f": {site.fixes[0]}" if site.fixes else ""
    return f"{site.ways} lanes meet in one bank of shared memory at {_line(site.line, text)}, says cuxray{fix}"


def _line(number: int, text: Sequence[str]) -> str:
    if not number:
        return "a line of a header"
    source = one_line(text[number - 1], 60) if 0 < number <= len(text) else ""
    return f"line {number}" + (f" `{source}`" if source else "")
