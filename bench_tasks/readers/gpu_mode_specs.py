"""The tests and benchmarks of a GPU MODE problem as numbers at the top level of a task file, and the workloads that replace them.

Arguments of `generate_input` that are whole numbers in every specification become numbers of that name; what else there is
(text, truth, lists) goes into a list `CASES`, of which the number `CASE` chooses one. The seed is the judge's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.errors import TaskError

if TYPE_CHECKING:
    from kernelwright.bench_tasks.readers.gpu_mode_source import Reference

__all__ = ["Settings", "settings_of"]

_LARGER = 4  # times the product of the timed numbers: the reference runs on a CPU too, in float64
_MOST = 32  # further workloads: each is a call of the kernel
_SEED = "seed"


@dataclass(frozen=True)
class Settings:
    """How `generate_input` is called."""

    numbers: Mapping[str, int]
    """Of the specification that is timed."""
    cases: tuple[Mapping[str, Any], ...]
    """The other arguments; the first is what is timed. One empty one where there are none."""
    seeded: bool
    """Whether it takes a seed."""
    further: tuple[tuple[str, Mapping[str, int]], ...]
    """Workloads by name: the numbers that differ from those of the file."""
    left_out: int
    """Specifications beyond `_MOST`."""
    twin: Mapping[str, int]


def settings_of(
    benchmarks: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]], reference: Reference, path: str
) -> Settings:
    """Reads the specifications.

    Raises:
        TaskError: `generate_input` does not take what they give.
    """
    specs = [dict(spec) for spec in (*benchmarks, *tests)]
    for spec in specs:
        unknown = [] if reference.takes_any else sorted(set(spec) - set(reference.takes) - {_SEED})
        if unknown:
            raise TaskError(f"generate_input() takes no {unknown[0]!r}, which task.yml gives.", path=path)
        if missing := sorted(set(reference.needs) - set(spec) - {_SEED}):
            raise TaskError(f"task.yml gives no {missing[0]!r} to generate_input().", path=path)
    seeded = _SEED in reference.takes or (reference.takes_any and any(_SEED in spec for spec in specs))
    names = [name for name in specs[0] if name != _SEED and all(_whole(s.get(name)) for s in specs)]
    names = [name for name in names if name not in reference.bound]
    cases: list[Mapping[str, Any]] = []
    rows: list[dict[str, int]] = []
    for spec in specs:
        other = {name: value for name, value in spec.items() if name != _SEED and name not in names}
        key = repr(sorted(other.items()))
        places = [place for place, case in enumerate(cases) if repr(sorted(case.items())) == key]
        if not places:
            places = [len(cases)]
            cases.append(other)
        rows.append({**{name: spec[name] for name in names}, **({"CASE": places[0]} if any(cases) else {})})
    if len(cases) > 1:  # the first ones may have been made before there was a second case
        rows = [{**row, "CASE": row.get("CASE", 0)} for row in rows]
    else:
        rows = [{name: row[name] for name in names} for row in rows]
    timed = rows[0]
    found: list[tuple[str, Mapping[str, int]]] = []
    seen = [timed]
    for place, row in enumerate(rows[1:], start=1):
        if row not in seen and _product(row) <= _LARGER * _product(timed):
            seen.append(row)
            kind = f"benchmark-{place + 1}" if place < len(benchmarks) else f"test-{place - len(benchmarks) + 1}"
            found.append((kind, row))
    # tests first: they are the small ones
    found.sort(key=lambda each: (each[0].startswith("benchmark"), _product(each[1])))
    smallest = min(rows, key=_product)
    twin = smallest if _product(smallest) < _product(timed) else {}
    numbers = {name: timed[name] for name in names}
    return Settings(numbers, tuple(cases) or ({},), seeded, tuple(found[:_MOST]), max(len(found) - _MOST, 0), twin)


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _product(row: Mapping[str, int]) -> int:
    product = 1
    for name, value in row.items():
        product *= max(abs(value), 1) if name != "CASE" else 1
    return product
