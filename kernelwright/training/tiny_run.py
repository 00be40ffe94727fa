"""GRPO shown on the tiny model: the whole of it, from the prompt to the verifier, in about two minutes on two cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.rl.training.progress import Interval, Watcher, mean_interval
from kernelwright.rl.training.settings import GrpoSettings
from kernelwright.rl.training.tiny import TASK, WORDS_OF_A_KERNEL, save_tiny_model
from kernelwright.training.opening import Tasks
from kernelwright.training.stages import Asked, Ended, begin

__all__ = ["SETTINGS", "Rise", "rise_of", "train_tiny"]

SETTINGS = GrpoSettings(
    steps=60, trajectories=32, max_tokens=WORDS_OF_A_KERNEL, learning_rate=3e-3, lora_rank=8, save_every=20, at_once=32,
    scale_rewards="none",
)  # fmt: skip
"""Of the demonstration, but for the seed: 1,920 replies. Advantages are not divided by the deviation of their group: once nearly all replies
are the same good one, a single bad reply would be five deviations off, and the step it causes undoes what was learned (seen with seed 1)."""


@dataclass(frozen=True)
class Rise:
    """How the mean reward moved: over the first and over the last quarter of the steps."""

    first: Interval
    last: Interval

    @property
    def beyond_intervals(self) -> bool:
        """Whether the last interval lies above the first one."""
        return self.last.low > self.first.high


def train_tiny(
    seed: int, folder: Path, settings: Settings, *, store: Store, watcher: Watcher, workers: int = 2,
    asked: GrpoSettings = SETTINGS,
) -> Ended:  # fmt: skip
    """Makes a tiny model with random weights and trains it on its task.

    Args:
        seed: of the weights and of what training draws.
        folder: where the model and the stage's folder are made.

    Raises:
        ConfigError: the extra is not installed.
    """
    from kernelwright.rl.training.extra import require_extra

    require_extra()
    model = save_tiny_model(folder / "tiny", seed=seed)
    stage = asked.model_copy(update={"seed": seed})
    return begin(
        Asked("grpo", str(model), stage, Tasks((TASK,)), workers=workers), folder / "grpo", settings, store=store, watcher=watcher
    )  # fmt: skip


def rise_of(log: Sequence[Any]) -> Rise:
    """What came of it, from the lines of a stage's log; rewards of single replies are taken as independent.

    Raises:
        ValueError: the log has fewer than four steps.
    """
    steps = [line["rewards"] for line in log if line.get("kind") == "step"]
    quarter = len(steps) // 4
    if not quarter:
        raise ValueError("a rise needs four steps")
    return Rise(
        mean_interval([r for rewards in steps[:quarter] for r in rewards]),
        mean_interval([r for rewards in steps[-quarter:] for r in rewards]),
    )
