"""The command `mcp`: tools for a coding agent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from kernelwright.cli.base import device_flags, start

__all__ = ["mcp"]

_EXAMPLES = Path("examples")


@click.command()
@click.option(
    "--tasks", "folders", type=click.Path(path_type=Path), metavar="DIR", multiple=True,
    help="Folder of task files that a client may name and read; can be given more than once (default: examples, if it is there).",
)  # fmt: skip
@click.option(
    "--http", metavar="HOST:PORT",
    help="Serve streamable HTTP at http://HOST:PORT/mcp instead of standard input and output. A port alone is served to this "
    "machine only. There is no authentication.",
)  # fmt: skip
@click.option(
    "--allow-host", "allowed", metavar="NAME", multiple=True,
    help="With --http: a further name by which clients may call this server; others are refused.",
)  # fmt: skip
@click.option("--author", default="mcp", show_default=True, help="Whose name kernels bear where a client gives none.")
@device_flags
@click.option("-v", "--verbose", is_flag=True, help="Log to standard error as well.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def mcp(
    folders: tuple[Path, ...],
    http: str | None,
    allowed: tuple[str, ...],
    author: str,
    verbose: bool,
    debug: bool,
    **flags: Any,
) -> int:
    """Serve tools to a coding agent over the Model Context Protocol.

    The agent writes kernels; it can list and read tasks, have a kernel judged and profiled, search for kernels that won on tasks
    like it, and submit attempts to a run, which `kernelwright show` shows. It may read nothing outside of the tasks' folders, and
    what it sends runs in the sandbox. See docs/mcp.md for how to add it to an agent.

    \b
    Examples:
      kernelwright mcp --tasks my_tasks
      kernelwright mcp --http 127.0.0.1:8931
    """
    from kernelwright.mcp.serving import http_address, serve_http, serve_stdio
    from kernelwright.words import one_line

    settings = start(verbose=verbose, **flags)
    places = folders or ((_EXAMPLES,) if _EXAMPLES.is_dir() else ())
    name = one_line(author, 80) or "mcp"
    if http is None:
        if sys.stdin is not None and sys.stdin.isatty():
            click.echo(
                "Waiting for a client's messages on standard input; an agent starts this (Ctrl-C ends it).", err=True
            )
        serve_stdio(settings, places, name)
        return 0
    address = http_address(http)

    def ready(url: str) -> None:
        click.echo(f"Serving {url}   (Ctrl-C ends it)", err=True)
        if not address.local:
            click.echo("Anyone who reaches this address can run kernels in the sandbox here.", err=True)

    serve_http(settings, places, name, address, allowed, ready)
    return 0
