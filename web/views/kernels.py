"""Kernels by what they are: the list that is searched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import BaseModel

from kernelwright.db.catalogue_search import FEW, FoundKernel, Order, Wanted
from kernelwright.db.facets import Facets
from kernelwright.db.store import Store
from kernelwright.verifier.evaluation import TimingKind, Verdict
from kernelwright.web.kept import Kept

__all__ = ["Chosen", "KernelLine", "KernelList", "Option", "kernel_list"]

_CHOICES_SECONDS = 60.0
_KINDS_SECONDS = 5.0
_OFFERED = 60
"""Values of one field."""


class KernelLine(BaseModel):
    """A kernel on a task, for a GPU, with one kind of time. Times in seconds, null where it never passed."""

    kernel_id: str
    task_id: str
    task_name: str
    operations: list[str]
    dtypes: list[str]
    shapes: list[str]
    """Of the task's inputs, as far as its source tells: `4096x1024`."""
    gpu: str
    arch: str
    timing_kind: TimingKind
    verdict: Verdict
    """Of its best evaluation; or what another one found out: that it cheats, is unsafe or is wrong."""
    found_out: bool
    """Whether it passed once and was found out in another evaluation."""
    seconds: float | None
    baseline_seconds: float | None
    speedup: float | None
    """Baseline over candidate; null where the verdict is not `passed`."""
    speedup_low: float | None
    speedup_high: float | None
    """A 95 % interval over its calls."""
    author: str
    techniques: list[str]
    evaluations: int
    evaluation_id: str
    created: datetime
    """When its best evaluation was stored."""


_SAME = frozenset(KernelLine.model_fields)


class Option(BaseModel):
    """Something that can be chosen, and how many kernels there would be."""

    value: str
    count: int


class Chosen(BaseModel):
    """What the list is chosen by; an empty text is all."""

    q: str = ""
    """Words of tasks, operations, classes, CUDA kernels, plans and authors; one that nothing has stands for all that begin so."""
    kind: TimingKind
    op: str = ""
    shape: str = ""
    dtype: str = ""
    technique: str = ""
    gpu: str = ""
    arch: str = ""
    author: str = ""
    verdict: str = ""
    task: str = ""
    """Id of a task."""
    sort: Order = Order.SPEEDUP

    def wanted(self) -> Wanted:
        """The same, as the store is asked."""
        return Wanted(
            self.kind, words=self.q, operation=self.op, shape=self.shape, dtype=self.dtype, technique=self.technique,
            gpu=self.gpu, arch=self.arch, author=self.author, verdict=self.verdict, task_id=self.task,
        )  # fmt: skip


class KernelList(BaseModel):
    """A page of the list of kernels."""

    chosen: Chosen
    kinds: list[TimingKind]
    """The kinds of time that some kernel was judged with."""
    kernels: list[KernelLine]
    after: str
    """Of the next page; empty when this is the last."""
    count: int | None
    """How many there are in all; null where they are too many to be counted at once."""
    counted_up_to: int
    """From more than so many on they are not counted."""
    choices: dict[str, list[Option]]
    """By field, what is there to be chosen, the most frequent first; of all kernels with this kind of time."""
    counts: dict[str, list[Option]]
    """By field, the same of those that were found; empty where they were not counted."""


def kernel_list(store: Store, kept: Kept, given: dict[str, Any], after: str, limit: int) -> KernelList:
    """A page of the list.

    Args:
        given: fields of `Chosen`; without a kind it is measured where some kernel was.
    """
    kinds = kept.get("kinds", store.timing_kinds, seconds=_KINDS_SECONDS, oldest=_KINDS_SECONDS).value
    chosen = Chosen(**{"kind": (kinds or [TimingKind.MODELLED])[0]} | given)
    found = store.find_kernels(chosen.wanted(), chosen.sort, after, limit)
    choices = kept.get(
        ("choices", chosen.kind),
        lambda: _choices(store.facets(chosen.kind)),
        seconds=_CHOICES_SECONDS,
        oldest=10 * _CHOICES_SECONDS,
    ).value
    return KernelList(
        chosen=chosen,
        kinds=kinds,
        kernels=[_line(each) for each in found.kernels],
        after=found.after,
        count=found.count,
        counted_up_to=FEW,
        choices=choices,
        counts={name: _options(counts) for name, counts in found.counts.items()},
    )


def _options(counts: Mapping[str, int]) -> list[Option]:
    return [Option(value=value, count=count) for value, count in islice(counts.items(), _OFFERED)]


def _line(found: FoundKernel) -> KernelLine:
    passed = found.verdict is Verdict.PASSED
    return KernelLine(
        **{name: value for name, value in vars(found).items() if name in _SAME},
        timing_kind=found.kind,
        found_out=not passed and found.seconds is not None,
        speedup=found.score if passed else None,
    )


def _choices(facets: Facets) -> dict[str, list[Option]]:
    names = {
        "gpu": facets.gpus, "arch": facets.arches, "verdict": facets.verdicts, "technique": facets.techniques,
        "author": facets.authors, "op": facets.operations, "dtype": facets.dtypes,
    }  # fmt: skip
    return {name: _options(counts) for name, counts in names.items()}
