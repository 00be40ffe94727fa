"""The leaderboard as data: sections in which entries may be compared, and in each a ranked row for every entry.

Measured and modelled, full size and twin, two GPUs, two versions of a suite, two baselines, the whole suite and a part of it,
times of ours and times that a submitter claims: each is a section of its own, so nothing that can't be compared shares a table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from kernelwright.bench_tasks.scoring import metrics
from kernelwright.bench_tasks.scoring.compare import Pairing, compare, ranks
from kernelwright.bench_tasks.scoring.intervals import Figure
from kernelwright.bench_tasks.scoring.metrics import Costs, Coverage
from kernelwright.bench_tasks.scoring.outcomes import logs, outcomes
from kernelwright.bench_tasks.scoring.results import Entry, Integrity
from kernelwright.bench_tasks.suite import Scale

__all__ = ["Ground", "Row", "Section", "environment_hash", "row_of", "sections"]

_NAMED = 3
"""A part of a suite of so many tasks is named in the heading, so that two parts can be told apart."""


@dataclass(frozen=True, order=True)
class Ground:
    """What entries must share to stand in one table."""

    suite: str
    digest: str
    tasks: tuple[str, ...]
    """Sorted."""
    suite_size: int
    timing_kind: str
    gpu: str
    scale: Scale
    baseline: str
    claimed: bool

    @property
    def heading(self) -> str:
        """In words: everything that sets the section apart but the digest."""
        size = "full size" if self.scale is Scale.FULL else "twins (scaled down)"
        part = (
            f"all {self.suite_size} tasks"
            if len(self.tasks) == self.suite_size
            else f"{len(self.tasks)} of {self.suite_size} tasks"
        )
        if len(self.tasks) <= min(_NAMED, self.suite_size - 1):
            part += f" ({', '.join(self.tasks)})"
        times = f"{self.timing_kind} {'on' if self.timing_kind == 'measured' else 'for'} {self.gpu}"
        claim = ", times as claimed by the submitter" if self.claimed else ""
        return f"{self.suite}, {part}, {size}, {times}, against {self.baseline}{claim}"

    @property
    def slug(self) -> str:
        """A short name in lower-case letters, digits and dashes, for a link."""
        return f"section-{_hash(asdict(self))[:10]}"


@dataclass(frozen=True)
class Row:
    """The figures of one entry. What each means is in docs/metrics.md."""

    entry: Entry
    rank: int
    p: float
    coverage: Coverage
    correctness: Figure
    fast_1: Figure
    fast_p: Figure
    """At `p`."""
    curve: tuple[tuple[float, Figure], ...]
    geomean: Figure
    """The headline: with the original to fall back on."""
    geomean_returned: Figure
    geomean_solved: Figure | None
    median: Figure
    pass_1: Figure | None
    """Over attempts; None for a submitted entry, of which only the winning kernels were sent."""
    roofline_solved: float | None
    roofline_all: float
    costs: Costs
    integrity: dict[Integrity, int]
    """Trials of each kind, of those with a kernel."""
    without_kernel: int
    """Trials without one."""
    cut: int
    """Speed-ups that were cut off at the roofline bound."""
    behind: Pairing | None = None
    """The first of the section beside this one; None for the first."""

    @property
    def environment(self) -> str:
        """Short hash of the entry's environment."""
        return environment_hash(self.entry)

    def to_json(self) -> dict[str, Any]:
        """Everything but the trials; times in seconds."""
        entry = self.entry
        return {
            "rank": self.rank,
            "id": entry.id,
            "author": entry.author,
            "strategy": entry.strategy,
            "judge": entry.judge,
            "rounds": entry.rounds,
            "created": entry.created.isoformat(),
            "submitted": entry.submitted,
            "claimed": entry.claimed,
            "coverage": asdict(self.coverage),
            "correctness": asdict(self.correctness),
            "fast_1": asdict(self.fast_1),
            "fast_p": {"p": self.p, **asdict(self.fast_p)},
            "fast_p_curve": [{"p": p, **asdict(figure)} for p, figure in self.curve],
            "geomean": asdict(self.geomean),
            "geomean_as_returned": asdict(self.geomean_returned),
            "geomean_of_solved": None if self.geomean_solved is None else asdict(self.geomean_solved),
            "median": asdict(self.median),
            "pass_1": None if self.pass_1 is None else asdict(self.pass_1),
            "roofline_share_of_solved": self.roofline_solved,
            "roofline_share_of_all": self.roofline_all,
            "costs": {key: _number(value) for key, value in asdict(self.costs).items()},
            "integrity": {kind.value: count for kind, count in self.integrity.items()},
            "without_kernel": self.without_kernel,
            "cut_at_roofline": self.cut,
            "first_over_this": None
            if self.behind is None
            else asdict(self.behind.ratio) | {"tasks": self.behind.tasks},
            "difference_to_first_shown": None if self.behind is None else self.behind.differ,
            "device": entry.device,
            "environment": dict(entry.environment),
            "environment_hash": self.environment,
        }


@dataclass(frozen=True)
class Section:
    """One table of the leaderboard, best first."""

    ground: Ground
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            **asdict(self.ground),
            "heading": self.ground.heading,
            "tasks": list(self.ground.tasks),
            "rows": [row.to_json() for row in self.rows],
        }


def environment_hash(entry: Entry) -> str:
    """8 hex digits over all that the entry's environment says."""
    return _hash(dict(entry.environment))[:8]


def row_of(entry: Entry, *, p: float, seed: int, rank: int = 1, behind: Pairing | None = None) -> Row:
    """The figures of `entry`.

    Args:
        p: of its `fast_p`.
        seed: of the bootstrap.
    """
    return Row(
        entry=entry,
        rank=rank,
        p=p,
        coverage=metrics.coverage(entry),
        correctness=metrics.correctness(entry),
        fast_1=metrics.fast_p(entry, 1.0),
        fast_p=metrics.fast_p(entry, p),
        curve=metrics.fast_p_curve(entry),
        geomean=metrics.geomean(entry, seed=seed),
        geomean_returned=metrics.geomean(entry, seed=seed, kept=False),
        geomean_solved=metrics.geomean_of_solved(entry, seed=seed),
        median=metrics.median_speedup(entry, seed=seed),
        pass_1=None if entry.submitted else metrics.pass_at_k(entry, 1),
        roofline_solved=metrics.roofline_of_solved(entry),
        roofline_all=metrics.roofline_of_all(entry),
        costs=metrics.costs(entry),
        integrity=metrics.integrity_counts(entry),
        without_kernel=sum(not trial.has_kernel for trial in entry.trials),
        cut=sum(o.cut for task in outcomes(entry).values() for o in task),
        behind=behind,
    )


def sections(entries: Iterable[Entry], *, p: float = 1.0, seed: int = 0) -> tuple[Section, ...]:
    """The leaderboard. Sections by suite, larger parts of it first, then measured before modelled; rows best first."""
    by_ground: dict[Ground, list[Entry]] = {}
    for entry in entries:
        by_ground.setdefault(_ground(entry), []).append(entry)
    return tuple(
        _section(ground, by_ground[ground], p=p, seed=seed)
        for ground in sorted(by_ground, key=lambda g: (g.suite, g.claimed, -len(g.tasks), g))
    )


def _section(ground: Ground, entries: Sequence[Entry], *, p: float, seed: int) -> Section:
    ordered = sorted(
        entries,
        key=lambda e: (
            -fmean(logs(e).values()),
            -metrics.correctness(e).value,
            e.created,
            e.id,
        ),
    )
    places = ranks(ordered, seed=seed)
    rows = [
        row_of(e, p=p, seed=seed, rank=rank, behind=compare(ordered[0], e, seed=seed) if place else None)
        for place, (e, rank) in enumerate(zip(ordered, places, strict=True))
    ]
    return Section(ground, tuple(rows))


def _ground(entry: Entry) -> Ground:
    return Ground(
        entry.suite,
        entry.suite_digest,
        tuple(sorted(entry.tasks)),
        entry.suite_size,
        entry.timing_kind,
        entry.gpu,
        entry.scale,
        entry.baseline,
        entry.claimed,
    )


def _number(value: Any) -> Any:
    return value if value is None or isinstance(value, float) else float(value)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
