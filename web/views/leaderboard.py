"""The leaderboard: sections in which entries can be compared, each with its ranks, fast_p curves and medals.

Making it takes seconds (every result is read, every interval drawn), so it is kept and made anew beside the requests when what it
rests on has changed. What is chosen is chosen among what is kept; only a choice of dtype makes other figures, over the tasks of that dtype.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel

from kernelwright.bench_tasks.scoring.board import Row, Section, sections
from kernelwright.bench_tasks.scoring.intervals import Figure
from kernelwright.bench_tasks.scoring.medals import medals, tally
from kernelwright.bench_tasks.scoring.metrics import GRID, steps
from kernelwright.bench_tasks.scoring.results import Entry
from kernelwright.bench_tasks.suite import Scale
from kernelwright.db.store import Store
from kernelwright.leaderboard.cells import LEGEND, MODELLED, TWINS, author
from kernelwright.leaderboard.keeping import EntryKeeper
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.web.kept import Answer, Kept

__all__ = ["MOST_P", "Board", "BoardChoice", "BoardRow", "BoardSection", "CurvePoint", "leaderboard_view"]

MOST_P = GRID[-1]
"""Where the fast_p curves end."""
_SEED = 0
"""Of the intervals' draws, as on the command line: the same store gives the same leaderboard."""
_LOOK_SECONDS = 10.0
"""That it is shown before it is looked whether it still holds."""
_PATIENCE_SECONDS = 2.0
"""That a request waits while it is made for the first time."""
_SHOWN = 2
"""Sections that are shown in full; of more only the headings are."""
_NO_CHANGE = float("inf")


class Interval(BaseModel):
    """A figure with its 95 % interval over tasks; null where there is none."""

    value: float
    low: float | None
    high: float | None


class CurvePoint(BaseModel):
    """From this p on, up to that of the next point, so large a share of the tasks is faster than p times the baseline."""

    p: float
    value: float
    low: float | None
    high: float | None


class BoardRow(BaseModel):
    """An entry. Shares are of 1, over all tasks of the entry; docs/metrics.md says how each figure is made."""

    rank: int
    """Shared where no difference to the first of the rank is shown."""
    entry_id: str
    author: str
    submitted: bool
    strategy: str
    judge: str
    rounds: int
    created: datetime
    tried: int
    """Tasks on which a search was begun."""
    asked: int
    """Tasks of the entry."""
    repeats: int
    solved: Interval
    fast_p: Interval
    """At the p that was asked for."""
    geomean: Interval
    """Of the speed-ups, with the original to fall back on."""
    median: Interval
    pass_1: Interval | None
    roofline_solved: float | None
    """The median share of the roofline bound."""
    dollars_per_solved: Decimal | None
    seconds_per_solved: float | None
    integrity: dict[str, int]
    gold: int
    silver: int
    bronze: int
    """Shared ones included."""
    curve: list[CurvePoint]


class Placed(BaseModel):
    """An entry on one of the first three places of a task."""

    place: int
    shared: bool
    """Its interval and that of others on the place overlap: none is shown to be faster."""
    entry_id: str
    author: str
    speedup: float
    low: float | None
    high: float | None


class TaskMedals(BaseModel):
    """Who is first, second and third on a task."""

    task: str
    task_id: str
    dtypes: list[str]
    """That its source names."""
    places: list[Placed]
    """Empty where nobody solved it."""


class BoardSection(BaseModel):
    """Entries that may be compared: the same tasks, sizes, kind of times, GPU and baseline."""

    slug: str
    heading: str
    suite: str
    digest: str
    gpu: str
    timing_kind: TimingKind
    scale: Scale
    claimed: bool
    """Whether times are the submitters' own."""
    suite_size: int
    rows: list[BoardRow]
    medals: list[TaskMedals]


class BoardLink(BaseModel):
    """A section that is not shown in full."""

    heading: str
    suite: str
    gpu: str
    timing_kind: TimingKind
    entries: int


class BoardChoice(BaseModel):
    """What is chosen; an empty text is all."""

    suite: str = ""
    task: str = ""
    """Name of a task: only its medals are listed."""
    gpu: str = ""
    dtype: str = ""
    """Figures are over the tasks of this dtype only."""
    author: str = ""
    """A part of the name. Ranks and medals stay those among all."""
    kind: TimingKind | None = None
    p: float = 1.0


class Board(BaseModel):
    """The leaderboard as far as it was chosen."""

    chosen: BoardChoice
    made: datetime | None
    """When it was made of the store; null while it is made for the first time, which takes seconds: ask again."""
    sections: list[BoardSection] = []
    """Measured ones first."""
    more: list[BoardLink] = []
    suites: list[str] = []
    tasks: list[str] = []
    gpus: list[str] = []
    dtypes: list[str] = []
    authors: list[str] = []
    legend: list[str] = []
    """How to read it, and what it does not say."""


class _Whole(BaseModel):
    """What is kept."""

    sections: list[BoardSection]
    dtypes: list[str]


def leaderboard_view(store: Store, kept: Kept, choice: BoardChoice) -> Board:
    """The part of the leaderboard that is chosen."""
    keeper = kept.get("leaderboard entries", lambda: EntryKeeper(store), seconds=_NO_CHANGE).value

    def ready(dtype: str) -> Answer[_Whole] | None:
        return kept.soon(
            ("leaderboard", dtype), lambda: _made(keeper, store, dtype), seconds=_LOOK_SECONDS, state=keeper.state,
            patience=_PATIENCE_SECONDS,
        )  # fmt: skip

    every = whole = ready("")
    if every is not None and choice.dtype in every.value.dtypes:
        whole = ready(choice.dtype)
    if every is None or whole is None:
        return Board(chosen=choice, made=None)
    known = not choice.dtype or choice.dtype in every.value.dtypes
    found = [s for s in whole.value.sections if known and _is_chosen(s, choice)]
    all_rows = [row for section in every.value.sections for row in section.rows]
    kinds, twins = {s.timing_kind for s in found}, any(s.scale is Scale.TWIN for s in found)
    modelled = TimingKind.MODELLED in kinds
    return Board(
        chosen=choice,
        made=whole.made,
        sections=[_cut(section, choice) for section in found[:_SHOWN]],
        more=[
            BoardLink(heading=s.heading, suite=s.suite, gpu=s.gpu, timing_kind=s.timing_kind, entries=len(s.rows))
            for s in found[_SHOWN:]
        ],
        suites=sorted({s.suite for s in every.value.sections}),
        tasks=sorted({m.task for s in found for m in s.medals}),
        gpus=sorted({s.gpu for s in every.value.sections}),
        dtypes=every.value.dtypes,
        authors=[name for name, _ in Counter(row.author for row in all_rows).most_common(100)],
        legend=[LEGEND, *([MODELLED] if modelled else []), *([TWINS] if twins and modelled else [])],
    )


def _is_chosen(section: BoardSection, choice: BoardChoice) -> bool:
    return (
        choice.suite in ("", section.suite)
        and choice.gpu in ("", section.gpu)
        and choice.kind in (None, section.timing_kind)
        and (not choice.task or any(m.task == choice.task for m in section.medals))
        and (not choice.author or any(choice.author.lower() in row.author.lower() for row in section.rows))
    )


def _cut(section: BoardSection, choice: BoardChoice) -> BoardSection:
    rows = [row for row in section.rows if choice.author.lower() in row.author.lower()]
    given = [m for m in section.medals if choice.task in ("", m.task)]
    at_p = [row.model_copy(update={"fast_p": _at(row.curve, choice.p)}) for row in rows]
    return section.model_copy(update={"rows": at_p, "medals": given})


def _at(curve: Sequence[CurvePoint], p: float) -> Interval:
    point = curve[max(0, bisect_right(curve, p, key=lambda each: each.p) - 1)]
    return Interval(value=point.value, low=point.low, high=point.high)


# -- making it ------------------------------------------------------------------------------------------------------


def _made(keeper: EntryKeeper, store: Store, dtype: str) -> _Whole:
    entries = keeper.entries()
    dtypes = store.task_dtypes([trial.task_id for entry in entries for trial in entry.trials])
    if dtype:
        entries = [part for entry in entries if (part := _part(entry, dtypes, dtype)) is not None]
    found = [_section(section, dtypes) for section in sections(entries, seed=_SEED)]
    return _Whole(
        sections=sorted(found, key=lambda each: each.timing_kind is not TimingKind.MEASURED),
        dtypes=[name for name, _ in Counter(each for types in dtypes.values() for each in types).most_common()],
    )


def _part(entry: Entry, dtypes: dict[str, list[str]], dtype: str) -> Entry | None:
    """The entry on its tasks of the dtype; None where it has none."""
    of_dtype = {trial.task for trial in entry.trials if dtype in dtypes.get(trial.task_id, ())}
    if not of_dtype:
        return None
    return replace(
        entry,
        tasks=tuple(task for task in entry.tasks if task in of_dtype),
        trials=tuple(trial for trial in entry.trials if trial.task in of_dtype),
    )


def _section(section: Section, dtypes: dict[str, list[str]]) -> BoardSection:
    ground = section.ground
    entries = [row.entry for row in section.rows]
    won = tally(entries, ground.tasks)
    ids = {trial.task: trial.task_id for entry in entries for trial in entry.trials}
    named = {entry.id: author(entry) for entry in entries}
    return BoardSection(
        slug=ground.slug,
        heading=ground.heading,
        suite=ground.suite,
        digest=ground.digest,
        gpu=ground.gpu,
        timing_kind=TimingKind(ground.timing_kind),
        scale=ground.scale,
        claimed=ground.claimed,
        suite_size=ground.suite_size,
        rows=[_row(row, won.get(row.entry.id, [0, 0, 0])) for row in section.rows],
        medals=[
            TaskMedals(
                task=task,
                task_id=ids.get(task, ""),
                dtypes=dtypes.get(ids.get(task, ""), []),
                places=[Placed(**each.__dict__, author=named[each.entry_id]) for each in medals(entries, task)],
            )
            for task in ground.tasks
        ],
    )


def _row(row: Row, won: Sequence[int]) -> BoardRow:
    entry, covered = row.entry, row.coverage
    curve = [CurvePoint(p=p, value=f.value, low=f.low, high=f.high) for p, f in steps(entry)]
    return BoardRow(
        rank=row.rank,
        entry_id=entry.id,
        author=author(entry),
        submitted=entry.submitted,
        strategy=entry.strategy,
        judge=entry.judge,
        rounds=entry.rounds,
        created=entry.created,
        tried=covered.tried,
        asked=covered.asked,
        repeats=covered.repeats,
        solved=_interval(row.correctness),
        fast_p=_interval(row.fast_1),
        geomean=_interval(row.geomean),
        median=_interval(row.median),
        pass_1=None if row.pass_1 is None else _interval(row.pass_1),
        roofline_solved=row.roofline_solved,
        dollars_per_solved=row.costs.dollars_per_solved,
        seconds_per_solved=row.costs.seconds_per_solved,
        integrity={kind.value: count for kind, count in row.integrity.items()},
        gold=won[0],
        silver=won[1],
        bronze=won[2],
        curve=[point for point, before in zip(curve, [None, *curve], strict=False) if _moves(point, before)],
    )


def _moves(point: CurvePoint, before: CurvePoint | None) -> bool:
    """Whether the curve steps there."""
    return before is None or (point.value, point.low, point.high) != (before.value, before.low, before.high)


def _interval(figure: Figure) -> Interval:
    return Interval(value=figure.value, low=figure.low, high=figure.high)
