"""Search/replace blocks: a change of a kernel, applied exactly or not at all.

    <<<<<<< SEARCH
    whole lines of the kernel
    =======
    lines to put in their place
    >>>>>>> REPLACE

Lines are compared letter by letter but for blanks at their ends. All blocks refer to the kernel as it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from kernelwright.agents.llm.text import visible

__all__ = ["Edit", "EditProblem", "apply_edits", "find_edits", "has_edits", "without_edits"]

_SEARCH = re.compile(r"^<{5,9} ?SEARCH[ \t]*$")
_DIVIDER = re.compile(r"^={5,9}[ \t]*$")
_REPLACE = re.compile(r"^>{5,9} ?REPLACE[ \t]*$")
_MOST = 200


@dataclass(frozen=True)
class Edit:
    """One block."""

    search: tuple[str, ...]
    replace: tuple[str, ...]


class EditProblem(Exception):
    """Blocks that can't be read or do not apply; the message is for their author."""


def has_edits(reply: str) -> bool:
    """Whether a line of the reply begins a block."""
    return any(_SEARCH.match(line) for line in reply.split("\n"))


def find_edits(reply: str) -> list[Edit]:
    """The blocks of a reply, in order.

    Raises:
        EditProblem: a block is not whole, or there are too many.
    """
    edits: list[Edit] = []
    search: list[str] | None = None
    replace: list[str] | None = None
    for line in reply.split("\n"):
        number = len(edits) + 1
        if _SEARCH.match(line):
            if search is not None:
                raise EditProblem(f"search/replace block {number} has no end before the next one begins.")
            search = []
        elif search is None:
            continue
        elif replace is None:
            if _REPLACE.match(line):
                raise EditProblem(f"search/replace block {number} has no line of ======= between its halves.")
            if _DIVIDER.match(line):
                replace = []
            else:
                search.append(line)
        elif _REPLACE.match(line):
            edits.append(Edit(tuple(search), tuple(replace)))
            search = replace = None
        elif _DIVIDER.match(line):
            raise EditProblem(f"search/replace block {number} has more than one line of =======.")
        else:
            replace.append(line)
    if search is not None:
        raise EditProblem(f"search/replace block {len(edits) + 1} has no end: the reply stops inside it.")
    if len(edits) > _MOST:
        raise EditProblem(f"{len(edits)} search/replace blocks are too many: give the whole module.")
    return edits


def without_edits(reply: str) -> str:
    """The reply without its blocks, whole or not."""
    outside, inside = [], False
    for line in reply.split("\n"):
        if _SEARCH.match(line):
            inside = True
        elif not inside:
            outside.append(line)
        elif _REPLACE.match(line):
            inside = False
    return "\n".join(outside)


def apply_edits(source: str, edits: list[Edit]) -> str:
    """`source` with all edits made.

    Raises:
        EditProblem: one does not apply, applies in several places, or overlaps another; then none is made.
    """
    lines = source.replace("\r\n", "\n").split("\n")
    bare = [line.rstrip() for line in lines]
    spans: list[tuple[int, int, Edit, int]] = []
    for number, edit in enumerate(edits, 1):
        start = _place(bare, edit, number)
        spans.append((start, start + len(edit.search), edit, number))
    spans.sort(key=lambda span: span[:2])
    for (_, end, _, first), (start, _, _, second) in pairwise(spans):
        if start < end:
            raise EditProblem(f"search/replace blocks {first} and {second} overlap.")
    for start, end, edit, _number in reversed(spans):
        lines[start:end] = edit.replace
    return "\n".join(lines)


def _place(bare: list[str], edit: Edit, number: int) -> int:
    """The index of the line at which the edit applies."""
    wanted = [line.rstrip() for line in edit.search]
    if not any(wanted):
        raise EditProblem(f"search/replace block {number} searches for nothing: name the lines that it replaces.")
    size = len(wanted)
    found = [n for n in range(len(bare) - size + 1) if bare[n] == wanted[0] and bare[n : n + size] == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(str(n + 1) for n in found[:4])
        raise EditProblem(
            f"the lines of search/replace block {number} occur {len(found)} times in the kernel (at lines {places}): search "
            "for more of them."
        )
    missing = next((line for line in wanted if line and line not in bare), "")
    if missing:
        near = _near(missing, bare)
        told = f"the kernel has no line {visible(missing.strip())[:160]!r}{near}"
    else:
        told = "the kernel has these lines, but not one after the other"
    raise EditProblem(f"search/replace block {number} does not apply: {told}.")


def _near(missing: str, bare: list[str]) -> str:
    same = next((n for n, line in enumerate(bare) if line.strip() == missing.strip()), None)
    if same is not None:
        return f" with that indentation (line {same + 1} has another)"
    return ""
