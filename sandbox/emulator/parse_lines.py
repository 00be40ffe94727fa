"""The line table of PTX: which line of the CUDA source an instruction comes from."""

from __future__ import annotations

import re

from kernelwright.sandbox.emulator.ptx import Where

__all__ = ["LineTable"]

_FILE = re.compile(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', re.MULTILINE)
_LOC = re.compile(r"\.loc\s+(\d+)\s+(\d+)\s+(\d+)(?:.*inlined_at\s+(\d+)\s+(\d+)\s+(\d+))?")


class LineTable:
    """Follows the `.loc` directives of a module.

    Args:
        text: the PTX.
        source_name: the file name of the user's CUDA source in its `.file` directives.
    """

    def __init__(self, text: str, source_name: str) -> None:
        self._source_files = {
            number for number, path in _FILE.findall(text) if re.split(r"[/\\]", path)[-1] == source_name
        }
        self._inlined_at: dict[tuple[str, str, str], tuple[str, str, str]] = {}
        self.where = Where()
        """The place of the instruction that follows."""

    def leave_function(self) -> None:
        """The next function begins at no line yet."""
        self.where = Where()

    def follow(self, directive: str) -> None:
        """Keeps the line in the user's file: the innermost one, and where it was inlined."""
        match = _LOC.match(directive)
        if match is None:
            return
        here = (match[1], match[2], match[3])
        place = (match[4], match[5], match[6]) if match[4] else None
        if place is not None:
            self._inlined_at[here] = place
        elif match[2] == "0":
            return  # compiler-made code: stay on the line before
        lines = [int(here[1])] if here[0] in self._source_files else []
        seen = set()
        while place is not None and place not in seen:
            seen.add(place)
            if place[0] in self._source_files:
                lines.append(int(place[1]))
            place = self._inlined_at.get(place)
        lines = [line for line in lines if line > 0]
        if lines:
            called_from = lines[-1] if lines[-1] != lines[0] else None
            self.where = Where(lines[0], called_from, here[0] not in self._source_files)
