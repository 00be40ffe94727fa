"""Imports a collection of another system: reads it, probes every task in fenced processes, keeps what was found under a name."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kernelwright.bench_tasks.collections import read_collection
from kernelwright.bench_tasks.files import shown
from kernelwright.bench_tasks.imported import (
    Imported,
    ImportedTask,
    check_name,
    read_import,
    write_import,
)
from kernelwright.bench_tasks.own import OWN
from kernelwright.bench_tasks.suite import Suite, SuiteTask
from kernelwright.errors import ConfigError, MisuseError, NotFoundError
from kernelwright.sandbox.probe import Probe, Prober, ProbeStatus
from kernelwright.sandbox.process import Watch, watched

if TYPE_CHECKING:
    from kernelwright.config import Settings

__all__ = ["ImportReport", "Progress", "import_collection", "kept_probe", "probe_tasks", "probed"]

_log = logging.getLogger(__name__)
_VERSION = 2  # of what is kept of a probe; a new one probes again
_NOT_PROBED = "it was imported without a probe, so no sizes are known at which the emulator can judge it."

Progress = Callable[[int, int, str], None]
"""Is told how many tasks are done, of how many, and which was the last."""


@dataclass(frozen=True)
class ImportReport:
    """What came of an import."""

    suite: Suite
    """As it was read, under its new name."""
    probes: tuple[Probe | None, ...]
    """One for each task, in order; None where it was not probed."""
    kept: Path
    """The file that registers it."""

    def counts(self) -> dict[str, Counter[str]]:
        """By level (or ``""``): tasks by status; what could not be read counts as not loaded."""
        found: dict[str, Counter[str]] = {}
        for task, probe in zip(self.suite.tasks, self.probes, strict=True):
            found.setdefault(task.level, Counter())[probe.status.value if probe else "not probed"] += 1
        for missing in self.suite.unreadable:
            found.setdefault(missing.level, Counter())[ProbeStatus.NOT_LOADED.value] += 1
        return found


def import_collection(
    path: Path,
    settings: Settings,
    *,
    name: str | None = None,
    probe: bool = True,
    jobs: int = 2,
    progress: Progress | None = None,
) -> ImportReport:
    """Reads the collection at `path`, probes its tasks and registers it.

    What a probe found is kept by the content of the task, so an import that was interrupted goes on where it stopped.

    Args:
        name: what it is called from now on; None: the name of its folder or file.
        jobs: processes that probe at once.

    Raises:
        NotFoundError: nothing there is in a format that is known.
        MisuseError: a name that can't be, or that a suite from another place has.
        ConfigError: nothing here can fence a task's code in, or a folder can't be written.
        KeyboardInterrupt: nothing is registered; what was probed is kept.
    """
    if name is not None:
        check_name(name, tuple(OWN))
    suite = read_collection(path)
    suite = replace(suite, name=name or suite.name)
    _refuse_taken(settings.data / "suites", suite.name, path.resolve())
    probes: Sequence[Probe | None] = [None] * len(suite.tasks)
    if probe and suite.tasks:
        from kernelwright.sandbox.isolation import choose_isolation

        probes = probe_tasks(suite.tasks, settings, choose_isolation(settings.isolation), jobs, progress)
    tasks = {task.name: _imported(task, found) for task, found in zip(suite.tasks, probes, strict=True)}
    loaded = tuple(replace(task, twin=dict(tasks[task.name].twin)) for task in suite.tasks if not tasks[task.name].why)
    digest = replace(suite, tasks=loaded).digest
    imported = Imported(suite.name, str(path.resolve()), suite.format, suite.title, digest, tasks)
    return ImportReport(suite, tuple(probes), write_import(settings.data / "suites", imported))


def _refuse_taken(folder: Path, name: str, path: Path) -> None:
    """Refuses a name under which a collection was imported that lies at another place, and is there still.

    Raises:
        MisuseError: there is one.
    """
    try:
        known = Path(read_import(folder, name).path)
    except (NotFoundError, ConfigError):  # a damaged one is mended by importing again
        return
    if known != path and known.exists():
        raise MisuseError(
            f"a suite called {name!r} was imported from {shown(known)}.",
            mend=f"Give this one another name: --name NAME. To let go of the other, delete {shown(folder / name)}.json.",
        )


def _imported(task: SuiteTask, probe: Probe | None) -> ImportedTask:
    if probe is None:
        return ImportedTask(task.task.id, dict(task.twin), "" if task.twin else _NOT_PROBED)
    if probe.status is ProbeStatus.NOT_LOADED:
        return ImportedTask(task.task.id, why=probe.why, mend=probe.mend)
    return ImportedTask(task.task.id, dict(probe.twin), probe.why)


def probe_tasks(
    tasks: Sequence[SuiteTask], settings: Settings, fence: str, jobs: int, progress: Progress | None
) -> list[Probe]:
    """What each task is like, opened in fenced processes; what is known from an earlier time is not opened again.

    Raises:
        ConfigError, SandboxError: a process does not start.
        KeyboardInterrupt: what was probed is kept.
    """
    os.environ["KERNELWRIGHT_CACHE"] = str(settings.cache)  # workers find the cache by this variable
    folder = settings.cache / "probes" / str(_VERSION)
    found: dict[int, Probe] = {}
    for number, task in enumerate(tasks):
        if (known := _known(folder, task)) is not None:
            found[number] = known
    told = progress or (lambda _done, _all, _name: None)
    told(len(found), len(tasks), "")
    watch, own = Watch(), threading.local()
    probers: list[Prober] = []

    def work(number: int) -> Probe:
        with watched(watch):
            if not hasattr(own, "prober"):
                own.prober = Prober(fence=fence)
                probers.append(own.prober)
            made: Probe = own.prober.probe(tasks[number].task, tasks[number].twin)
        if made.status is not ProbeStatus.NOT_LOADED:  # what it lacked may be there the next time
            _keep(folder, tasks[number], made)
        return made

    pool = ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="probe")
    try:
        waiting: dict[Future[Probe], int] = {pool.submit(work, n): n for n in range(len(tasks)) if n not in found}
        for future in as_completed(waiting):
            number = waiting[future]
            found[number] = future.result()
            told(len(found), len(tasks), tasks[number].name)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        watch.end()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for prober in probers:
            prober.close()
    return [found[number] for number in range(len(tasks))]


def _file(folder: Path, task: SuiteTask) -> Path:
    return folder / task.task.id[:2] / f"{task.task.id}.json"


def kept_probe(cache: Path, task: SuiteTask) -> Probe | None:
    """What an import has found out about this very task; None if none did.

    Args:
        cache: the cache folder of the settings.
    """
    return _known(cache / "probes" / str(_VERSION), task)


def probed(task: SuiteTask, settings: Settings) -> Probe:
    """What an import would find out about one task, from the cache where one has.

    Raises:
        ConfigError: nothing here can fence a task's code in.
    """
    from kernelwright.sandbox.isolation import choose_isolation

    return probe_tasks([task], settings, choose_isolation(settings.isolation), 1, None)[0]


def _known(folder: Path, task: SuiteTask) -> Probe | None:
    try:
        return Probe.from_json(json.loads(_file(folder, task).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("the kept probe of %s can't be read: %s", task.name, error)
        return None


def _keep(folder: Path, task: SuiteTask, probe: Probe) -> None:
    file = _file(folder, task)
    part = file.with_name(f".{file.stem}.{os.getpid()}.{threading.get_ident()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(probe.to_json()), encoding="utf-8")
        part.replace(file)
    except OSError as error:  # the next import probes it again
        _log.warning("the probe of %s can't be kept: %s", task.name, error)
