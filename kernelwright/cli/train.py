"""The group `train`: what makes a better coder of kernels that were judged. Other files add their commands to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernelwright.cli.base import common_flags, console, print_json, start

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.policy_training import Training
    from kernelwright.rl.policy.landscape import Landscape

__all__ = ["train"]


@click.group()
def train() -> None:
    """Train what writes kernels on kernels that were judged."""


@train.command("policy")
@click.option(
    "--landscapes", type=click.Path(path_type=Path), metavar="PATH",
    help="A file of landscapes, or a folder of them (default: those that come with the program).",
)  # fmt: skip
@click.option("--stored", is_flag=True, help="Train on the store's attempts of the built-in coder instead.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything that is drawn.")
@click.option(
    "--epochs", type=click.IntRange(1, 100_000), help="Passes over all kernels on all GPUs (default: as shipped)."
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("policy.npz"), show_default=True, metavar="FILE",
    help="Where the weights go.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True, help="Train the shipped weights again, say whether they come out, and write nothing."
)
@common_flags
def policy(
    landscapes: Path | None,
    stored: bool,
    seed: int,
    epochs: int | None,
    out: Path,
    check: bool,
    as_json: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Train the policy that chooses the built-in coder's parameters.

    A small net learns by policy gradient which tile sizes, threads and strategies suit which kernel on which GPU. It needs no
    GPU: the times are modelled ones that were computed before (landscapes), or those of runs in the store. The same input and
    seed give the same weights. Takes a few minutes on one core.

    With --check the exit code is 0 if the shipped weights were reproduced within the tolerance that docs/policy.md states, else 1.

    \b
    Examples:
      kernelwright train policy --check
      kernelwright train policy --stored --out mine.npz
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from kernelwright.policy_training import TOLERANCE, check_policy, train_policy
    from kernelwright.rl.policy.training import Recipe

    if stored and landscapes is not None:
        raise click.UsageError("--stored and --landscapes name two different things to train on.")
    if check and (stored or landscapes is not None or epochs is not None or seed):
        raise click.UsageError("--check trains the shipped weights again, with their own landscapes, seed and epochs.")
    settings = start(verbose=verbose)
    screen = console(as_json)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    found = _landscapes(landscapes, stored, settings, screen)
    recipe = Recipe(seed=seed) if epochs is None else Recipe(seed=seed, epochs=epochs)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        line = bar.add_task("", total=None)

        def progress(done: int, total: int, reward: float) -> None:
            bar.update(line, completed=done, total=total, description=f"mean log speed-up {reward:+.3f}")

        if check:
            training, difference = check_policy(progress)
        else:
            training, difference = train_policy(found, recipe, out, progress), None
    _show(training, screen)
    reproduced = difference is None or difference <= TOLERANCE
    if difference is not None:
        same = "the same to the bit" if difference == 0 else f"largest relative difference of a weight {difference:.2g}"
        screen.print(f"{'Reproduced' if reproduced else 'Not reproduced'}: {same}, tolerance {TOLERANCE:g}.")
    if as_json:
        print_json({**training.to_json(), "difference": difference, "tolerance": TOLERANCE, "reproduced": reproduced})
    return 0 if reproduced else 1


def _landscapes(path: Path | None, stored: bool, settings: object, screen: Console) -> tuple[Landscape, ...] | None:
    from kernelwright.config import Settings
    from kernelwright.jobs import open_store
    from kernelwright.policy_training import landscapes_at, stored_landscapes

    assert isinstance(settings, Settings)
    if stored:
        with open_store(settings, to_read=True) as store:
            return stored_landscapes(
                store, settings, lambda words: screen.print(words, markup=False, soft_wrap=True, style="dim")
            )
    return None if path is None else landscapes_at(path)


def _show(training: Training, screen: Console) -> None:
    from math import exp

    data, trained = training.to_json(), training.trained
    screen.print(
        f"{data['tasks']} tasks, {data['choices']} choices, {data['epochs']} epochs in {training.seconds:.0f} s. Modelled speed-up "
        f"over the first choice: the policy's favourite {exp(trained.favourite):.2f}x, its draws {exp(trained.reward):.2f}x, "
        f"the best known {exp(trained.best_reward):.2f}x (geometric means over tasks and GPUs it was trained on).",
        soft_wrap=True,
    )
    if training.out is not None:
        screen.print(f"Weights {data['digest']} written to {training.out}.", markup=False, soft_wrap=True)
