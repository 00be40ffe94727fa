"""What the stages on TRL share: arguments of its trainers, the callback that logs, saves and stops, going on after a kill."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelwright.errors import KernelwrightError
from kernelwright.rl.training.folder import Folder
from kernelwright.rl.training.models import on_gpu
from kernelwright.rl.training.progress import StepDone, StopRequest, Watcher
from kernelwright.rl.training.settings import StageSettings

__all__ = ["Hooks", "common_arguments", "train"]

_log = logging.getLogger(__name__)
_KEPT = 3
"""Checkpoints kept: the one being written, the last whole one, and one more."""


@dataclass
class Hooks:
    """What happens around the steps of a trainer."""

    stage: str
    steps: int
    stop: StopRequest
    watcher: Watcher
    figures: dict[str, Any] = field(default_factory=dict)
    """Of the step under way, filled in while it is made."""
    before_first: Callable[[], None] = lambda: None
    """Called when training begins with step 1."""
    after_step: Callable[[int], None] = lambda _step: None


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
        "save_total_limit": _KEPT,
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
        return True
    try:
        trainer.train(resume_from_checkpoint=None if found is None else str(found[0]))
    except KernelwrightError:
        # raised while replies were made or judged, so the weights are those of the last whole step
        step = trainer.state.global_step
        place = folder.checkpoints / f"checkpoint-{step}"
        if step and not place.exists():
            trainer._save_checkpoint(trainer.model, None)
            folder.mark(place, {"step": step})
        raise
    return bool(trainer.state.global_step >= hooks.steps)


def _callback(folder: Folder, hooks: Hooks) -> Any:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        """Tells the hooks, writes the log, marks checkpoints, stops when asked."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 0:
                hooks.before_first()

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
            hooks.after_step(state.global_step)
            self.on_step_end(args, state, control)  # whoever was told may have asked to stop; saving comes after this

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            folder.mark(folder.checkpoints / f"checkpoint-{state.global_step}", {"step": state.global_step})

    return Steps()
