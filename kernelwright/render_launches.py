"""What `sanitize` and `profile` show people: findings at their lines, a page a kernel, annotated source."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelwright.launches import Finding
from kernelwright.sandbox.launch import LineCounters
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.model.kernel_profile import KernelProfile
from kernelwright.words import between, duration, one_line, share

__all__ = ["annotated_source", "finding_view", "number", "profile_view"]

_SECTOR = 32  # bytes, the unit in which global memory is moved
_WAVEFRONT = 128  # bytes, what shared memory gives in one pass
_BAR = 5  # characters of the bar that shows a line's share
_COLUMNS = ("line", "issued", "", "lanes", "global", "shared", "FLOPs")
_GAP = 6  # lines without instructions that are still shown between lines with some


def finding_view(finding: Finding, total: int, *, note: bool = False) -> RenderableType:
    """One violation: kind, kernel and line; the source line; what happened, and the likely fix.

    Args:
        total: how many schedules were run; which of them show it is said when not all do.
        note: it is nothing wrong, and looks so.
    """
    found = finding.violation
    kind = found.kind.replace("_", " ")
    where = f"line {found.line}" if found.line else "no line known"
    times = f", {found.count:,} times" if found.count > 1 else ""
    parts: list[RenderableType] = [
        Text.assemble(
            (f"note: {kind}" if note else kind, "bold yellow" if note else "bold red"),
            f" in {one_line(plain_name(finding.kernel))}, {where}{times}",
        )
    ]
    if found.source.strip():
        parts.append(Text(f"    {one_line(found.source)}", style="cyan"))
    parts.append(Text(f"  {one_line(found.message, 1000)}."))
    if found.hint:
        parts.append(Text(f"  {'' if note else 'Likely fix: '}{one_line(found.hint, 1000)}", style="green"))
    if len(finding.schedules) < total:
        parts.append(Text(f"  Seen with blocks and warps in this order: {', '.join(finding.schedules)}.", style="dim"))
    return Group(*parts, Text(""))


def profile_view(profile: KernelProfile, gpu: str) -> RenderableType:
    """The page of one kernel: time, limiter, occupancy, instruction mix, memory."""
    report, c, time = profile.report, profile.report.counters, profile.time
    grid, block = (" x ".join(str(n) for n in _trimmed(sizes)) for sizes in (report.grid, report.block))
    many = f", {profile.launches:,} launches" if profile.launches > 1 else ""
    head = Text.assemble(
        (one_line(profile.name), "bold"), f"  grid {grid}, block {block}{many}: ",
        (duration(profile.seconds), "bold"), between(profile.seconds_low, profile.seconds_high), f" modelled for {gpu}",
    )  # fmt: skip
    table = Table.grid(padding=(0, 2))
    occ, res = time.occupancy, report.resources
    table.add_row("  time", f"in brackets: {profile.time.interval_source}")
    table.add_row(
        "  limited by", f"{profile.diagnosis.limiter}: {profile.diagnosis.finding} {profile.diagnosis.remedy}"
    )
    if res is not None:
        spilled = f", {res.spill_stores + res.spill_loads} bytes spilled" if res.spill_stores or res.spill_loads else ""
        table.add_row(
            "  resources",
            f"{res.registers} registers a thread{spilled}, {res.static_shared:,} B static and "
            f"{report.dynamic_shared:,} B dynamic shared memory",
        )
    table.add_row(
        "  occupancy",
        f"{share(occ.fraction)} ({occ.warps} warps an SM, limited by {occ.limited_by}), {time.waves:.2f} waves",
    )
    warp, thread = sum(c.warp_instructions.values()), sum(c.thread_instructions.values())
    if warp:
        mix = sorted(c.warp_instructions.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {share(count / warp)}" for name, count in mix if count >= warp / 100)
        table.add_row("  instructions", f"{warp:,} of warps (PTX), {thread / warp:.1f} of 32 lanes active: {shown}")
    if c.flops:
        table.add_row("  operations", ", ".join(f"{n:,} {kind} FLOPs" for kind, n in sorted(c.flops.items()) if n))
    for what, requests, sectors, moved in (
        ("global loads", c.global_load_requests, c.global_load_sectors, c.global_load_bytes),
        ("global stores", c.global_store_requests, c.global_store_sectors, c.global_store_bytes),
    ):
        if requests:
            table.add_row(
                f"  {what}",
                f"{_bytes(moved)} asked for, {_bytes(sectors * _SECTOR)} moved: {sectors / requests:.1f} sectors a request "
                f"(ideal {moved / _SECTOR / requests:.1f})",
            )
    for what, requests, wavefronts, moved in (
        ("shared loads", c.shared_load_requests, c.shared_load_wavefronts, c.shared_load_bytes),
        ("shared stores", c.shared_store_requests, c.shared_store_wavefronts, c.shared_store_bytes),
    ):
        if requests:
            ideal = max(requests, -(-moved // _WAVEFRONT))
            table.add_row(
                f"  {what}", f"{_bytes(moved)} in {wavefronts:,} wavefronts ({wavefronts / ideal:.2f} times the ideal)"
            )
    if c.global_atomic_requests or c.shared_atomic_requests:
        table.add_row(
            "  atomics", f"{c.global_atomic_requests:,} global and {c.shared_atomic_requests:,} shared requests"
        )
    if c.local_load_bytes or c.local_store_bytes:
        table.add_row("  local memory", f"{_bytes(c.local_load_bytes)} read, {_bytes(c.local_store_bytes)} written")
    if c.branches:
        table.add_row("  branches", f"{c.branches:,}, of them {c.divergent_branches:,} divergent")
    parts: list[RenderableType] = [head, table]
    if report.sampled:
        blocks = report.grid[0] * report.grid[1] * report.grid[2]
        parts.append(
            Text(f"  Counted over a sample of {c.blocks:,} of {blocks:,} blocks; the time is for all.", style="yellow")
        )
    return Group(*parts)


def annotated_source(lines: Sequence[LineCounters], sources: Sequence[str]) -> RenderableType:
    """The source with what each line cost, and a mark on the costliest.

    Columns: share of the issued instructions; active lanes of 32; share of the moved global sectors that was asked for;
    shared-memory wavefronts over the ideal; FLOPs. Those that are empty for every line are left out.
    """
    by_line = {line.line: line for line in lines if line.line > 0}
    total = sum(line.warp_instructions for line in lines)
    if not by_line or not total:
        return Text("  The compiler names no source lines for this kernel.", style="yellow")
    text = _source_of(by_line, sources)
    most = max(by_line.values(), key=lambda line: line.warp_instructions).line
    rows: list[list[Text]] = []
    before = 0
    for number in _shown(sorted(by_line)):
        if before and number != before + 1:
            rows.append([Text("..."), *[Text()] * (len(_COLUMNS) - 1), Text()])
        before = number
        source = one_line_kept(text.get(number, ""))
        line = by_line.get(number)
        if line is None:
            rows.append([Text(str(number), style="dim"), *[Text()] * (len(_COLUMNS) - 1), Text(source, style="dim")])
            continue
        part = line.warp_instructions / total
        rows.append([
            Text(str(number)),
            Text(f"{100 * part:.1f} %" if line.warp_instructions else ""),
            Text("█" * round(_BAR * line.warp_instructions / by_line[most].warp_instructions), style="magenta"),
            Text(f"{line.thread_instructions / line.warp_instructions:.1f}" if line.warp_instructions else ""),
            *_memory(line),
            Text(_count(sum(line.flops.values()))),
            Text(source, style="bold" if number == most else ""),
        ])  # fmt: skip
    kept = [at for at in range(len(_COLUMNS)) if any(row[at] for row in rows)]
    table = Table(box=None, pad_edge=False, expand=True, padding=(0, 1), header_style="bold")
    for at in kept:
        width = max(len(_COLUMNS[at]), *(len(row[at]) for row in rows))
        table.add_column(_COLUMNS[at], justify="right" if _COLUMNS[at] else "left", no_wrap=True, min_width=width)
    table.add_column("source", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows:
        table.add_row(*(row[at] for at in kept), row[-1])
    notes = [
        "issued: share of the warps' instructions. lanes: active of 32. global: share of the sectors moved that was asked for.",
        "shared: wavefronts over the ideal.",
    ]
    unnamed = sum(line.warp_instructions for line in lines if line.line <= 0)
    if unnamed:
        notes.append(f"{share(unnamed / total)} of the instructions belong to no line.")
    return Group(Text(), table, Text(" ".join(notes), style="dim"))


def _memory(line: LineCounters) -> tuple[Text, Text]:
    sectors = line.global_load_sectors + line.global_store_sectors
    asked = line.global_load_bytes + line.global_store_bytes
    used = asked / (sectors * _SECTOR) if sectors else 0.0
    first = Text(share(min(used, 1.0)) if sectors else "", style="red" if sectors and used < 0.5 else "")
    wavefronts = line.shared_load_wavefronts + line.shared_store_wavefronts
    moved = line.shared_load_bytes + line.shared_store_bytes
    ideal = max(line.shared_load_requests + line.shared_store_requests, -(-moved // _WAVEFRONT))
    times = wavefronts / ideal if ideal else 0.0
    return first, Text(f"{times:.1f}x" if wavefronts else "", style="red" if times > 1.5 else "")


def _source_of(by_line: dict[int, LineCounters], sources: Sequence[str]) -> dict[int, str]:
    """Text by line: of the source in which every counted line stands where it should, else of the counted lines."""
    for source in sources:
        split = source.splitlines()
        if all(0 < n <= len(split) and split[n - 1].strip() == line.text.strip() for n, line in by_line.items()):
            return dict(enumerate(split, start=1))
    return {number: line.text for number, line in by_line.items()}


def _shown(counted: Sequence[int]) -> list[int]:
    """The counted lines, and the lines between those that are near."""
    shown = [counted[0]]
    for number in counted[1:]:
        if number - shown[-1] <= _GAP:
            shown += range(shown[-1] + 1, number)
        shown.append(number)
    return shown


def one_line_kept(text: str) -> str:
    """Without control characters, but with its indentation."""
    stripped = text.expandtabs(4)
    indent = len(stripped) - len(stripped.lstrip())
    return " " * indent + one_line(stripped, 300)


def _trimmed(sizes: tuple[int, int, int]) -> tuple[int, ...]:
    x, y, z = sizes
    return (x, y, z) if z > 1 else (x, y) if y > 1 else (x,)


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def number(value: float) -> str:
    """Whole numbers in full, others with six digits."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.6g}"


def _count(number: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number) if number else ""
