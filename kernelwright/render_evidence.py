"""What a person at a terminal sees of evidence: each stage explained, and a bundle that was judged again."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelwright.evidence import Recheck
from kernelwright.render import plain_source, verdict_line
from kernelwright.verifier.explain import Explanation, SourceLine
from kernelwright.verifier.recheck import Comparison
from kernelwright.words import one_line

__all__ = ["explanation_view", "recheck_view"]

_STYLES = {"passed": "green", "failed": "bold red", "warned": "yellow", "not reached": "dim"}


def explanation_view(stages: Sequence[Explanation]) -> RenderableType:
    """One paragraph a stage; under it the source lines concerned, with a caret where the column is known."""
    parts: list[RenderableType] = []
    for each in stages:
        parts.append(Text.assemble((one_line(each.stage), "bold"), "  ", (each.status, _STYLES.get(each.status, ""))))
        for text in each.sentences:
            head, rest = ("  - ", text[2:]) if text.startswith("- ") else ("  ", text)
            line = Table.grid()
            line.add_column(no_wrap=True)
            line.add_column(overflow="fold")
            line.add_row(head, Text(one_line(rest, 2000)))
            parts.append(line)
        parts += [_source_line(line) for line in each.lines]
    return Group(*parts)


def _source_line(line: SourceLine) -> Text:
    known = (("line", line.line), ("CUDA line", line.cuda_line))
    margin = "    " + (", ".join(f"{word} {number}" for word, number in known if number) or "line ?")
    indent = len(line.text) - len(line.text.lstrip())
    text = Text(f"{margin} | ", style="dim").append_text(plain_source(line.text.strip()))
    if line.column is not None and line.column > indent:
        text.append(f"\n{' ' * len(margin)} | {' ' * (line.column - 1 - indent)}^", style="bold red")
    return text


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
    parts.append(_table(found.comparisons, "now" if found.now is not None else "this program"))
    if found.now is not None and (found.now.verdict, found.now.reason) != (found.then.verdict, found.then.reason):
        parts.append(Text.assemble("now:  ", verdict_line(found.now)))
    if found.fresh is not None:
        if differing := [each for each in found.fresh_comparisons if not each.same]:
            parts.append(_table(differing, "with fresh seeds"))
        parts.append(Text.assemble("with fresh seeds:  ", verdict_line(found.fresh)))
    parts.append(Text.assemble("bundle:  ", verdict_line(found.then)))
    parts.append(_conclusion(found))
    return Group(*parts)


def _table(comparisons: Sequence[Comparison], here: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    then_is = "bundle" if here == "this program" else "then"
    for each in comparisons:
        sign = Text("  same", style="green") if each.same else Text("  differs", style="bold red")
        then, now = one_line(each.then, 1000), one_line(each.now, 1000)
        table.add_row(sign, Text(each.what), Text(then if each.same else f"{then_is}: {then}; {here}: {now}"))
    return table


def _conclusion(found: Recheck) -> Text:
    if not found.holds:
        deciding = all(each.same for each in found.comparisons if each.decides)
        verdict = found.fresh is None or (found.then is not None and found.fresh.verdict is found.then.verdict)
        what = (
            "The bundle asks a kernel for other checks than this program does, so its verdict does not hold. Nothing in it was "
            "run. If another version of kernelwright made it, use that one."
            if found.now is None
            else "The verdict does not hold."
            if not deciding
            else "With fresh seeds the verdict is another one."
            if not verdict
            else "With fresh seeds the verdict is the same, but not how it came about."
            if not found.fresh_holds
            else "The verdict came out the same, but not the figures, in the same environment."
        )
        return Text(what, style="bold red")
    exact = all(each.same for each in found.comparisons)
    more = "" if exact else " Figures that differ do so in another environment."
    return Text(f"The bundle is whole and its verdict holds.{more}", style="bold green")
