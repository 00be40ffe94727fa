"""The commands `train sft`, `train self` and `train grpo`: language models, with the extra `kernelwright[rl]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import Function, Interrupted, common_flags, console, device_flags, print_json, start
from kernelwright.cli.train import train
from kernelwright.errors import ConfigError, MisuseError

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.rl.training.progress import StepDone

__all__ = ["grpo", "self_supervised", "sft"]


def _stage_flags(function: Function) -> Function:
    """Adds what the stages have in common."""
    for option in reversed(
        (
            click.argument("tasks", nargs=-1, type=click.Path(path_type=Path), metavar="[TASK]..."),
            click.option(
                "--model-path", metavar="MODEL", help="Folder of a Hugging Face causal model, or a .gguf file."
            ),
            click.option("--hub", is_flag=True, help="MODEL may be a name on the Hugging Face hub, and is fetched."),
            click.option(
                "--held-out",
                multiple=True,
                type=click.Path(path_type=Path),
                metavar="TASK",
                help="Task, or folder of tasks, that is not learned from (may be given several times).",
            ),
            click.option(
                "--out",
                type=click.Path(path_type=Path, file_okay=False),
                metavar="DIR",
                help="New folder for checkpoints, the log and the model.",
            ),
            click.option(
                "--resume",
                type=click.Path(path_type=Path, file_okay=False),
                metavar="DIR",
                help="Go on with the stage in this folder, under its own settings.",
            ),
            click.option("--seed", type=int, metavar="N", help="Of weights and draws (default: 0)."),
            click.option(
                "--learning-rate", type=float, metavar="RATE", help="Of AdamW, constant (default: the stage's own)."
            ),
            click.option(
                "--lora-rank", type=int, metavar="N", help="Of the adapters; 0 trains all weights (default: 16)."
            ),
        )
    ):
        function = option(function)
    return function


def _sampling_flags(function: Function) -> Function:
    """Adds what the stages have that sample from the model and judge kernels."""
    for option in reversed(
        (
            click.option("--max-tokens", type=int, metavar="N", help="Tokens of a reply at most (default: 4096)."),
            click.option("--temperature", type=float, metavar="T", help="How freely replies are drawn (default: 1)."),
            click.option(
                "--top-p", type=float, metavar="P", help="Share of the likeliest words drawn from (default: 1)."
            ),
            click.option("--at-once", type=int, metavar="N", help="Replies generated at a time (default: 64)."),
            click.option(
                "--exemplars",
                type=int,
                metavar="N",
                help="Scored earlier kernels in a prompt (default: the stage's own).",
            ),
            click.option(
                "--tau", type=float, metavar="T", help="Temperature of their buckets of score (default: 0.5)."
            ),
            click.option(
                "--workers", type=int, default=1, show_default=True, metavar="N", help="Evaluators at a time."
            ),
            click.option(
                "--evaluation-seconds",
                type=float,
                default=900.0,
                show_default=True,
                metavar="S",
                help="Wall time of one evaluation, after which its evaluator is started anew.",
            ),
        )
    ):
        function = option(function)
    return function


@train.command()
@_stage_flags
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Rows to learn, JSON lines or Parquet, as `kernelwright dataset build` writes them (default: kernels of the store "
    "that passed on TASK).",
)
@click.option("--epochs", type=float, metavar="N", help="Passes over the rows (default: 1).")
@click.option("--batch", type=int, metavar="N", help="Rows of a step (default: 4).")
@click.option("--max-tokens", type=int, metavar="N", help="Rows with more are left out (default: 8192).")
@click.option("--a-task", type=int, metavar="N", help="Kernels of one task at most (default: 2).")
@click.option("--save-every", type=int, metavar="N", help="Steps between checkpoints (default: 20).")
@device_flags
@common_flags
def sft(
    tasks: tuple[Path, ...], as_json: bool, verbose: bool, debug: bool, data: Path | None, gpu: str | None,
    device: str | None, isolation: str | None, **flags: Any,
) -> int:  # fmt: skip
    """Fine-tune a language model on kernels that passed.

    The first stage of CUDA-L1. Without --data it learns the fastest kernels of the store for each TASK, two at most. A killed
    or interrupted stage goes on with --resume DIR. Needs the extra: pip install 'kernelwright[rl]'.

    \b
    Examples:
      kernelwright train sft --data rows.parquet --model-path models/coder --out runs/sft
      kernelwright train sft examples/*.py --model-path models/coder --out runs/sft
    """
    machine = {"gpu": gpu, "device": device, "isolation": isolation}
    return _run("sft", tasks, flags, machine, as_json=as_json, verbose=verbose, data=data)


@train.command(name="self")
@_stage_flags
@click.option("--rounds", type=int, metavar="N", help="Rounds of sampling and training (default: 3).")
@click.option("--samples", type=int, metavar="N", help="Replies for each task and round (default: 4).")
@click.option("--batch", type=int, metavar="N", help="Replies of a step of training (default: 4).")
@click.option(
    "--held-out-samples",
    type=int,
    metavar="N",
    help="Replies for each held-out task, before and after rounds (default: 4).",
)
@_sampling_flags
@device_flags
@common_flags
def self_supervised(
    tasks: tuple[Path, ...], as_json: bool, verbose: bool, debug: bool, gpu: str | None, device: str | None,
    isolation: str | None, **flags: Any,
) -> int:  # fmt: skip
    """Let a language model learn from its own kernels that pass.

    The second stage of CUDA-L1: in each round it writes kernels for every TASK, those that pass are kept, and it is trained on
    them. Kernels are judged as everywhere and stored as attempts. Needs the extra: pip install 'kernelwright[rl]'.

    \b
    Example:
      kernelwright train self examples/softmax.py examples/rms_norm.py --model-path runs/sft/model --out runs/self
    """
    machine = {"gpu": gpu, "device": device, "isolation": isolation}
    return _run("self", tasks, flags, machine, as_json=as_json, verbose=verbose)


@train.command()
@_stage_flags
@click.option("--steps", type=int, metavar="N", help="Steps of training (default: 100).")
@click.option("--tasks-a-step", "tasks_a_step", type=int, metavar="N", help="Tasks of a step (default: 1).")
@click.option("--trajectories", type=int, metavar="N", help="Conversations about each of them (default: 8).")
@click.option(
    "--turns",
    type=int,
    metavar="N",
    help="Turns of a conversation: the model sees its verdict and goes on (default: 1).",
)
@click.option("--gamma", type=float, metavar="G", help="Discount of later turns' rewards (default: 0.4).")
@click.option("--beta", type=float, metavar="B", help="Weight of the divergence from the first model (default: 0).")
@click.option(
    "--scale-rewards",
    type=click.Choice(["group", "batch", "none"]),
    help="What advantages are divided by (default: group).",
)
@click.option(
    "--micro-batch", type=int, metavar="N", help="Samples in memory when weights change (default: all of a step)."
)
@click.option("--held-out-every", type=int, metavar="N", help="Steps between looks at held-out tasks (default: 20).")
@click.option("--held-out-samples", type=int, metavar="N", help="Conversations about each at a look (default: 4).")
@click.option("--save-every", type=int, metavar="N", help="Steps between checkpoints (default: 20).")
@_sampling_flags
@device_flags
@common_flags
def grpo(
    tasks: tuple[Path, ...], as_json: bool, verbose: bool, debug: bool, gpu: str | None, device: str | None,
    isolation: str | None, tasks_a_step: int | None, **flags: Any,
) -> int:  # fmt: skip
    """Train a language model by contrastive reinforcement learning (CUDA-L1, GRPO).

    Prompts show earlier kernels of the task with their scores; the reward is the judged speed-up, and what cheats has the
    lowest. A killed or interrupted stage goes on with --resume DIR. Needs the extra: pip install 'kernelwright[rl]'.

    \b
    Examples:
      kernelwright train grpo examples/softmax.py --held-out examples/rms_norm.py --model-path runs/self/model --out runs/grpo
      kernelwright train grpo examples/softmax.py --model-path model.gguf --turns 3 --steps 50 --out runs/kevin
      kernelwright train grpo --resume runs/grpo
    """
    machine = {"gpu": gpu, "device": device, "isolation": isolation}
    return _run("grpo", tasks, {**flags, "tasks": tasks_a_step}, machine, as_json=as_json, verbose=verbose)


def _run(
    stage: str, paths: tuple[Path, ...], flags: dict[str, Any], machine: dict[str, Any], *, as_json: bool, verbose: bool,
    data: Path | None = None,
) -> int:  # fmt: skip
    """Begins or goes on with a stage, shows its steps, and prints how it ended."""
    import logging

    from kernelwright.jobs import open_store
    from kernelwright.rl.training.extra import require_extra
    from kernelwright.training.stages import begin, go_on

    resume, out = flags.pop("resume"), flags.pop("out")
    if resume is not None and (named := _given()):
        raise MisuseError(
            f"{named[0]} can't be changed on going on.", mend="Give --resume DIR and nothing of the stage."
        )
    settings = start(verbose=verbose, **machine)
    require_extra(hub=True)  # whether the hub may be asked, the stage says
    logging.captureWarnings(True)  # of the libraries: to the log file
    screen = console(as_json)
    folder = resume if resume is not None else out
    with open_store(settings) as store:
        try:
            if resume is not None:
                ended = go_on(stage, resume, settings, store=store, watcher=lambda done: _show(screen, done))
            else:
                asked, folder = _asked(stage, paths, flags, out, data)
                ended = begin(asked, folder, settings, store=store, watcher=lambda done: _show(screen, done))
        except KeyboardInterrupt:
            raise Interrupted(str(folder), f"kernelwright train {stage} --resume") from None
    if not ended.finished:
        raise Interrupted(str(folder), f"kernelwright train {stage} --resume")
    screen.print(f"Written: {ended.model}", soft_wrap=True)
    if as_json:
        print_json(ended.to_json())
    return 0


def _given() -> list[str]:
    """What a person gave of the stage, by the names it has on the command line."""
    context = click.get_current_context()
    chosen = click.core.ParameterSource.COMMANDLINE
    of_the_call = {"resume", "as_json", "verbose", "debug", "isolation"}
    return [
        parameter.opts[0] if isinstance(parameter, click.Option) else "TASK"
        for parameter in context.command.params
        if parameter.name not in of_the_call and context.get_parameter_source(parameter.name or "") is chosen
    ]


def _asked(
    stage: str, paths: tuple[Path, ...], flags: dict[str, Any], out: Path | None, data: Path | None
) -> tuple[Any, Path]:
    """What a new stage is asked for, and its folder."""
    from pydantic import ValidationError

    from kernelwright.rl.training.settings import GrpoSettings, SelfSettings, SftSettings, StageSettings
    from kernelwright.training.opening import read_tasks
    from kernelwright.training.stages import Asked

    for name, value in (("--model-path", flags["model_path"]), ("--out", out)):
        if not value:
            raise MisuseError(f"{name} is missing.", mend=f"See: kernelwright train {stage} --help")
    assert out is not None
    if not paths and data is None:
        raise MisuseError("there is no task to learn from.", mend="Give files, or folders, of tasks.")
    kinds: dict[str, type[StageSettings]] = {"sft": SftSettings, "self": SelfSettings, "grpo": GrpoSettings}
    chosen = {name: value for name, value in flags.items() if value is not None and name in kinds[stage].model_fields}
    try:
        settings = kinds[stage](**chosen)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        said = str(first["msg"]).removeprefix("Value error, ")
        if not first["loc"]:
            raise ConfigError(f"{said}.") from None
        name = str(first["loc"][0]).replace("_", "-")
        flag = "--tasks-a-step" if name == "tasks" else f"--{name}"
        raise ConfigError(f"{flag} can't be {first['input']!r}: {said[:1].lower()}{said[1:]}.") from None
    workers, seconds = flags.get("workers", 1), flags.get("evaluation_seconds", 900.0)
    if not 1 <= workers <= 256:
        raise ConfigError(f"--workers can't be {workers}.", mend="Take 1 to 256.")
    if not 0 < seconds <= 86_400:
        raise ConfigError(f"--evaluation-seconds can't be {seconds:g}.", mend="Take more than 0 and at most 86400.")
    tasks = read_tasks(paths, flags["held_out"])
    asked = Asked(
        stage,
        flags["model_path"],
        settings,
        tasks,
        None if data is None else data.absolute(),
        flags["hub"],
        workers,
        seconds,
    )
    return asked, out


def _show(screen: Console, done: StepDone) -> None:
    """One line a step."""
    figures = done.figures
    if (held_out := figures.get("held_out")) is not None:
        screen.print(f"{'held out':>14}  {_words(held_out)}", soft_wrap=True)
        return
    what = "round" if done.stage == "self" else "step"
    text = _words(figures) if "samples" in figures else ""
    loss = figures.get("loss")
    text += "" if loss is None else f"{', ' if text else ''}loss {loss:.4f}"
    screen.print(f"{what} {done.step:>4}/{done.steps:<4} {text}", soft_wrap=True)


def _words(figures: dict[str, Any]) -> str:
    reward = figures["reward"]
    if reward is None:
        return "nothing could be judged"
    best = figures["best"]
    parts = [
        f"reward {reward:.3f} [{figures['reward_low']:.3f}, {figures['reward_high']:.3f}]",
        f"{figures['passed']} of {figures['samples']} passed",
    ]
    parts += [] if best is None else [f"best {best:.2f}x"]
    parts += [f"{figures['unjudged']} not judged"] if figures["unjudged"] else []
    return ", ".join(parts)
