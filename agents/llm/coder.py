"""LlmCoder: a language model as the author of kernels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from kernelwright.agents.builtin.lessons import seconds
from kernelwright.agents.llm.briefing import Briefing
from kernelwright.agents.llm.conversation import Conversation, Options
from kernelwright.agents.llm.edits import EditProblem, apply_edits, find_edits, has_edits, without_edits
from kernelwright.agents.llm.evidence import attempt_facts
from kernelwright.agents.llm.facts import briefing_facts
from kernelwright.agents.llm.history import history_table
from kernelwright.agents.llm.parse import blocks, clean, find_kernel, is_module, plan_of, without_thoughts
from kernelwright.agents.llm.templates import render
from kernelwright.agents.llm.text import one_line, shortened
from kernelwright.agents.models.protocol import ModelClient, Reasoning, Reply
from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict

__all__ = ["LlmCoder", "Replies"]

Replies = Literal["auto", "full", "diff"]

_FORMS: Mapping[str, Replies] = MappingProxyType(
    {"tune": "diff", "template": "full", "diff": "diff", "rewrite": "full", "crossover": "full"}
)
"""The operators that have a prompt of their own (`kernelwright.rl.operators`), with the form of reply that each asks for."""
_RIGHT = frozenset({Verdict.PASSED, Verdict.OUTCLASSED})
"""Verdicts of kernels with nothing to mend."""
_NUMBER = re.compile(r"(?<![\w.])(?:0[xX][0-9a-fA-F]+|\d[\d']*\.?\d*(?:[eE][+-]?\d+)?)[uUlLfF]*")

_TRIES = 3
"""Requests for one kernel: the first, and two where the reply could not be used."""
_LARGEST = 256 * 1024  # characters of a module: hundreds of times what a kernel needs


class _Unusable(Exception):
    """A reply holds no kernel to judge; the message is for its author."""


@dataclass(frozen=True)
class _Read:
    """What a reply was found to hold."""

    source: str
    how: str
    """`full` or `diff`."""
    note: str = ""


class LlmCoder:
    """A Coder (see `kernelwright.agents.protocols`) that asks a model.

    A reply that can't be used goes back with what is wrong with it, twice at most. Then its text becomes the kernel as it is:
    the verifier refuses it, and the attempt is kept with what was said.

    Args:
        model: who is asked.
        briefing: what it is told of the run.
        replies: whole modules (`full`), changes of the parent (`diff`), or as the model likes (`auto`). Whatever it replies
            is taken if it can be.
        kernels_shown: kernels that a prompt for a faster one shows whole, the parent included: the fastest of those in the
            history that passed, from slow to fast. Every other attempt is a line of a table.
    """

    def __init__(
        self, model: ModelClient, briefing: Briefing, *, reasoning: Reasoning | None = None,
        temperature: float | None = None, replies: Replies = "auto", max_output_tokens: int = 16_384, kernels_shown: int = 1,
    ) -> None:  # fmt: skip
        self.name = model.name
        self.model, self.briefing, self.replies, self.kernels_shown = model, briefing, replies, kernels_shown
        self.options = Options(reasoning, temperature, max_output_tokens)
        self._facts = briefing_facts(briefing)

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal:
        """Asks for the kernel of attempt `turn.number`: the first from the reference or the starting point, one that mends a
        parent that failed, or one that is to be faster than a parent that passed, in the way that `turn.operator` names.

        Raises:
            ModelError: no reply came, or the budget does not allow the call.
            ValueError: the parent's evaluation is of another kernel.
        """
        name, facts = self._prompt(history, advice, turn)
        talk = Conversation(
            self.model, render(name, facts), turn.number, "coder", self.options, again="coder/unusable", tries=_TRIES
        )
        first = talk.prompt.name
        second = _second(turn) if name == "coder/crossover" else None
        parents = tuple(attempt.kernel.id for attempt in (turn.parent, second) if attempt is not None)
        notes: list[str] = []
        reply = talk.ask()
        while True:
            try:
                read = self._read(reply, history, turn)
                break
            except _Unusable as problem:
                if talk.turn + 1 < _TRIES:
                    notes.append(f"asked again: {one_line(str(problem), 300)}")
                    reply = talk.ask_again(str(problem))
                    continue
                notes.append(f"the last reply could not be used: {one_line(str(problem), 300)}")
                read = _Read(shortened(clean(reply.text), _LARGEST), "unusable")
                break
        if read.note:
            notes.append(read.note)
        if (
            name == "coder/tune"
            and turn.parent is not None
            and not _numbers_only(turn.parent.kernel.source, read.source)
        ):
            notes.append("more than numbers was changed")
        return Proposal(
            Kernel(read.source, author=self.name, parents=parents),
            self._plan(reply, read, name, notes),
            tuple(notes),
            {"model": reply.model, "prompt": first, "reply": read.how, "asked_again": talk.turn},
        )

    def _prompt(
        self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn
    ) -> tuple[str, dict[str, Any]]:
        facts = {**self._facts, "history": history_table(history), "advice": advice, "replies": self.replies}
        if advice is not None:
            facts["advice_words"] = _words(advice)
        if turn.parent is not None:
            facts |= attempt_facts(turn.parent, self.briefing)
            facts["others"] = self._others(history, turn.parent)
            if turn.parent.evaluation.verdict not in _RIGHT:
                return "coder/repair", facts
            second = _second(turn)
            if turn.operator not in _FORMS or (turn.operator == "crossover" and second is None):
                return "coder/improve", facts
            facts["replies"] = _FORMS[turn.operator]
            if turn.operator == "crossover" and second is not None:
                theirs = attempt_facts(second, self.briefing)
                facts |= {"second": second, "second_timing": theirs["timing"], "second_words": theirs["words"]}
            return f"coder/{turn.operator}", facts
        facts["replies"] = "full"  # there is nothing to change yet
        if self.briefing.starting_point is not None:
            return "coder/translate", {**facts, "kernel_text": self.briefing.starting_point.source}
        return "coder/start", facts

    def _others(self, history: Sequence[PastAttempt], parent: PastAttempt) -> list[PastAttempt]:
        passed = {
            a.kernel.id: a for a in history if a.evaluation.timing is not None and a.kernel.id != parent.kernel.id
        }
        slow_to_fast = sorted(passed.values(), key=seconds, reverse=True)
        return slow_to_fast[-(self.kernels_shown - 1) :] if self.kernels_shown > 1 else []

    def _plan(self, reply: Reply, read: _Read, name: str, notes: list[str]) -> str:
        if read.how == "unusable":
            return one_line(notes[-1].removeprefix("the last reply could not be used: "), 160)
        return (
            one_line(plan_of(without_thoughts(clean(reply.text))), 200) or f"{name.split('/')[1]}, nothing said of it"
        )

    # -- reading ------------------------------------------------------------------------------------------------

    def _read(self, reply: Reply, history: Sequence[PastAttempt], turn: Turn) -> _Read:
        if reply.stop_reason == "refusal":
            raise _Unusable(
                "it is a refusal. What is asked for is a CUDA kernel that computes what the reference computes."
            )
        text = without_thoughts(clean(reply.text))
        if not text.strip():
            raise _Unusable(self._cut_off() if reply.stop_reason == "length" else "it is empty.")
        read = self._diff(text, reply, turn) if has_edits(text) else self._full(text, reply)
        if len(read.source) > _LARGEST:
            raise _Unusable(f"the module has {len(read.source):,} characters, over the limit of {_LARGEST:,}.")
        for attempt in (*history, *([] if turn.parent is None else [turn.parent])):
            if _bare(attempt.kernel.source) == _bare(read.source):
                raise _Unusable(
                    f"it is the kernel of attempt {attempt.number} again, which was judged "
                    f"{attempt.evaluation.verdict.value}. Change it, or try another way."
                )
        return read

    def _full(self, text: str, reply: Reply) -> _Read:
        found = find_kernel(text)
        if found is not None:
            source, ended = found
            if reply.stop_reason == "length" and not (ended and is_module(source)):
                raise _Unusable(self._cut_off())
            return _Read(source, "full")
        if reply.stop_reason == "length":
            raise _Unusable(self._cut_off())
        if "__global__" in text:
            raise _Unusable(
                "it holds CUDA C++ but no Python module that defines ModelNew. Put the CUDA source into a string of such a "
                "module, and launch it there."
            )
        if blocks(text):
            raise _Unusable("none of its code blocks is a Python module that defines `class ModelNew`.")
        raise _Unusable("it holds no code. Reply with the whole module in one fenced block marked python.")

    def _diff(self, text: str, reply: Reply, turn: Turn) -> _Read:
        whole = find_kernel(without_edits(text))
        if whole is not None and is_module(whole[0]):
            return _Read(
                whole[0], "full", "the reply held a whole module and search/replace blocks: the module was taken"
            )
        if turn.parent is None:
            raise _Unusable("there is no kernel yet that search/replace blocks could change: write the whole module.")
        try:
            return _Read(apply_edits(turn.parent.kernel.source, find_edits(text)), "diff")
        except EditProblem as problem:
            cut = f" {self._cut_off()}" if reply.stop_reason == "length" else ""
            raise _Unusable(
                f"{problem} The kernel is as it was shown; none of the blocks was applied.{cut}"
            ) from problem

    def _cut_off(self) -> str:
        return (
            f"it was cut off at the limit of {self.options.max_output_tokens:,} tokens. Be brief: reason less, and write the "
            "code without long comments."
        )


def _second(turn: Turn) -> PastAttempt | None:
    """The other parent of a crossover: the first that was right and is another kernel."""
    own = None if turn.parent is None else turn.parent.kernel.id
    return next((a for a in turn.others if a.evaluation.verdict in _RIGHT and a.kernel.id != own), None)


def _numbers_only(old: str, new: str) -> bool:
    """Whether the lines of two sources differ in nothing but numbers."""
    return [_NUMBER.sub("0", line) for line in _bare(old)] == [_NUMBER.sub("0", line) for line in _bare(new)]


def _bare(source: str) -> list[str]:
    """What makes two kernels the same: their lines, without blanks at the ends and empty ones."""
    return [line.rstrip() for line in source.splitlines() if line.strip()]


def _words(advice: Advice) -> str:
    said = [f"{'What limits it' if advice.mode != 'repair' else 'Cause'}: {advice.limiter}", advice.change]
    said += [f"- {name}: {value}" for name, value in advice.evidence.items()]
    if advice.expected_speedup is not None:
        said.append(f"Expected: {advice.expected_speedup:.2f}x")
    return "\n".join(said)
