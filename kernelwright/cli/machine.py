"""The commands about this machine and the GPU table: `doctor`, `gpus`."""

from __future__ import annotations

import click

from kernelwright.cli.base import common_flags, console, print_json, start

__all__ = ["doctor", "gpus"]


@click.command()
@common_flags
def doctor(as_json: bool, verbose: bool, debug: bool) -> int:
    """Say what this machine offers and what is missing.

    For each optional thing that is not here it says what that would add. The exit code is 1 when something is missing
    without which optimize and verify can't run. Of API keys only the names are looked at.
    """
    from dataclasses import asdict

    from rich.padding import Padding
    from rich.text import Text

    from kernelwright.doctor import checks, ready
    from kernelwright.words import one_line

    found = checks(start(verbose=verbose))
    fine = ready(found)
    if as_json:
        print_json({"ready": fine, "checks": [asdict(check) for check in found]})
        return 0 if fine else 1
    screen = console(as_json)
    for check in found:
        if check.found:
            sign, style = "found", "green"
        else:
            sign, style = ("missing", "bold red") if check.essential else ("not here (optional)", "")
        line = Text.assemble((sign, style), f"  {check.name}: {one_line(check.detail)}")
        screen.print(line, soft_wrap=True)
        if not check.found:
            label = "needed: " if check.essential else "would add: "
            screen.print(Padding(Text(label + check.adds, style="dim"), (0, 0, 0, 4)))
    screen.print(Text("Ready: kernelwright optimize FILE" if fine else "Not ready.", style="bold"))
    return 0 if fine else 1


@click.command()
@common_flags
def gpus(as_json: bool, verbose: bool, debug: bool) -> int:
    """List the GPUs to write for and to model times for."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from kernelwright.verifier.model.gpus import DEFAULT_GPU, all_gpus

    start(verbose=verbose)
    cards = all_gpus()
    if as_json:
        print_json({"default": DEFAULT_GPU, "gpus": [card.model_dump(mode="json") for card in cards]})
        return 0
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("arch", no_wrap=True)
    for heading in ("SMs", "fp32 TFLOP/s", "DRAM GB/s", "L2 MB"):
        table.add_column(heading, justify="right")
    for card in cards:
        table.add_row(
            card.name,
            card.arch,
            str(card.sms),
            f"{card.fp32_peak / 1e12:.1f}",
            f"{card.dram_bandwidth / 1e9:.0f}",
            f"{card.l2_bytes / 1e6:.0f}",
        )
    console(as_json).print(table)
    return 0
