"""Rollouts: conversations of one or more turns with the environment, and what each turn is credited with.

A group is `trajectories` conversations of `turns` turns on one task. In each turn after the first the model is shown how its last
kernel was judged and mends it or makes it faster (Kevin, Baronio et al. 2025, https://arxiv.org/abs/2507.11948). Every turn is a
sample of its own for training: its prompt, its reply, and its return.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kernelwright.agents.protocols import PastAttempt
from kernelwright.rl.contrastive.exemplars import COUNT, TAU, draw
from kernelwright.rl.contrastive.prompt import Messages, PromptWriter
from kernelwright.rl.contrastive.reward import GAMMA, returns
from kernelwright.rl.training.environment import Environment, Judged, Reply

__all__ = ["Answer", "Ask", "Rollouts", "TurnSample"]


@dataclass(frozen=True)
class Answer:
    """What a model wrote: its text, and the token ids that training needs."""

    text: str
    prompt_ids: list[int] = field(default_factory=list)
    completion_ids: list[int] = field(default_factory=list)


Ask = Callable[[Sequence[Messages]], Sequence[Answer]]
"""Asks the model; one answer a conversation, in order."""


@dataclass(frozen=True)
class TurnSample:
    """One turn of one conversation."""

    task_id: str
    turn: int
    """0-based."""
    answer: Answer
    judged: Judged
    value: float | None
    """What it is credited with; None: it has no say in training."""


class Rollouts:
    """Makes rollouts.

    Args:
        environment: judges replies.
        writers: of the prompts, by the task's id.
        seed: of what is drawn here: the exemplars. They follow from it, the task and the step alone.
        turns: of a conversation.
        exemplars: earlier kernels that a prompt shows at most; 0 makes plain prompts.
        tau: temperature of their buckets.
        gamma: discount of later turns.
    """

    def __init__(
        self, environment: Environment, writers: Mapping[str, PromptWriter], *, seed: int, turns: int = 1,
        exemplars: int = COUNT, tau: float = TAU, gamma: float = GAMMA,
    ) -> None:  # fmt: skip
        self.environment, self.turns = environment, turns
        self._writers, self._seed = dict(writers), seed
        self._exemplars, self._tau, self._gamma = exemplars, tau, gamma

    def first_prompt(self, task_id: str, step: str) -> Messages:
        """The prompt of a first turn, with the exemplars that this step draws."""
        rng = random.Random(f"{self._seed}/{task_id}/{step}")
        variants = self.environment.places[task_id].history.variants
        return self._writers[task_id].first(draw(variants, rng, count=self._exemplars, tau=self._tau))

    def make(self, tasks: Sequence[str], trajectories: int, ask: Ask, step: str) -> list[TurnSample]:
        """Conversations about each task: in order of `tasks`, then of conversations, then of turns.

        Args:
            tasks: ids.
            trajectories: conversations of each; all begin with the same prompt.
            ask: asks the model.
            step: where in training this is, for instance `step 12`.

        Raises:
            SandboxError: evaluators are broken, see `Environment.judge`.
        """
        talks = [_Talk(task_id, self.first_prompt(task_id, step)) for task_id in tasks for _ in range(trajectories)]
        for turn in range(self.turns):
            answers = ask([talk.prompt for talk in talks])
            replies = [
                Reply(talk.task_id, answer.text, talk.parents) for talk, answer in zip(talks, answers, strict=True)
            ]
            note = step if self.turns == 1 else f"{step}, turn {turn + 1}"
            for talk, answer, judged in zip(talks, answers, self.environment.judge(replies, note), strict=True):
                talk.hear(answer, judged, self._writers[talk.task_id])
        return [sample for talk in talks for sample in talk.samples(self._gamma)]


class _Talk:
    """A conversation under way."""

    def __init__(self, task_id: str, prompt: Messages) -> None:
        self.task_id, self.prompt = task_id, prompt
        self._attempts: list[PastAttempt] = []
        self._heard: list[tuple[Answer, Judged]] = []

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(attempt.kernel.id for attempt in self._attempts[-1:])

    def hear(self, answer: Answer, judged: Judged, writer: PromptWriter) -> None:
        """Takes in a turn. One that brought no kernel, or none that could be judged, is followed by the same prompt again."""
        self._heard.append((answer, judged))
        if judged.attempt is not None:
            # by its turn: the number in the run is that of the kernel's first writing, in whatever conversation
            self._attempts.append(replace(judged.attempt, number=len(self._attempts) + 1))
            self.prompt = writer.next(self._attempts)

    def samples(self, gamma: float) -> list[TurnSample]:
        values = returns([j.reward for _, j in self._heard], [j.cheated for _, j in self._heard], gamma)
        return [
            TurnSample(self.task_id, turn, answer, judged, value)
            for turn, ((answer, judged), value) in enumerate(zip(self._heard, values, strict=True))
        ]
