"""What the stages on TRL share: arguments of its trainers, the callback that logs, saves and stops, going on after a kill."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelwright.errors import KernelwrightError
from kernelwright.rl.training.folder import KEPT, Folder
from kernelwright.rl.training.models import on_gpu
from kernelwright.rl.training.progress import StepDone, StopRequest, Watcher
from kernelwright.rl.training.settings import StageSettings

__all__ = ["Hooks", "common_arguments", "train"]

_log = logging.getLogger(__name__)

_TO_LOOK = "look"
"""Key of a checkpoint's mark: the look after its step is still to be made."""


class RandomStates:
    """What all generators stand at that training draws from."""

    def __init__(self) -> None:
        import numpy
        import torch

        self._states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
        self._on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def restore(self) -> None:
        """Sets the generators back."""
        import numpy
        import torch

        random.setstate(self._states[0])
        numpy.random.set_state(self._states[1])
        torch.set_rng_state(self._states[2])
        if self._on_gpus:
            torch.cuda.set_rng_state_all(self._on_gpus)


@dataclass
class Hooks:
    """What happens around the steps of a trainer."""

    stage: str
    steps: int
    stop: StopRequest
    watcher: Watcher
    figures: dict[str, Any] = field(default_factory=dict)
    """Of the step under way, filled in while it is made."""
    states: RandomStates = field(default_factory=RandomStates)
    """As the last whole step left them."""
    look: Callable[[int], None] = lambda _step: None
    """Called before step 1 with 0, and after each step."""
    looking: bool = False
    """Whether `look` is at work."""

    def after(self, step: int) -> None:
        """The look after a step; where it raises, it is still to be made."""
        self.looking = True
        self.look(step)
        self.looking = False


def common_arguments(settings: StageSettings, folder: Folder) -> dict[str, Any]:
    """Arguments of every trainer: no server is asked or told anything, nothing is printed."""
    gpu = on_gpu()
    if gpu:
        import torch

        gpu_bf16 = torch.cuda.is_bf16_supported()
    return {
        "output_dir": str(folder.checkpoints),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": KEPT,
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": gpu and gpu_bf16,
        "use_cpu": not gpu,
        "gradient_checkpointing": gpu,
        "dataloader_num_workers": 0,
        "push_to_hub": False,
    }


def train(trainer: Any, folder: Folder, hooks: Hooks) -> bool:
    """Trains to the end, or until asked to stop, from the newest whole checkpoint if there is one; whether it came to the end.

    Raises:
        KernelwrightError: what judging raised; the steps so far are saved first.
        KeyboardInterrupt: asked to stop a second time; the last checkpoint holds.
    """
    from transformers import PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(_callback(folder, hooks))
    found = folder.latest()
    folder.cut_log(found[1]["step"] if found is not None else 0)
    if found is not None and found[1]["step"] >= hooks.steps:
        trainer._load_from_checkpoint(str(found[0]))
        _make_up(folder, hooks, *found)
        return True
    try:
        trainer.train(resume_from_checkpoint=None if found is None else str(found[0]))
    except KernelwrightError:
        # raised while replies were made or judged, so the weights are those of the last whole step
        step = trainer.state.global_step
        place = folder.checkpoints / f"checkpoint-{step}"
        if step and not place.exists():
            hooks.states.restore()
            trainer._save_checkpoint(trainer.model, None)
            folder.mark(place, {"step": step, _TO_LOOK: hooks.looking})
        raise
    return bool(trainer.state.global_step >= hooks.steps)


def _make_up(folder: Folder, hooks: Hooks, checkpoint: Path, state: Mapping[str, Any]) -> None:
    """The look after the checkpoint's step, if it was begun and failed."""
    if state.get(_TO_LOOK):
        hooks.after(state["step"])
        folder.mark(checkpoint, {"step": state["step"]})


def _callback(folder: Folder, hooks: Hooks) -> Any:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        """Tells the hooks, writes the log, marks checkpoints, stops when asked."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 0:
                hooks.after(0)
            elif (found := folder.latest()) is not None:
                _make_up(folder, hooks, *found)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if hooks.stop.asked:
                control.should_save = control.should_training_stop = True

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any
        ) -> None:
            if logs is None or "loss" not in logs:  # the summary at the end
                return
            figures = {**hooks.figures, "loss": logs["loss"], "gradient": logs.get("grad_norm")}
            hooks.figures.clear()
            figures |= {key: logs[key] for key in ("kl", "entropy") if key in logs}
            folder.write_log({"kind": "step", "step": state.global_step, **figures})
            hooks.watcher(StepDone(hooks.stage, state.global_step, hooks.steps, figures))
            hooks.states = RandomStates()
            hooks.after(state.global_step)
            self.on_step_end(args, state, control)  # whoever was told may have asked to stop; saving comes after this

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            folder.mark(folder.checkpoints / f"checkpoint-{state.global_step}", {"step": state.global_step})

    return Steps()
