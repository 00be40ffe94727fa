"""Opens a task of a suite and prices choices of its kernels, a few at a time, into its price list."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils import _pytree as pytree

from kernelwright.agents.builtin.lower import KernelTemplate
from kernelwright.agents.builtin.policy.candidates import key_of, legal_choices
from kernelwright.agents.builtin.policy.facts import Value, choice_facts, kernel_facts
from kernelwright.agents.builtin.policy.observing import observed
from kernelwright.bench_tasks.suite import Scale, SuiteTask
from kernelwright.bench_tasks.task import TaskSignature, TensorSpec
from kernelwright.rl.policy.pricelist import Entry, Header, PriceList, Surveyed
from kernelwright.rl.policy.pricing import PRICING_ERRORS, OpenTask
from kernelwright.rl.run import Attempt
from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.model.assemble import bound
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["Survey", "list_path"]

_log = logging.getLogger(__name__)

_SEED = "landscape"


def list_path(folder: Path, name: str) -> Path:
    """Where the price list of a task lies: ``core/softmax@half`` is ``core.softmax@half.jsonl``."""
    return folder / f"{name.replace('/', '.')}.jsonl"


class Survey:
    """A task on its way to a landscape.

    Choices are priced in one fixed order, which looks random and begins with the built-in coder's first choice, so that a survey
    that was stopped holds a random part of what it would have held.

    Args:
        choices: of each kernel function, at most.

    Raises:
        TaskError, LoweringError: the built-in coder can write nothing for the task.
        ValueError: it leaves something to torch.
    """

    def __init__(self, suite: str, each: SuiteTask, folder: Path, gpu: Gpu, gpus: Sequence[Gpu], choices: int) -> None:
        task = each.at(Scale.TWIN)
        self.name = f"{suite}/{each.name}"
        self.opened = OpenTask(task, gpu)
        coder = self.opened.coder
        if coder.stays_in_torch:
            raise ValueError(f"{self.name} leaves {', '.join(coder.stays_in_torch)} to torch")
        self._order: dict[str, list[dict[str, Value]]] = {}
        kernels = []
        for kernel in coder.kernels:
            wanted, whole = legal_choices(kernel, choices, _SEED)
            self._order[kernel.name] = wanted
            kernels.append(Surveyed(kernel_facts(kernel), kernel.defaults(), len(wanted), whole))
        signature = _signature(self.opened)
        operations = self.opened.eager_operations()
        bounds = {card.name: bound(signature, operations, card).seconds for card in gpus}
        self.prices = PriceList(
            list_path(folder, self.name),
            Header(self.name, each.family, task.id, gpu.name, gpu.sms, tuple(kernels), bounds),
        )

    def missing(self) -> Iterator[tuple[KernelTemplate, dict[str, Value]]]:
        """Choices that have no price yet, of all kernels in turn."""
        kernels = self.opened.coder.kernels
        for place in range(max(map(len, self._order.values()), default=0)):
            for kernel in kernels:
                wanted = self._order[kernel.name]
                if place < len(wanted) and (kernel.name, key_of(wanted[place])) not in self.prices.known:
                    yield kernel, wanted[place]

    def take(self, attempt: Attempt) -> int:
        """Keeps what a finished attempt on this task has counted; returns how many choices of kernels were new.

        An attempt that did not pass, was profiled in part, or is of other templates says nothing here.
        """
        said = observed(attempt.kernel, attempt.evaluation, self.opened.coder.defaults)
        profile = attempt.evaluation.profile
        if said is None or profile is None or not said.by_kernel:
            return 0
        reports = [LaunchReport.from_json(raw) for raw in profile.launches]
        taken = 0
        for kernel in self.opened.coder.kernels:
            knobs = dict(said.knobs[kernel.name])
            if (kernel.name, key_of(knobs)) in self.prices.known or not kernel.legal(knobs):
                continue
            generated = self.opened.coder.generate(kernel, knobs)
            functions = {launch.function for launch in generated.launches}
            own = tuple(replace(report, lines=(), code=None) for report in reports if report.kernel in functions)
            if len(own) == len(generated.launches):
                self.prices.add(Entry(kernel.name, choice_facts(knobs, generated), own))
                taken += 1
        return taken

    def price(self, kernel: KernelTemplate, knobs: dict[str, Value]) -> Entry:
        """Prices one choice and keeps it; one that can't be compiled or launched is kept with the reason."""
        facts = self.opened.facts(kernel, knobs)
        try:
            entry = Entry(kernel.name, facts, tuple(self.opened.reports(kernel, knobs)))
        except PRICING_ERRORS as error:
            entry = Entry(kernel.name, facts, (), f"{type(error).__name__}: {error.message}"[:300])
        self.prices.add(entry)
        return entry


def _signature(opened: OpenTask) -> TaskSignature:
    """The tensors of one call."""

    def specs(values: object) -> tuple[TensorSpec, ...]:
        tensors = [x for x in pytree.tree_leaves(values) if isinstance(x, torch.Tensor)]
        return tuple(
            TensorSpec(str(i), tuple(x.shape), str(x.dtype).removeprefix("torch."), tuple(x.stride()))
            for i, x in enumerate(tensors)
        )

    with torch.no_grad():
        outputs = opened.model(*opened.inputs)
    return TaskSignature(specs(opened.inputs), specs(outputs), specs(opened.model.state_dict()))
