"""The built-in coder carrying out a search's operators: ways to make a choice of parameters from earlier ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.drawing import Drawer, RandomDrawer
from kernelwright.agents.builtin.knobs import (
    by_function,
    function_of,
    is_template,
    kind_of,
    numbers,
    own_choice,
    own_seconds,
)
from kernelwright.agents.builtin.lessons import best
from kernelwright.agents.builtin.sampler import TRIES, BuiltinSampler
from kernelwright.agents.builtin.space import Choice, Value
from kernelwright.agents.protocols import Advice, PastAttempt, Proposal, Turn
from kernelwright.verifier.evaluation import StageStatus

__all__ = ["BuiltinOperators"]

_MOST_NUMBERS = 3
"""Numbers of a parent that one move at random changes at most."""
_MOST_STEPS = 2
"""Knobs that a small change moves to a neighbouring value at most."""


class BuiltinOperators:
    """A Coder that makes a kernel in the way that `turn.operator` names (`kernelwright.rl.operators`).

    A turn without an operator is drawn as `BuiltinSampler` draws. A parent whose knobs are not known (a model's) is nothing that
    these operators could change: the best kernel of the history stands in for it, and where there is none, one is drawn.
    What comes out depends on the seed, the turn and the history, and on nothing else; nothing of the history comes out again.

    Args:
        drawer: where numbers, and kernels from nothing, come from; at random by default.
    """

    name = "builtin"

    def __init__(self, coder: BuiltinCoder, seed: str, drawer: Drawer | None = None) -> None:
        self._coder, self._seed = coder, seed
        self._sampler = BuiltinSampler(coder, seed, drawer)
        self._random = RandomDrawer(coder)
        self._space = coder.space
        self._functions = by_function(coder.defaults)

    def propose(self, history: tuple[PastAttempt, ...], advice: Advice | None, turn: Turn) -> Proposal | None:
        """A kernel that is none of `history` nor of the parents; None where the operator finds no other.

        Raises:
            ValueError: an operator that does not exist.
        """
        if not turn.operator:
            return self._sampler.propose(history, advice, turn)
        rng = random.Random(f"{self._seed}/{turn.number}/{turn.operator}")
        if turn.operator == "start":
            return self._start(history, turn, rng)
        parent = turn.parent if own_choice(turn.parent, self._coder.defaults) is not None else self._stand_in(history)
        base = own_choice(parent, self._coder.defaults)
        if parent is None or base is None:
            return self._start(history, turn, rng)
        if turn.operator == "tune":
            tuned = self._tune(base, parent, history, rng)
            return tuned or self._sampler.drawn(base, self._space, history, rng, parent, most=len(self._space))
        ways = {
            "template": lambda: self._templates(base, rng),
            "diff": lambda: self._steps(base, rng),
            "rewrite": lambda: self._anew(base, rng),
            "crossover": lambda: self._crossed(base, parent, turn.others, rng),
            "repair": lambda: self._plainer(base, parent, rng),
        }
        if turn.operator not in ways:
            raise ValueError(f"there is no operator {turn.operator!r}")
        tried = {attempt.kernel.id for attempt in (*history, parent, *turn.others)}
        parents = tuple(
            dict.fromkeys(a.kernel.id for a in (parent, *(turn.others[:1] if turn.operator == "crossover" else ())))
        )
        for choice, why in ways[turn.operator]():
            proposal = self._coder.proposal(choice, parents, base, why)
            if proposal.kernel.id not in tried:
                return proposal
        # nothing of that kind is left, as with a template of one kind of code: another draw, so that the turn is not lost
        return self._sampler.drawn(base, self._space, history, rng, parent, most=len(self._space))

    def _stand_in(self, history: tuple[PastAttempt, ...]) -> PastAttempt | None:
        return best([attempt for attempt in history if own_choice(attempt, self._coder.defaults) is not None])

    # -- from nothing -------------------------------------------------------------------------------------------

    def _start(self, history: tuple[PastAttempt, ...], turn: Turn, rng: random.Random) -> Proposal | None:
        """The first two attempts of a run are the usual choice and the plainest, which has the best chance to pass; then any."""
        tried = {attempt.kernel.id for attempt in history}
        sure = [(self._coder.defaults, "the usual choice"), (self._coder.conservative, "plain kernels first")]
        for choice, why in sure[turn.number - 1 : turn.number]:
            proposal = self._coder.proposal(dict(choice), (), None, why)
            if proposal.kernel.id not in tried:
                return proposal
        return self._sampler.drawn(self._coder.defaults, self._space, history, rng, None, most=len(self._space))

    # -- from one parent ----------------------------------------------------------------------------------------

    def _tune(
        self, base: Choice, parent: PastAttempt, history: tuple[PastAttempt, ...], rng: random.Random
    ) -> Proposal | None:
        """Numbers that leave the code what it is: all of them, if the drawer learns, else a few."""
        free = numbers(self._space, base)
        if not free:
            return None
        learns = self._sampler.drawer.learns
        most = len(free) if learns else min(_MOST_NUMBERS, len(free))
        why = f"tuned by {self._sampler.drawer.name}" if learns else "tuned at random"

        def same_code(choice: Choice) -> bool:
            return all(kind_of(name, value) == kind_of(name, base[name]) for name, value in choice.items())

        return self._sampler.drawn(base, free, history, rng, parent, most=most, why=why, fits=same_code)

    def _templates(self, base: Choice, rng: random.Random) -> Iterator[tuple[Choice, str]]:
        """Another kind of code for one kernel function: first each kind once, then again with other numbers around it."""
        moves = [
            (name, value)
            for name, values in self._space.items()
            if is_template(name, values)
            for value in values
            if kind_of(name, value) != kind_of(name, base[name])
        ]
        rng.shuffle(moves)
        for again in range(4):
            for name, value in moves:
                choice = self._coder.changed(base, {name: value})
                if choice is None:
                    continue
                if again:  # the best numbers of one kind are seldom those of another
                    around = numbers(self._space, choice)
                    near = [n for n in around if function_of(n) == function_of(name) and n != name]
                    chosen = rng.sample(near, min(len(near), again + 1))
                    choice = self._random.draw(choice, {n: around[n] for n in chosen}, (), rng)
                    if kind_of(name, choice[name]) == kind_of(name, base[name]):
                        continue
                yield choice, "another template"

    def _steps(self, base: Choice, rng: random.Random) -> Iterator[tuple[Choice, str]]:
        """One knob, or two, to a neighbouring value; from values without an order, to any other."""
        steps: list[tuple[str, Value]] = []
        for name, values in self._space.items():
            if isinstance(base[name], (str, bool)):
                steps += [(name, value) for value in values if value != base[name]]
            elif base[name] in values:
                at = values.index(base[name])
                steps += [(name, values[place]) for place in (at - 1, at + 1) if 0 <= place < len(values)]
        rng.shuffle(steps)
        singles = [found for step in steps if (found := self._coder.changed(base, dict([step]))) is not None]
        pairs = [dict(rng.sample(steps, _MOST_STEPS)) for _ in range(TRIES)] if len(steps) >= _MOST_STEPS else []
        doubles = (found for wanted in pairs if (found := self._coder.changed(base, wanted)) is not None)
        if singles and rng.random() < 0.5 and (first := next(doubles, None)) is not None:
            yield first, "a small change"
        for choice in (*singles, *doubles):
            yield choice, "a small change"

    def _anew(self, base: Choice, rng: random.Random) -> Iterator[tuple[Choice, str]]:
        """Every knob drawn among the values that the parent does not have."""
        free = {
            name: rest for name, values in self._space.items() if (rest := tuple(v for v in values if v != base[name]))
        }
        for _ in range(TRIES):
            yield self._random.draw(base, free, (), rng), "written anew"

    def _plainer(self, base: Choice, parent: PastAttempt, rng: random.Random) -> Iterator[tuple[Choice, str]]:
        """The plainest values, of as little as may do: the kernel function that is named in the failure, then any one, then several,
        then all; last what is near the plainest kernels."""
        plain = self._coder.conservative
        failed = next((s for s in parent.evaluation.stages if s.status is StageStatus.FAILED), None)
        told = f"{parent.evaluation.reason} {failed.evidence if failed else ''}"
        functions = sorted(self._functions, key=lambda name: (name not in told, rng.random()))
        for count in range(1, len(functions) + 1):
            of = functions[:count]
            yield {**base, **{n: plain[n] for f in of for n in self._functions[f]}}, f"plainer: {', '.join(of)}"
            if count == 1:
                for other in functions[1:]:
                    yield {**base, **{n: plain[n] for n in self._functions[other]}}, f"plainer: {other}"
        near = list(self._coder.neighbours(plain))
        for choice in rng.sample(near, min(len(near), TRIES)):
            yield choice, "near the plainest kernels"

    # -- from two parents ---------------------------------------------------------------------------------------

    def _crossed(
        self, base: Choice, parent: PastAttempt, others: tuple[PastAttempt, ...], rng: random.Random
    ) -> Iterator[tuple[Choice, str]]:
        """Each kernel function from the parent in which it is faster, then from either by chance; within one function, last, knob
        by knob, made legal as the space mends changes."""
        second = next((a for a in others if own_choice(a, self._coder.defaults) is not None), None)
        other = own_choice(second, self._coder.defaults)
        if second is None or other is None:
            return
        differing = [f for f, names in self._functions.items() if any(base[n] != other[n] for n in names)]
        why = f"from attempts {parent.number} and {second.number}"
        if len(differing) > 1:
            faster = [f for f in differing if self._faster(second, parent, f)]
            yield self._of_functions(base, other, faster), f"{why}, the faster of each function"
            for _ in range(TRIES):
                chosen = [f for f in differing if rng.random() < 0.5]
                if 0 < len(chosen) < len(differing):
                    yield self._of_functions(base, other, chosen), why
        for _ in range(TRIES):
            names = [n for f in differing for n in self._functions[f] if base[n] != other[n] and rng.random() < 0.5]
            choice = dict(base)
            for name in rng.sample(names, len(names)):
                choice = self._coder.changed(choice, {name: other[name]}) or choice
            yield choice, why

    def _of_functions(self, base: Choice, other: Mapping[str, Value], functions: list[str]) -> Choice:
        # each function's knobs are legal by themselves, so they stay legal beside those of others
        return {**base, **{name: other[name] for f in functions for name in self._functions[f]}}

    def _faster(self, one: PastAttempt, other: PastAttempt, function: str) -> bool:
        first, second = (own_seconds(a, function, self._functions) for a in (one, other))
        return first is not None and (second is None or first < second)
