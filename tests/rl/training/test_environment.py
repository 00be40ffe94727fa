"""The environment: rewards from judgements, kernels judged once, jumps twice, and nothing learned from a dead evaluator."""

from __future__ import annotations

import pytest
from search_doubles import TASK, evaluation
from training_doubles import BASELINE, MemoryStore, ScriptedEvaluator, environment, module, reply

from kernelwright.errors import SandboxError
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.contrastive.reward import FLOOR, NO_KERNEL, PRIOR, reward_of
from kernelwright.rl.training.environment import Judged, Lost, Place, Reply
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import TimingKind, Verdict

DEAD = Lost("3 evaluators failed")


def at(speedup: float) -> float:
    """Seconds of a kernel with this speed-up."""
    return BASELINE / speedup


def expected(outcome: float | Verdict) -> float:
    kernel = Kernel(module("any"), "x")
    return reward_of([evaluation(kernel, outcome)], PRIOR)


def judge(evaluator: ScriptedEvaluator, store: MemoryStore, *names: str, **more: object) -> list[Judged]:
    return environment(evaluator, store, **more).judge([Reply(TASK.id, reply(n)) for n in names], "step 1")  # type: ignore[arg-type]


def test_rewards_in_the_order_of_the_replies() -> None:
    outcomes = {"good": [at(1.5)], "bad": [Verdict.WRONG], "cheat": [Verdict.CHEATING]}
    store = MemoryStore()
    env = environment(ScriptedEvaluator(outcomes), store)
    texts = [reply("bad"), "nothing here", reply("good"), reply("cheat")]
    found = env.judge([Reply(TASK.id, text) for text in texts], "step 7")
    assert [j.reward for j in found] == [expected(Verdict.WRONG), NO_KERNEL, expected(at(1.5)), FLOOR]
    assert [j.cheated for j in found] == [False, False, False, True]
    assert [j.passed for j in found] == [False, False, True, False]
    attempts = store.attempts(TASK.name)
    assert [a.number for a in attempts] == [1, 2, 3]
    assert [a.plan for a in attempts] == ["bad", "good", "cheat"]
    assert all(a.kernel.author == "trained:scripted" and a.notes[0] == "step 7" for a in attempts)


def test_a_kernel_is_judged_and_stored_once() -> None:
    evaluator, store = ScriptedEvaluator({"a": [at(1.2)]}), MemoryStore()
    env = environment(evaluator, store)
    first = env.judge([Reply(TASK.id, reply("a"))] * 3, "step 1")
    again = env.judge([Reply(TASK.id, reply("a"))], "step 2")
    assert evaluator.asked == ["a"]
    assert len(store.attempts(TASK.name)) == 1
    assert {j.reward for j in (*first, *again)} == {expected(at(1.2))}
    assert [j.fresh for j in (*first, *again)] == [True, False, False, False]


def test_a_jump_is_judged_again_and_the_slower_counts() -> None:
    evaluator, store = ScriptedEvaluator({"fast": [at(10.0), at(1.4)], "calm": [at(1.5)]}), MemoryStore()
    found = judge(evaluator, store, "fast", "calm")
    assert sorted(evaluator.asked) == ["calm", "fast", "fast"]
    assert found[0].reward == expected(at(1.4))
    stored = store.attempts(TASK.name)[0]
    assert stored.evaluation.timing is not None
    assert stored.evaluation.timing.seconds == at(1.4)
    assert "judged again" in " ".join(stored.notes)
    assert [e.timing and e.timing.seconds for e in store.others] == [at(10.0)]


def test_a_jump_that_does_not_pass_again_has_failed() -> None:
    found = judge(ScriptedEvaluator({"fast": [at(10.0), Verdict.CHEATING]}), MemoryStore(), "fast")
    assert found[0].reward == FLOOR
    assert found[0].cheated


def test_twice_the_best_so_far_is_a_jump_too() -> None:
    best = Variant("old", "", 0.5, at(0.5), TimingKind.MODELLED)
    evaluator = ScriptedEvaluator({"a": [at(1.1)], "b": [at(0.9)]})
    judge(evaluator, MemoryStore(), "a", "b", variants=[best])
    assert sorted(evaluator.asked) == ["a", "a", "b"]


def test_what_passed_is_known_to_later_prompts_and_failures_are_not() -> None:
    env = environment(ScriptedEvaluator({"good": [at(1.5)], "bad": [Verdict.UNSAFE]}), MemoryStore())
    env.judge([Reply(TASK.id, reply("good")), Reply(TASK.id, reply("bad"))], "step 1")
    assert [v.score for v in env.places[TASK.id].history.variants] == [pytest.approx(1.5)]
    assert env.places[TASK.id].history.scale == PRIOR


def test_a_held_out_task_does_not_grow() -> None:
    def hold(place: Place) -> None:
        place.grows = False

    env = environment(ScriptedEvaluator({"good": [at(1.5)]}), MemoryStore(), changed=hold)
    assert env.judge([Reply(TASK.id, reply("good"))], "held-out, step 1")[0].passed
    assert env.places[TASK.id].history.variants == ()


def test_a_dead_evaluator_makes_no_reward_and_no_attempt() -> None:
    evaluator, store = ScriptedEvaluator({"a": [DEAD]} | {n: [at(1.0)] for n in "bcde"}), MemoryStore()
    env = environment(evaluator, store)
    found = env.judge([Reply(TASK.id, reply(n)) for n in "abc"], "step 1")
    assert found[0].reward is None
    assert found[0].attempt is None
    assert [a.plan for a in store.attempts(TASK.name)] == ["b", "c"]
    env.judge([Reply(TASK.id, reply(n)) for n in "ade"], "step 2")
    assert evaluator.asked.count("a") == 2  # it is not known: another time it may be judged


def test_a_jump_that_nobody_can_confirm_makes_no_reward() -> None:
    found = judge(
        ScriptedEvaluator({"fast": [at(10.0), DEAD], "b": [at(1.0)], "c": [at(1.1)]}),
        MemoryStore(),
        *["fast", "b", "c"],
    )
    assert found[0].reward is None


@pytest.mark.parametrize(
    ("lost", "names", "said"), [("ab", "abc", "2 of 3"), ("ab", "abcd", "2 of 4"), ("a", "a", "1 of 1")]
)
def test_broken_evaluators_stop_the_training_and_what_was_judged_is_kept(lost: str, names: str, said: str) -> None:
    outcomes = {name: [DEAD] if name in lost else [at(1.0)] for name in names}
    store = MemoryStore()
    with pytest.raises(SandboxError, match=f"{said} kernels could not be judged: 3 evaluators failed"):
        judge(ScriptedEvaluator(outcomes), store, *names)
    assert [a.plan for a in store.attempts(TASK.name)] == [name for name in names if name not in lost]


def test_the_rest_of_a_step_made_again_is_held_to_the_measure_of_all_of_it() -> None:
    outcomes, store = {"a": [at(1.0)], "b": [at(1.1)], "c": [DEAD]}, MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        judge(ScriptedEvaluator(outcomes, ends_at=2), store, *"abc")
    found = judge(ScriptedEvaluator(outcomes), store, *"abc")
    assert [j.reward is None for j in found] == [False, False, True]
    replies = [Reply(TASK.id, reply("c"))]
    with pytest.raises(SandboxError, match="1 of 1"):  # a step of its own
        environment(ScriptedEvaluator(outcomes), store).judge(replies, "step 2")


def test_a_killed_step_is_made_again_as_if_it_had_not_been_killed() -> None:
    """What was judged before is not judged again, and jumps are told from what the history was when the step began."""
    old = [Variant("old", "", 1.0, at(1.0), TimingKind.MODELLED)]
    outcomes = {"a": [at(2.1), at(2.05)], "b": [at(2.9), at(2.5)], "c": [at(1.5)], "d": [at(1.2)]}
    whole, parts = (ScriptedEvaluator(outcomes) for _ in range(2))
    stores = MemoryStore(), MemoryStore()
    wanted = environment(whole, stores[0], variants=old)
    rewards = [j.reward for j in wanted.judge([Reply(TASK.id, reply(n)) for n in "abcd"], "step 5")]
    parts.ends_at = 3
    with pytest.raises(KeyboardInterrupt):
        environment(parts, stores[1], variants=old).judge([Reply(TASK.id, reply(n)) for n in "abcd"], "step 5")
    assert [a.plan for a in stores[1].attempts(TASK.name)] == ["a"]
    parts.ends_at = None
    env = environment(parts, stores[1], variants=old, done=4)
    assert env.places[TASK.id].history.variants == tuple(old)  # the prompt of the step is the one it was
    parts.asked.clear()
    assert [j.reward for j in env.judge([Reply(TASK.id, reply(n)) for n in "abcd"], "step 5")] == rewards
    assert parts.asked == [name for name in whole.asked if name != "a"]
    assert set(env.places[TASK.id].history.variants) == set(wanted.places[TASK.id].history.variants)


def test_going_on_knows_what_was_judged_and_numbers_on() -> None:
    store = MemoryStore()
    judge(ScriptedEvaluator({"a": [at(1.5)]}), store, "a")
    evaluator = ScriptedEvaluator({"b": [Verdict.WRONG]})
    env = environment(evaluator, store, done=1)
    assert len(env.places[TASK.id].history.variants) == 1
    found = env.judge([Reply(TASK.id, reply("a")), Reply(TASK.id, reply("b"))], "step 2")
    assert evaluator.asked == ["b"]
    assert [j.reward for j in found] == [expected(at(1.5)), expected(Verdict.WRONG)]
    assert [a.number for a in store.attempts(TASK.name)] == [1, 2]
    assert len(env.places[TASK.id].history.variants) == 1
