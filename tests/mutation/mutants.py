"""Mutants: honest kernels with one fault each, the same ones in every run."""

from __future__ import annotations

import difflib
import hashlib
import random
from collections import defaultdict
from dataclasses import dataclass

from honest.corpus import KERNELS
from honest.kernel import Honest
from mutation.operators import OPERATORS, Edit, Operator, device_span

__all__ = ["Mutant", "all_mutants", "chosen_mutants"]


@dataclass(frozen=True)
class Mutant:
    """An honest kernel with one fault."""

    kernel: Honest
    operator: Operator
    site: int
    """The number of the operator's site in that kernel."""
    source: str

    @property
    def name(self) -> str:
        """``task-style/operator/site``."""
        return f"{self.kernel.name}/{self.operator.name}/{self.site}"

    @property
    def key(self) -> str:
        """Content hash; 12 hex digits."""
        return hashlib.sha256(f"{self.name}\0{self.source}".encode()).hexdigest()[:12]

    @property
    def diff(self) -> str:
        """The changed lines: `-` the honest kernel's, `+` the mutant's."""
        before, after = self.kernel.source.splitlines(), self.source.splitlines()
        lines = difflib.unified_diff(before, after, n=0, lineterm="")
        return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _apply(text: str, edit: Edit) -> str:
    changed = text[: edit.start] + edit.new + text[edit.end :]
    if edit.prelude and edit.prelude not in text:
        start, _ = device_span(text)
        changed = changed[:start] + "\n" + edit.prelude.rstrip("\n") + changed[start:]
    return changed


def all_mutants(operator: Operator) -> list[Mutant]:
    """Every mutant of one operator, kernel by kernel."""
    return [
        Mutant(kernel, operator, site, _apply(kernel.source, edit))
        for kernel in KERNELS
        for site, edit in enumerate(operator.sites(kernel.source))
    ]


def chosen_mutants() -> list[Mutant]:
    """The mutants of a run: of every operator its quota, spread over the tasks; the same ones in every run."""
    chosen: list[Mutant] = []
    for operator in OPERATORS:
        by_task: dict[str, list[Mutant]] = defaultdict(list)
        for mutant in all_mutants(operator):
            by_task[mutant.kernel.task].append(mutant)
        generator = random.Random(operator.name)  # not a secret: which faults are tried, not what they are tried on
        tasks = list(by_task)
        generator.shuffle(tasks)
        for mutants in by_task.values():
            generator.shuffle(mutants)
        taken: list[Mutant] = []
        while len(taken) < operator.quota and any(by_task.values()):
            for task in tasks:
                if by_task[task] and len(taken) < operator.quota:
                    taken.append(by_task[task].pop())
        chosen += taken
    return chosen
