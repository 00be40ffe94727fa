"""The self-supervised stage of CUDA-L1: sample, keep what passes, train on it, again.

Each round starts from the weights of the one before. What a round learned from is not used again: the next round's kernels are
the new model's own. A round that was under way when the process ended is done again from the same random state, so that the
same replies are sampled, and what was judged of them is known already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kernelwright.rl.contrastive.prompt import PromptWriter
from kernelwright.rl.training.environment import Environment
from kernelwright.rl.training.folder import Folder
from kernelwright.rl.training.grpo import asks, figures_of, look_at
from kernelwright.rl.training.models import Loaded, load_weights, save_model, save_weights
from kernelwright.rl.training.progress import StepDone, StopRequest, Watcher
from kernelwright.rl.training.rollouts import Rollouts, TurnSample
from kernelwright.rl.training.rows import Tokens
from kernelwright.rl.training.settings import SelfSettings
from kernelwright.rl.training.sft import collate

__all__ = ["kept_of", "train_self"]


def train_self(
    loaded: Loaded, environment: Environment, writers: Mapping[str, PromptWriter], settings: SelfSettings, folder: Folder,
    *, training: Sequence[str], held_out: Sequence[str] = (), stop: StopRequest, watcher: Watcher,
) -> bool:  # fmt: skip
    """Trains a model on its own successes, and writes it to the folder at the end; whether it came to the end.

    Args:
        environment: has a place for every task.
        writers: of prompts, by the task's id.
        training: ids of the tasks that are learned from.
        held_out: ids of those that are looked at only.
        stop: asks to stop after the round under way.

    Raises:
        SandboxError: evaluators are broken; the rounds so far are saved.
    """
    import torch

    found = folder.latest()
    done = 0
    if found is not None:
        done = found[1]["step"]
        load_weights(loaded.model, found[0])
    folder.cut_log(done)
    rollouts = Rollouts(environment, writers, seed=settings.seed, exemplars=settings.exemplars, tau=settings.tau)
    ask = asks(loaded, settings.sampling)

    def look(round_: int) -> None:
        if held_out:
            seen = look_at(
                held_out, rollouts, settings.held_out_samples, ask, seed=settings.seed, step=round_, unit="round"
            )
            folder.write_log({"kind": "held-out", "step": round_, **seen})
            watcher(StepDone("self", round_, settings.rounds, {"held_out": seen}))

    if not done:
        look(0)
    for round_ in range(done + 1, settings.rounds + 1):
        if stop.asked:
            return False
        torch.manual_seed(settings.seed * 1009 + round_)
        made = rollouts.make(training, settings.samples, ask, f"round {round_}")
        kept = kept_of(made)
        loss = _fit(loaded, [tokens_of_sample(each) for each in kept], settings)
        place = folder.checkpoints / f"checkpoint-{round_}"
        save_weights(loaded.model, place)
        figures = {**figures_of(made), "kept": len(kept), "loss": loss}
        folder.write_log({"kind": "step", "step": round_, **figures})
        watcher(StepDone("self", round_, settings.rounds, figures))
        look(round_)
        folder.mark(place, {"step": round_})
        folder.rotate()
    save_model(loaded.model, loaded.tokenizer, folder.model)
    return True


def kept_of(made: Sequence[TurnSample]) -> list[TurnSample]:
    """The samples that are learned from: those that passed, each kernel once."""
    kept: dict[tuple[str, str], TurnSample] = {}
    for each in made:
        if each.judged.passed and each.judged.attempt is not None:
            kept.setdefault((each.task_id, each.judged.attempt.kernel.id), each)
    return list(kept.values())


def tokens_of_sample(each: TurnSample) -> Tokens:
    """A sample as it was drawn, token by token; the reply alone is learned."""
    prompt, reply = each.answer.prompt_ids, each.answer.completion_ids
    return Tokens([*prompt, *reply], [-100] * len(prompt) + reply)


def _fit(loaded: Loaded, tokens: Sequence[Tokens], settings: SelfSettings) -> float | None:
    """One pass over the samples; the mean loss, None where there was nothing to learn from."""
    import torch

    if not tokens:
        return None
    model: Any = loaded.model
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
    model.train()
    total = 0.0
    for start in range(0, len(tokens), settings.batch):
        batch = collate(tokens[start : start + settings.batch], loaded.tokenizer)
        loss = model(**{key: value.to(model.device) for key, value in batch.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        total += float(loss) * len(batch["input_ids"])
    return total / len(tokens)
