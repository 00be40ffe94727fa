"""What a kernel launched on a GPU against what it launched on the emulator, where every store was watched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from kernelwright.sandbox.launch import GpuLaunch, LaunchReport
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.wording import counted

__all__ = ["launch_difference"]

_TEMPLATE = re.compile(r"<.*|\(.*")


def launch_difference(emulated: Sequence[LaunchReport], launches: Sequence[GpuLaunch]) -> str:
    """How the launches of a kernel on the GPU differ from those on the emulator; empty if they don't.

    Kernels of torch's own that ran besides are left out: what the candidate calls is known from the emulator.
    """
    wanted = Counter((_bare(r.kernel), r.grid, r.block) for r in emulated)
    names = {name for name, _, _ in wanted}
    found = Counter(
        (_bare(launch.name), launch.grid, launch.block) for launch in launches if _bare(launch.name) in names
    )
    for (name, grid, block), count in (wanted - found).items():
        return f"{name} with grid {grid} and block {block} is launched {counted(count, 'time')} less."
    for (name, grid, block), count in (found - wanted).items():
        return f"{name} with grid {grid} and block {block} is launched {counted(count, 'time')} more."
    return ""


def _bare(name: str) -> str:
    """A kernel's name, mangled or not, without return type, parameters, template arguments and namespaces."""
    return (
        _TEMPLATE.sub("", plain_name(name).removeprefix("void ").replace("(anonymous namespace)::", ""))
        .split("::")[-1]
        .strip()
    )
