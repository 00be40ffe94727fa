"""Flags about a search that several commands share: rounds, strategy, models, money."""

from __future__ import annotations

import click

from kernelwright.cli.base import Function

__all__ = ["search_flags"]


def search_flags(function: Function) -> Function:
    """Adds ``--rounds``, ``--strategy``, ``--candidates``, what is said about coders and what they cost."""
    for option in reversed(
        (
            click.option("--rounds", type=int, metavar="N", help="Attempts to make at most (default: 6)."),
            click.option(
                "--strategy",
                type=click.Choice(["refine", "fsr", "translate-evolve", "evolve", "best-of-n"]),
                help="How attempts follow from one another (default: refine; docs/strategies.md).",
            ),
            click.option(
                "--candidates", type=int, metavar="N", help="Proposals of a round (default: the strategy's own)."
            ),
            click.option("--islands", type=int, metavar="N", help="Islands of the strategy evolve (default: 2)."),
            click.option(
                "--archive",
                type=click.Choice(["own", "shared"]),
                help="Where evolve draws parents from: the run's own archive, or the one that runs on the task share "
                "(default: own).",
            ),
            click.option("--seed", metavar="TEXT", help="Decides what is drawn at random (default: the run's id)."),
            click.option(
                "--model",
                metavar="MODEL",
                help="Language model that writes kernels: openai:NAME, anthropic:NAME or http://host:port/v1#NAME "
                "(default: the built-in coder).",
            ),
            click.option(
                "--author",
                "authors",
                multiple=True,
                metavar="MODEL",
                callback=lambda _context, _option, given: given or None,
                help="A further coder beside --model, named alike, or `builtin`; may be given several times.",
            ),
            click.option(
                "--sampler",
                type=click.Choice(["random", "tpe", "policy"]),
                help="How the built-in coder draws parameters in strategies but refine (default: random; docs/strategies.md).",
            ),
            click.option(
                "--cascade/--no-cascade",
                default=None,
                help="Let kernels go early that can't beat the best of the run (default: not).",
            ),
            click.option(
                "--judge",
                "judge_model",
                metavar="MODEL",
                help="Language model that judges attempts, or `builtin` (default: the same as --model).",
            ),
            click.option(
                "--builtin-first",
                type=int,
                metavar="N",
                help="Attempts the built-in coder makes before the model (default: 0).",
            ),
            click.option(
                "--exemplars",
                type=int,
                metavar="N",
                help="Earlier winners that prompts show (default: 3; 0 for a fair comparison).",
            ),
            click.option(
                "--budget", type=str, metavar="DOLLARS", help="Stop before the model call that could pass this sum."
            ),
            click.option(
                "--reasoning",
                type=click.Choice(["none", "low", "medium", "high"]),
                help="How much models are to reason.",
            ),
            click.option("--temperature", type=float, metavar="T", help="How freely models draw their words."),
        )
    ):
        function = option(function)
    return function
