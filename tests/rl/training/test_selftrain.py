"""Learning from one's own successes: what is kept, and with the extra that rounds are gone on with."""

from __future__ import annotations

from pathlib import Path

from training_doubles import BASELINE, MemoryStore, Pieces, ScriptedEvaluator, WordPrompts, environment, reply
from training_extra import needs_extra

from kernelwright.bench_tasks.task import Task
from kernelwright.rl.training.folder import Folder
from kernelwright.rl.training.progress import StepDone, StopRequest
from kernelwright.rl.training.rollouts import Answer, Rollouts
from kernelwright.rl.training.selftrain import kept_of, tokens_of_sample, train_self
from kernelwright.rl.training.settings import SelfSettings
from kernelwright.rl.training.tiny import TASK
from kernelwright.verifier.evaluation import Verdict


def test_what_passed_is_kept_once() -> None:
    env = environment(
        ScriptedEvaluator({"a": [BASELINE], "b": [Verdict.WRONG], "c": [BASELINE]}), MemoryStore(), (TASK,)
    )
    answers = [Answer(reply(name), [1], [2, 3]) for name in "abac"]
    made = Rollouts(env, {TASK.id: WordPrompts()}, seed=0).make([TASK.id], 4, lambda _: answers, "s")
    kept = kept_of(made)
    assert [each.judged.plan for each in kept] == ["a", "c"]
    tokens = tokens_of_sample(kept[0])
    assert (tokens.input_ids, tokens.labels) == ([1, 2, 3], [-100, 2, 3])


@needs_extra
def test_rounds_are_gone_on_with_and_learned_from(tmp_path: Path) -> None:
    from kernelwright.rl.training.models import load_model, prepare
    from kernelwright.rl.training.tiny import save_tiny_model

    settings = SelfSettings(
        rounds=4, samples=256, batch=8, max_tokens=2, learning_rate=2e-2, lora_rank=8, at_once=256, held_out_samples=3
    )
    path = str(save_tiny_model(tmp_path / "tiny", seed=0, hidden=32))

    held_out = Task("held out", "class Model: pass\n")
    tasks = (TASK, held_out)

    def run(folder: Folder, stop_after: int = 0) -> list[StepDone]:
        stop, steps = StopRequest(), list[StepDone]()

        def watch(done: StepDone) -> None:
            if "held_out" not in done.figures:
                steps.append(done)
            stop.asked = 0 < stop_after == done.step

        env = environment(Pieces(), MemoryStore(), tasks)
        loaded = prepare(load_model(path), settings.lora, settings.seed)
        train_self(
            loaded, env, {task.id: WordPrompts() for task in tasks}, settings, folder, training=[TASK.id],
            held_out=[held_out.id], stop=stop, watcher=watch,
        )  # fmt: skip
        return steps

    whole, parts = (Folder.create(tmp_path / name, {"stage": "self"}) for name in ("whole", "parts"))
    steps = run(whole)
    again = [*run(parts, stop_after=2), *run(parts)]
    assert [done.figures["rewards"] for done in again] == [done.figures["rewards"] for done in steps]
    assert steps[-1].figures["passed"] > steps[0].figures["passed"] > 0
    assert (whole.model / "config.json").exists()
    for folder in (whole, parts):
        looks = [line for line in folder.read_log() if line["kind"] == "held-out"]
        assert [(line["step"], line["samples"]) for line in looks] == [(round_, 3) for round_ in range(5)]
        assert {place.name for place in folder.checkpoints.iterdir()} == {f"checkpoint-{n}" for n in (2, 3, 4)}
