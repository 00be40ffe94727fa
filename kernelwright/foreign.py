"""Imports kernels that others have published: every one is judged here, as a stranger's, and what is claimed of it stays a claim.

The kernels of one task become a run, with an attempt for each; it is named after the archive and the task, so the same file goes on where
it was interrupted. Each judgement is stored when it is made.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelwright.bench.lock import only_one
from kernelwright.bench.plan import scale_for
from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.suite import Scale, SuiteTask
from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import KernelError, KernelwrightError, MisuseError, TaskError
from kernelwright.events import ignore
from kernelwright.importing import probe_tasks
from kernelwright.jobs import Target, evaluate_opened, resolve_target, utc_now
from kernelwright.rl.curation.archive import Archive, Entry
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.sandbox.bare_cuda import module_of
from kernelwright.sandbox.isolation import choose_isolation
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.probe import ProbeStatus
from kernelwright.sandbox.process import Watch, watched
from kernelwright.sandbox.submissions import robust_kbench
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.words import one_line

__all__ = [
    "STRATEGY",
    "ArchiveRun",
    "Imported",
    "Judge",
    "Judged",
    "default_jobs",
    "fields_given",
    "import_archive",
    "planned",
]

_log = logging.getLogger(__name__)
STRATEGY = "dataset import"
"""Of the runs: nobody here can write their next attempt."""
_PATIENCE = 1.0  # seconds


@dataclass(frozen=True)
class ArchiveRun:
    """The kernels of one task."""

    task: SuiteTask
    entries: tuple[tuple[Entry, Kernel], ...]
    """Attempts in their order, no kernel twice."""


@dataclass(frozen=True)
class Judged:
    """One kernel that was judged, now or before."""

    entry: Entry
    task: str
    run_id: str
    number: int
    verdict: str
    speedup: float | None
    """As judged here."""
    reason: str
    before: bool
    """Whether that was done when the file was imported an earlier time."""


@dataclass
class Imported:
    """What came of an import."""

    judged: list[Judged] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    """Entries that were not judged, by reason; they are tried again the next time."""


Judge = Callable[[Task, Sequence[tuple[int, Kernel]], Target, Callable[[int, Evaluation, float], None]], None]
"""Judges kernels of a task and hands over each number, evaluation and the seconds it took, as soon as it is there."""


def planned(archive: Archive, left: Counter[str]) -> list[ArchiveRun]:
    """The tasks of an archive with their kernels, in the order of the file.

    Args:
        left: entries that can't be judged are counted in it, by reason.
    """
    runs: dict[str, ArchiveRun] = {}
    names: set[str] = set()
    for entry in archive.entries:
        try:
            task, kernel = _noun_pair(entry, archive.path.stem)
        except TaskError as error:
            left[f"the task: {one_line(error.message, 120)}"] += 1
            continue
        except KernelError as error:
            left[f"the kernel: {one_line(error.message, 120)}"] += 1
            continue
        run = runs.get(task.id)
        if run is None:
            name = entry.name if entry.name not in names else f"{entry.name}_{task.id[:6]}"
            names.add(name)
            run = ArchiveRun(SuiteTask(name, task), ())
        if any(kernel.id == other.id for _, other in run.entries):
            left["the same kernel for the same task came before"] += 1
            continue
        runs[task.id] = ArchiveRun(run.task, (*run.entries, (entry, kernel)))
    return list(runs.values())


def import_archive(
    archive: Archive,
    settings: Settings,
    *,
    store: Store,
    name: str,
    licence: str = "",
    scale: str = "auto",
    jobs: int = 1,
    limit: int | None = None,
    told: Callable[[Judged], None] = lambda _: None,
    on_step: Callable[[str, int, int], None] = lambda _what, _done, _of: None,
    judge: Judge | None = None,
) -> Imported:
    """Judges the entries that were not judged yet, and stores each as an attempt.

    Args:
        name: what the archive is called; the author of its kernels.
        licence: of its contents, as its publisher says; kernels that came without one before take it too.
        scale: `twin`, `full`, or `auto`: twins on the emulator, found by probing.
        jobs: tasks at a time.
        limit: entries to judge at most, those judged before not counted.
        judge: instead of the verifier.

    Raises:
        MisuseError: another command imports the same file, or kernels of it are stored with another licence.
        ConfigError: the device or the isolation is not available here.
        KeyboardInterrupt: what was judged is stored.
    """
    target = resolve_target(settings)
    name, licence = one_line(name, 100), one_line(licence, 100)
    found = Imported()
    runs = planned(archive, found.left)
    at = scale_for(scale, target.device.kind)
    called = f"the import of {one_line(archive.path.name, 80)}"
    with only_one(_lock_folder(settings), f"import-{archive.digest[:12]}", called=called):
        runs = _sized(runs, at, settings, jobs, found.left, on_step)
        stored = [_run_of(each, archive, target, settings, store, name, licence, at) for each in runs]
        if licence:
            _license(stored, licence, store)
        work = [_begun(each, run, store) for each, run in zip(runs, stored, strict=True)]
        for begun in work:
            for done in begun.done:
                found.judged.append(done)
                told(done)
        _cut(work, limit)
        total = sum(len(begun.waiting) for begun in work)
        on_step("judging", 0, total)
        with _pool(jobs) as pool:
            made: queue.Queue[_Message] = queue.Queue()
            judging = judge or _judge(settings)
            for begun in work:
                if begun.waiting:
                    pool.submit(begun.judge, judging, target, made)
            _stored(work, made, store, found, told, on_step, total)
    for begun in work:
        if len(store.attempts(begun.run.id)) == len(begun.entries):
            store.set_status(begun.run.id, RunStatus.FINISHED, "All kernels of the archive are judged.")
    return found


@dataclass(frozen=True)
class _Message:
    """What a thread says: an evaluation of its run, or that it has ended."""

    work: _Work
    number: int = 0
    evaluation: Evaluation | None = None
    seconds: float = 0.0
    ended: bool = False
    problem: str = ""


@dataclass
class _Work:
    """A run, stored, and what is left to do of it."""

    run: Run
    entries: tuple[tuple[Entry, Kernel], ...]
    done: list[Judged]
    waiting: list[int]
    """Numbers of attempts."""

    def judge(self, judge: Judge, target: Target, made: queue.Queue[_Message]) -> None:
        """In a thread of its own; says everything through `made`."""
        problem = ""

        def hand_over(number: int, evaluation: Evaluation, seconds: float) -> None:
            made.put(_Message(self, number, evaluation, seconds))

        try:
            judge(self.run.task, [(number, self.entries[number - 1][1]) for number in self.waiting], target, hand_over)
        except KernelwrightError as error:
            problem = one_line(error.message, 160)
        except BaseException as error:
            problem = f"unexpected error ({type(error).__name__})"
            _log.exception("judging %s ended", self.run.id)
            raise
        finally:
            made.put(_Message(self, ended=True, problem=problem))


def _noun_pair(entry: Entry, archive: str) -> tuple[Task, Kernel]:
    """Task and kernel of an entry.

    Raises:
        TaskError, KernelError: it is none.
    """
    if "ModelNew" in entry.kernel:
        return task_from_source(entry.task, name=entry.name), Kernel(entry.kernel, archive)
    if entry.functional:
        task = task_from_source(entry.functional, name=entry.name)
        return task, Kernel(robust_kbench.kernel_of(task, entry.kernel), archive)
    task = task_from_source(entry.task, name=entry.name)
    return task, Kernel(module_of(entry.kernel), archive)


def _sized(
    runs: Sequence[ArchiveRun], at: Scale, settings: Settings, jobs: int, left: Counter[str],
    on_step: Callable[[str, int, int], None],
) -> list[ArchiveRun]:  # fmt: skip
    """Those that can be judged at this scale, with their twins."""
    if at is Scale.FULL:
        return list(runs)
    fence = choose_isolation(settings.isolation)
    probes = probe_tasks(
        [each.task for each in runs], settings, fence, jobs, lambda done, of, _name: on_step("probing tasks", done, of)
    )
    kept = []
    for each, probe in zip(runs, probes, strict=True):
        if probe.status is ProbeStatus.LOADED:
            kept.append(ArchiveRun(SuiteTask(each.task.name, each.task.task, twin=dict(probe.twin)), each.entries))
        else:
            what = (
                "the task does not load"
                if probe.status is ProbeStatus.NOT_LOADED
                else "the emulator can't judge the task"
            )
            left[f"{what}: {one_line(probe.why, 120)}"] += len(each.entries)
    return kept


def _run_of(
    each: ArchiveRun, archive: Archive, target: Target, settings: Settings, store: Store, name: str, licence: str, at: Scale
) -> Run:  # fmt: skip
    """The run of a task: the stored one, or one that is to be."""
    task = each.task.at(at)
    # other kernels under the same numbers (another --field), or another GPU, are another run
    parts = [archive.digest, target.device.kind, target.gpu.name, *(kernel.id for _, kernel in each.entries)]
    run_id = f"import-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:10]}-{task.id[:10]}"
    if store.has_run(run_id):
        return store.run(run_id)
    about = {"name": name, "licence": licence, "sha256": archive.digest, "file": archive.path.name}
    claims = {str(number): entry.claim() for number, (entry, _) in enumerate(each.entries, start=1)}
    return Run(
        id=run_id, task=task, strategy=STRATEGY, coder=name, judge="none", device=target.device.kind, gpu=target.gpu.name,
        rounds=len(each.entries), status=RunStatus.RUNNING, created=utc_now(),
        settings={"fenced": True, "isolation": settings.isolation, "archive": about, "claims": claims},
    )  # fmt: skip


def _license(runs: Sequence[Run], licence: str, store: Store) -> None:
    """Notes the licence with the stored runs that have none.

    Raises:
        MisuseError: one has another; then none is changed.
    """
    others = sorted({run.settings["archive"]["licence"] for run in runs} - {"", licence})
    if others:
        raise MisuseError(
            f"this archive is stored with the licence {' and '.join(map(repr, others))}, not {licence!r}.",
            mend="Leave --licence out to go on with the one that is stored. Under another one it needs a store of its own: KERNELWRIGHT_DATA=FOLDER.",
        )
    for run in runs:
        if not run.settings["archive"]["licence"]:
            store.set_archive_licence(run.id, licence)


def _begun(each: ArchiveRun, run: Run, store: Store) -> _Work:
    """What is left to do of a run, which is stored unless it is."""
    if not store.has_run(run.id):
        store.create_run(run)
    entries = tuple((entry, Kernel(kernel.source, run.coder)) for entry, kernel in each.entries)
    before = {attempt.number: attempt for attempt in store.attempts(run.id)}
    done = [
        _judged(entries[number - 1][0], run, number, attempt.evaluation, before=True)
        for number, attempt in before.items()
    ]
    return _Work(run, entries, done, [n for n in range(1, len(entries) + 1) if n not in before])


def _cut(work: Sequence[_Work], limit: int | None) -> None:
    if limit is None:
        return
    for each in work:
        each.waiting = each.waiting[:limit]
        limit -= len(each.waiting)


def _stored(
    work: Sequence[_Work], made: queue.Queue[_Message], store: Store, found: Imported, told: Callable[[Judged], None],
    on_step: Callable[[str, int, int], None], total: int,
) -> None:  # fmt: skip
    """Stores what the threads say, until all have ended."""
    under_way = sum(bool(each.waiting) for each in work)
    handled: Counter[str] = Counter()
    count = 0
    while under_way:
        try:
            said = made.get(timeout=_PATIENCE)  # so that Ctrl-C is heard
        except queue.Empty:
            continue
        run = said.work.run
        if said.ended:
            under_way -= 1
            missing = len(said.work.waiting) - handled[run.id]
            if missing:
                found.left[said.problem or "it was not judged"] += missing
                count += missing
        elif said.evaluation is not None:
            entry, kernel = said.work.entries[said.number - 1]
            claim = "" if entry.speedup is None else f"claimed: {entry.speedup:g}x"
            notes = (
                f"line {entry.line} of {one_line(str(run.settings['archive']['file']), 80)}",
                *([claim] if claim else []),
            )
            plan = f"imported from {run.coder}"
            store.add_attempt(
                Attempt(run.id, said.number, plan, kernel, said.evaluation, None, utc_now(), said.seconds, notes)
            )
            handled[run.id] += 1
            count += 1
            judged = _judged(entry, run, said.number, said.evaluation, before=False)
            found.judged.append(judged)
            told(judged)
        on_step("judging", count, total)


def _judged(entry: Entry, run: Run, number: int, evaluation: Evaluation, *, before: bool) -> Judged:
    speedup = None if evaluation.timing is None else evaluation.timing.speedup
    return Judged(
        entry, run.task.name, run.id, number, evaluation.verdict.value, speedup, one_line(evaluation.reason, 300), before
    )  # fmt: skip


def _judge(settings: Settings) -> Judge:
    """The verifier, with the reference fenced in as kernels are: the task is a stranger's too."""

    def judge(
        task: Task,
        kernels: Sequence[tuple[int, Kernel]],
        target: Target,
        hand_over: Callable[[int, Evaluation, float], None],
    ) -> None:
        from kernelwright.opening import open_reference
        from kernelwright.sandbox.spares import Spares

        with (
            Spares(target.device, target.limits) as spares,
            open_reference(task, target.limits, ignore, fence=target.device.isolation) as reference,
        ):
            failed: list[KernelwrightError] = []
            for number, kernel in kernels:
                began = time.monotonic()
                try:
                    evaluation = evaluate_opened(
                        task, target, reference, spares, kernel, ignore, tools=settings.gpu_tools
                    )
                except KernelwrightError as error:  # the next one of the task may do better
                    _log.warning("kernel %s could not be judged: %s", kernel.id, error.message)
                    failed.append(error)
                    continue
                hand_over(number, evaluation, time.monotonic() - began)
            if failed:
                raise failed[0]

    return judge


@contextmanager
def _pool(jobs: int) -> Iterator[_Threads]:
    threads = _Threads(jobs)
    try:
        yield threads
    finally:
        threads.end()


class _Threads:
    """Threads whose processes end with them."""

    def __init__(self, jobs: int) -> None:
        self._watch, self._stop = Watch(), threading.Event()
        self._pool = ThreadPoolExecutor(max(1, jobs), thread_name_prefix="import")

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        def watched_work() -> None:
            if not self._stop.is_set():
                with watched(self._watch):
                    work(*arguments)

        self._pool.submit(watched_work)

    def end(self) -> None:
        """Ends every process under way, and waits."""
        self._stop.set()
        self._watch.end()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _lock_folder(settings: Settings) -> Path:
    file = settings.database_file
    return (settings.data if file is None else file.parent) / "imports"


def fields_given(pairs: Sequence[str]) -> Mapping[str, str]:
    """``kernel=NAME`` as a mapping.

    Raises:
        MisuseError: one is not of this form.
    """
    found = {}
    for pair in pairs:
        key, sign, name = pair.partition("=")
        if not sign or not name:
            raise MisuseError(f"{pair!r} says no field.", mend="Write it so: --field kernel=NAME.")
        found[key] = name
    return found


def default_jobs() -> int:
    """Tasks at a time: half of the cores, at most four, as for suites."""
    return max(1, min(4, (os.cpu_count() or 2) // 2))
