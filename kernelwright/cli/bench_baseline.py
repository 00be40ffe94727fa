"""`kernelwright bench baseline`: what the tasks of a suite take without a kernel of anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import common_flags, console, device_flags, print_json, start
from kernelwright.cli.bench import bench
from kernelwright.errors import MisuseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelwright.bench.baselines import TaskBaselines

__all__ = ["baseline"]


@bench.command("baseline")
@click.argument("suite")
@click.option(
    "--only", multiple=True, metavar="GLOB", help="Only tasks whose name is like this; several times for more."
)
@click.option("--no-variants", is_flag=True, help="Leave out variants: tasks called NAME@VARIANT.")
@click.option(
    "--scale",
    type=click.Choice(["auto", "twin", "full"]),
    default="auto",
    show_default=True,
    help="Sizes: the scaled-down twins, or full; auto takes the twins on the emulator.",
)
@click.option(
    "--baselines",
    default="eager,compile",
    show_default=True,
    metavar="NAMES",
    help="Which: eager, compile and max-autotune, with commas.",
)
@click.option("--again", is_flag=True, help="Make those anew that are stored for this device.")
@device_flags
@common_flags
def baseline(
    suite: str,
    only: tuple[str, ...],
    no_variants: bool,
    scale: str,
    baselines: str,
    again: bool,
    as_json: bool,
    verbose: bool,
    debug: bool,
    **flags: Any,
) -> int:
    """Time the tasks of SUITE as eager PyTorch and through torch.compile.

    On a GPU both are measured, in one session for each task. Without one eager PyTorch is modelled, and torch.compile is left
    out: what it would choose is not known. What is stored for this device is not made again.

    \b
    Examples:
      kernelwright bench baseline core
      kernelwright bench baseline fusion --only 'mlp*' --baselines eager,compile,max-autotune
    """
    from kernelwright.bench.baselines import NAMES, baselines_of_task
    from kernelwright.bench.plan import scale_for, selected
    from kernelwright.bench_tasks.collections import find_suite
    from kernelwright.jobs import open_store, resolve_target, utc_now
    from kernelwright.render import ProgressView
    from kernelwright.render_bench import baselines_table
    from kernelwright.render_table import print_table

    names = tuple(dict.fromkeys(each.strip() for each in baselines.split(",") if each.strip()))
    if wrong := [each for each in names if each not in NAMES]:
        raise MisuseError(f"no baseline is called {wrong[0]!r}.", mend=f"There are {', '.join(NAMES)}.")
    if not names:
        raise MisuseError("--baselines names none.", mend=f"There are {', '.join(NAMES)}.")
    settings = start(verbose=verbose, **flags)
    chosen = find_suite(suite, settings.data / "suites")
    tasks = selected(chosen, only, variants=not no_variants)
    target = resolve_target(settings)
    size = scale_for(scale, target.device.kind)
    screen = console(as_json)
    found: list[TaskBaselines] = []
    with open_store(settings) as store, ProgressView(screen, target.gpu.name) as view:
        for task in tasks:
            screen.print(task.name, markup=False, style="bold")
            found.append(
                baselines_of_task(
                    task.name, task.at(size), target, names, store, observer=view, clock=utc_now, again=again
                )
            )
    kind = "measured" if target.device.kind == "cuda" else "modelled"
    print_table(screen, baselines_table(found, names, kind, target.gpu.name))
    for why in dict.fromkeys(f"{name}: {text}" for each in found for name, text in each.missing.items()):
        screen.print(why, style="yellow", markup=False, soft_wrap=True)
    if as_json:
        print_json(
            {
                "suite": chosen.name,
                "digest": chosen.digest,
                "scale": size.value,
                "kind": kind,
                "gpu": target.gpu.name,
                "tasks": _json(found),
            }
        )
    return 0 if all(each.found for each in found) else 1


def _json(found: Sequence[TaskBaselines]) -> list[dict[str, Any]]:
    return [
        {
            "task": each.name,
            "task_id": each.task_id,
            "baselines": {
                name: {
                    "seconds": one.seconds,
                    "seconds_low": one.seconds_low,
                    "seconds_high": one.seconds_high,
                    "interval_source": one.interval_source,
                    "created": one.created.isoformat(),
                }
                for name, one in each.found.items()
            },
            "missing": dict(each.missing),
        }
        for each in found
    ]
