"""A search's operators where the policy chooses the parameters: it writes from the reference and tunes, the others stay as they are."""

from __future__ import annotations

from kernelwright.agents.builtin.operators import BuiltinOperators
from kernelwright.agents.builtin.policy.sampler import PolicySampler
from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn

__all__ = ["PolicyOperators"]

_LED = frozenset({"", "start", "tune"})
"""The rest change a parent in some way of their own (another template, two parents' parts): what the policy would choose anyway is
what they are to get away from."""


class PolicyOperators:
    """A Coder (implements `agents.protocols.Coder`)."""

    name = "builtin"

    def __init__(self, sampler: PolicySampler, operators: BuiltinOperators) -> None:
        self._sampler = sampler
        self._operators = operators

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """By the policy or by the operator; what the policy has nothing new for is left to the operator."""
        if turn.operator in _LED:
            proposal = self._sampler.propose(history, advice, turn)
            if proposal is not None or not turn.operator:
                return proposal
        return self._operators.propose(history, advice, turn)
