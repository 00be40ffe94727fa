"""The command on evidence bundles: `recheck`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kernelwright.cli.base import common_flags, console, print_json, start

__all__ = ["recheck"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--fresh", is_flag=True, help="Judge once more, with new secret seeds.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "docker", "process"]),
    help="How the bundle's code is fenced in: the kernel and the reference (default: auto, bubblewrap or docker).",
)
@common_flags
def recheck(file: Path, fresh: bool, as_json: bool, verbose: bool, debug: bool, **flags: Any) -> int:
    """Check an evidence bundle and judge again.

    FILE was written by `verify --bundle`, here or elsewhere. Its hashes are checked first; then its kernel is judged with the
    seeds in it, and verdict, stages, launched kernels, error shares, counters and times are compared. The exit code is 0 if
    everything holds, 1 if something was changed, asks for other checks than this program does, or came out otherwise, 2 if
    FILE is no bundle. Figures may differ in another environment (versions, processor), which is told.

    \b
    Examples:
      kernelwright recheck kernel.bundle
      kernelwright recheck kernel.bundle --fresh --json | jq .holds
    """
    from kernelwright.evidence import recheck_bundle
    from kernelwright.render import ProgressView
    from kernelwright.render_evidence import recheck_view

    settings = start(verbose=verbose, **flags)
    screen = console(as_json)
    with ProgressView(screen, settings.gpu) as view:
        found = recheck_bundle(file, settings, fresh=fresh, observer=view)
    screen.print(recheck_view(found))
    if as_json:
        print_json(found.to_json())
    return 0 if found.holds else 1
