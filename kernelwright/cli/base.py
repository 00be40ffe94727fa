"""What the commands share: common flags, start-up, JSON on standard output, the id of the run under way."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from kernelwright.config import Settings
    from kernelwright.events import Event, Observer

__all__ = ["Function", "Interrupted", "RunId", "common_flags", "console", "device_flags", "print_json", "start"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Interrupted(Exception):
    """Ctrl-C or a polite kill, with the run to go on with (None before the first attempt was under way).

    Args:
        command: what goes on with it.
    """

    def __init__(self, run_id: str | None, command: str = "kernelwright resume") -> None:
        super().__init__(run_id)
        self.run_id = run_id
        self.command = command


class RunId:
    """An observer that remembers which run is under way, and hands each event on."""

    def __init__(self, following: Observer) -> None:
        self.value: str | None = None
        self._following = following

    def __call__(self, event: Event) -> None:
        from kernelwright.events import RunStarted

        if isinstance(event, RunStarted):
            self.value = event.run_id
        self._following(event)


def common_flags(function: Function) -> Function:
    """Adds ``--json``, ``-v`` and ``--debug``."""
    function = click.option("--debug", is_flag=True, help="Show the traceback of an error.")(function)
    function = click.option("-v", "--verbose", is_flag=True, help="Log to standard error as well.")(function)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else."
    )(function)


def device_flags(function: Function) -> Function:
    """Adds ``--gpu``, ``--device`` and ``--isolation``."""
    function = click.option(
        "--isolation",
        type=click.Choice(["auto", "bubblewrap", "docker", "process"]),
        help="How a kernel's process is fenced in (default: auto, bubblewrap or docker).",
    )(function)
    function = click.option(
        "--device",
        type=click.Choice(["auto", "cuda", "emulator"]),
        help="Where kernels run (default: auto).",
    )(function)
    return click.option(
        "--gpu", metavar="NAME", help="GPU to write for and to model (default: H200; see: kernelwright gpus)."
    )(function)


_FLAGS_OF = {
    "islands": ("evolve",),
    "archive": ("evolve",),
    "sampler": ("fsr", "translate-evolve", "evolve", "best-of-n"),
}
"""Strategies that a flag is for."""


def start(*, verbose: bool, **flags: Any) -> Settings:
    """Reads the settings and sets up logging; flags of the command that do nothing with its strategy are told.

    Raises:
        ConfigError: a setting that can't be used.
    """
    from kernelwright import logs
    from kernelwright.config import load_settings

    settings = load_settings(**flags)
    logs.set_up(settings.log_file, settings.log_level, verbose=verbose)
    for name, strategies in _FLAGS_OF.items():
        if flags.get(name) is not None and settings.strategy not in strategies:
            told = (
                f"note: --{name} does nothing with the strategy {settings.strategy}, but with {', '.join(strategies)}."
            )
            click.echo(told, err=True)
    return settings


def console(as_json: bool) -> Console:
    """Where people read: standard output, or standard error when that one belongs to JSON."""
    from kernelwright.render import make_console

    return make_console(sys.stderr if as_json else sys.stdout)


def print_json(value: Mapping[str, Any]) -> None:
    """The one object of ``--json``; floating-point numbers that JSON has no word for become null."""
    click.echo(json.dumps(_finite(value), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
