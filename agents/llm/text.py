"""Text by strangers (kernels, compiler logs, modules, replies) made fit for a prompt: bounded, visible, fenced.

Nothing in such text can end its fence, and nothing in it is invisible: characters that a reader does not see (controls,
bidirectional marks, tags) are shown as escapes.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["fenced", "numbered", "one_line", "shortened", "shown", "visible"]

_LONGEST_RUN = 31  # backticks; a longer run is shortened, or the fence around it would be the prompt
_RUNS = re.compile(f"`{{{_LONGEST_RUN + 1},}}")
_SUSPECT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ud800-\udfff\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_MARK = "[... {} characters left out ...]"


def visible(text: str) -> str:
    """`text` with line feeds for line ends, and characters that nobody sees as escapes (``\\x00``, ``\\u202e``); tabs stay."""
    text = text.replace("\r\n", "\n")
    return _SUSPECT.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def shortened(text: str, most: int) -> str:
    """At most `most` characters of `text`: its beginning and its end, two to one, with a line between that says how many are missing.

    `most` is at least 64.
    """
    return text if len(text) <= most else _ends(text, "", most)


def shown(text: str, most: int) -> str:
    """`text` made visible, at most `most` characters of it; how long it was matters little for how long that takes."""
    if len(text) <= 4 * most:
        return shortened(_plain(text), most)
    between = len(text) - 4 * most
    return _ends(_plain(text[: 2 * most]), _plain(text[-2 * most :]), most, between)


def _ends(head: str, tail: str, most: int, between: int = 0) -> str:
    """The beginning of `head` and the end of `tail` (of `head`, if there is no tail), which stand `between` characters apart."""
    total = len(head) + len(tail) + between
    room = most - len(_MARK.format(f"{total:,}")) - 2
    first, last = head[: room * 2 // 3], (tail or head)[-(room - room * 2 // 3) :]
    return f"{first}\n{_MARK.format(f'{total - len(first) - len(last):,}')}\n{last}"


def _plain(text: str) -> str:
    return _RUNS.sub(_shorter_run, visible(text))


def fenced(text: str, most: int, language: str = "") -> str:
    """`text` as a Markdown code block of at most `most` characters within, behind a fence longer than any in it."""
    text = shown(text, most).strip("\n")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _shorter_run(found: re.Match[str]) -> str:
    return "`" * _LONGEST_RUN + f"[... {len(found[0]) - _LONGEST_RUN:,} backticks left out ...]"


def numbered(text: str) -> str:
    """`text` with its 1-based line numbers in a margin."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return "\n".join(f"{number:>4} | {line}" for number, line in enumerate(lines, 1))


def one_line(text: str, most: int = 400) -> str:
    """`text` on one line of at most `most` characters, for a list or a table; no backtick or bar is left to break out by."""
    text = visible(" ".join(text[: 8 * most].split())).replace("`", "'").replace("|", "/")
    text = "".join(c for c in text if not unicodedata.category(c).startswith("C"))
    return text if len(text) <= most else f"{text[: most - 1]}…"
