"""How long an archive of 100,000 judged attempts takes to draw parents and to take an attempt in.

    python benchmarks/archive.py [--attempts N] [--calls N] [--json FILE]

Attempts, kernels and entries are made up and inserted in bulk; evaluations have the size of a real one (about 17 KB) and are
shared by many attempts. Then draws and absorbs are timed one by one, each a transaction with its commit on disk. For each the
median and the 95th percentile of wall time and of this process's CPU time, in milliseconds: on a busy machine the wall time
says how busy it is. Reading the source of an attempt (parsing, before the lock is taken) is told apart from the rest.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from kernelwright.agents.ranking import NOTICEABLE
from kernelwright.bench_tasks.task import Distribution, Task, Workload
from kernelwright.db import rows
from kernelwright.db.archive_absorb import after
from kernelwright.db.archive_models import EliteRow, EntryRow, IslandRow
from kernelwright.db.models import AttemptRow, EvaluationRow, KernelRow
from kernelwright.db.store import Store
from kernelwright.rl.archive.cells import all_cells
from kernelwright.rl.archive.islands import ArchiveSettings
from kernelwright.rl.archive.reading import read
from kernelwright.rl.operators import Operator
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.rl.same_kernel import normal_source
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import (
    DeviceInfo,
    Evaluation,
    Profile,
    Stage,
    StageStatus,
    Timing,
    TimingKind,
    Verdict,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ISLANDS, SHARED_BY, PER_RUN = 4, 100, 1000
CELLS = 120  # of 864 that there could be: the grid of a well explored task
TASK = Task("made_up", "class Model: ...\n", None, "kernelwright", (Workload("normal", Distribution.NORMAL, 1),))
DEVICE = DeviceInfo(kind="emulator", name="emulator (H200)", gpu="H200", arch="sm_90", isolation="process")
SOURCE = '''import cupy
import torch

CODE = r"""
%s
extern "C" __global__ void __launch_bounds__(256) scale(const float* __restrict__ x, float* __restrict__ y, int count) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) y[at] = x[at] * %d.0f;
}
"""

class ModelNew(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = cupy.RawKernel(CODE, "scale")

    def forward(self, x):
        y = torch.empty_like(x)
        self.kernel((x.numel() // 256 + 1,), (256,), (x.data_ptr(), y.data_ptr(), x.numel()))
        return y
'''


def kernel(number: int) -> Kernel:
    """A module of about 150 lines, as the built-in coder writes for a layer norm."""
    helpers = "\n".join(
        f"__device__ __forceinline__ float step_{i}(float value) {{ return fmaf(value, {i}.5f, {number % 97}.0f); }}"
        for i in range(120)
    )
    return Kernel(SOURCE % (helpers, number), "made up")


def evaluation(candidate: Kernel, seconds: float | None, rng: random.Random) -> Evaluation:
    """Of the size that the emulator's are: three launches with all counters and metrics."""
    passed = seconds is not None
    launch = {
        "kernel": "scale", "grid": [4096, 1, 1], "block": [256, 1, 1], "dynamic_shared": 0,
        "counters": {f"counter_{i}": rng.randrange(10**6) for i in range(60)} | {"global_load_requests": 9, "global_load_bytes": 1152},
        "resources": {"registers": rng.choice([20, 40, 80, 160]), "static_shared": rng.choice([0, 4096, 20000])},
    }  # fmt: skip
    metrics = {f"metric__{i}.sum": rng.random() * 1e6 for i in range(70)}
    metrics |= {
        "kernelwright__modelled_seconds": seconds or 1.0,
        "kernelwright__dram_bandwidth.pct": 100 * rng.random(),
    }
    metrics |= {"sm__maximum_warps_per_active_cycle_pct": rng.choice([20.0, 40.0, 80.0])}
    share = {"calls": [{"workload": "normal", "share_of_allowed": 10 ** rng.uniform(0, 9)}]}
    status = StageStatus.PASSED if passed else StageStatus.FAILED
    return Evaluation(
        task_id=TASK.id,
        kernel_id=candidate.id,
        verdict=Verdict.PASSED if passed else Verdict.WRONG,
        reason="" if passed else "it is wrong",
        stages=[
            Stage(name="build", status=StageStatus.PASSED, summary="", seconds=0.1, evidence={"compiled": f"{rng.getrandbits(64):016x}"}),
            Stage(name="correctness", status=status, summary="", seconds=0.1, evidence={} if passed else share),
        ],
        device=DEVICE,
        timing=None if seconds is None else Timing(
            kind=TimingKind.MODELLED, gpu="H200", seconds=seconds, baseline_seconds=3e-5, bound_seconds=1e-6,
            breakdown=[{"name": "scale", "seconds": seconds, "terms": {f"term_{i}": 1e-6 for i in range(12)}}] * 3,
        ),
        profile=Profile(launches=[launch] * 3, metrics=[metrics] * 3) if passed else None,
    )  # fmt: skip


def a_run(number: int) -> Run:
    """One of the runs that fed the archive."""
    return Run(
        f"made-up-{number:06d}", TASK, "evolve", "builtin", "roofline", "emulator", "H200", PER_RUN, RunStatus.FINISHED, NOW,
    )  # fmt: skip


def times(rng: random.Random) -> Iterator[float | None]:
    """Log-normal around 20 µs, none under 5; a quarter fail."""
    while True:
        yield None if rng.random() < 0.25 else max(5e-6, 2e-5 * math.exp(rng.gauss(0, 0.4)))


def fill(store: Store, archive_id: str, attempts: int, rng: random.Random) -> None:
    """Rows as they are after so many attempts, in one transaction for each run."""
    cells, made = all_cells()[:CELLS], times(rng)
    states: dict[int, list[Any]] = {i: [0, 0, 0, None, None, 0] for i in range(ISLANDS)}
    elites: dict[tuple[int, str], tuple[int, float]] = {}
    entry = 0
    for first in range(1, attempts + 1, PER_RUN):
        run = a_run(first // PER_RUN)
        store.create_run(run)
        kernels, tries, entries, evaluations = [], [], [], []
        for number in range(first, min(first + PER_RUN, attempts + 1)):
            entry += 1
            seconds = next(made)
            source = f"# {number}\nclass ModelNew: pass\n"
            candidate = kernel(number) if number % SHARED_BY == 1 else Kernel(source, "made up")
            if number % SHARED_BY == 1:
                passed, failed = (
                    rows.evaluation_columns(evaluation(candidate, s, rng), NOW) for s in (2e-5, None)
                )  # fmt: skip
                store.add_evaluation(TASK, candidate, evaluation(candidate, 2e-5, random.Random(1)))
                evaluations += [passed, failed]
            else:
                kernels.append(rows.kernel_columns(candidate, NOW))
            shown = failed if seconds is None else passed
            tries.append({
                "run_id": run.id, "number": number, "plan": "", "kernel_id": candidate.id, "author": "made up", "parents": [],
                "parameters": {}, "kernel_path": None, "evaluation_id": shown["id"], "advice": None, "notes": [],
                "created": NOW, "seconds": 2.0,
            })  # fmt: skip
            island, cell = number % ISLANDS, None if seconds is None else rng.choice(cells)
            state = states[island]
            state[0] += 1
            state[1] += seconds is not None
            state[2] += seconds is None
            stands = after(state[3], state[4], state[5], seconds)
            state[3:] = stands.best_seconds, stands.epoch_seconds, stands.since_gain
            entries.append({
                "id": entry, "archive_id": archive_id, "run_id": run.id, "number": number, "kernel_id": candidate.id,
                "island": island, "operator": "tune", "author": "", "generation": 1,
                "verdict": "wrong" if seconds is None else "passed", "seconds": seconds,
                "score": None if seconds is None else math.log(3e-5 / seconds), "gain": 0.0, "cell": cell, "features": None,
                "nearness": None if seconds is not None else 3 + rng.random(), "source_hash": f"{rng.getrandbits(64):016x}",
                "code_hash": f"{rng.getrandbits(64):016x}", "sketch": rng.randbytes(512), "duplicate_of": None, "created": NOW,
            })  # fmt: skip
            if seconds is not None and cell is not None:
                best = elites.get((island, cell))
                if best is None or seconds * NOTICEABLE <= best[1]:
                    elites[island, cell] = entry, seconds
        with store._writing() as session:
            if kernels:
                session.execute(insert(KernelRow.__table__), kernels)
            if evaluations:
                session.execute(insert(EvaluationRow.__table__), evaluations)
            session.execute(insert(AttemptRow.__table__), tries)
            session.execute(insert(EntryRow.__table__), entries)
    with store._writing() as session:
        for island, state in states.items():
            names = ("entries", "passed", "failed", "best_seconds", "epoch_seconds", "since_gain")
            session.execute(
                update(IslandRow.__table__)
                .where(IslandRow.archive_id == archive_id, IslandRow.island == island)
                .values(dict(zip(names, state, strict=True)))
            )
        session.execute(
            insert(EliteRow.__table__),
            [
                {
                    "archive_id": archive_id,
                    "island": i,
                    "cell": c,
                    "entry_id": e,
                    "seconds": s,
                    "offspring": 0,
                }
                for (i, c), (e, s) in elites.items()
            ],
        )


def timed(calls: list[Callable[[], object]], first: list[Callable[[], object]] | None = None) -> dict[str, float]:
    """Milliseconds of each call, after three that do not count; `first` are called before each, and not timed."""
    wall, cpu = [], []
    for position, call in enumerate(calls):
        if first is not None:
            first[position]()
        before, used = time.perf_counter(), time.process_time()
        call()
        if position >= 3:
            wall.append(1e3 * (time.perf_counter() - before))
            cpu.append(1e3 * (time.process_time() - used))
    return {
        "calls": len(wall),
        "wall_median_ms": round(statistics.median(wall), 3),
        "wall_95_ms": round(statistics.quantiles(wall, n=20)[-1], 3),
        "cpu_median_ms": round(statistics.median(cpu), 3),
        "cpu_95_ms": round(statistics.quantiles(cpu, n=20)[-1], 3),
    }


def measure(folder: Path, attempts: int, calls: int) -> dict[str, Any]:
    """Fills an archive and times it."""
    rng = random.Random(8)
    with Store(folder / "k.db", clock=lambda: NOW) as store:
        # no island is begun anew: its next draws would have fewer elites to choose from
        kept = ArchiveSettings(islands=ISLANDS, restart_after=10**9)
        archive = store.archive(TASK, "H200", TimingKind.MODELLED, "shared", kept)
        fill(store, archive.id, attempts, rng)
        run = a_run(10**6 - 1)
        store.create_run(run)
        operators = (Operator.TUNE, Operator.CROSSOVER, Operator.REPAIR, Operator.REWRITE)
        found: dict[str, Any] = {}
        # the first number of each operator differs: a draw that is there is only read
        for place, operator in enumerate(operators):
            draws = [
                lambda n=n, o=operator: archive.draw(run.id, n, n % ISLANDS, o, "", "seed")  # type: ignore[misc]
                for n in range(1 + place * calls, 4 + place * calls + calls // 4)
            ]
            found[f"draw, {operator.value}"] = timed(draws)  # type: ignore[arg-type]
        new = []
        for number in range(1, calls + 4):
            candidate = kernel(10**6 + number)
            judged = evaluation(candidate, next(times(rng)), rng)
            new.append(Attempt(run.id, number, "", candidate, judged, None, NOW, 2.0))
            store.add_attempt(new[-1])
        found["read"] = timed([lambda a=a: (normal_source.cache_clear(), read(a)) for a in new])  # type: ignore[misc]
        # what is timed is the database's part: `read` gives the rest, and its result is kept for the next call
        found["absorb, source read"] = timed(
            [lambda a=a: archive.absorb([a]) for a in new],  # type: ignore[misc]
            [lambda a=a: read(a) for a in new],  # type: ignore[misc]
        )
        found["standing"] = timed([lambda n=n: archive.standing(n % ISLANDS) for n in range(calls)])  # type: ignore[misc]
        found["outcomes"] = timed([archive.outcomes for _ in range(5 + calls // 4)])
        found["problems"] = archive.problems()
        with store._reading() as session:
            found["elites"] = session.query(EliteRow).count()
        found["database_bytes"] = (folder / "k.db").stat().st_size
    return found


def main() -> None:
    """Prints a table, and writes JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.attempts, arguments.calls)
    print(
        f"{arguments.attempts:,} attempts, {found['elites']} elites on {ISLANDS} islands, {found['database_bytes'] / 1e6:.0f} MB"
    )
    print(f"{'':24}{'calls':>6}{'wall median':>14}{'95 %':>10}{'CPU median':>14}{'95 %':>10}   (ms)")
    for name, row in found.items():
        if isinstance(row, dict):
            figures = f"{row['wall_median_ms']:14.2f}{row['wall_95_ms']:10.2f}{row['cpu_median_ms']:14.2f}{row['cpu_95_ms']:10.2f}"
            print(f"{name:24}{row['calls']:6}{figures}")
    for line in found["problems"]:
        print(line)
    if arguments.json:
        machine = {"cpu_count": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        machine["load_average"] = os.getloadavg()[0]
        arguments.json.write_text(
            json.dumps({"attempts": arguments.attempts, "machine": machine, **found}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
