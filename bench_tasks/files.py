"""Looks through a folder that a stranger made: links, huge files, strange names and thousands of entries do no harm."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kernelwright.bench_tasks.suite import Unreadable

__all__ = ["MOST_FILES", "first_bytes", "natural_key", "shown", "unique_names", "walk"]

MOST_FILES = 20_000
"""Files of the wanted kind that are looked at in one collection. The largest that we know of has 5,000."""
_MOST_ENTRIES = 1_000_000  # whatever they are called


def walk(folder: Path, *suffixes: str) -> tuple[list[Path], list[Unreadable]]:
    """Regular files below `folder` whose names end in one of `suffixes`, and what was left out.

    Links are not followed, neither to files nor to folders: a collection is what lies in it. Folders whose names begin with a
    dot, and `__pycache__`, are left out without a word.
    """
    found: list[Path] = []
    left: list[Unreadable] = []
    entries = 0

    def refuse(error: OSError) -> None:
        place = Path(os.fsdecode(error.filename or folder))
        left.append(Unreadable(shown(Path(place.name)), shown(place), f"the folder can't be read: {error.strerror}."))

    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=False):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each != "__pycache__")
        for name in sorted(files):
            entries += 1
            if not name.endswith(suffixes) or name.startswith("."):
                continue
            file = Path(place, name)
            try:
                mode = file.lstat().st_mode
            except OSError:
                continue
            if stat.S_ISLNK(mode):
                why = "it is a link, which is not followed."
                left.append(Unreadable(shown(Path(file.stem)), shown(file), why, "Put the file itself there."))
            elif stat.S_ISREG(mode):
                found.append(file)
            else:
                left.append(Unreadable(shown(Path(file.stem)), shown(file), "it is no regular file."))
        if len(found) > MOST_FILES or entries > _MOST_ENTRIES:
            why = f"there are more than {MOST_FILES:,} files like it, and the rest was not looked at."
            left.append(Unreadable(shown(Path(folder.name)), shown(folder), why, "Give a smaller folder."))
            return found[:MOST_FILES], left
    return found, left


def first_bytes(file: Path, count: int) -> bytes:
    """At most `count` bytes of a regular file; none of anything else or of what can't be read."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return b""
        with file.open("rb") as stream:
            return stream.read(count)
    except (OSError, ValueError):
        return b""


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which 2 comes before 10."""
    parts = re.split(r"([0-9]{1,18})", text)
    return tuple((0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts if part)


def shown(path: str | Path) -> str:
    """A path as text that can be written everywhere: what is not UTF-8 or can't be printed is escaped."""
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def unique_names(named: Sequence[tuple[Path, str]], root: Path) -> list[str]:
    """One name for each file: its own, with as many of its folders below `root` before it as tell it from the others."""
    folders = [file.relative_to(root).parts[:-1] if file != root else () for file, _name in named]
    words = [[re.sub(r"\W+", "_", part).strip("_") for part in parts] for parts in folders]
    names = [name for _file, name in named]
    for depth in range(1, max(map(len, words), default=0) + 1):
        count = Counter(names)
        if len(count) == len(names):
            break
        names = [
            "_".join([*own[-depth:], name]) if count[current] > 1 else current
            for own, (_file, name), current in zip(words, named, names, strict=True)
        ]
    taken: Counter[str] = Counter()
    for position, name in enumerate(names):
        taken[name] += 1
        if taken[name] > 1:
            names[position] = f"{name}_{taken[name]}"
    return names
