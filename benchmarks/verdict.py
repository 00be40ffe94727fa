"""What a verdict costs: wall time of a full verification of a small kernel, cold and with what a loop keeps open.

    python benchmarks/verdict.py [--rounds N] [--json FILE]

- cold: `kernelwright verify`, a new command with the kernel's builds cached (and once with an empty cache);
- warm: `evaluate()` again in one process that holds the task open, as `optimize` does between rounds, each time on a kernel that
  was never compiled before (a comment in it changes): one right after the other, so that the next candidate's process starts
  while this one is judged, and with a pause between them, as while a coder writes;
- where a warm verdict spends it, by stage.
Wall times are of this machine, in seconds; the median and the range of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.isolation import choose_isolation
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.spares import Spares
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.model.gpus import find_gpu

TASK = """
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)


def get_inputs():
    return [torch.rand(64, 256)]


def get_init_inputs():
    return []
"""

KERNEL = '''
import cupy
import torch

# round 0
KERNEL = cupy.RawKernel(r"""
extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ y) {
    // one warp a row of 256
    const float* row = x + blockIdx.x * 256;
    float values[8], top = -3.402823466e38f, sum = 0;
    for (int i = 0; i < 8; ++i) {
        values[i] = row[threadIdx.x + 32 * i];
        top = fmaxf(top, values[i]);
    }
    for (int d = 16; d; d /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffff, top, d));
    for (int i = 0; i < 8; ++i) {
        values[i] = __expf(values[i] - top);
        sum += values[i];
    }
    for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(0xffffffff, sum, d);
    for (int i = 0; i < 8; ++i) y[blockIdx.x * 256 + threadIdx.x + 32 * i] = values[i] / sum;
}
""", "softmax")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        KERNEL((x.shape[0],), (32,), (x, y))
        return y
'''


def figures(seconds: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}


def cold(folder: Path, rounds: int, *, empty_cache: bool) -> dict[str, float]:
    """The command line, as a person runs it."""
    task, kernel = folder / "task.py", folder / "kernel.py"
    task.write_text(TASK)
    kernel.write_text(KERNEL)
    taken = []
    for number in range(rounds):
        cache = folder / (f"cache{number}" if empty_cache else "cache")
        environment = os.environ | {"KERNELWRIGHT_CACHE": str(cache), "KERNELWRIGHT_DATABASE": str(folder / "store.db")}
        start = time.perf_counter()
        command = [sys.executable, "-m", "kernelwright", "verify", str(task), str(kernel), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        taken.append(time.perf_counter() - start)
        if done.returncode:
            raise SystemExit(f"the kernel did not pass:\n{done.stdout}\n{done.stderr}")
    return figures(taken[0 if empty_cache else 1 :] or taken)


def warm(rounds: int, *, pause: float = 0.0) -> tuple[dict[str, float], dict[str, float]]:
    """One process that keeps the task open; kernels it has not seen, `pause` seconds between them."""
    task = task_from_source(TASK, name="softmax")
    device = Device("emulator", "H200", "sm_90", choose_isolation("auto"))
    taken: list[float] = []
    stages: dict[str, list[float]] = {}
    with Spares(device, Limits()) as spares, Reference(task) as reference:
        for number in range(rounds + 1):
            kernel = Kernel(KERNEL.replace("one warp", f"one warp ({time.time_ns()})"), "benchmark")
            time.sleep(pause)
            start = time.perf_counter()
            found = evaluate(task, kernel, device=device, reference=reference, gpu=find_gpu("H200"), start=spares.take)
            if not found.passed:
                raise SystemExit(f"the kernel did not pass: {found.reason}")
            if number:  # the first opens what later ones find open
                taken.append(time.perf_counter() - start)
                for stage in found.stages:
                    stages.setdefault(stage.name, []).append(stage.seconds)
    return figures(taken), {name: statistics.median(seconds) for name, seconds in stages.items()}


def main() -> None:
    """Runs all and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="repeats of each figure (5)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            "cold, nothing cached": cold(Path(folder), max(1, options.rounds // 2), empty_cache=True),
            "cold, builds cached": cold(Path(folder), options.rounds + 1, empty_cache=False),
        }
    rows["warm, a kernel never seen"], stages = warm(options.rounds)
    rows["warm, after a pause of 3 s"], _ = warm(options.rounds, pause=3.0)
    for name, row in rows.items():
        print(f"{name:28} {row['median']:6.2f} s  ({row['least']:.2f} to {row['most']:.2f})")
    print("a warm verdict by stage: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in stages.items()))
    if options.json:
        environment = {
            "machine": platform.machine(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
            "torch": version("torch"), "kernelwright": version("kernelwright"),
        }  # fmt: skip
        options.json.write_text(
            json.dumps({"environment": environment, "seconds": rows, "stages": stages}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
