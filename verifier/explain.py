"""Each stage's evidence in plain words: what was proven by it, or what failed, with the source line where one is known.

Reads an Evaluation and the sources only, so it can be asked of a stored one, or of one from a bundle.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernelwright.bench_tasks.task import Task
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus, Timing, Verdict
from kernelwright.verifier.wording import between, counted, duration, error_share, sentence

__all__ = ["Explanation", "SourceLine", "explain"]

_MOST = 5  # findings, violations and rows of a table that are spelled out
_SANITISED = (
    "access out of bounds, misaligned access, race, read of memory that nobody wrote, or barrier that some threads miss"
)
_FRAME = re.compile(r'File "<kernel>", line (\d{1,7})')
"""In the traceback of a kernel's module."""


@dataclass(frozen=True)
class SourceLine:
    """A line of the kernel at which something was found."""

    text: str
    line: int | None = None
    """1-based, in the kernel's file; None if the place can't be told for certain."""
    cuda_line: int | None = None
    """1-based, in the CUDA source given to the compiler."""
    column: int | None = None
    """1-based, in `text`."""


@dataclass(frozen=True)
class Explanation:
    """One stage."""

    stage: str
    status: str
    """`passed`, `failed`, `warned`, `skipped`, or `not reached`."""
    sentences: tuple[str, ...]
    lines: tuple[SourceLine, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "sentences": list(self.sentences), "lines": [asdict(line) for line in self.lines]}


_STAGES = ("static", "build", "sanitise", "correctness", "integrity", "timing", "profile")


def explain(task: Task, kernel: Kernel, evaluation: Evaluation) -> list[Explanation]:
    """One explanation for each stage, in order, those that were not reached included."""
    reached = {stage.name: stage for stage in evaluation.stages}
    found = []
    for name in dict.fromkeys([*_STAGES, *reached]):
        stage = reached.get(name)
        if stage is None:
            found.append(Explanation(name, "not reached", ()))
            continue
        if stage.status is StageStatus.FAILED:
            sentences = list(_failed(stage, evaluation))
        else:
            words = _PASSED.get(name)
            sentences = list(words(stage.evidence, task, evaluation)) if words else [sentence(stage.summary)]
            if evaluation.verdict is Verdict.OUTCLASSED and stage.status is StageStatus.SKIPPED:
                sentences.append(evaluation.reason)
        found.append(Explanation(name, stage.status.value, tuple(sentences), tuple(_lines(stage, kernel.source))))
    return found


# -- what passed ------------------------------------------------------------------------------------------------


def _static(evidence: Mapping[str, Any], _task: Task, _evaluation: Evaluation) -> Iterator[str]:
    yield "Its text was read without running it: it defines ModelNew, is not made from the reference, and holds CUDA source."
    if names := [str(name) for name in _list(evidence.get("kernels"))]:
        yield f"It declares {counted(len(names), 'kernel')}: {_some(names)}."
    yield from _findings(evidence)


def _build(evidence: Mapping[str, Any], _task: Task, _evaluation: Evaluation) -> Iterator[str]:
    resources = _dict(evidence.get("resources"))
    if not resources:
        yield "It loaded; its first call launched no kernel."
    for name, found in list(resources.items())[:_MOST]:
        if isinstance(found, Mapping):
            spilled = int(found.get("spill_stores", 0)) + int(found.get("spill_loads", 0))
            yield (
                f"{plain_name(str(name))} was compiled for {found.get('arch')}: {found.get('registers')} registers a thread, "
                f"{found.get('static_shared')} B of static shared memory a block, "
                + (f"{spilled} B spilled." if spilled else "nothing spilled.")
            )
    by_name, by_seed = _list(evidence.get("weights_by_name")), _list(evidence.get("weights_by_seed"))
    if by_name:
        yield f"{counted(len(by_name), 'weight was', 'weights were')} given to it by name: {_some(by_name)}."
    if by_seed:
        yield (
            f"{counted(len(by_seed), 'weight has', 'weights have')} no counterpart of that name in it, so it made its own "
            f"under the same seed: {_some(by_seed)}."
        )


def _sanitise(_evidence: Mapping[str, Any], _task: Task, evaluation: Evaluation) -> Iterator[str]:
    summary = next(stage.summary for stage in evaluation.stages if stage.name == "sanitise")
    yield f"Every memory access and barrier of the first call was watched: {summary}."
    yield f"That means: no {_SANITISED}. All later calls were watched in the same way."


def _correctness(evidence: Mapping[str, Any], task: Task, _evaluation: Evaluation) -> Iterator[str]:
    calls = [call for call in _list(evidence.get("calls")) if isinstance(call, Mapping)]
    yield (
        f"Its outputs were compared with the reference's in float64 in {counted(len(calls), 'call')}, each on inputs drawn under "
        "a secret seed of its own:"
    )
    distributions = {workload.name: workload.distribution.value for workload in task.workloads}
    for name in dict.fromkeys(str(call.get("workload")) for call in calls):
        rows = [call for call in calls if str(call.get("workload")) == name]
        share = max(_number(row.get("share_of_allowed")) for row in rows)
        drawn = distributions.get(name, "")
        drawn = "" if drawn in {"", name, name.replace("-", "_")} else f" (values drawn as {drawn})"
        yield f"- {name}{drawn}: {counted(len(rows), 'call')}, {error_share(share)}."
    if drawn_anew := _dict(evidence.get("random")):
        yield (
            f"The task draws random numbers. The reference ran {int(_number(drawn_anew.get('runs_of_the_reference')))} times on the same inputs: where an "
            "element takes one of two values, as a value times a mask does, the kernel's must be one of them; means, variances, shares and "
            "dependences of its values, near and far, must be draws of what the reference's are. "
            f"{int(_number(drawn_anew.get('calls_on_the_same_inputs')))} calls on the same inputs had to draw anew."
        )
    for text in _list(evidence.get("skipped")):
        yield f"- left out: {text}."
    if rerun := _dict(evidence.get("rerun")):
        yield (
            "A second call on the same inputs gave the same outputs, bit by bit."
            if rerun.get("bitwise")
            else f"A second call on the same inputs gave {int(_number(rerun.get('changed'))):,} elements otherwise, by up to "
            f"{_number(rerun.get('largest')):.3g}, which is within what is allowed."
        )
    if "reference" in evidence:
        yield f"The reference can't run in float64, so it was compared {evidence['reference']}."
    yield (
        "What is allowed follows from the numbers: how far honest arithmetic in the task's dtype is from float64 on the same "
        f"inputs, times {task.policy.slack:g}."
    )


def _integrity(evidence: Mapping[str, Any], _task: Task, _evaluation: Evaluation) -> Iterator[str]:
    written = _list(evidence.get("outputs_written"))
    kernels = _dict(evidence.get("kernels"))
    if kernels:
        names = [
            f"{plain_name(str(name))} ({int(_number(stored)):,} B)"
            for name, stored in kernels.items()
            if _number(stored)
        ]
        yield f"Kernels of its own stored to memory: {_some(names)}."
    if written:
        by = sum(bool(each) for each in written)
        what = "Each of its outputs lies" if by == len(written) else f"{by} of its {len(written)} outputs lie"
        yield f"{what} in memory that its kernels stored to."
    idle = evidence.get("without_launches")
    if idle == "fails":
        yield "Decoy test: called again with every launch doing nothing, it could not go on, so it needs what they write."
    else:
        yield (
            "Decoy test: called again on the same inputs with every launch doing nothing, its outputs were spoilt, so the kernels "
            "make them and not torch or values kept from before."
        )


def _timing(_evidence: Mapping[str, Any], _task: Task, evaluation: Evaluation) -> Iterator[str]:
    timing = evaluation.timing
    if timing is None:
        return
    kind = f"{timing.kind.value} {'for' if timing.kind.value == 'modelled' else 'on'} {timing.gpu}"
    yield (
        f"One call takes {duration(timing.seconds)}{between(timing.seconds_low, timing.seconds_high)} ({kind}); {timing.baseline} PyTorch takes "
        f"{duration(timing.baseline_seconds)}, {timing.speedup:.2f} times as long."
    )
    yield (
        f"No kernel can be faster than {duration(timing.bound_seconds)} here ({timing.bound_by or 'roofline'}); it reaches "
        f"{100 * timing.roofline_share:.0f} % of that."
    )
    yield from _where_time_goes(timing)


def _where_time_goes(timing: Timing) -> Iterator[str]:
    rows = sorted(timing.breakdown, key=lambda row: -_number(row.get("seconds")))
    if rows:
        yield "Where its time goes:"
    for row in rows[:_MOST]:
        seconds = _number(row.get("seconds"))
        terms = sorted(_dict(row.get("terms")).items(), key=lambda term: -_number(term[1]))
        parts = [f"{name} {duration(_number(value))}" for name, value in terms if _number(value) > 0.02 * seconds]
        what = "left to torch, " if row.get("kind") != "kernel" else ""
        yield (
            f"- {plain_name(str(row.get('name')))}: {duration(seconds)} ({100 * seconds / timing.seconds:.0f} %), {what}limited by "
            f"{row.get('limited_by')}" + (f"; by itself {', '.join(parts[:_MOST])}." if parts else ".")
        )
    if len(rows) > _MOST:
        yield f"- and {len(rows) - _MOST} more."


def _profile(_evidence: Mapping[str, Any], _task: Task, evaluation: Evaluation) -> Iterator[str]:
    profile = evaluation.profile
    if profile is None:
        return
    for place, launch in enumerate(profile.launches[:_MOST]):
        counters = _dict(launch.get("counters"))
        metrics = profile.metrics[place] if place < len(profile.metrics) else {}
        issued = sum(int(_number(n)) for n in _dict(counters.get("warp_instructions")).values())
        text = (
            f"{plain_name(str(launch.get('kernel')))}: grid {_size(launch.get('grid'))}, block {_size(launch.get('block'))}, "
            f"{issued:,} warp instructions, {int(_number(counters.get('global_load_bytes'))):,} B asked for and "
            f"{int(_number(counters.get('global_store_bytes'))):,} B stored in global memory"
        )
        occupancy = metrics.get("sm__maximum_warps_per_active_cycle_pct")
        yield text + (f", occupancy {occupancy:.0f} %." if occupancy is not None else ".")
    if len(profile.launches) > _MOST:
        yield f"And {len(profile.launches) - _MOST} more launches."
    names = [str(op.get("name")) for op in profile.torch_ops]
    yield f"Left to torch: {_some(names)}." if names else "Nothing was left to torch."


_PASSED = {
    "static": _static,
    "build": _build,
    "sanitise": _sanitise,
    "correctness": _correctness,
    "integrity": _integrity,
    "timing": _timing,
    "profile": _profile,
}


# -- what failed ------------------------------------------------------------------------------------------------


def _failed(stage: Stage, evaluation: Evaluation) -> Iterator[str]:
    evidence = stage.evidence
    mismatch, violations = _dict(evidence.get("mismatch")), _list(evidence.get("violations"))
    if mismatch:
        yield from _mismatch(evidence, mismatch)
    elif violations:
        yield from _violations(evidence, violations)
    else:
        yield evaluation.reason
        yield from _findings(evidence)
    detail = str(evidence.get("detail") or "").strip().splitlines()
    if detail and evidence.get("kind") in {"python", "crashed", "memory"}:
        yield f"The last that it printed: {detail[-1].strip()}"
    calls = [call for call in _list(evidence.get("calls")) if isinstance(call, Mapping)]
    if mismatch and len(calls) > 1:
        yield f"{counted(len(calls) - 1, 'call')} before it gave right outputs: {_some([str(c.get('workload')) for c in calls[:-1]])}."


def _mismatch(evidence: Mapping[str, Any], mismatch: Mapping[str, Any]) -> Iterator[str]:
    which = evidence.get("result") or f"Output {mismatch.get('output')}"
    yield f"{which} is wrong on the workload {evidence.get('workload')!r}: {mismatch.get('what')}"
    got, expected, allowed = (mismatch.get(key) for key in ("got", "expected", "allowed"))
    if isinstance(got, float) and isinstance(expected, float) and math.isfinite(got - expected):
        times = f", {_times(abs(got - expected) / allowed)} what is allowed" if allowed else ""
        yield f"At {_list(mismatch.get('index'))} it differs by {abs(got - expected):.3g}{times}."
    shrunk = _dict(evidence.get("shrunk"))
    if not shrunk:
        return
    trials = counted(int(_number(shrunk.get("trials"))), "further call")
    if shrunk.get("simpler"):
        smallest = _dict(shrunk.get("mismatch"))
        yield f"Simplest inputs that show it ({trials}): {', '.join(map(str, _list(shrunk.get('steps'))))}."
        for entry in _list(shrunk.get("inputs")):
            yield f"- {_input(_dict(entry))}"
        yield f"There, {smallest.get('what')}"
    else:
        yield f"No simpler inputs that show it were found ({trials})."


def _times(factor: float) -> str:
    return (
        f"{factor:.3g} times"
        if factor < 100
        else f"{factor:,.0f} times"
        if factor < 1e6
        else f"over {10 ** int(math.log10(factor)):,.0f} times"
    )


def _input(entry: Mapping[str, Any]) -> str:
    head = f"{entry.get('name') or 'input ' + str(entry.get('input'))}, {tuple(_list(entry.get('shape')))} {entry.get('dtype')}"
    if "all" in entry:
        return f"{head}: {_number(entry['all']):g} everywhere."
    values = [_dict(value) for value in _list(entry.get("values"))]
    shown = ", ".join(f"{value.get('index')} = {_number(value.get('value')):.9g}" for value in values)
    more = int(_number(entry.get("nonzero"))) - len(values)
    return f"{head}: {shown}{f' and {more:,} others' if more > 0 else ''}; 0 elsewhere."


def _violations(evidence: Mapping[str, Any], violations: Sequence[Any]) -> Iterator[str]:
    name = plain_name(str(evidence.get("kernel", "")))
    yield f"{name} does what CUDA does not allow, in {counted(len(violations), 'place')}:"
    for found in [each for each in violations if isinstance(each, Mapping)][:_MOST]:
        where = (
            f"CUDA source line {found['line']}" if found.get("line") else "a place that the compiler names no line of"
        )
        times = f" ({counted(int(_number(found.get('count'))), 'time')})" if _number(found.get("count")) > 1 else ""
        kind = str(found.get("kind", "")).replace("_", " ")
        yield f"- {kind}, {where}: {sentence(str(found.get('message', '')))[:-1]}{times}. {found.get('hint', '')}".rstrip()


def _findings(evidence: Mapping[str, Any]) -> Iterator[str]:
    """What static analysis says, beside what rejects."""
    findings = [each for each in _list(evidence.get("findings")) if isinstance(each, Mapping)]
    for found in findings[:_MOST]:
        where = f"line {found['line']}: " if found.get("line") else ""
        yield f"- {found.get('severity', 'note')}, {where}{sentence(str(found.get('reason', '')))} {found.get('mend', '')}".rstrip()
    if len(findings) > _MOST:
        yield f"- and {len(findings) - _MOST} more findings."


# -- source lines -----------------------------------------------------------------------------------------------


def _lines(stage: Stage, source: str) -> Iterator[SourceLine]:
    """The lines that the stage's evidence names, each once."""
    seen: set[SourceLine] = set()
    for line in _named_lines(stage, source):
        if line not in seen and len(seen) < _MOST:
            seen.add(line)
            yield line


def _named_lines(stage: Stage, source: str) -> Iterator[SourceLine]:
    evidence, lines = stage.evidence, source.splitlines()
    for found in _list(evidence.get("violations")):
        if isinstance(found, Mapping) and _number(found.get("line")) > 0 and str(found.get("source", "")).strip():
            number, text = int(_number(found["line"])), str(found["source"])
            yield SourceLine(text.rstrip(), in_file(source, number, text), number)
    for found in _list(evidence.get("findings")):
        place = int(_number(found.get("line"))) if isinstance(found, Mapping) else 0
        if 0 < place <= len(lines):
            yield SourceLine(lines[place - 1], place, column=int(_number(found.get("column"))) or None)
    if stage.status is not StageStatus.FAILED:
        return
    number = int(_number(evidence.get("line")))
    if evidence.get("kind") in {"build", "unsupported"}:
        quote = str(evidence.get("excerpt") or "").split("\n")
        head, bar, text = quote[0].partition(" | ")
        if bar:
            caret = quote[1].find("^") - len(head) - len(bar) if len(quote) > 1 and "^" in quote[1] else -1
            cuda = int(head) if head.strip().isdigit() else None
            yield SourceLine(text, in_file(source, cuda, text), cuda, caret + 1 if caret >= 0 else None)
        return
    if not number and (frames := _FRAME.findall(str(evidence.get("detail") or ""))):
        number = int(frames[-1])
    if 0 < number <= len(lines) and not evidence.get("findings"):
        yield SourceLine(lines[number - 1], number)


def in_file(source: str, number: int | None, text: str) -> int | None:
    """The line of the kernel's module at which line `number` of a CUDA string in it stands; None if that is not certain.

    Args:
        text: what that line says: it must say so in the module too.
    """
    if number is None or not text.strip():
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = source.splitlines()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            line = node.lineno + number - 1
            if line <= (node.end_lineno or 0) and text.strip() in lines[line - 1]:
                found.add(line)
    return found.pop() if len(found) == 1 else None


# -- reading evidence, which may come from a stranger's bundle ----------------------------------------------------


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(map(str, names[:_MOST]))
    return shown if len(names) <= _MOST else f"{shown} and {len(names) - _MOST} more"


def _size(value: Any) -> str:
    return " x ".join(map(str, _list(value))) or "?"
