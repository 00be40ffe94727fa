"""What can be asked for, what is asked for, and what a look at it found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import Distribution, TensorSpec, Workload
from kernelwright.config import Settings
from kernelwright.errors import KernelwrightError, TaskError
from kernelwright.rl.run import Run
from kernelwright.rl.strategies import STRATEGIES
from kernelwright.sandbox.probe import ProbeStatus
from kernelwright.service.inspection import Inspector, Lowering, Opened, counted
from kernelwright.verifier.model.gpus import all_gpus, find_gpu
from kernelwright.words import one_line

__all__ = ["FieldProblem", "Inspection", "LoweringView", "Offer", "Refused", "Source", "Submission", "Tensor", "checked", "inspect", "lowering", "offer"]  # fmt: skip

MOST_SOURCE = 256 << 10
"""Characters of a module; the largest of KernelBench has 15,000."""
_NAME = r"[A-Za-z_]\w{0,63}"


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class AddedWorkload(_Asked):
    """A way of making inputs, beside those that every task is judged on."""

    distribution: Distribution = Distribution.AS_GIVEN
    name: str = Field(default="", max_length=60)
    """Empty is the distribution's."""
    seeds: int = Field(default=1, ge=1, le=32)
    strided: bool = False
    """Whether its tensors are not contiguous."""
    sizes: dict[str, int] = Field(default_factory=dict, max_length=16)
    """Numbers at the top level of the module, by name, and what they are here."""


class Source(_Asked):
    """A module to be looked at."""

    source: str = Field(min_length=1, max_length=MOST_SOURCE)
    """A Python file with `Model`, `get_inputs()` and `get_init_inputs()`."""
    name: str = Field(default="module", pattern=f"^{_NAME}$")
    workloads: list[AddedWorkload] = Field(default_factory=list, max_length=16)
    scale: Literal["auto", "twin", "full"] = "auto"
    """Sizes: the module's own (`full`), smaller ones (`twin`), or smaller ones where the emulator needs them."""


class Submission(Source):
    """A search that is asked for."""

    gpu: str | None = Field(default=None, max_length=64)
    """Null is the server's own choice."""
    strategy: Literal["refine", "fsr", "translate-evolve", "evolve", "best-of-n"] = "refine"
    rounds: int = Field(default=6, ge=1, le=200)
    candidates: int | None = Field(default=None, ge=1, le=64)
    sampler: Literal["random", "tpe", "policy"] = "random"
    seed: str = Field(default="", max_length=200)
    model: str = Field(default="", max_length=200)
    """One of those that the server offers; empty is the built-in coder."""
    budget: Decimal | None = Field(default=None, gt=0, max_digits=12, decimal_places=6)
    """US dollars that calls of models may cost; null is the most that the server allows."""


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str
    mend: str = ""
    line: int | None = None


class Refused(KernelwrightError):
    """A submission with problems at its fields."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(problems[0].message, mend=problems[0].mend)
        self.problems = list(problems)


class Tensor(BaseModel):
    """Shape and dtype of a tensor, as torch spells them."""

    name: str
    shape: list[int]
    dtype: str


class WorkloadView(BaseModel):
    """A way of making inputs."""

    name: str
    distribution: Distribution
    seeds: int
    strided: bool
    sizes: dict[str, int]


class Inspection(BaseModel):
    """What a look at a module found."""

    ok: bool
    """Whether it can be submitted as it is."""
    problems: list[FieldProblem]
    task_id: str | None
    """At the sizes at which it will be judged."""
    inputs: list[Tensor]
    outputs: list[Tensor]
    parameters: list[Tensor]
    elements: int
    """Of inputs, outputs and parameters, at full size."""
    flops: int
    """Of matrix products, convolutions and attention in one call, at full size."""
    twin: dict[str, int]
    """Smaller values for numbers of the file, where it is scaled down."""
    backward: bool
    workloads: list[WorkloadView]


class LoweringView(BaseModel):
    """What the built-in coder could write of a module."""

    operations: dict[str, int]
    """ATen operations, and how often each is there."""
    kernels: list[str]
    stays_in_torch: list[str]
    problem: str
    """Why it can write nothing; empty where it can."""
    mend: str


class Choice(BaseModel):
    """Something that can be chosen."""

    value: str
    label: str


class Offer(BaseModel):
    """What this server offers."""

    gpus: list[Choice]
    gpu: str
    strategies: list[str]
    samplers: list[str]
    models: list[str]
    """Language models that may be asked for; empty where there are none."""
    most_rounds: int
    most_budget: Decimal
    """US dollars for one run."""
    distributions: list[str]
    most_source: int
    """Characters."""


def offer(settings: Settings) -> Offer:
    """What can be asked for here."""
    return Offer(
        gpus=[Choice(value=each.name, label=f"{each.name} ({each.arch})") for each in all_gpus()],
        gpu=find_gpu(settings.gpu).name,
        strategies=list(STRATEGIES),
        samplers=["random", "tpe", "policy"],
        models=list(offered_models(settings)),
        most_rounds=settings.offered_rounds,
        most_budget=settings.offered_budget,
        distributions=[each.value for each in Distribution],
        most_source=MOST_SOURCE,
    )


def offered_models(settings: Settings) -> tuple[str, ...]:
    """The language models that a submission may name: they are paid by whoever runs the server."""
    return tuple(dict.fromkeys((*filter(None, (settings.model,)), *settings.offered_models)))


def inspect(inspector: Inspector, asked: Source, *, gpu: bool) -> Inspection:
    """Opens the module; what is wrong with it is among the problems.

    Args:
        gpu: whether kernels are judged on a GPU here, which takes any size.

    Raises:
        Busy: too many others are waiting.
    """
    try:
        opened = inspector.look(with_workloads(asked), name=asked.name)
    except TaskError as error:
        return _problem(error)
    try:
        task = opened.at(asked.scale, gpu=gpu)
    except TaskError as error:
        return _found(opened, [_at_field(error, "source")], None)
    return _found(opened, [], task.id)


def lowering(inspector: Inspector, asked: Source, *, gpu: bool) -> LoweringView:
    """What could be lowered.

    Raises:
        TaskError: it can't be opened.
        Busy: too many others are waiting.
    """
    task = inspector.look(with_workloads(asked), name=asked.name).at(asked.scale, gpu=gpu)
    found: Lowering = inspector.lowering(task)
    return LoweringView(
        operations=counted(found.operations),
        kernels=list(found.kernels),
        stays_in_torch=list(found.stays_in_torch),
        problem=found.problem,
        mend=found.mend,
    )


def checked(settings: Settings, asked: Submission) -> Settings:
    """The settings of a search as asked for, within what is offered.

    Raises:
        Refused: something is not offered; says at which fields.
    """
    problems = []
    changes: dict[str, Any] = {name: getattr(asked, name) for name in ("strategy", "rounds", "candidates", "sampler", "seed", "model")}  # fmt: skip
    try:
        changes["gpu"] = find_gpu(asked.gpu or settings.gpu).name
    except KernelwrightError as error:
        problems.append(_at_field(error, "gpu"))
    models = offered_models(settings)
    if asked.model and asked.model not in models:
        known = f"Offered are {', '.join(models)}." if models else "This server offers no language models."
        problems.append(
            FieldProblem(field="model", message=f"{one_line(asked.model, 80)!r} is not offered here.", mend=known)
        )
    if asked.rounds > settings.offered_rounds:
        problems.append(
            FieldProblem(field="rounds", message=f"A search may make {settings.offered_rounds} attempts here.")
        )
    if asked.budget is not None and asked.budget > settings.offered_budget:
        problems.append(FieldProblem(field="budget", message=f"A search may cost ${settings.offered_budget} here."))
    if asked.budget is not None and not asked.model:
        problems.append(FieldProblem(field="budget", message="A budget is for language models, and none is chosen."))
    if problems:
        raise Refused(problems)
    if asked.model:
        changes["budget"] = asked.budget or settings.offered_budget
    return settings.model_copy(update=changes)


def with_workloads(asked: Source) -> str:
    """The module's text with the added workloads, as the file itself would ask for them.

    Raises:
        TaskError: it asks for some itself in the same way, or one has a name that can't be.
    """
    if not asked.workloads:
        return asked.source
    if re.search(r"^MORE_WORKLOADS\b", asked.source, re.MULTILINE):
        raise TaskError("the module has a list MORE_WORKLOADS of its own.", mend="Write the further workloads into it.")
    task_from_source(asked.source, name=asked.name)  # a text that is no Python is not looked through for numbers
    numbers = constants_of(asked.source)
    rows = []
    for each in asked.workloads:
        for name in each.sizes:
            if type(numbers.get(name)) is not int:
                raise TaskError(
                    f"the module has no whole number called {one_line(name, 60)!r} at its top level.",
                    mend="Name one that it has, for a workload of other sizes.",
                )
        row = each.model_dump(mode="json", exclude_defaults=True)
        rows.append({"distribution": each.distribution.value, **row})
    listed = "".join(f"    {row!r},\n" for row in rows)
    return f"{asked.source.rstrip()}\n\nMORE_WORKLOADS = [\n{listed}]\n"


class Created(BaseModel):
    """A search that was put into the queue."""

    id: str
    task_id: str
    status: str
    page: str
    """Path of the page to watch it on."""


def created(run: Run) -> Created:
    """What is told of a new run."""
    return Created(id=run.id, task_id=run.task.id, status=run.status.value, page=f"/runs/{run.id}")


def _problem(error: TaskError) -> Inspection:
    empty: Mapping[str, Any] = {"inputs": [], "outputs": [], "parameters": [], "twin": {}, "workloads": []}
    return Inspection(ok=False, problems=[_at_field(error, "source")], task_id=None, elements=0, flops=0, backward=False, **empty)  # fmt: skip


def _found(opened: Opened, problems: list[FieldProblem], task_id: str | None) -> Inspection:
    probe = opened.probe
    return Inspection(
        ok=not problems,
        problems=problems,
        task_id=task_id,
        **{name: _tensors(getattr(probe, name)) for name in ("inputs", "outputs", "parameters")},
        elements=probe.elements,
        flops=probe.flops,
        twin=dict(probe.twin) if probe.status is ProbeStatus.LOADED else {},
        backward=opened.task.backward,
        workloads=[_workload(each) for each in opened.task.workloads],
    )


def _tensors(specs: Sequence[TensorSpec]) -> list[Tensor]:
    return [Tensor(name=each.name, shape=list(each.shape), dtype=each.dtype) for each in specs]


def _workload(each: Workload) -> WorkloadView:
    return WorkloadView(
        name=each.name, distribution=each.distribution, seeds=each.seeds, strided=each.strided, sizes=dict(each.sizes)
    )


def _at_field(error: KernelwrightError, field: str) -> FieldProblem:
    return FieldProblem(field=field, message=one_line(error.message, 1000), mend=one_line(error.mend or "", 500), line=error.line)  # fmt: skip
