"""What NVIDIA's compute-sanitizer prints, as `Violation`s with kernel, line, block and thread.

Messages and their forms as in NVIDIA's "Compute Sanitizer" user manual (CUDA 11 to 13): up to CUDA 11 a place reads
``at 0x3c8 in file.cu:42:kernel(int*)``, since then ``at kernel(int *)+0x3c8 in file.cu:42``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kernelwright.sandbox.launch import Violation
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.profilers.tools import Problem, ProblemKind

__all__ = ["ERROR_EXIT", "NULL_PAGE", "Leak", "SanitizerFinding", "SanitizerRun", "parse"]

ERROR_EXIT = 86
"""What compute-sanitizer is told to end with if it found errors: no exit code that shells or Python give."""
NULL_PAGE = 65536
"""Bytes: an access below this address is one through a null pointer (no allocation lies there), as the emulator has it."""

_ROW = 4096  # characters of a line that are looked at: the longest symbols of templates have some thousand
_Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Leak:
    """Device memory that was never freed."""

    bytes: int
    address: int
    on_device_heap: bool
    """Whether `malloc` in device code gave it."""


@dataclass(frozen=True)
class SanitizerFinding:
    """One violation, and the kernel that it happened in."""

    kernel: str
    """As the tool names it: the symbol."""
    violation: Violation
    file: str = ""
    """The source's name, without its folder; empty without line information."""
    severity: str = "error"
    """`error` or `warning`: racecheck warns of races that a warp's lockstep may hide."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"kernel": self.kernel, "file": self.file, "severity": self.severity, **asdict(self.violation)}


@dataclass(frozen=True)
class SanitizerRun:
    """What one run under one of the tools gave."""

    tool: str
    findings: tuple[SanitizerFinding, ...] = ()
    """One a kernel, kind and line."""
    leaks: tuple[Leak, ...] = ()
    api_errors: tuple[str, ...] = ()
    """CUDA calls of the host that failed, each once: they may follow from a violation, and are none."""
    notes: tuple[str, ...] = ()
    """What it remarks that is nothing wrong: races of no effect, memory that is not used."""
    errors: int | None = None
    """The number that its summary gives; None if there is no summary."""
    problems: tuple[Problem, ...] = ()
    command: tuple[str, ...] = field(default=(), repr=False)

    @property
    def clean(self) -> bool:
        """Whether it ran to its summary and found nothing."""
        return self.errors == 0 and not self.findings and not self.problems

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "tool": self.tool,
            "violations": [finding.to_json() for finding in self.findings],
            "leaks": [asdict(leak) for leak in self.leaks],
            "api_errors": list(self.api_errors),
            "notes": list(self.notes),
            "errors": self.errors,
            "clean": self.clean,
            "problems": [problem.to_json() for problem in self.problems],
        }


_MESSAGES: tuple[tuple[str, ProblemKind, str, str], ...] = (
    (
        r"Device not supported", ProblemKind.UNSUPPORTED, "compute-sanitizer does not support this GPU, or not here (WSL).",
        "See its list of supported devices.",
    ),
    (
        r"[Nn]o CUDA-capable device|not supported in the installed CUDA driver|[Dd]river (?:version )?is insufficient|libcuda\.so",
        ProblemKind.NO_DEVICE, "compute-sanitizer finds no NVIDIA driver or GPU that it can use.", "Look at nvidia-smi.",
    ),
    (
        r"terminated before first instrumented API call|No attachable process|did not use CUDA", ProblemKind.NOTHING_MATCHED,
        "the program made no CUDA call under compute-sanitizer.", "Run it alone first.",
    ),
    (
        r"process didn't terminate successfully|Target application returned an error", ProblemKind.PROGRAM_FAILED,
        "the program under compute-sanitizer ended with an error.", "Run it alone first.",
    ),
    (r"Internal Sanitizer Error", ProblemKind.FAILED, "compute-sanitizer failed inside.", "Try another version of it."),
)  # fmt: skip

_PREFIX = re.compile(r"={8,10}(?: |$)(?P<text>.*)")
_ACCESS = re.compile(
    r"(?:Potential i|I)nvalid __(?P<space>\w+)__ (?P<what>read|write|atomic)\w* of size (?P<size>[\d,]+)"
)
_UNINITIALISED = re.compile(r"Uninitialized __(?P<space>\w+)__ memory read of size (?P<size>[\d,]+)")
_RACE = re.compile(
    r"(?:\b(?P<severity>\w+): )?Race reported between (?P<what>Read|Write) access (?P<place>at .*)", re.I
)
_RACE_OTHER = re.compile(
    r"and (?P<what>Read|Write) access (?P<place>at .*?)(?: \[(?P<count>[\d,]+) hazards?\])?$", re.I
)
_HAZARD = re.compile(
    r"(?:\b(?P<severity>\w+): )?Potential (?P<what>RAW|WAR|WAW) hazard detected at __shared__ (?P<address>0x[0-9a-f]+) in block (?P<block>\([^)]*\))"
)
_HAZARD_THREAD = re.compile(r"(?P<what>Read|Write) Thread (?P<thread>\([^)]*\)) (?P<place>at .*)")
_BARRIER = re.compile(r"Barrier error detected\. ?(?P<what>[^.]*)")
_WARPGROUP = re.compile(r"Warpgroup MMA sequence error detected")
_HEAP = re.compile(r"Malloc/Free error encountered ?: ?(?P<what>.*)")
_LEAK = re.compile(r"Leaked (?P<bytes>[\d,]+) bytes at (?P<address>0x[0-9a-f]+)(?P<heap> on the device heap)?")
_API = re.compile(r"Program hit (?P<what>.*) on CUDA API call to (?P<call>\w+)")
_API_ERROR = re.compile(r"(?P<name>.*?)(?: \(error (?P<code>\d+)\))?(?: due to |$)")
_SUMMARY = re.compile(
    r"(?:ERROR SUMMARY: (?P<errors>[\d,]+) errors?|RACECHECK SUMMARY: .*\((?P<races>[\d,]+) errors?, (?P<warnings>[\d,]+) warnings?\))"
)
_IGNORED = re.compile(
    r"COMPUTE-SANITIZER|CUDA-MEMCHECK|LEAK SUMMARY|Saved host|Host Frame|RACECHECK SUMMARY|No more |Report"
)
_UNUSED = re.compile(r"Unused __\w+__ memory")

_BY_THREAD = re.compile(r"by thread (?P<thread>\([^)]*\)) in block (?P<block>\([^)]*\))")
_ADDRESS = re.compile(r"(?:Address|Access to|Access at) (?P<address>0x[0-9a-f]+)(?: is (?P<how>.*))?")
_NEAREST = re.compile(
    r"and is (?P<distance>[\d,]+) bytes (?P<side>\w+) the nearest allocation at 0x[0-9a-f]+(?: of size (?P<size>[\d,]+))?"
)
_FRAME = re.compile(r"Device Frame:\s*(?P<place>.*)")
_OLD_PLACE = re.compile(r"at 0x[0-9a-f]+ in (?P<file>.+?):(?P<line>\d+):(?P<function>.+)$")
_BARE_PLACE = re.compile(r"at 0x[0-9a-f]+ in (?P<function>.+)$")
_PLACE = re.compile(r"(?:at )?(?P<function>.+?)[+:]0x[0-9a-f]+(?: in (?P<file>.+?):(?P<line>\d+))?(?: ?\(.*\))?$")
_IN_FILE = re.compile(r"in (?P<file>\S+):(?P<line>\d+)$")
_CONTINUED = re.compile(
    r"\s{2,}|(?:at |by thread|in block|Address |Access |and |in \S+:\d+$|Device Frame|Host Frame|Saved host|Read Thread|Write Thread"
    r"|Current Value|Not written|These |\d+% of)"
)

_HINTS = {
    "out_of_bounds": "Compare the index with the array's size before the access.",
    "misaligned": "Let the address be a multiple of the access's size: wide accesses need padded rows or a scalar path.",
    "null_pointer": "Give the kernel a pointer to device memory.",
    "uninitialised_read": "Write the memory before it is read, or start it with zeros.",
    "shared_race": "Put __syncthreads() between the two accesses (__syncwarp() within a warp).",
    "divergent_barrier": "Move the barrier out of the branch, so that every thread of the block reaches it.",
    "missing_lanes": "Let every lane of the mask reach it: move it out of the branch, or take the mask from __ballot_sync before it.",
}


@dataclass(frozen=True)
class _Place:
    function: str = ""
    file: str = ""
    line: int | None = None

    def words(self) -> str:
        return (
            f"line {self.line}"
            if self.line is not None
            else plain_name(self.function) or "a place without line information"
        )


def parse(
    text: str, tool: str = "memcheck", *, returncode: int | None = None, sources: Mapping[str, str] | None = None
) -> SanitizerRun:
    """What a report says, whatever the program printed in between.

    Args:
        returncode: of the tool, which `command` told to end with `ERROR_EXIT` if it found errors.
        sources: CUDA texts by file name.
    """
    findings: dict[tuple[object, ...], SanitizerFinding] = {}
    leaks: list[Leak] = []
    api_errors: dict[str, None] = {}
    notes: dict[str, None] = {}
    problems: dict[ProblemKind, Problem] = {}
    errors: int | None = None
    for head, rest in _records(text):
        if summary := _SUMMARY.search(head):
            counts = (summary["errors"], summary["races"], summary["warnings"])
            errors = (errors or 0) + sum(_whole(n) for n in counts if n)
        elif leak := _LEAK.search(head):
            leaks.append(Leak(_whole(leak["bytes"]), int(leak["address"], 16), leak["heap"] is not None))
        elif api := _API.search(head):
            what = _API_ERROR.match(api["what"])
            assert what is not None  # it matches any text
            code = f" ({what['code']})" if what["code"] else ""
            api_errors[f"{api['call']} gave {what['name']}{code}"] = None
        elif _UNUSED.search(head):
            notes[" ".join((head, *rest))[:300]] = None
        elif finding := _finding(head, rest, sources or {}):
            if finding.severity == "info":
                notes[finding.violation.message] = None
                continue
            v = finding.violation
            key = (finding.kernel, v.kind, finding.file, v.line if v.line is not None else v.message)
            known = findings.get(key)
            findings[key] = finding if known is None else _both(known, finding)
        elif problem := _problem(head):
            problems.setdefault(problem.kind, problem)
    if errors is None and not problems:
        problems[ProblemKind.UNREADABLE] = Problem(
            "compute-sanitizer",
            ProblemKind.UNREADABLE,
            "compute-sanitizer's report has no summary, so it did not run to its end.",
        )
    told = findings or leaks or api_errors or problems
    if not told and (errors or returncode == ERROR_EXIT):
        problems[ProblemKind.UNREADABLE] = Problem(
            "compute-sanitizer",
            ProblemKind.UNREADABLE,
            f"compute-sanitizer counts {errors or 'some'} errors of a form that is not known here.",
        )
    return SanitizerRun(
        tool, tuple(findings.values()), tuple(leaks), tuple(api_errors), tuple(notes), errors, tuple(problems.values())
    )


def _records(text: str) -> Iterator[tuple[str, list[str]]]:
    """(first line, the lines that belong to it) of each report, without prefix and backtraces of the host."""
    head, rest = "", list[str]()
    for row in text.replace("\x00", "").splitlines():
        prefixed = _PREFIX.match(row[:_ROW])
        if prefixed is None:
            continue
        said = prefixed["text"].rstrip()
        if head and said and _CONTINUED.match(said):
            rest.append(said.strip())
            continue
        if head:
            yield head, rest
        head, rest = said.strip(), []
    if head:
        yield head, rest


@dataclass(frozen=True)
class _Said:
    """What one report says, before its place is known to be the first line's or another's."""

    kind: str
    message: str
    place: _Place | None = None
    """Where the report itself names places of its own."""
    thread: _Triple | None = None
    block: _Triple | None = None
    count: int = 1
    severity: str = "error"


def _finding(head: str, rest: Sequence[str], sources: Mapping[str, str]) -> SanitizerFinding | None:
    at, kernel, by = _where(rest)
    said = _access(head, rest) or _race(head, rest) or _hazard(head, rest) or _barrier(head)
    if said is None and (heap := _HEAP.search(head)):
        said = _Said("trap", f"malloc or free in device code: {heap['what'].strip().lower()}")
    if said is None and by and not _IGNORED.search(head):  # what the hardware reports, in forms of its own
        said = _Said("trap", head.rstrip("."))
    if said is None:
        return None
    place = at if said.place is None else said.place
    thread = said.thread or (_triple(by["thread"]) if by else None)
    block = said.block or (_triple(by["block"]) if by else None)
    who = f"thread {_words(thread)}" + (f" of block {_words(block)}" if block else "") + ": " if thread else ""
    text = sources.get(place.file, "").splitlines()
    violation = Violation(
        kind=said.kind,
        message=f"{who}{said.message}",
        line=place.line,
        source=text[place.line - 1].strip() if place.line is not None and 0 < place.line <= len(text) else "",
        block=block,
        thread=thread,
        count=said.count,
        hint=_HINTS.get(said.kind, ""),
    )
    return SanitizerFinding(kernel or place.function, violation, place.file, said.severity)


def _access(head: str, rest: Sequence[str]) -> _Said | None:
    """An access of memcheck or initcheck."""
    if read := _UNINITIALISED.search(head):
        return _Said("uninitialised_read", f"{read['size']} bytes of {read['space']} memory are read that nobody wrote")
    access = _ACCESS.search(head)
    if access is None:
        return None
    address = next((found for row in rest if (found := _ADDRESS.search(row))), None)
    near = next((found for row in rest if (found := _NEAREST.search(row))), None)
    kind, how = "out_of_bounds", "out-of-bounds"
    if address and "misaligned" in (address["how"] or ""):
        kind = how = "misaligned"
    elif address and int(address["address"], 16) < NULL_PAGE and access["space"] == "global":
        kind, how = "null_pointer", "null-pointer"
    message = f"{how} {access['what']} of {access['size']} bytes of {access['space']} memory"
    if address:
        message += f" at {address['address']}"
    if near:
        message += f", {near['distance']} bytes {near['side']} an array"
        message += f" of {near['size']} bytes" if near["size"] else ""
    return _Said(kind, message)


def _race(head: str, rest: Sequence[str]) -> _Said | None:
    """racecheck's analysis: the places that take part, and how often."""
    race = _RACE.search(head)
    if race is None:
        return None
    others = [found for row in rest if (found := _RACE_OTHER.search(row))]
    accesses = [race, *others]
    parts = [f"a {each['what'].lower()} at {_place(each['place']).words()}" for each in accesses]
    return _Said(
        "shared_race",
        f"race: {' and '.join(parts)} of shared memory have no order",
        place=_written(accesses),
        count=sum(_whole(other["count"]) for other in others if other["count"]) or 1,
        severity=_severity(race["severity"]),
    )


def _hazard(head: str, rest: Sequence[str]) -> _Said | None:
    """racecheck's hazards: one byte and two threads."""
    hazard = _HAZARD.search(head)
    if hazard is None:
        return None
    accesses = [found for row in rest if (found := _HAZARD_THREAD.search(row))]
    parts = [f"the {t['what'].lower()} of thread {t['thread']} at {_place(t['place']).words()}" for t in accesses]
    byte = int(hazard["address"], 16)
    return _Said(
        "shared_race",
        f"race ({hazard['what']}) at byte {byte} of shared memory: {' and '.join(parts) or 'two accesses'} have no order",
        place=_written(accesses),
        thread=_triple(accesses[0]["thread"]) if accesses else None,
        block=_triple(hazard["block"]),
        severity=_severity(hazard["severity"]),
    )


def _written(accesses: Sequence[re.Match[str]]) -> _Place | None:
    """Where a race writes: a write is there always, in reports of either kind."""
    writes = [each for each in accesses if each["what"].lower() == "write"]
    return _place((writes or accesses)[0]["place"]) if accesses else None


def _barrier(head: str) -> _Said | None:
    if barrier := _BARRIER.search(head):
        what = barrier["what"].strip()
        words = f"barrier error: {what[:1].lower()}{what[1:]}" if what else "barrier error"
        return _Said("missing_lanes" if "warp" in what.lower() else "divergent_barrier", words)
    return _Said("missing_lanes", head[:1].lower() + head[1:]) if _WARPGROUP.search(head) else None


def _where(rest: Sequence[str]) -> tuple[_Place, str, re.Match[str] | None]:
    """The place, the kernel (the outermost frame on the device) and who was there."""
    place, kernel, by = _Place(), "", None
    for row in rest:
        if row.startswith("at ") and not place.function:
            place = _place(row)
        elif (frame := _FRAME.match(row)) and (outer := _place(frame["place"]).function):
            kernel = outer
        elif place.line is None and (found := _IN_FILE.match(row)):
            place = replace(place, file=_name(found["file"]), line=int(found["line"][:9]))
        by = by or _BY_THREAD.search(row)
    return place, kernel or place.function, by


def _place(text: str) -> _Place:
    text = re.sub(r" \[[\d,]+ hazards?\]$", "", text[:_ROW].strip())
    for form in (_OLD_PLACE, _BARE_PLACE, _PLACE):
        if found := form.match(text):
            groups = found.groupdict()
            line = groups.get("line")
            return _Place(
                _function(groups["function"]), _name(groups.get("file") or ""), int(line[:9]) if line else None
            )
    return _Place()


def _function(text: str) -> str:
    """The name of a function as the tool writes it: a symbol as it is, a demangled one without type and parameters."""
    text = text.strip()
    if text.startswith("_Z"):
        return text
    depth, end = 0, len(text)
    for at, character in enumerate(text):
        if character == "(" and depth == 0 and at and not text[at:].startswith("(anonymous"):
            end = at
            break
        depth += (character == "<") - (character == ">")
    name = text[:end]
    return name.rpartition(" ")[2] if "<" not in name else re.sub(r"^\w+ (?=[\w:~]+<)", "", name)


def _name(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def _whole(text: str) -> int:
    return int(text.replace(",", "")[:15] or 0)


def _triple(text: str) -> _Triple | None:
    found = [int(n) for n in re.findall(r"\d{1,10}", text)]
    return (found[0], found[1], found[2]) if len(found) == 3 else None


def _words(triple: _Triple | None) -> str:
    return "({}, {}, {})".format(*triple) if triple else "?"


def _severity(word: str | None) -> str:
    return {"warning": "warning", "info": "info"}.get((word or "").lower(), "error")


def _both(first: SanitizerFinding, other: SanitizerFinding) -> SanitizerFinding:
    """One of two of the same kind and line: that which names a thread, with the counts added and the graver severity."""
    kept = other if first.violation.thread is None and other.violation.thread is not None else first
    counts = (first.violation.count, other.violation.count)
    # of a race, an analysis without threads counts what hazards tell one by one
    once = first.violation.kind == "shared_race" and (first.violation.thread is None) != (
        other.violation.thread is None
    )
    total = max(counts) if once else sum(counts)
    severity = "error" if "error" in (first.severity, other.severity) else kept.severity
    return replace(kept, violation=replace(kept.violation, count=total), severity=severity)


def _problem(head: str) -> Problem | None:
    for pattern, kind, message, mend in _MESSAGES:
        if re.search(pattern, head):
            return Problem("compute-sanitizer", kind, message, mend)
    if found := re.match(r"(?:Error|ERROR|FATAL|Fatal)\b:? (.*)", head):
        if found[1].startswith("SUMMARY"):
            return None
        return Problem(
            "compute-sanitizer", ProblemKind.FAILED, f"compute-sanitizer says: {found[1].rstrip('.')[:300]}."
        )
    return None
