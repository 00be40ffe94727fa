"""What the knobs of the built-in templates are: numbers to tune, or choices between different code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kernelwright.agents.builtin.persistent import KNOB
from kernelwright.agents.builtin.space import Choice, Value
from kernelwright.agents.protocols import PastAttempt
from kernelwright.verifier.evaluation import Verdict

__all__ = ["by_function", "function_of", "is_template", "kind_of", "numbers", "own_choice", "own_seconds"]

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


def own_seconds(attempt: PastAttempt, function: str, functions: Iterable[str]) -> float | None:
    """What the launches of this kernel function take, in seconds; of the whole call where they are not told apart.

    None if the attempt has no time. A function's launches are those of its name, and of its name with an ending where no other
    function is called so: the second launch that puts the parts of a split reduction together.
    """
    timing = attempt.evaluation.timing
    if timing is not None:
        rows, total = timing.breakdown, timing.seconds
    elif attempt.evaluation.verdict is Verdict.OUTCLASSED:
        evidence = next((s.evidence for s in attempt.evaluation.stages if "modelled_seconds" in s.evidence), None)
        if evidence is None:
            return None
        rows, total = list(evidence.get("breakdown", ())), float(evidence["modelled_seconds"])
    else:
        return None
    names = {*functions, function}

    def owner(launched: str) -> str:
        return max((n for n in names if launched == n or launched.startswith(f"{n}_")), key=len, default="")

    mine = [float(row["seconds"]) for row in rows if owner(str(row.get("name", ""))) == function]
    return sum(mine) if mine else total
