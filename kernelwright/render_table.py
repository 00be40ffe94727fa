"""Tables whose first column is a name that people paste: it is never broken, and neither is any other word; columns go instead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.box import Box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from kernelwright.words import one_line

__all__ = ["print_rows", "print_table"]

_BETWEEN = 2  # characters between two columns, at most


def print_rows(
    console: Console,
    headings: Sequence[str],
    rows: Sequence[Sequence[Text]],
    *,
    first_to_go: Sequence[str],
    right: Collection[str] = (),
    box: Box | None = None,
) -> None:
    """Prints a table, without the columns for which there is no room, and says which these are.

    Args:
        headings: of the columns; the first one holds names.
        first_to_go: headings that a narrow terminal does without, in this order.
        right: headings of columns that are set to the right.
    """
    lines = [[_clean(cell) for cell in row] for row in rows]
    needed = {
        name: max([len(name), *(_longest(line[place], whole=not place) for line in lines)])
        for place, name in enumerate(headings)
    }
    gone: list[str] = []
    for name in first_to_go:
        if _wide(needed) <= console.width:
            break
        gone.append(name)
        del needed[name]
    places = [place for place, name in enumerate(headings) if name in needed]
    whole = {headings[p]: max(needed[headings[p]], *(line[p].cell_len for line in lines), 0) for p in places}
    widths = _shared_out(needed, whole, console.width)
    table = Table(box=box, pad_edge=False, header_style="bold")
    for name in widths:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", width=widths[name])
    for line in lines:
        table.add_row(*(line[place] for place in places))
    print_table(console, table, width=_wide(widths))
    if shown := [name or "remarks" for name in headings if name in gone]:
        console.print(f"Not shown, for the terminal is narrow: {', '.join(shown)}.", style="dim", soft_wrap=True)


def print_table(console: Console, table: RenderableType, *, width: int = 0) -> None:
    """Prints it without blanks at the ends of lines.

    Args:
        width: that it needs, where this is more than there is: the terminal breaks the lines then.
    """
    options = console.options.update(width=max(width, console.width))
    for line in console.render_lines(table, options, pad=False):
        text = Text.assemble(*((part.text, part.style or "") for part in line if not part.control))
        text.rstrip()
        console.print(text, soft_wrap=True)


def _wide(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + _BETWEEN * len(widths)


def _shared_out(least: Mapping[str, int], most: Mapping[str, int], width: int) -> dict[str, int]:
    """What each column gets: at least what it needs, and of the room that is left as much as the others until it is whole."""
    found = dict(least)
    room = width - _wide(found)
    while room > 0 and (lacking := [name for name in found if found[name] < most[name]]):
        for name in lacking[:room]:
            found[name] += 1
        room -= len(lacking)
    return found


def _clean(cell: Text) -> Text:
    return Text(one_line(cell.plain), style=cell.style)


def _longest(cell: Text, *, whole: bool) -> int:
    return cell.cell_len if whole else max((len(word) for word in cell.plain.split()), default=0)
