"""The prompts of training: the contrastive one, and those of later turns, which show a kernel's verdict or its profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kernelwright.agents.llm.briefing import Briefing
from kernelwright.agents.llm.evidence import attempt_facts
from kernelwright.agents.llm.facts import briefing_facts
from kernelwright.agents.llm.history import history_table
from kernelwright.agents.llm.templates import Prompt, render
from kernelwright.agents.protocols import PastAttempt
from kernelwright.rl.contrastive.exemplars import Variant

__all__ = ["ContrastivePrompt", "Messages", "PromptWriter", "as_messages"]

Messages = list[dict[str, str]]
"""A conversation: `role` (`system`, `user`, `assistant`) and `content`."""


class PromptWriter(Protocol):
    """Writes what a model is asked for one task."""

    def first(self, variants: Sequence[Variant]) -> Messages:
        """The prompt of a first turn.

        Args:
            variants: earlier kernels with their scores, slowest first; empty while there is none.
        """
        ...

    def next(self, attempts: Sequence[PastAttempt]) -> Messages:
        """The prompt of a later turn.

        Args:
            attempts: the earlier turns' kernels as they were judged, at least one; the last is to be mended or made faster.
        """
        ...


class ContrastivePrompt:
    """The prompts of one task, from the templates beside those of the coder (`agents/prompts/contrastive`).

    Args:
        briefing: the task and the GPU. Its exemplars are not shown: what a prompt shows is drawn anew each time.
    """

    def __init__(self, briefing: Briefing) -> None:
        self._briefing = briefing
        self._facts = {**briefing_facts(briefing), "exemplars": ()}

    def first(self, variants: Sequence[Variant]) -> Messages:
        """See `PromptWriter`."""
        return as_messages(render("contrastive/write", {**self._facts, "variants": list(variants), "kernel_text": ""}))

    def next(self, attempts: Sequence[PastAttempt]) -> Messages:
        """See `PromptWriter`."""
        last = attempts[-1]
        facts: dict[str, Any] = {
            **self._facts,
            **attempt_facts(last, self._briefing),
            "history": history_table(attempts),
            "advice": None,
            "others": [],
            "replies": "full",
        }
        return as_messages(render("coder/improve" if last.evaluation.passed else "coder/repair", facts))


def as_messages(prompt: Prompt) -> Messages:
    """A rendered prompt as a conversation."""
    return [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
