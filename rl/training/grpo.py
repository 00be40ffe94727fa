"""Contrastive GRPO: TRL's GRPOTrainer on rollouts of ours.

GRPO (Shao et al. 2024, https://arxiv.org/abs/2402.03300) compares the rewards of a group of replies to one task. What is CUDA-L1's
is the prompt, which shows scored earlier kernels, and the reward; see `kernelwright.rl.contrastive`. With several turns a group is
every turn of every conversation about the task, as in Kevin.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kernelwright.errors import ConfigError
from kernelwright.rl.contrastive.prompt import PromptWriter
from kernelwright.rl.training.environment import Environment
from kernelwright.rl.training.folder import Folder
from kernelwright.rl.training.generation import Sampling, encode, sample
from kernelwright.rl.training.models import Loaded, save_model
from kernelwright.rl.training.progress import StepDone, StopRequest, Watcher, mean_interval
from kernelwright.rl.training.rollouts import Answer, Ask, Rollouts, TurnSample
from kernelwright.rl.training.settings import GrpoSettings
from kernelwright.rl.training.trainer import Hooks, common_arguments, train

__all__ = ["asks", "figures_of", "look_at", "task_order", "train_grpo"]


def train_grpo(
    loaded: Loaded, environment: Environment, writers: Mapping[str, PromptWriter], settings: GrpoSettings, folder: Folder,
    *, training: Sequence[str], held_out: Sequence[str] = (), stop: StopRequest, watcher: Watcher,
) -> bool:  # fmt: skip
    """Trains a model on tasks, and writes it to the folder at the end; whether it came to the end.

    Args:
        environment: has a place for every task.
        writers: of prompts, by the task's id.
        training: ids of the tasks that are learned from.
        held_out: ids of those that are looked at only.
        stop: asks to stop after the step under way.

    Raises:
        ConfigError: a prompt is longer than the model's context.
        SandboxError: evaluators are broken; the steps so far are saved.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    samples = settings.tasks * settings.group
    micro = settings.micro_batch or samples
    if samples % micro:
        raise ConfigError(f"a step has {samples} samples, which micro batches of {micro} don't divide.")
    if settings.group < 2:
        raise ConfigError(
            "a group of one sample has nothing to be compared with.", mend="Take --trajectories 2 or more."
        )
    rollouts = Rollouts(
        environment, writers, seed=settings.seed, turns=settings.turns, exemplars=settings.exemplars, tau=settings.tau,
        gamma=settings.gamma,
    )  # fmt: skip
    ask = asks(loaded, settings.sampling)
    hooks = Hooks("grpo", settings.steps, stop, watcher)

    def look(step: int) -> None:
        if held_out and (step % settings.held_out_every == 0 or step == settings.steps):
            found = look_at(held_out, rollouts, settings.held_out_samples, ask, seed=settings.seed, step=step)
            folder.write_log({"kind": "held-out", "step": step, **found})
            watcher(StepDone("grpo", step, settings.steps, {"held_out": found}))

    hooks.look = look

    def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
        made = rollouts.make(
            prompts[:: settings.group], settings.trajectories, ask, f"step {trainer.state.global_step + 1}"
        )
        hooks.figures.update(figures_of(made))
        return {
            "prompt_ids": [each.answer.prompt_ids for each in made],
            "completion_ids": [each.answer.completion_ids for each in made],
            "logprobs": None,
            "value": [each.value for each in made],
        }

    order = task_order(training, settings.steps * settings.tasks, settings.seed)
    trainer = GRPOTrainer(
        model=loaded.model,
        reward_funcs=_value,
        args=GRPOConfig(
            **common_arguments(settings, folder),
            max_steps=settings.steps,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=settings.samples // micro,
            num_generations=settings.group,
            max_completion_length=settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            beta=settings.beta,
            scale_rewards=settings.scale_rewards,
            shuffle_dataset=False,
            remove_unused_columns=False,
        ),
        train_dataset=Dataset.from_dict({"prompt": order}),
        processing_class=loaded.tokenizer,
        rollout_func=rollout,
    )
    ended = train(trainer, folder, hooks)
    if ended:
        save_model(loaded.model, loaded.tokenizer, folder.model)
    return ended


def task_order(tasks: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` tasks: all of them in a random order, then all in another one, and so on."""
    rng = random.Random(f"{seed}/order")
    order: list[str] = []
    while len(order) < count:
        order += rng.sample(list(tasks), len(tasks))
    return order[:count]


def figures_of(made: Sequence[TurnSample]) -> dict[str, Any]:
    """What the log says of the samples of a step: rewards of kernels with a 95 % interval, verdicts, how many were new."""
    rewards = [each.judged.reward for each in made if each.judged.reward is not None]
    scores = [
        timing.speedup
        for each in made
        if each.judged.attempt is not None and (timing := each.judged.attempt.evaluation.timing) is not None
    ]
    interval = mean_interval(rewards) if rewards else None
    return {
        "samples": len(made),
        "reward": None if interval is None else interval.mean,
        "reward_low": None if interval is None else interval.low,
        "reward_high": None if interval is None else interval.high,
        "rewards": rewards,
        "passed": sum(each.judged.passed for each in made),
        "unjudged": sum(each.judged.reward is None for each in made),
        "evaluated": sum(each.judged.fresh for each in made),
        "best": max(scores, default=None),
        "outcomes": dict(Counter(_outcome(each) for each in made)),
    }


def _outcome(each: TurnSample) -> str:
    judged = each.judged
    if judged.attempt is not None:
        return judged.attempt.evaluation.verdict.value
    return "unjudged" if judged.reward is None else "no kernel"


def _value(completions: list[Any], value: list[float | None], **_: Any) -> list[float | None]:
    """The reward function that TRL is given: what the rollout found; None has no say in training."""
    return value


def asks(loaded: Loaded, sampling: Sampling) -> Ask:
    """Asks the model as it is at the time.

    Raises, when it asks:
        ConfigError: a prompt and its reply are longer than the model's context.
    """
    context = getattr(loaded.model.config, "max_position_embeddings", None)

    def ask(conversations: Sequence[Any]) -> list[Answer]:
        prompts = [encode(loaded.tokenizer, messages) for messages in conversations]
        longest = max(map(len, prompts))
        if context is not None and longest + sampling.max_tokens > context:
            raise ConfigError(
                f"a prompt of {longest:,} tokens and a reply of up to {sampling.max_tokens:,} don't fit the model's context of "
                f"{context:,}.",
                mend="Take fewer --max-tokens or --exemplars, or a model with a longer context.",
            )
        drawn = sample(loaded.model, loaded.tokenizer, prompts, sampling)
        return [Answer(each.text, each.prompt_ids, each.completion_ids) for each in drawn]

    return ask


def look_at(
    held_out: Sequence[str], rollouts: Rollouts, samples: int, ask: Ask, *, seed: int, step: int, unit: str = "step"
) -> dict[str, Any]:
    """The held-out tasks with the model as it is; leaves the random state of training alone.

    Args:
        samples: conversations about each.
        step: after which this is.
        unit: what the stage counts: steps or rounds.
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed + 1_000_003 * (step + 1))
        made = rollouts.make(held_out, samples, ask, f"held-out, {unit} {step}")
    found = figures_of(made)
    return {key: found[key] for key in ("samples", "reward", "reward_low", "reward_high", "passed", "unjudged", "best")}
