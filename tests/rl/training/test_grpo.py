"""Contrastive GRPO: the order of tasks and the figures of a step; with the extra, training, stopping, going on, turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_doubles import BASELINE, MemoryStore, Pieces, ScriptedEvaluator, WordPrompts, environment, reply
from training_extra import needs_extra
from unhurried import unhurried

from kernelwright.bench_tasks.task import Task
from kernelwright.errors import SandboxError
from kernelwright.rl.contrastive.reward import NO_KERNEL
from kernelwright.rl.training.environment import Environment, Judged, Lost, Reply
from kernelwright.rl.training.folder import Folder
from kernelwright.rl.training.grpo import figures_of, task_order, train_grpo
from kernelwright.rl.training.progress import StepDone, StopRequest
from kernelwright.rl.training.rollouts import Answer, Rollouts
from kernelwright.rl.training.settings import GrpoSettings
from kernelwright.rl.training.tiny import TASK
from kernelwright.verifier.evaluation import Verdict


@unhurried
@given(st.integers(1, 7), st.integers(1, 40), st.integers(0, 99))
def test_every_task_has_its_turn_before_one_comes_again(tasks: int, count: int, seed: int) -> None:
    names = [f"t{n}" for n in range(tasks)]
    order = task_order(names, count, seed)
    assert len(order) == count
    assert order == task_order(names, count, seed)
    for start in range(0, count - tasks + 1, tasks):
        assert sorted(order[start : start + tasks]) == names


def test_the_figures_of_a_step() -> None:
    outcomes = {"good": [BASELINE / 1.5], "bad": [Verdict.WRONG], "dead": [Lost("x")]}
    env = environment(ScriptedEvaluator(outcomes), MemoryStore(), (TASK,))
    texts = [reply("good"), reply("good"), reply("bad"), "nothing", reply("dead")]
    made = Rollouts(env, {TASK.id: WordPrompts()}, seed=0).make([TASK.id], 5, lambda _: [Answer(t) for t in texts], "s")
    found = figures_of(made)
    assert (found["samples"], found["passed"], found["unjudged"], found["evaluated"]) == (5, 2, 1, 2)
    assert found["best"] == pytest.approx(1.5)
    assert found["outcomes"] == {"passed": 2, "wrong": 1, "no kernel": 1, "unjudged": 1}
    assert len(found["rewards"]) == 4
    assert NO_KERNEL in found["rewards"]
    assert found["reward_low"] < found["reward"] < found["reward_high"]


# -- with the extra -----------------------------------------------------------------------------------------------


SETTINGS = GrpoSettings(
    steps=4, trajectories=8, max_tokens=2, learning_rate=1e-2, save_every=2, lora_rank=4, held_out_every=2, held_out_samples=2
)  # fmt: skip


class _Broken(Environment):
    """As another one, until it is to judge at a given place."""

    def __init__(self, other: Environment, where: str) -> None:
        self.places, self._other, self._where = other.places, other, where

    def judge(self, replies: Sequence[Reply], note: str) -> list[Judged]:
        if note == self._where:
            raise SandboxError("broken")
        return self._other.judge(replies, note)


def tiny_grpo(
    tmp_path: Path, folder: Folder, store: MemoryStore, settings: GrpoSettings = SETTINGS, *, stop_after: int = 0,
    held_out: Sequence[Task] = (), broken_at: str = "",
) -> tuple[bool, list[StepDone], dict[str, Any]]:  # fmt: skip
    """Trains; whether it ended, its steps, and the weights."""
    from kernelwright.rl.training.models import load_model, prepare
    from kernelwright.rl.training.tiny import save_tiny_model

    path = tmp_path / "tiny"
    if not path.exists():
        save_tiny_model(path, seed=0, hidden=32)
    loaded = prepare(load_model(str(path)), settings.lora, settings.seed)
    stop, steps = StopRequest(), list[StepDone]()

    def watch(done: StepDone) -> None:
        steps.append(done)
        stop.asked = 0 < stop_after == done.step

    found = folder.latest()
    env = environment(Pieces(), store, (TASK, *held_out), done=0 if found is None else found[1]["step"])
    if broken_at:
        env = _Broken(env, broken_at)
    writers = {task.id: WordPrompts() for task in (TASK, *held_out)}
    before = {name: p.detach().clone() for name, p in loaded.model.named_parameters() if p.requires_grad}
    ended = train_grpo(
        loaded, env, writers, settings, folder, training=[TASK.id], held_out=[t.id for t in held_out], stop=stop, watcher=watch
    )  # fmt: skip
    return ended, steps, before


def rewards(folder: Folder) -> list[tuple[int, Any, Any]]:
    return [(line["step"], line["rewards"], line["loss"]) for line in folder.read_log() if line["kind"] == "step"]


@needs_extra
def test_stopped_and_gone_on_with_it_is_as_if_never_stopped(tmp_path: Path) -> None:
    whole = Folder.create(tmp_path / "whole", {"stage": "grpo"})
    assert tiny_grpo(tmp_path, whole, MemoryStore())[0]
    parts, store = Folder.create(tmp_path / "parts", {"stage": "grpo"}), MemoryStore()
    ended, steps, _ = tiny_grpo(tmp_path, parts, store, stop_after=1)
    assert not ended
    assert [done.step for done in steps] == [1]
    assert not parts.model.exists()
    ended, steps, _ = tiny_grpo(tmp_path, parts, store)
    assert ended
    assert [done.step for done in steps] == [2, 3, 4]
    assert rewards(parts) == rewards(whole)
    assert (parts.model / "config.json").exists()
    assert (parts.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()


@needs_extra
def test_turns_make_one_group_and_the_first_model_is_kept_near(tmp_path: Path) -> None:
    folder = Folder.create(tmp_path / "turns", {"stage": "grpo"})
    settings = SETTINGS.model_copy(update={"steps": 2, "trajectories": 3, "turns": 2, "beta": 0.05, "micro_batch": 3})
    ended, steps, _ = tiny_grpo(tmp_path, folder, MemoryStore(), settings)
    assert ended
    assert [done.figures["samples"] for done in steps] == [6, 6]
    assert all("kl" in done.figures for done in steps)


@needs_extra
def test_held_out_tasks_are_looked_at_and_not_learned_from(tmp_path: Path) -> None:
    held_out = Task("held out", "class Model: pass\n")
    folder, store = Folder.create(tmp_path / "looks", {"stage": "grpo"}), MemoryStore()
    plain = Folder.create(tmp_path / "plain", {"stage": "grpo"})
    assert tiny_grpo(tmp_path, folder, store, held_out=[held_out])[0]
    assert tiny_grpo(tmp_path, plain, MemoryStore())[0]
    looks = [line for line in folder.read_log() if line["kind"] == "held-out"]
    assert [line["step"] for line in looks] == [0, 2, 4]
    assert all(line["samples"] == 2 for line in looks)
    assert rewards(folder) == rewards(plain)  # looking leaves training as it is
    outcomes = Counter(a.notes[0].split(",")[0] for a in store.attempts("held out"))
    assert set(outcomes) <= {"held-out"}


@needs_extra
@pytest.mark.parametrize(
    ("where", "left"),
    [("held-out, step 2", 2), ("held-out, step 4", 4), ("step 4", 3)],
    ids=["look", "last look", "step"],
)
def test_where_judging_failed_it_is_made_up_for(tmp_path: Path, where: str, left: int) -> None:
    """The looks are all there in the end, and rewards, losses and weights those of a stage in which nothing failed."""
    held_out = Task("held out", "class Model: pass\n")
    whole, parts = (Folder.create(tmp_path / name, {"stage": "grpo"}) for name in ("whole", "parts"))
    assert tiny_grpo(tmp_path, whole, MemoryStore(), held_out=[held_out])[0]
    store = MemoryStore()
    with pytest.raises(SandboxError, match="broken"):
        tiny_grpo(tmp_path, parts, store, held_out=[held_out], broken_at=where)
    found = parts.latest()
    assert found is not None
    assert found[1]["step"] == left
    assert tiny_grpo(tmp_path, parts, store, held_out=[held_out])[0]
    assert [line["step"] for line in parts.read_log() if line["kind"] == "held-out"] == [0, 2, 4]
    assert rewards(parts) == rewards(whole)
    assert (parts.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()


@needs_extra
def test_all_weights_can_be_trained(tmp_path: Path) -> None:
    folder = Folder.create(tmp_path / "full", {"stage": "grpo"})
    settings = SETTINGS.model_copy(update={"steps": 1, "lora_rank": 0})
    ended, _, before = tiny_grpo(tmp_path, folder, MemoryStore(), settings)
    assert ended
    assert any("embed" in name for name in before)
