"""Reads a kernel out of a model's reply, whatever it is wrapped in. Nothing is run, and nothing within the code is changed."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass

__all__ = ["Block", "blocks", "clean", "find_kernel", "plan_of", "without_thoughts"]

_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)$")
_DEFINES = re.compile(
    r"^(?:class\s+ModelNew\b|ModelNew\s*(?::[^=\n]*)?=|from\s+\S+\s+import\s.*\bModelNew\b)", re.MULTILINE
)
_THOUGHTS = re.compile(r"^\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL)
_OPEN_THOUGHTS = re.compile(r"^\s*<(think|thinking|reasoning)>", re.DOTALL)
_BEGINS = re.compile(r'^(?:import |from |"""|\'\'\'|#|@|class |[A-Za-z_]\w* ?= ?)')
_PLAN = re.compile(r"^[ \t>*_#-]*PLAN[*_]*[ \t]*:[ \t*_]*(?P<plan>\S.*)$", re.MULTILINE)
_CODE_FIELDS = ("kernel", "code", "source", "python", "module", "solution", "ModelNew")
_TRIES = 8  # ends of a block or a text that are tried, each for the price of parsing it
_LARGEST = 300_000  # characters: more is not looked into for Python or JSON


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    info: str
    """What stands behind the fence: `python`, mostly."""
    text: str
    closed: bool
    """False if the reply ended before the block did."""


def clean(text: str) -> str:
    """The reply without byte order marks, with line feeds for line ends, and with nothing that no file can hold (lone
    surrogates, NUL)."""
    text = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode("utf-8")


def without_thoughts(text: str) -> str:
    """The reply behind the reasoning that some servers leave in it, in ``<think>`` and ``</think>``; empty if that never ends."""
    without = _THOUGHTS.sub("", text, count=1)
    return "" if _OPEN_THOUGHTS.match(without) else without


def blocks(text: str) -> list[Block]:
    """Fenced blocks in order, by CommonMark's rule: a fence ends at the next one of its own kind that is as long and bare.

    A block that holds Python with fences inside (in a docstring) is taken to the first end at which it is whole.
    """
    lines = text.split("\n")
    found: list[Block] = []
    place = 0
    while place < len(lines):
        opening = _FENCE.match(lines[place])
        if opening is None:
            place += 1
            continue
        block, place = _block(lines, place, opening)
        found.append(block)
    return found


def _block(lines: list[str], start: int, opening: re.Match[str]) -> tuple[Block, int]:
    """The block that opens at line `start`, and the line after it."""
    fence, info = opening["fence"], opening["info"].strip()
    ends = []
    for place in range(start + 1, len(lines)):
        line = lines[place].strip()
        if len(line) >= len(fence) and set(line) == {fence[0]}:
            ends.append(place)
            if len(ends) == _TRIES:
                break
    if not ends:
        return Block(info, "\n".join(lines[start + 1 :]), closed=False), len(lines)
    texts = ["\n".join(lines[start + 1 : end]) for end in ends]
    if _DEFINES.search(texts[-1]) or info.lower().startswith("py"):
        for text, end in zip(texts, ends, strict=True):
            if is_module(text):
                return Block(info, text, closed=True), end + 1
    return Block(info, texts[0], closed=True), ends[0] + 1


def is_module(text: str) -> bool:
    """Whether it is Python that defines `ModelNew`."""
    return defines(text) and _parses(text)


def defines(text: str) -> bool:
    """Whether a line of it, at the margin, binds `ModelNew`."""
    return _DEFINES.search(text) is not None


def _parses(text: str) -> bool:
    if len(text) > _LARGEST:
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def find_kernel(reply: str) -> tuple[str, bool] | None:
    """The module in a reply (after `clean` and `without_thoughts`), and whether its end is marked; None if there is none.

    Looked for in fenced blocks, then in a JSON object with a field for the code, then in the text itself. Of several that
    define `ModelNew`, the last that is whole; one that does not parse counts where no other does.
    """
    found = blocks(reply)
    candidates = [(_dedented(b.text), b.closed) for b in found]
    candidates += [(code, True) for text in (reply, *(b.text for b in found)) for code in _in_json(text)]
    modules = [(text, closed) for text, closed in candidates if defines(text)]
    for text, closed in reversed(modules):
        if _parses(text):
            return _ended(text), closed
    if modules:
        text, closed = modules[-1]
        return _ended(text), closed
    bare = _bare(reply) if not found else None
    return None if bare is None else (_ended(bare), False)


def _dedented(text: str) -> str:
    """Without the margin that all lines share where a block stands in a list."""
    if defines(text):
        return text
    lines = text.split("\n")
    margins = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    margin = min(margins, default=0)
    return "\n".join(line[margin:] for line in lines) if margin else text


def _in_json(text: str) -> list[str]:
    text = text.strip()
    if not text.startswith("{") or len(text) > _LARGEST:
        return []
    try:
        data = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return []
    if not isinstance(data, dict):
        return []
    fields = [data[name] for name in _CODE_FIELDS if name in data] or list(data.values())
    codes = [clean(value) for value in fields if isinstance(value, str)]
    found = [code if is_module(code) else (find_kernel(code) or (code,))[0] for code in codes]
    return [code for code in found if defines(code)]


def _bare(reply: str) -> str | None:
    """A module with no fence around it, from its first line of Python to the last at which it is whole."""
    if not defines(reply):
        return None
    lines = reply.split("\n")
    starts = [n for n, line in enumerate(lines) if _BEGINS.match(line)][:_TRIES]
    # as a rule the module goes on to the end; else it begins with its imports, and words follow it
    gaps = [n for n, line in enumerate(lines) if not line.strip()][-_TRIES:]
    imports = [n for n in starts if lines[n].startswith(("import ", "from "))][:1] or starts[:1]
    spans = [(start, len(lines)) for start in starts] + [(start, end) for start in imports for end in reversed(gaps)]
    for start, end in spans:
        text = "\n".join(lines[start:end])
        if start < end and is_module(text):
            return text
    return "\n".join(lines[imports[0] if imports else 0 :])


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def plan_of(reply: str) -> str:
    """What the model states behind ``PLAN:``, or else its first sentence outside of code; empty if there is neither."""
    if (stated := _PLAN.search(reply)) is not None:
        return stated["plan"].strip(" *_")
    outside, inside = [], False
    for line in reply[:20_000].split("\n"):
        if _FENCE.match(line) or line.startswith(("<<<<<<<", ">>>>>>>")):
            inside = not inside
        elif not inside:
            outside.append(line)
    text = " ".join(" ".join(outside).split())
    if not text or defines("\n".join(outside)) or text.startswith(("{", "import ", "from ")):
        return ""
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
