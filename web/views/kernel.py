"""One kernel: what it is, how it was judged, where it came from and what came from it, and how it is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from kernelwright.config import Settings
from kernelwright.db.look import Judgement, StoredEvaluation
from kernelwright.db.store import Store
from kernelwright.errors import NotFoundError
from kernelwright.export import cuda_file, inline_file, kernel_file
from kernelwright.leaderboard.entry_file import evidence
from kernelwright.verifier.evaluation import TimingKind, Verdict
from kernelwright.web.views.figures import Text

__all__ = ["Form", "JudgementLine", "KernelPage", "Taken", "evidence_of", "kernel_page", "taken"]


class Form(StrEnum):
    """How a kernel is written down."""

    PYTHON = "python"
    """A module that needs torch and CuPy."""
    LOAD_INLINE = "load_inline"
    """A module that torch builds, without CuPy."""
    CU = "cu"
    """The CUDA C++ alone."""


class JudgementLine(BaseModel):
    """How it was judged once; times in seconds."""

    evaluation_id: str
    task_id: str
    task_name: Text
    verdict: Verdict
    reason: Text
    device: Text
    gpu: str
    timing_kind: TimingKind | None
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    baseline: str
    baseline_seconds: float | None
    speedup: float | None
    """Baseline over candidate."""
    created: datetime


class MakerLine(BaseModel):
    """An attempt that made it."""

    run_id: str
    number: int
    task_name: Text
    plan: Text
    created: datetime


class ParentLine(BaseModel):
    """A kernel that it came from."""

    id: str
    stored: bool


class KernelPage(BaseModel):
    """A kernel with its neighbours; of judgements, attempts and children the newest fifty."""

    id: str
    author: Text
    """As first seen."""
    created: datetime
    parameters: dict[str, str]
    source: Text
    parents: list[ParentLine]
    children: list[str]
    makers: list[MakerLine]
    judgements: list[JudgementLine]
    main: JudgementLine | None
    """The newest that passed, measured ones first; else the newest."""


class Taken(BaseModel):
    """A file to be taken away."""

    name: str
    text: str


def kernel_page(store: Store, kernel_id: str) -> KernelPage:
    """The kernel with this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none, or several.
    """
    found = store.kernel_look(kernel_id)
    kernel = found.kernel
    main = _main(found.judgements)
    return KernelPage(
        id=kernel.id,
        author=kernel.author,
        created=found.created,
        parameters={name: str(value) for name, value in kernel.parameters.items()},
        source=kernel.source,
        parents=[ParentLine(id=each, stored=each in found.known_parents) for each in dict.fromkeys(kernel.parents)],
        children=list(found.children),
        makers=[MakerLine(**asdict(each)) for each in found.makers],
        judgements=[JudgementLine(**asdict(each)) for each in found.judgements],
        main=None if main is None else JudgementLine(**asdict(main)),
    )


def taken(store: Store, kernel_id: str, form: Form, evaluation_id: str | None = None) -> Taken:
    """A kernel as a file.

    Args:
        evaluation_id: whose verdict stands in it; `KernelPage.main` without it.

    Raises:
        NotFoundError: there is no such kernel, or it has no such evaluation.
        MisuseError: it can't be put into this form, and why.
    """
    stored = _evaluation(store, kernel_id, evaluation_id)
    kernel = store.kernel(stored.evaluation.kernel_id)
    task = store.task(stored.evaluation.task_id)
    write = {Form.PYTHON: kernel_file, Form.LOAD_INLINE: inline_file, Form.CU: cuda_file}[form]
    text = write(task, kernel, stored.evaluation, stored.created)
    middle = "_inline" if form is Form.LOAD_INLINE else ""
    return Taken(name=f"{safe(task.name)}-{kernel.id}{middle}.{'cu' if form is Form.CU else 'py'}", text=text)


def evidence_of(store: Store, settings: Settings, kernel_id: str, evaluation_id: str | None) -> tuple[str, bytes]:
    """Name and bytes of an evidence bundle: what `kernelwright recheck` judges again.

    Raises:
        NotFoundError: there is no such kernel or evaluation, or its GPU is not in the table any more.
        BundleError: it would be too large.
    """
    stored = _evaluation(store, kernel_id, evaluation_id)
    own = store.settings_of(stored.id)
    known: dict[str, Any] = {name: own[name] for name in ("call_seconds", "memory_bytes") if name in own}
    data = evidence(store, settings.model_copy(update=known), stored.id)
    return f"{stored.evaluation.kernel_id}-{stored.id}.bundle", data


def safe(name: str) -> str:
    """A stranger's name as part of a file's name: ASCII, and nothing that means something to a shell or a header."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:60]
    return kept.strip("_-") or "kernel"


def _evaluation(store: Store, kernel_id: str, evaluation_id: str | None) -> StoredEvaluation:
    found = store.kernel_look(kernel_id)
    if evaluation_id is None:
        main = _main(found.judgements)
        if main is None:
            raise NotFoundError(f"Kernel {found.kernel.id} was never judged.", mend="Read its source on its page.")
        return store.stored_evaluation(main.evaluation_id)
    stored = store.stored_evaluation(evaluation_id)
    if stored.evaluation.kernel_id != found.kernel.id:
        raise NotFoundError(
            f"Evaluation {stored.id} is of kernel {stored.evaluation.kernel_id}, not {found.kernel.id}.",
            mend="The kernel's page lists its evaluations.",
        )
    return stored


def _main(judgements: Sequence[Judgement]) -> Judgement | None:
    """The first one that passed and was measured, that passed, that there is; they come newest first."""
    passed = [each for each in judgements if each.verdict is Verdict.PASSED]
    measured = [each for each in passed if each.timing_kind is TimingKind.MEASURED]
    return next(iter((*measured, *passed, *judgements)), None)
