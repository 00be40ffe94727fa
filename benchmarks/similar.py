"""What a search for similar winners costs in a store of many kernels: wall time of `Store.similar`, first and again.

    python benchmarks/similar.py [--kernels N] [--tasks N] [--json FILE]

The store is a SQLite file in the temporary folder, filled with one passed evaluation a kernel, each with a profile of about the
size of a small kernel's. The first search reads the operations of the tasks that the database narrowed to; later ones in the same
process know them. Wall times are of this machine, in milliseconds; the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.traits import traits_of
from kernelwright.db.store import Store
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import DeviceInfo, Evaluation, Profile, Timing, TimingKind, Verdict

ROUNDS = 7
OPERATIONS = ("softmax", "relu", "gelu", "layer_norm", "matmul", "sigmoid", "tanh", "log_softmax", "silu", "cumsum")
DEVICE = DeviceInfo(kind="emulator", name="emulator (H200)", gpu="H200", arch="sm_90", isolation="bubblewrap")
COUNTERS = {f"counter_{number}": number for number in range(200)}


def task(number: int) -> Task:
    """The task of this number: two operations of ten, in one of many sizes."""
    first, second = OPERATIONS[number % 10], OPERATIONS[number // 10 % 10]
    return Task(
        f"{first}_{second}",
        f"import torch\n\n\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return torch.{first}(torch.{second}(x))\n"
        f"\n\ndef get_inputs():\n    return [torch.randn({64 + number}, 1024)]\n",
    )


def fill(store: Store, kernels: int, tasks: int) -> None:
    """Stores them, the kernels of a task one after the other."""
    for number in range(kernels):
        on, kernel = task(number % tasks), Kernel(f"class ModelNew: version = {number}\n" + "# text\n" * 300, "bench")
        seconds = 1e-5 + 1e-9 * number
        store.add_evaluation(
            on,
            kernel,
            Evaluation(
                task_id=on.id,
                kernel_id=kernel.id,
                verdict=Verdict.PASSED,
                reason="",
                stages=[],
                device=DEVICE,
                timing=Timing(kind=TimingKind.MODELLED, gpu="H200", seconds=seconds, baseline_seconds=1e-4, bound_seconds=1e-6),
                profile=Profile(launches=[COUNTERS]),
            ),
        )  # fmt: skip


def milliseconds(store: Store, asked: Task | str) -> float:
    """Of one search."""
    began = time.perf_counter()
    found = store.similar(asked, "H200", 5)
    assert len(found) == 5
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kernels", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "k.db") as store:
        fill(store, options.kernels, options.tasks)
        first = []
        for _ in range(ROUNDS):
            traits_of.cache_clear()
            first.append(milliseconds(store, task(3)))
        again = [milliseconds(store, task(3)) for _ in range(ROUNDS)]
        text = [milliseconds(store, "softmax gelu") for _ in range(ROUNDS)]
    found = {
        "kernels": options.kernels,
        "tasks": options.tasks,
        "first_ms": round(statistics.median(first), 1),
        "again_ms": round(statistics.median(again), 1),
        "text_ms": round(statistics.median(text), 1),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    print(json.dumps(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
