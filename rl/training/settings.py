"""What the stages of training can be asked for; each is kept as JSON in the folder of its stage."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kernelwright.rl.contrastive.exemplars import COUNT, TAU
from kernelwright.rl.contrastive.reward import GAMMA
from kernelwright.rl.training.generation import Sampling
from kernelwright.rl.training.models import Lora

__all__ = ["GrpoSettings", "SelfSettings", "SftSettings", "StageSettings"]


class StageSettings(BaseModel):
    """What all stages have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of everything that training draws itself; secret seeds of evaluations are never drawn from it."""
    learning_rate: float = Field(default=1e-5, gt=0, le=1)
    lora_rank: int = Field(default=16, ge=0, le=1024)
    """0 trains all weights."""
    save_every: int = Field(default=20, ge=1)
    """Steps between checkpoints."""

    @property
    def lora(self) -> Lora:
        """The adapters."""
        return Lora(rank=self.lora_rank, alpha=2 * self.lora_rank)


class SftSettings(StageSettings):
    """Supervised fine-tuning on kernels that passed."""

    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    epochs: float = Field(default=1.0, gt=0, le=1000)
    batch: int = Field(default=4, ge=1)
    """Rows of a step."""
    max_tokens: int = Field(default=8192, ge=16)
    """Of a row; longer ones are left out, not cut."""
    a_task: int = Field(default=2, ge=1)
    """Kernels of one task at most; CUDA-L1 takes two."""


class _Sampled(StageSettings):
    temperature: float = Field(default=1.0, gt=0, le=5)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=4096, ge=1)
    """Of a reply."""
    at_once: int = Field(default=64, ge=1)
    """Replies generated at a time."""
    exemplars: int = Field(default=COUNT, ge=0, le=8)
    held_out_samples: int = Field(default=4, ge=1)
    """Conversations about each held-out task at a look."""
    tau: float = Field(default=TAU, gt=0)

    @property
    def sampling(self) -> Sampling:
        """How replies are drawn."""
        return Sampling(self.temperature, self.top_p, self.max_tokens, self.at_once)


class SelfSettings(_Sampled):
    """Rounds of sampling, keeping what passes, and training on it. Held-out tasks are looked at before the first and after each."""

    learning_rate: float = Field(default=5e-5, gt=0, le=1)
    rounds: int = Field(default=3, ge=1)
    samples: int = Field(default=4, ge=1)
    """Replies a task and round."""
    batch: int = Field(default=4, ge=1)
    exemplars: int = Field(default=0, ge=0, le=8)
    """CUDA-L1 shows none in this stage."""


class GrpoSettings(_Sampled):
    """Contrastive GRPO."""

    steps: int = Field(default=100, ge=1)
    tasks: int = Field(default=1, ge=1)
    """Tasks of a step."""
    trajectories: int = Field(default=8, ge=1)
    """Conversations about each of them; with turns, they make the group that rewards are compared in."""
    turns: int = Field(default=1, ge=1, le=16)
    gamma: float = Field(default=GAMMA, ge=0, le=1)
    beta: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the model that training began with."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What advantages are divided by: the deviation of the group, of the batch, or nothing."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Samples in memory at a time when weights are changed; it divides the samples of a step. None is all of them."""
    held_out_every: int = Field(default=20, ge=1)
    """Steps between looks at the held-out tasks; there is one before the first step and one after the last."""

    @property
    def group(self) -> int:
        """Samples whose rewards are compared with one another."""
        return self.trajectories * self.turns

    @property
    def samples(self) -> int:
        """Of a step."""
        return self.tasks * self.group

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.group < 2:
            raise ValueError("a group of one sample has nothing to be compared with: take two trajectories or more")
        if self.micro_batch is not None and self.samples % self.micro_batch:
            raise ValueError(f"micro batches of {self.micro_batch} don't divide the {self.samples} samples of a step")
        return self
