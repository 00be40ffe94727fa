"""What a person at a terminal sees of evidence: of a bundle that was judged again."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelwright.evidence import Recheck
from kernelwright.render import verdict_line
from kernelwright.words import one_line

__all__ = ["recheck_view"]


def recheck_view(found: Recheck) -> RenderableType:
    """What was changed in the file; or what came out the same and what did not, and whether the verdict holds."""
    if found.changes:
        lines = [
            Text.assemble(("  changed  ", "bold red"), f"{one_line(change.part)}: {one_line(change.what)}")
            for change in found.changes
        ]
        return Group(*lines, Text("This is not the bundle that was written; nothing in it was run.", style="bold red"))
    assert found.then is not None
    parts: list[RenderableType] = []
    if found.environment:
        parts.append(Text("The environment is another one; figures may differ in it:"))
        parts += [
            Text(f"  {one_line(each.what)}: {one_line(each.then)}, here {one_line(each.now)}")
            for each in found.environment
        ]
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in found.comparisons:
        sign = Text("  same", style="green") if each.same else Text("  differs", style="bold red")
        then, now = one_line(each.then), one_line(each.now, 1000)
        table.add_row(sign, Text(each.what), Text(then if each.same else f"then {then}; now {now}"))
    parts.append(table)
    if found.now is not None and found.now.verdict is not found.then.verdict:
        parts.append(Text.assemble("now:  ", verdict_line(found.now)))
    if found.fresh is not None:
        parts.append(Text.assemble("with fresh seeds:  ", verdict_line(found.fresh)))
    parts.append(Text.assemble("bundle:  ", verdict_line(found.then)))
    parts.append(_conclusion(found))
    return Group(*parts)


def _conclusion(found: Recheck) -> Text:
    if not found.holds:
        deciding = all(each.same for each in found.comparisons if each.decides)
        fresh = found.fresh is not None and found.then is not None and found.fresh.verdict is not found.then.verdict
        what = (
            "The verdict does not hold."
            if not deciding
            else "With fresh seeds the verdict is another one."
            if fresh
            else "The verdict came out the same, but not the figures, in the same environment."
        )
        return Text(what, style="bold red")
    exact = all(each.same for each in found.comparisons)
    more = "" if exact else " Figures that differ do so in another environment."
    return Text(f"The bundle is whole and its verdict holds.{more}", style="bold green")
