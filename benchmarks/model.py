"""What a modelled time costs: 60 honest kernels compiled, run on the emulator, counted and priced, each for the first time.

    python benchmarks/model.py [--kernels N] [--gpu NAME] [--json FILE]

Wall time of this machine, in seconds, in one process with an empty cache (the emulator's own runtime, which a machine compiles once,
is made before): NVRTC, translation, the C++ compiler, the emulated run with every check on, and the model. Kernels are those of
tests/honest, taken evenly from its families; each runs its task's own inputs. The modelled times are of the model, and no
measurement. The target is 60 kernels in 60 s.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from builtin_harness import Runner  # noqa: E402
from honest.corpus import KERNELS, TASKS  # noqa: E402
from honest.kernel import Honest  # noqa: E402

from kernelwright.sandbox import emulator  # noqa: E402
from kernelwright.verifier.model import assemble  # noqa: E402
from kernelwright.verifier.model.gpus import find_gpu  # noqa: E402

TARGET_SECONDS = 60.0


@dataclass(frozen=True)
class Row:
    """One kernel."""

    name: str
    launches: int
    seconds: float
    """Wall time from its source to its modelled time."""
    processor_seconds: float
    """Processor time of the same, the compilers' included: what is left on a machine that does something else too."""
    model_seconds: float
    """The model's part of it."""
    modelled_seconds: float
    modelled_low: float
    modelled_high: float
    limited_by: str
    """Of the costliest launch."""


def chosen(count: int) -> list[Honest]:
    """Kernels that launch by CuPy, one of each task in turn until there are enough."""
    by_task: dict[str, list[Honest]] = {}
    for kernel in KERNELS:
        if "cupy.RawModule" in kernel.source and not TASKS[kernel.task].count("backward"):
            by_task.setdefault(kernel.task, []).append(kernel)
    found: list[Honest] = []
    for turn in range(max(map(len, by_task.values()))):
        found += [kernels[turn] for kernels in by_task.values() if turn < len(kernels)]
    return found[:count]


def processor_seconds() -> float:
    """Of this process and those it waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def price(kernel: Honest, runner: Runner, gpu_name: str) -> Row:
    """From source to modelled time."""
    task: dict[str, object] = {}
    exec(compile(TASKS[kernel.task], kernel.task, "exec"), task)
    torch.manual_seed(0)
    values, inputs = task["get_init_inputs"](), task["get_inputs"]()  # type: ignore[operator]
    start, used = time.perf_counter(), processor_seconds()
    model = runner.load(kernel.source).ModelNew(*values)
    with torch.no_grad():
        runner.call(model, inputs)
    begun = time.perf_counter()
    rows = [assemble.launch_row(report, find_gpu(gpu_name)) for report in runner.reports]
    end = time.perf_counter()
    if not rows:
        raise SystemExit(f"{kernel.name} launched nothing")
    return Row(
        kernel.name, len(rows), end - start, processor_seconds() - used, end - begun, sum(row["seconds"] for row in rows),
        sum(row["seconds_low"] for row in rows), sum(row["seconds_high"] for row in rows),
        max(rows, key=lambda row: row["seconds"])["limited_by"],
    )  # fmt: skip


def main() -> None:
    """Runs all and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kernels", type=int, default=60, help="how many (60)")
    parser.add_argument("--gpu", default="H200", help="GPU to model (H200)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        warm = emulator.compile('extern "C" __global__ void warm(int* x) { *x = 1; }', cache_dir=Path(folder))
        warm.launch("warm", 1, 1, (np.zeros(1, np.int32),))
        runner = Runner(Path(folder))
        rows = []
        for kernel in chosen(options.kernels):
            rows.append(price(kernel, runner, options.gpu))
            row = rows[-1]
            print(
                f"{row.name:40} {row.seconds:6.2f} s  {1e6 * row.modelled_seconds:8.2f} us modelled, {row.limited_by}",
                flush=True,
            )
    total = sum(row.seconds for row in rows)
    median = statistics.median(row.seconds for row in rows)
    print(
        f"{len(rows)} kernels in {total:.1f} s (target {TARGET_SECONDS:.0f}), median {median:.2f} s, most {max(r.seconds for r in rows):.2f} s"
    )
    processor = sum(row.processor_seconds for row in rows)
    load = os.getloadavg()[0]
    print(
        f"processor time {processor:.1f} s; the machine's load was {load:.1f} on {len(os.sched_getaffinity(0))} cores"
    )
    print(f"of that the model: {1e3 * sum(row.model_seconds for row in rows):.1f} ms")
    if options.json:
        environment = {
            "machine": platform.machine(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
            "torch": version("torch"), "kernelwright": version("kernelwright"),
        }  # fmt: skip
        figures = {
            "kernels": len(rows),
            "total_seconds": total,
            "processor_seconds": processor,
            "load": load,
            "target_seconds": TARGET_SECONDS,
            "median_seconds": median,
        }
        data = {"environment": environment, "gpu": options.gpu, **figures, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
