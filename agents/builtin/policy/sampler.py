"""The built-in coder led by the trained policy: the choices that it believes in first, then what the run's results make likely."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.lower import KernelTemplate
from kernelwright.agents.builtin.policy.candidates import legal_choices
from kernelwright.agents.builtin.policy.chooser import Chooser, KernelChooser, Observed
from kernelwright.agents.builtin.policy.facts import ChoiceFacts, KernelFacts, Value, choice_facts, kernel_facts
from kernelwright.agents.builtin.policy.net import Policy, shipped_policy
from kernelwright.agents.builtin.policy.observing import observed
from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn
from kernelwright.verifier.model.gpus import Gpu

__all__ = ["PolicySampler"]

_CANDIDATES, _LEAST_CANDIDATES, _OF_A_TASK = 256, 64, 512
"""Choices of each kernel that are weighed against each other, at most and at least, and of all kernels of a task together: each is
written once to know its grid, which takes milliseconds."""
_MOST_AHEAD = 16
"""Turns of a batch that are thought through before the one that is asked for."""
_TRIES = 64
"""Draws before it is taken that nothing new is left."""


class PolicySampler:
    """A Coder that asks the policy (implements `agents.protocols.Coder`).

    With no result in sight, as in best-of-N, proposals are draws from the policy without repetition, the favourite first.
    With results, the next proposal is the one that they and the policy together make most promising. Holds no state: the
    same history, seed and number give the same kernel.

    Args:
        gpu: the card that kernels are for.
        policy: weights; those of the package by default.
    """

    name = "builtin"

    def __init__(self, coder: BuiltinCoder, seed: str, gpu: Gpu, policy: Policy | None = None) -> None:
        self._coder = coder
        self._seed = seed
        self._gpu = gpu
        self._policy = policy
        self._lock = threading.Lock()
        self._made: Chooser | None = None

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """A kernel that is none of `history`; None when nothing new is left to try."""
        chooser = self._chooser()
        seen = {attempt.kernel.id: attempt for attempt in (*history, *turn.others)}
        if turn.parent is not None:
            seen.setdefault(turn.parent.kernel.id, turn.parent)
        results = [o for attempt in seen.values() if (o := self._observed(attempt)) is not None]
        parents = () if turn.parent is None else (turn.parent.kernel.id,)
        # the turns of one batch share a history: those before this one are taken to come out as believed
        ahead = min(_MOST_AHEAD, turn.number - 1 - max((a.number for a in history), default=0)) if results else 0
        for extra in range(_TRIES):
            if results:
                wanted = chooser.next(results)
                why = "by the policy and the results so far"
            else:
                wanted = chooser.first(turn.number - 1 + extra, self._seed)
                why = "by the policy" if extra or turn.number > 1 else "the policy's favourite"
            if wanted is None:
                return None
            if ahead > 0:
                ahead -= 1
                results.append(chooser.expected(wanted, results))
                continue
            proposal = self._coder.proposal(self._full(wanted), parents, self._base(turn), why)
            if proposal.kernel.id not in seen:
                return proposal
            # another choice that gives the text of a kernel that is known already: what was found of that holds for it
            known = self._observed(seen[proposal.kernel.id])
            if known is not None:
                results.append(Observed(wanted, known.seconds, known.by_kernel))
        return None

    def _full(self, wanted: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
        own = {f"{kernel}.{knob}": value for kernel, knobs in wanted.items() for knob, value in knobs.items()}
        return {**self._coder.defaults, **own}

    def _base(self, turn: Turn) -> dict[str, Value] | None:
        if turn.parent is None:
            return None
        own = {k: v for k, v in turn.parent.kernel.parameters.items() if k in self._coder.defaults}
        return {**self._coder.defaults, **own} if own else None

    def _observed(self, attempt: PastAttempt) -> Observed | None:
        return observed(attempt.kernel, attempt.evaluation, self._coder.defaults)

    def _chooser(self) -> Chooser:
        with self._lock:
            if self._made is None:
                policy = shipped_policy() if self._policy is None else self._policy
                kernels = [KernelChooser(f, c, self._gpu, policy) for f, c in self.candidates()]
                self._made = Chooser(tuple(kernels))
            return self._made

    def candidates(self) -> Sequence[tuple[KernelFacts, Sequence[ChoiceFacts]]]:
        """What there is to choose from, of every kernel that has a choice."""
        return [(kernel_facts(kernel), self._choices(kernel)) for kernel in self._coder.kernels]

    def _choices(self, kernel: KernelTemplate) -> list[ChoiceFacts]:
        # the seed of a run decides which part of a large space it sees: another run sees another part
        share = _OF_A_TASK // len(self._coder.kernels)
        wanted, _ = legal_choices(kernel, min(_CANDIDATES, max(_LEAST_CANDIDATES, share)), self._seed)
        return [choice_facts(knobs, self._coder.generate(kernel, knobs)) for knobs in wanted]
