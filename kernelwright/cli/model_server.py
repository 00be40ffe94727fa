"""The command `model-server`: a model server that says what a script says."""

from __future__ import annotations

from pathlib import Path

import click

from kernelwright.cli.base import common_flags, console, print_json, start

__all__ = ["model_server"]


@click.command("model-server")
@click.argument("script", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", metavar="HOST", help="Address to listen at (default: 127.0.0.1).")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port; 0 takes a free one (default)."
)
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE", help="Append a line of JSON for every request.")
@common_flags
def model_server(
    script: Path, host: str, port: int, log: Path | None, as_json: bool, verbose: bool, debug: bool
) -> int:
    """Serve scripted replies as a language model would.

    Speaks OpenAI's and Anthropic's protocols over HTTP, for tests and demos that need no key and cost nothing. SCRIPT is a YAML or
    JSON file with the replies and faults (docs/model-server.md). It serves until Ctrl-C; GET /_tally says what it was asked and what it charged.

    \b
    Example:
      kernelwright model-server script.yaml --port 8123
    """
    import threading

    from kernelwright.agents.model_server import serving

    start(verbose=verbose)
    with serving(script, host=host, port=port, log=log) as server:
        if as_json:
            print_json({"openai": server.openai_url, "anthropic": server.anthropic_url})
        else:
            screen = console(as_json)
            screen.print(f"OpenAI     {server.openai_url}", soft_wrap=True, highlight=False)
            screen.print(f"Anthropic  {server.anthropic_url}", soft_wrap=True, highlight=False)
            screen.print("Any key will do. Ctrl-C ends it.", highlight=False)
        threading.Event().wait()
    return 0
