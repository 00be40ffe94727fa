"""Rollouts: the same first prompt for a group, later turns from the last kernel, and Kevin's returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from search_doubles import TASK
from training_doubles import BASELINE, MemoryStore, ScriptedEvaluator, WordPrompts, environment, reply

from kernelwright.agents.protocols import PastAttempt
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.contrastive.prompt import Messages
from kernelwright.rl.contrastive.reward import FLOOR, GRID, NO_KERNEL
from kernelwright.rl.training.environment import Lost
from kernelwright.rl.training.rollouts import Answer, Rollouts
from kernelwright.verifier.evaluation import TimingKind, Verdict

OTHER = replace(TASK, name="other", source="class Model: pass\n")


class Script:
    """Answers in order, and keeps what it was asked."""

    def __init__(self, *names: str) -> None:
        self._names = list(names)
        self.asked: list[str] = []

    def __call__(self, conversations: Sequence[Messages]) -> list[Answer]:
        self.asked += [messages[-1]["content"] for messages in conversations]
        return [Answer(reply(name) if name else "no code") for name in (self._names.pop(0) for _ in conversations)]


def variant(name: str, score: float) -> Variant:
    return Variant(name, "", score, BASELINE / score, TimingKind.MODELLED)


def test_a_group_begins_with_one_prompt_and_comes_in_order() -> None:
    outcomes = {name: [BASELINE] for name in "abcd"}
    env = environment(
        ScriptedEvaluator(outcomes), MemoryStore(), (TASK, OTHER), variants=[variant("x", 1), variant("y", 2)]
    )
    script = Script("a", "b", "c", "d")
    made = Rollouts(env, {TASK.id: WordPrompts(), OTHER.id: WordPrompts()}, seed=1).make(
        [TASK.id, OTHER.id], 2, script, "step 1"
    )
    assert [each.task_id for each in made] == [TASK.id, TASK.id, OTHER.id, OTHER.id]
    assert script.asked == ["first x y"] * 4
    assert [each.judged.plan for each in made] == ["a", "b", "c", "d"]


def test_exemplars_follow_from_seed_task_and_step() -> None:
    env = environment(ScriptedEvaluator({}), MemoryStore(), variants=[variant(f"k{i}", 1 + 0.25 * i) for i in range(8)])

    def shown(seed: int, step: str) -> str:
        return Rollouts(env, {TASK.id: WordPrompts()}, seed=seed).first_prompt(TASK.id, step)[0]["content"]

    assert shown(1, "step 1") == shown(1, "step 1")
    assert len({shown(1, f"step {n}") for n in range(12)}) > 2
    assert len({shown(n, "step 1") for n in range(12)}) > 2


def test_turns_go_on_from_the_last_kernel_and_are_credited_with_what_follows() -> None:
    evaluator = ScriptedEvaluator({"bad": [Verdict.WRONG], "good": [BASELINE]})
    env = environment(evaluator, MemoryStore())
    script = Script("bad", "", "good")
    made = Rollouts(env, {TASK.id: WordPrompts()}, seed=0, turns=3, gamma=0.5).make([TASK.id], 1, script, "step 4")
    assert script.asked == ["first ", "next bad", "next bad"]  # a turn without a kernel: the same again
    rewards = [each.judged.reward for each in made]
    assert rewards[1] == NO_KERNEL
    assert rewards[0] is not None
    assert rewards[2] is not None
    assert [each.value for each in made] == pytest.approx(
        [max(FLOOR, rewards[0] + 0.5 * NO_KERNEL + 0.25 * rewards[2]), NO_KERNEL + 0.5 * rewards[2], rewards[2]],
        abs=GRID,
    )
    assert [each.turn for each in made] == [0, 1, 2]
    assert env.places[TASK.id].known  # the parent of the last one is the first
    last = made[2].judged.attempt
    first = made[0].judged.attempt
    assert last is not None
    assert first is not None
    assert last.kernel.parents == (first.kernel.id,)


def test_the_turns_of_a_conversation_are_shown_by_their_own_numbers() -> None:
    """Those of the run depend on who is judged first, and on whether it was stopped."""
    env = environment(ScriptedEvaluator({name: [Verdict.WRONG] for name in "abcd"}), MemoryStore())
    told: list[list[int]] = []

    class Numbers(WordPrompts):
        def next(self, attempts: Sequence[PastAttempt]) -> Messages:
            told.append([attempt.number for attempt in attempts])
            return super().next(attempts)

    Rollouts(env, {TASK.id: Numbers()}, seed=0, turns=2).make([TASK.id], 2, Script("a", "b", "c", "a"), "step 1")
    assert told == [[1], [1], [1, 2], [1, 2]]


def test_a_turn_that_cheats_has_the_floor_even_when_a_good_one_follows() -> None:
    env = environment(ScriptedEvaluator({"cheat": [Verdict.CHEATING], "good": [BASELINE]}), MemoryStore())
    made = Rollouts(env, {TASK.id: WordPrompts()}, seed=0, turns=2).make(
        [TASK.id], 1, Script("cheat", "good"), "step 1"
    )
    assert made[0].value == FLOOR


def test_what_nobody_judged_has_no_value() -> None:
    env = environment(ScriptedEvaluator({"a": [Lost("dead")], "b": [BASELINE], "c": [BASELINE]}), MemoryStore())
    made = Rollouts(env, {TASK.id: WordPrompts()}, seed=0).make([TASK.id], 3, Script("a", "b", "c"), "step 1")
    assert [each.value is None for each in made] == [True, False, False]
