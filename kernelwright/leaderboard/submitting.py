"""Judging an entry that somebody sent in: every kernel of it once more, here, on our own task and with fresh secret seeds.

Nothing that the file says decides: the tasks are those of the suite here, so an easier one can't be smuggled in; the verdict is
this program's; and where the same kind of time can be taken here, so are the times. Each judgement is stored when it is made: who
is interrupted hands the same file in again and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from kernelwright.bench.entries import remarks_on
from kernelwright.bench_tasks.scoring.entry_json import entry_to_json
from kernelwright.bench_tasks.scoring.results import Entry, Integrity, Trial
from kernelwright.bench_tasks.suite import Suite
from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.db.submissions import Submission, SubmissionItem
from kernelwright.errors import BundleError, MisuseError
from kernelwright.events import Observer
from kernelwright.jobs import resolve_target, utc_now, verify_task
from kernelwright.leaderboard.entry_file import EntryFile
from kernelwright.leaderboard.submitted import submitted_entry
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier import bundle as bundles
from kernelwright.verifier.evaluation import Evaluation, TimingKind, Verdict
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.words import one_line, ratio

__all__ = ["Judge", "Judged", "check", "submit"]


class Judge(Protocol):
    """As `kernelwright.jobs.verify_task`."""

    def __call__(
        self, task: Task, kernel: Kernel, settings: Settings, *, store: Store | None, observer: Observer
    ) -> Evaluation: ...


_ROOM = 0.05
"""How far a claimed speed-up may lie outside of the interval found here: inputs differ, and modelled times depend on them."""
_NOT_HERE = frozenset({Verdict.UNSUPPORTED, Verdict.TIMEOUT})
"""Verdicts that say nothing against a kernel made for a GPU, where an emulator stands for it."""


@dataclass(frozen=True)
class Judged:
    """One kernel that was judged, now or before."""

    item: SubmissionItem
    number: int
    """1-based."""
    of: int
    before: bool
    """Whether that was done when the file was handed in an earlier time."""


def check(file: EntryFile, suite: Suite) -> None:
    """Whether an entry is about this suite as it is here.

    Raises:
        MisuseError: it is of another version of the suite, or has tasks that are not those of the suite.
    """
    entry = file.entry
    measured = entry.timing_kind == TimingKind.MEASURED
    if entry.baseline != "eager" or measured != (entry.device == "cuda") or entry.device not in ("cuda", "emulator"):
        raise MisuseError(
            "the entry's times are none that Kernelwright takes: measured on a GPU or modelled, against eager PyTorch.",
            mend="Pack it again.",
        )
    if entry.suite_digest != suite.digest:
        raise MisuseError(
            f"the entry is of suite {one_line(entry.suite, 60)} at {one_line(entry.suite_digest, 20)}, and {suite.name} is at "
            f"{suite.digest} here: they are different tasks.",
            mend="Run the suite again with this version of Kernelwright.",
        )
    tasks = {task.name: task for task in suite.tasks}
    strange = [name for name in entry.tasks if name not in tasks]
    if strange or entry.suite_size != len(suite.tasks):
        raise MisuseError(
            f"the entry has tasks that {suite.name} does not have"
            + (f": {one_line(', '.join(strange[:3]), 120)}." if strange else ", or another number of them."),
            mend="Pack it again.",
        )
    for trial in entry.trials:
        if trial.task_id != tasks[trial.task].at(entry.scale).id:
            raise MisuseError(
                f"the entry's task {one_line(trial.task, 60)} is not the one of {suite.name} at this scale.",
                mend="Pack it again.",
            )


def submit(
    file: EntryFile,
    suite: Suite,
    settings: Settings,
    *,
    store: Store,
    observer: Observer,
    author: str | None = None,
    told: Callable[[Judged], None],
    judge: Judge = verify_task,
) -> Entry:
    """Judges what was not judged yet, and gives the entry as it counts from now on.

    Args:
        settings: isolation and limits; GPU and device come from the entry.
        author: the name it is shown under, instead of the one in the file.
        told: hears of each kernel.
        judge: says what a kernel is worth; the judge of `kernelwright verify`.

    Raises:
        MisuseError: as `check`.
        ConfigError: the device or the isolation is not available here.
        KeyboardInterrupt: what was judged is stored.
    """
    check(file, suite)
    entry = replace(file.entry, gpu=find_gpu(file.entry.gpu).name)  # as the table spells it, so that it shares one
    settings = settings.model_copy(
        update={"gpu": entry.gpu, "device": "emulator" if entry.device != "cuda" else "auto"}
    )
    measured_here = resolve_target(settings).device.kind == "cuda"
    submission = store.add_submission(
        Submission(
            file.digest[:16],
            file.digest,
            one_line(author or entry.author, 100),
            suite.name,
            entry_to_json(entry),
            entry.timing_kind == TimingKind.MEASURED and not measured_here,
            utc_now(),
        )
    )
    if submission.digest != file.digest:
        raise BundleError(f"another submission has the id {submission.id} already.")
    for judged in _judge(file, submission, suite, settings, store, observer, judge):
        told(judged)
    found = submitted_entry(store, submission)
    assert found is not None
    return found


def _judge(
    file: EntryFile,
    submission: Submission,
    suite: Suite,
    settings: Settings,
    store: Store,
    observer: Observer,
    judge: Judge,
) -> Iterator[Judged]:
    done = {(item.task, item.repeat): item for item in store.submission_items(submission.id)}
    tasks = {task.name: task for task in suite.tasks}
    solved = [trial for trial in file.entry.trials if trial.solved]
    for number, trial in enumerate(solved, start=1):
        place = trial.task, trial.repeat
        item = done.get(place)
        if item is None:
            task = tasks[trial.task].at(file.entry.scale)
            data = file.bundles.get(place)
            evaluation_id, integrity, remarks = _one(
                trial, data, task, settings, store, observer, judge, claimed=submission.claimed
            )
            item = SubmissionItem(submission.id, *place, evaluation_id, integrity, remarks, utc_now())
            store.add_submission_item(item)
        yield Judged(item, number, len(solved), place in done)


def _one(
    trial: Trial,
    data: bytes | None,
    task: Task,
    settings: Settings,
    store: Store,
    observer: Observer,
    judge: Judge,
    *,
    claimed: bool,
) -> tuple[str | None, Integrity, tuple[str, ...]]:
    kernel, problem = _kernel(data, task)
    if kernel is None:
        return None, Integrity.REFUSED, (problem,)
    evaluation = judge(task, kernel, settings, store=None, observer=observer)
    evaluation_id = store.add_evaluation(task, kernel, evaluation)
    if not evaluation.passed:
        said = f"Judged here it is {evaluation.verdict.value.replace('_', ' ')}: {one_line(evaluation.reason, 300)}"
        if claimed and evaluation.verdict in _NOT_HERE:
            return evaluation_id, Integrity.SUSPECT, (f"It could not be judged without the GPU. {said}",)
        return evaluation_id, Integrity.REFUSED, (said,)
    remarks = (*remarks_on(evaluation), *_time_remarks(trial, evaluation, claimed=claimed))
    return evaluation_id, Integrity.SUSPECT if remarks else Integrity.CLEAN, remarks


def _kernel(data: bytes | None, task: Task) -> tuple[Kernel | None, str]:
    """The kernel in a bundle, or why it is refused."""
    if data is None:
        return None, "The file has no evidence for it."
    try:
        read = bundles.read(data)
    except BundleError as error:
        return None, f"Its evidence can't be read: {one_line(error.message, 300)}"
    if read.bundle is None:
        return None, f"Its evidence was changed: {one_line(read.changes[0].part, 60)} is not as it was written."
    if read.bundle.task.id != task.id:
        return None, "Its evidence is about another task than the one of this name in the suite."
    if not read.bundle.evaluation.passed:
        return None, "By its own evidence the kernel did not pass."
    return read.bundle.kernel, ""


def _time_remarks(trial: Trial, evaluation: Evaluation, *, claimed: bool) -> list[str]:
    if claimed:
        gpu = evaluation.device.gpu
        return [
            f"It passed here, and its time could not be measured: this machine has no {one_line(gpu, 40)} to run it on."
        ]
    best, timing = trial.best, evaluation.timing
    assert best is not None
    assert best.speedup is not None
    assert timing is not None
    low, high = timing.speedup_low or timing.speedup, timing.speedup_high or timing.speedup
    said_low, said_high = trial.speedup_interval or (best.speedup, best.speedup)
    if said_high >= low * (1 - _ROOM) and said_low <= high * (1 + _ROOM):
        return []
    return [f"{ratio(best.speedup)} is claimed, and it came out as {ratio(timing.speedup)} here; that is what counts."]
