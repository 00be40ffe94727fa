"""What the knobs of the built-in templates are: numbers to tune, or choices between different code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernelwright.agents.builtin.persistent import KNOB
from kernelwright.agents.builtin.space import Choice, Value
from kernelwright.agents.protocols import PastAttempt
from kernelwright.verifier.evaluation import Evaluation, Verdict

__all__ = [
    "by_function",
    "function_of",
    "is_template",
    "kind_of",
    "numbers",
    "own_choice",
    "own_seconds",
    "seconds_by_function",
    "times_of",
]

_OFF: Mapping[str, int] = {"stages": 1, "slices": 1, "split": 1, KNOB: 0}
"""Numbers that at this value leave out code which they need at any other: buffers that take turns (`stages`), sums added through
shared memory (`slices`) or in a second launch (`split`), a loop over pieces of the grid (`blocks_per_sm`)."""


def function_of(name: str) -> str:
    """The kernel function of a parameter ``"<kernel function>.<knob>"``."""
    return name.rpartition(".")[0]


def by_function(names: Iterable[str]) -> dict[str, list[str]]:
    """Parameters by their kernel function, both in the order given."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(function_of(name), []).append(name)
    return found


def kind_of(name: str, value: Value) -> Value:
    """What code the value makes: two values of one kind differ in numbers only.

    Words and truth values (`strategy`, `cores`, `copy`, `prefetch`) are kinds by themselves; of numbers, those that switch
    something off are one kind and all others another.
    """
    if isinstance(value, (str, bool)):
        return value
    off = _OFF.get(name.rpartition(".")[2])
    return off is None or value != off


def is_template(name: str, values: Sequence[Value]) -> bool:
    """Whether values of this parameter make different kinds of code."""
    return len({kind_of(name, value) for value in values}) > 1


def numbers(space: Mapping[str, tuple[Value, ...]], base: Mapping[str, Value]) -> dict[str, tuple[Value, ...]]:
    """Of the parameters that are numbers, the values that leave the code of `base` what it is; those with several only."""
    found = {}
    for name, values in space.items():
        kind = kind_of(name, base[name])
        if not isinstance(base[name], (str, bool)):
            same = tuple(value for value in values if kind_of(name, value) == kind)
            if len(same) > 1:
                found[name] = same
    return found


def own_choice(attempt: PastAttempt | None, defaults: Mapping[str, Value]) -> Choice | None:
    """The parameters of an attempt's kernel; None if that is no kernel of these templates."""
    if attempt is None or not set(defaults) <= set(attempt.kernel.parameters):
        return None
    return {name: attempt.kernel.parameters[name] for name in defaults}


def times_of(evaluation: Evaluation) -> tuple[float, Sequence[Mapping[str, Any]]] | None:
    """Seconds of the whole call, and a row with `name` and `seconds` for each launch that is told apart; None if it has no time.

    A kernel that a cascade let go has one too, though it was not judged to its end; on a GPU it has none, for a modelled time is not
    to be ranked with measured ones.
    """
    timing = evaluation.timing
    if timing is not None:
        return timing.seconds, timing.breakdown
    if evaluation.verdict is not Verdict.OUTCLASSED:
        return None
    evidence = next((s.evidence for s in evaluation.stages if "modelled_seconds" in s.evidence), None)
    return None if evidence is None else (float(evidence["modelled_seconds"]), list(evidence.get("breakdown", ())))


def seconds_by_function(rows: Iterable[Mapping[str, Any]], functions: Iterable[str]) -> dict[str, float]:
    """What the launches of each kernel function take together, in seconds; a function that has none is left out.

    Its launches are those of its name, and of its name with an ending where no longer name is another's: the second launch that puts
    the parts of a split reduction together.
    """
    names = set(functions)
    found: dict[str, float] = {}
    for row in rows:
        launched, seconds = str(row.get("name", "")), row.get("seconds")
        owner = max((n for n in names if launched == n or launched.startswith(f"{n}_")), key=len, default=None)
        if owner is not None and isinstance(seconds, int | float):
            found[owner] = found.get(owner, 0.0) + float(seconds)
    return found


def own_seconds(attempt: PastAttempt, function: str, functions: Iterable[str]) -> float | None:
    """What the launches of this kernel function take, in seconds; of the whole call where they are not told apart.

    None if the attempt has no time.
    """
    known = times_of(attempt.evaluation)
    if known is None:
        return None
    total, rows = known
    return seconds_by_function(rows, {*functions, function}).get(function, total)
