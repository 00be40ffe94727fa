"""How counts, times and failures are put into words: stage summaries, and the reason of a verdict."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from kernelwright.sandbox.symbols import plain_name

if TYPE_CHECKING:
    from kernelwright.sandbox.candidate import CandidateFailure
    from kernelwright.sandbox.launch import LaunchReport, Violation

__all__ = [
    "between",
    "counted",
    "duration",
    "error_share",
    "excerpt",
    "failure_reason",
    "quoted",
    "sentence",
    "violation_reason",
]

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))

_FAILURES = {
    "build": "The CUDA source does not compile",
    "unsupported": "This device can't run it",
    "launch": "A launch was refused",
    "python": "Its Python code raised an exception",
    "memory": "It ran out of memory",
    "crashed": "Its process died",
    "timeout": "It ran too long",
    "protocol": "It answered what no kernel answers",
    "unsafe": "On the GPU it was stopped",
}
"""Kind of `CandidateFailure` to how its reason begins."""

_COMPILER_QUOTE = re.compile(r"\((\d+)\): (?:catastrophic )?error[^\n]*\n([^\n]*\S[^\n]*)\n([ \t]*\^)")
"""NVRTC's log: ``kernel.cu(5): error: ...``, then the source line, then a caret under the column."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 launch``, ``2,048 blocks``; `plural` where an added s does not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Three significant digits and a unit: ``11.2 µs``."""
    for size, unit in _UNITS:
        if seconds >= size * 0.9995:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds / 1e-9)} ns"


def between(low: float | None, high: float | None) -> str:
    """In brackets behind a time: `` (9.2 to 14 µs)``, with one unit where both have the same; empty if an end is not known."""
    if low is None or high is None:
        return ""
    first, last = duration(low), duration(high)
    if first == last:
        return f" ({first})"
    if first.split(" ")[1] == last.split(" ")[1]:
        first = first.split(" ")[0]
    return f" ({first} to {last})"


def error_share(largest: float) -> str:
    """The largest error as a share of what is allowed: ``exact`` when there is none, as with integers and indices."""
    if largest == 0.0:
        return "exact"
    percent = "less than 1" if largest < 0.01 else f"{100 * largest:.0f}"
    return f"largest error {percent} % of what is allowed"


def sentence(text: str) -> str:
    """`text` with a full stop, unless it ends in one already."""
    text = text.rstrip()
    return text if not text or text[-1] in ".!?" else f"{text}."


def failure_reason(failure: CandidateFailure) -> str:
    """What the candidate failed at, where, and what to do about it."""
    begin = _FAILURES[failure.kind]
    message = failure.message
    if message.lower().startswith(f"{begin.lower()}: "):  # the compiler's error says so itself
        message = message[len(begin) + 2 :]
    line = f" at line {failure.line}" if failure.line else ""
    return f"{sentence(f'{begin}{line}: {message}')} {failure.mend}".rstrip()


def violation_reason(report: LaunchReport, violation: Violation) -> str:
    """Where in the CUDA source, what happened, how often, and the likely fix."""
    kernel = plain_name(report.kernel)
    where = f"{kernel}, CUDA source line {violation.line}" if violation.line else kernel
    source = f" `{violation.source.strip()}`" if violation.source.strip() else ""
    times = f" ({counted(violation.count, 'time')})" if violation.count > 1 else ""
    return f"{sentence(f'{where}{source}: {violation.message}{times}')} {violation.hint}".rstrip()


def excerpt(failure: CandidateFailure, source: str) -> str:
    """The line that `failure` names, quoted; empty if it is not known.

    Args:
        source: the kernel's Python module, which lines of Python errors are in. The CUDA source is in strings of it, so
            lines of compile errors come from the compiler's log.
    """
    if failure.kind == "python" and failure.line:
        return quoted(source, failure.line)
    for number, line, caret in _COMPILER_QUOTE.findall(failure.log):
        if failure.line in {None, int(number)}:
            return _with_number(int(number), *textwrap.dedent(f"{line}\n{caret}").split("\n"))
    return ""


def quoted(source: str, line: int) -> str:
    """Line `line` (1-based) of `source` behind its number; empty if there is no such line."""
    lines = source.splitlines()
    return _with_number(line, lines[line - 1].strip()) if 0 < line <= len(lines) and lines[line - 1].strip() else ""


def _with_number(number: int, line: str, caret: str = "") -> str:
    margin = f"{number:>5}"
    return f"{margin} | {line}" + (f"\n{' ' * len(margin)} | {caret}" if caret else "")


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
