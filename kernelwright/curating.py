"""Makes a data set of the store: reads what passed, chooses (`kernelwright.rl.curation`), writes Parquet and a data card."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import kernelwright
from kernelwright.agents.llm.parse import clean, without_thoughts
from kernelwright.agents.models.protocol import Reply
from kernelwright.bench.entries import remarks_of
from kernelwright.bench_tasks.collections import find_suite
from kernelwright.bench_tasks.own import OWN, own_suite, tasks_of_file
from kernelwright.bench_tasks.suite import Scale, Suite
from kernelwright.bench_tasks.task import Task
from kernelwright.dataset_folder import check_place, replace_set
from kernelwright.db.harvest import JudgedRow
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError, MisuseError, TaskError
from kernelwright.rl.curation.candidate import Candidate, Condemned, Harvest, Reasoning
from kernelwright.rl.curation.card import CARD_FILE, DATA_FILE, DROPPED_FILE, Facts, card, dropped_lines
from kernelwright.rl.curation.heldout import HeldOut, HeldOutIndex, Strictness
from kernelwright.rl.curation.parquet import need_pyarrow, write_parquet
from kernelwright.rl.curation.rows import content_digest, rows_of
from kernelwright.rl.curation.select import Rules, Selection, select
from kernelwright.verifier.evaluation import Stage, TimingKind, Verdict

__all__ = ["Built", "build", "harvest", "held_out_tasks", "write"]

_PAGE = 200  # attempts that are read at once
_FENCED = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_GRAVEST = ("failed", "warned", "skipped", "passed")
Step = Callable[[str, int, int], None]
"""Is told what is under way, how far, of how much (0 where that is not known)."""


@dataclass(frozen=True)
class Built:
    """A data set, in memory."""

    selection: Selection
    rows: Sequence[Mapping[str, Any]]
    rules: Rules
    harvest: Harvest
    held_out: HeldOutIndex
    facts: Facts

    def to_json(self) -> dict[str, Any]:
        """What `--json` tells."""
        selection = self.selection
        return {
            "for": self.rules.purpose,
            "rows": len(self.rows),
            "tasks": len({row["task_id"] for row in self.rows}),
            "time_kind": None if selection.kind is None else selection.kind.value,
            "sha256": self.facts.digest,
            "store": self.harvest.facts(),
            "counts": selection.counts(),
            "families": selection.families(),
            "held_out": dict(self.facts.held_out),
        }


def build(
    store: Store, rules: Rules, held_out: Sequence[HeldOut], strictness: Strictness, on_step: Step
) -> Built:  # fmt: skip
    """Chooses from the whole store. The same store and rules give the same rows, card and bytes.

    Raises:
        MisuseError: the store has measured and modelled times, and the rules don't say which.
        ConfigError: a library of the extra `data` is missing.
    """
    version = need_pyarrow()
    on_step("reading held-out tasks", 0, 0)
    index = HeldOutIndex(held_out, strictness)
    found = harvest(store, on_step)
    selection = select(found, index, rules, on_step)
    rows = rows_of(selection.kept, rules.purpose, found, _own_ids())
    suites: dict[str, int] = {}
    for each in held_out:
        suites[each.suite] = suites.get(each.suite, 0) + 1
    versions = {"kernelwright": kernelwright.__version__, "pyarrow": version}
    return Built(selection, rows, rules, found, index, Facts(content_digest(rows), versions, suites))


def write(built: Built, out: Path, *, force: bool = False) -> list[Path]:
    """Writes the Parquet file, the data card and the list of what was left out into the folder `out`, all or nothing.

    Raises:
        MisuseError: something is in the way.
        KernelwrightError: there is no row to write, or the folder can't be written.
    """
    check_place(out, force=force)
    if not built.rows:
        raise KernelwrightError(
            "no attempt is left: the data set would be empty.",
            mend="See why with --dry-run; fill the store with `kernelwright bench run` or `kernelwright dataset expand`.",
        )
    text = card(built.selection, built.rows, built.rules, built.harvest, built.held_out, built.facts)

    def files(folder: Path) -> None:
        (folder / DATA_FILE).parent.mkdir()
        write_parquet(built.rows, built.rules.purpose, folder / DATA_FILE)
        (folder / DROPPED_FILE).write_text(dropped_lines(built.selection), encoding="utf-8")
        (folder / CARD_FILE).write_text(text, encoding="utf-8")

    return replace_set(out, files, force=force)


def held_out_tasks(names: Sequence[str], imported: Path) -> list[HeldOut]:
    """Tasks of suites, collections and task files, by name or path.

    Raises:
        NotFoundError: there is no such suite or path.
        TaskError: a file is no task.
    """
    found: list[HeldOut] = []
    for name in dict.fromkeys(names):
        path = Path(name)
        if name not in OWN and path.suffix == ".py" and path.is_file():
            found += _held(Suite(path.stem, "", "kernelbench", tuple(tasks_of_file(path)), str(path)), path.name)
            continue
        suite = find_suite(name, imported)
        found += _held(suite, path.name if path.exists() else name)
    return found


def harvest(store: Store, on_step: Step) -> Harvest:
    """All that curation needs of the store."""
    tallies = store.tallies()
    passed = sum(counts.get(Verdict.PASSED.value, 0) for counts in tallies.values())
    failed: dict[str, int] = {}
    for counts in tallies.values():
        for verdict, count in counts.items():
            if verdict != Verdict.PASSED.value:
                failed[verdict] = failed.get(verdict, 0) + count
    tasks: dict[str, Task] = {}
    candidates: list[Candidate] = []
    after = 0
    while page := store.judged(after, _PAGE):
        on_step("reading the store", len(candidates), passed)
        after = page[-1].row
        said = store.reasonings([(row.run_id, row.number) for row in page])
        for row in page:
            if row.task_id not in tasks:
                tasks[row.task_id] = store.task(row.task_id)
            candidates.append(_candidate(row, tasks[row.task_id], said.get((row.run_id, row.number))))
    flags = store.flags()
    attempts = {
        task: (sum(counts.values()), counts.get(Verdict.PASSED.value, 0)) for task, counts in sorted(tallies.items())
    }
    condemned = Condemned(flags.everywhere, flags.on_task, flags.sources)
    return Harvest(
        tuple(candidates), failed, condemned, attempts, runs=len({each.run_id for each in candidates})
    )  # fmt: skip


def _candidate(row: JudgedRow, task: Task, said: tuple[str, Reply] | None) -> Candidate:
    stages = [Stage.model_validate(stage) for stage in row.stages]
    worst: dict[str, str] = {}
    for stage in stages:
        given = [worst[stage.name]] if stage.name in worst else []
        worst[stage.name] = min([*given, stage.status.value], key=_GRAVEST.index)
    timing = row.timing
    archive = row.settings.get("archive")
    about: Mapping[str, Any] = archive if isinstance(archive, Mapping) else {}
    claims = row.settings.get("claims")
    claim = claims.get(str(row.number), {}).get("speedup") if isinstance(claims, Mapping) else None
    reasoning = None
    if said is not None:
        prompt, reply = said
        alone = prompt.startswith("coder/start@") and not row.settings.get("exemplars")
        reasoning = Reasoning(_thoughts(reply), alone)
    return Candidate(
        run_id=row.run_id,
        number=row.number,
        task=replace(task, name=row.task_name, path=row.task_path),
        kernel_id=row.kernel_id,
        kernel=row.source,
        author=row.author,
        strategy=row.strategy,
        evaluation_id=row.evaluation_id,
        stages=worst,
        remarks=remarks_of(stages),
        kind=TimingKind(timing["kind"]),
        gpu=str(timing["gpu"]),
        seconds=float(timing["seconds"]),
        baseline_seconds=float(timing["baseline_seconds"]),
        baseline=str(timing.get("baseline", "eager")),
        bound_seconds=float(timing["bound_seconds"]),
        device=row.device,
        versions=row.versions,
        reasoning=reasoning,
        claim=None if claim is None else float(claim),
        licence=str(about.get("licence", "")),
        archive=str(about.get("name", "")),
    )


def _thoughts(reply: Reply) -> str:
    """What a model thought: what its server showed, or what stands in its reply before or beside the code."""
    if reply.reasoning.strip():
        return clean(reply.reasoning).strip()
    text = clean(reply.text)
    answer = without_thoughts(text)
    thought = text[: len(text) - len(answer)] if text.endswith(answer) else ""
    if thought.strip():
        return re.sub(r"</?(?:think|thinking|reasoning)>", "", thought).strip()
    return _FENCED.sub("", answer).strip()


@cache
def _own_ids() -> frozenset[str]:
    """Of all tasks of our own suites, at both scales."""
    return frozenset(task_id for name in OWN for each in _held(own_suite(name), name) for task_id in each.ids)


def _held(suite: Suite, name: str) -> Iterable[HeldOut]:
    if suite.unreadable:  # what can't be read can't be compared with either, and nobody would know
        raise MisuseError(
            f"{len(suite.unreadable)} of the tasks of {name} can't be read, so they would not be held out; the first is {suite.unreadable[0].name}.",
            mend="Mend or remove the files, or name those that can be read one by one.",
        )
    for each in suite.tasks:
        ids = {each.task.id}
        with suppress(TaskError):  # a twin that does not fit its file: at full size it is held out all the same
            ids.add(each.at(Scale.TWIN).id)
        yield HeldOut(name, each.name, each.task.source, frozenset(ids))
