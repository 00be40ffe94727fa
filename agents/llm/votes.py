"""Voters: three verifiers that read a kernel before it is run. Their votes rank proposals and never refuse one."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from kernelwright.agents.at_once import at_once
from kernelwright.agents.llm.briefing import Briefing
from kernelwright.agents.llm.conversation import Conversation, Options
from kernelwright.agents.llm.facts import briefing_facts
from kernelwright.agents.llm.json_reply import ReplyProblem, read_object, strict_schema
from kernelwright.agents.llm.templates import render
from kernelwright.agents.llm.text import numbered, one_line
from kernelwright.agents.models.protocol import ModelClient, Reasoning
from kernelwright.agents.protocols import Proposal
from kernelwright.errors import BudgetReached, ModelError

__all__ = ["VERIFIERS", "VOTE_SCHEMA", "Vote", "Voters", "Votes", "rank"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

VERIFIERS = ("compile", "memory", "numerics")


class _Reply(BaseModel):
    """`why` comes first: a verdict after a reason is a better one."""

    why: str = Field(description="one or two sentences, with the line")
    verdict: bool = Field(description="true if no such fault is found")
    confidence: float = Field(description="between 0 and 1")


VOTE_SCHEMA = strict_schema(_Reply)


@dataclass(frozen=True)
class Vote:
    """What one verifier says."""

    verifier: str
    """One of `VERIFIERS`."""
    verdict: bool | None
    """True: no fault found. None: it abstained, because no usable answer came."""
    confidence: float
    """Between 0 and 1; 0 for an abstention."""
    why: str

    @property
    def weight(self) -> float:
        """Between -1 (sure of a fault) and 1 (sure that there is none)."""
        return 0.0 if self.verdict is None else self.confidence if self.verdict else -self.confidence

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"verifier": self.verifier, "verdict": self.verdict, "confidence": self.confidence, "why": self.why}


@dataclass(frozen=True)
class Votes:
    """Those on one proposal."""

    votes: tuple[Vote, ...]

    @property
    def score(self) -> float:
        """The mean weight: between -1 and 1, the more the better; an abstention counts as undecided."""
        return sum(vote.weight for vote in self.votes) / len(self.votes) if self.votes else 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object, for the details of an attempt."""
        return {"score": round(self.score, 6), "votes": [vote.to_json() for vote in self.votes]}


class Voters:
    """Asks a model for the three votes (a `Ranker` of `kernelwright.rl.search`). Several threads may use one."""

    def __init__(
        self, model: ModelClient, briefing: Briefing, *, reasoning: Reasoning | None = None,
        temperature: float | None = None, max_output_tokens: int = 4_096,
    ) -> None:  # fmt: skip
        self.model = model
        self.options = Options(reasoning, temperature, max_output_tokens)
        self._facts = briefing_facts(briefing)

    def vote(self, proposal: Proposal, number: int) -> Votes:
        """The votes on a proposal; `number` is that of the attempt that pays for them.

        Raises:
            BudgetReached: the budget does not allow a call.
        """
        if proposal.details.get("reply") == "unusable":  # nobody needs to be paid to see that
            return Votes(tuple(Vote(verifier, False, 1.0, "it holds no kernel") for verifier in VERIFIERS))
        text = numbered(proposal.kernel.source)
        facts = {**self._facts, "plan": proposal.plan or "nothing", "kernel_text": text}
        return Votes(tuple(self._ask(verifier, facts, number) for verifier in VERIFIERS))

    def rank(self, proposals: Sequence[tuple[int, Proposal]]) -> list[int]:
        """The numbers of the attempts that the proposals are for, the best score first; equals stay in their order.

        All are voted on at once; how many calls are on their way at a time the model's client says.

        Raises:
            BudgetReached: the budget does not allow a call; those that were made are paid.
        """
        if not proposals:
            return []
        asked = at_once([partial(self.vote, proposal, number) for number, proposal in proposals], "vote")
        voted = [(number, votes.result()) for (number, _proposal), votes in zip(proposals, asked, strict=True)]
        return [number for number, _votes in rank(voted)]

    def _ask(self, verifier: str, facts: dict[str, Any], number: int) -> Vote:
        name = f"votes/{verifier}"
        talk = Conversation(
            self.model, render(name, facts), number, name, self.options, schema=VOTE_SCHEMA, schema_name="vote"
        )
        try:
            reply = talk.ask()
            if reply.stop_reason == "refusal":
                raise ReplyProblem("it is a refusal.")
            found = read_object(reply.text, _Reply)
            if not (math.isfinite(found.confidence) and 0 <= found.confidence <= 1):
                raise ReplyProblem(f"confidence is {found.confidence:g}, which is not between 0 and 1.")
        except BudgetReached:
            raise
        except ModelError as error:
            _log.warning("no vote %s on attempt %d: %s", verifier, number, error)
            return Vote(verifier, None, 0.0, f"no answer came: {one_line(str(error), 300)}")
        except ReplyProblem as problem:
            return Vote(verifier, None, 0.0, f"the answer could not be used: {one_line(str(problem), 300)}")
        return Vote(verifier, found.verdict, found.confidence, one_line(found.why, 600))


def rank(voted: Iterable[tuple[T, Votes]]) -> list[tuple[T, Votes]]:
    """Things with the votes on them, the best score first; equals stay in their order, and none is left out."""
    return sorted(voted, key=lambda each: -each[1].score)
