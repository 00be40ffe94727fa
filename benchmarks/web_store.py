"""A store of any size, filled straight through the database's driver: 1,000,000 evaluations take minutes, through `Store` they take hours.

    python benchmarks/web_store.py PLACE [--kernels N] [--evaluations N] [--seed N]

PLACE is a path (SQLite) or a PostgreSQL URL. Tasks are those of our own suites in several sizes; kernels, stages, timings and profiles
have the form and about the size of one real evaluation (benchmarks/web_template.json). The rows are put into the schema before the catalogue
(0006), and the migration to this version is timed: it fills the catalogue.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from alembic import command

from kernelwright.agents.models.calls import Call
from kernelwright.agents.models.protocol import Message, Place, Reply, Request, Usage
from kernelwright.bench_tasks.constants import constants_of, with_constants
from kernelwright.bench_tasks.task import Task
from kernelwright.db import rows
from kernelwright.db.calls import call_columns
from kernelwright.db.engine import make_engine, writing
from kernelwright.db.migrate import alembic_config, upgrade
from kernelwright.db.types import dump_json
from kernelwright.errors import TaskError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import DeviceInfo

HERE = Path(__file__).parent
BEFORE_CATALOGUE = "0006"
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
GPUS = (("H200", "sm_90"), ("A100 80GB", "sm_80"), ("H100", "sm_90"), ("L4", "sm_89"))
AUTHORS = ("builtin", "openai:gpt", "anthropic:opus", "local:coder", *(f"team-{n}" for n in range(20)))
FAILED = (
    ("wrong", 45),
    ("compile_error", 20),
    ("crashed", 8),
    ("unsafe", 8),
    ("timeout", 5),
    ("rejected", 5),
    ("outclassed", 5),
    ("cheating", 2),
)
BODIES = (
    "__global__ void row_softmax(const float4* x) { v = __shfl_xor_sync(~0u, v, o); }",
    "__global__ void tiled_matmul(const float* a) { __shared__ float tile[32][33]; wmma::mma_sync(c, a, b, c); }",
    "__global__ void reduce_atomic(const float* a) { atomicAdd(out, v); }\n__global__ void second_pass(float* out) {}",
    '__global__ void staged(const half2* a) { __shared__ half2 s[64]; asm("cp.async.ca.shared.global [%0], [%1], 16;"); }',
    "__global__ void looped(const float* a) { for (int i = t; i < n; i += gridDim.x * blockDim.x) {} }",
)  # fmt: skip
PLANS = (
    "read the row once, keep it in registers", "tile in shared memory, double buffered", "vector loads of four elements, two rows a block",
    "split along k, atomics at the end", "persistent blocks, one wave", "tensor cores through wmma, fp32 accumulators",
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """How much there is to be."""

    kernels: int
    evaluations: int
    tasks: int = 1000
    attempts_a_run: int = 8
    seed: int = 0


def tasks(count: int) -> list[Task]:
    """Those of our suites, each in several sizes."""
    found: list[Task] = []
    files = sorted((HERE.parent / "bench_tasks" / "suites").glob("*/*.py"))
    factor = 0
    while len(found) < count:
        factor += 1
        for file in files:
            source = file.read_text()
            sizes = {n: v * factor for n, v in constants_of(source).items() if type(v) is int and v > 8}
            try:
                made = Task(file.stem, with_constants(source, dict(islice(sizes.items(), 1))), str(file.name))
            except TaskError:
                made = Task(file.stem, f"{source}\n# {factor}\n", str(file.name))
            found.append(made)
    unique = {task.id: task for task in found}
    return list(unique.values())[:count]


def kernel(number: int, source: str) -> Kernel:
    """A text of some 4 kB that no other kernel has."""
    body = BODIES[number % len(BODIES)]
    return Kernel(f"{source}\n# version {number}\nMORE = r'''{body}'''\n", AUTHORS[(number * 7) % len(AUTHORS)])


def named(*parts: object) -> str:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]


class Filler:
    """Makes the rows, table by table, in an order that foreign keys allow."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.template = json.loads((HERE / "web_template.json").read_text())
        self.tasks = tasks(sizes.tasks)
        self.task_ids = [task.id for task in self.tasks]
        self.devices = [
            (DeviceInfo(kind="emulator", name=f"emulator ({gpu})", gpu=gpu, arch=arch, isolation="bubblewrap", versions={"torch": "2.13.0", "nvrtc": "13.0"}), "modelled")
            for gpu, arch in GPUS
        ] + [
            (DeviceInfo(kind="cuda", name=f"NVIDIA {gpu}", gpu=gpu, arch=arch, isolation="bubblewrap", versions={"torch": "2.13.0"}), "measured")
            for gpu, arch in GPUS[:2]
        ]  # fmt: skip
        self.device_ids = [rows.device_columns(device, BEGUN)["id"] for device, _ in self.devices]
        timing = dump_json(self.template["timing"] | {"kind": "@KIND@", "gpu": "@GPU@"})
        t = self.template["timing"]
        for name, mark in (
            ("seconds", "@S@"),
            ("baseline_seconds", "@B@"),
            ("bound_seconds", "@R@"),
            ("speedup_low", "@L@"),
            ("speedup_high", "@H@"),
        ):
            timing = timing.replace(f'"{name}": {t[name]!r}', f'"{name}": {mark}', 1)
        for name in ("seconds_low", "seconds_high", "baseline_seconds_low", "baseline_seconds_high"):
            timing = timing.replace(f'"{name}": {t[name]!r}', f'"{name}": null', 1)
        self.timing = timing
        self.stages = dump_json(self.template["stages"])
        self.profile = dump_json(self.template["profile"])
        self.seeds = dump_json(self.template["seeds"])
        failed = [dict(stage) for stage in self.template["stages"][:4]]
        failed[-1] |= {"status": "failed", "summary": "2 of 9 calls differ"}
        self.failed_stages = dump_json(failed)

    # -- who belongs to whom, computed from numbers so that nothing is kept -----------------------------------------

    def task_of(self, number: int) -> int:
        """Of a kernel: some tasks have many, most have few; those of one run have the same."""
        rng = random.Random(self.sizes.seed * 1_000_003 + number // self.sizes.attempts_a_run)
        return (
            min(int(rng.paretovariate(0.6)) - 1, 10**9) % len(self.tasks)
            if rng.random() < 0.5
            else rng.randrange(len(self.tasks))
        )

    def moment(self, number: int) -> datetime:
        return BEGUN + timedelta(seconds=240 * number)

    def run_id(self, run: int) -> str:
        return f"{self.tasks[self.task_of(run * self.sizes.attempts_a_run)].name}-{named('run', run)[:6]}"

    def evaluations_of(self, number: int) -> int:
        base, more = divmod(self.sizes.evaluations, self.sizes.kernels)
        return base + (number < more)

    def evaluation(self, number: int, which: int) -> dict[str, Any]:
        """One of a kernel's; the first is its attempt's."""
        rng = random.Random(self.sizes.seed + number * 64 + which)
        own = random.Random(self.sizes.seed + number)
        passes, quick = own.random() < 0.6, own.lognormvariate(0.3, 0.6)
        device = number // self.sizes.attempts_a_run % 4
        if which and rng.random() < 0.4:
            device = rng.choice((0, 1, 2, 3, 4, 4, 5)) if own.random() < 0.5 else (device + 1) % 4
        info, kind = self.devices[device]
        passed = passes and rng.random() < 0.97
        fault = own.choices([v for v, _ in FAILED], [w for _, w in FAILED])[0]
        verdict = "passed" if passed else "timeout" if passes else fault
        baseline = 1e-5 * (1 + self.task_of(number) % 37)
        seconds = baseline / (quick * rng.uniform(0.98, 1.02))
        low, high = baseline / seconds * 0.97, baseline / seconds * 1.03
        timing = (
            self.timing.replace("@KIND@", kind).replace("@GPU@", info.gpu).replace("@S@", repr(seconds)).replace("@B@", repr(baseline))
            .replace("@R@", repr(min(seconds, baseline) / 3)).replace("@L@", repr(low)).replace("@H@", repr(high))
        )  # fmt: skip
        return {
            "id": named("evaluation", number, which),
            "task_id": self.task_ids[self.task_of(number)],
            "kernel_id": None,
            "device_id": self.device_ids[device],
            "verdict": verdict,
            "reason": "It computes the function on every workload tried, by its own kernels."
            if passed
            else f"It is {verdict}: see the stage.",
            "stages": self.stages if passed else self.failed_stages,
            "timing": timing if passed else None,
            "timing_kind": kind if passed else None,
            "gpu": info.gpu,
            "seconds": seconds if passed else None,
            "baseline_seconds": baseline if passed else None,
            "speedup": baseline / seconds if passed else None,
            "profile": self.profile if passed else None,
            "seeds": self.seeds,
            "wall_seconds": rng.uniform(5, 60),
            "created": self.moment(number) + timedelta(seconds=10 + 3600 * which * (which > 3)),
        }

    # -- tables -----------------------------------------------------------------------------------------------------

    def tables(self) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
        yield (
            "tasks",
            (
                _as_text(rows.task_columns(task, self.moment(n * self.sizes.kernels // len(self.tasks))))
                for n, task in enumerate(self.tasks)
            ),
        )
        yield "devices", (_as_text(rows.device_columns(device, BEGUN)) for device, _ in self.devices)
        yield (
            "kernels",
            (_as_text(rows.kernel_columns(self._kernel(n), self.moment(n))) for n in range(self.sizes.kernels)),
        )
        yield "kernel_parents", self._parents()
        yield "evaluations", self._evaluations()
        yield "runs", self._runs()
        yield "attempts", self._attempts()
        yield "run_events", self._events()
        yield "model_calls", self._calls()
        yield "bench_runs", self._bench_runs()
        yield "bench_items", self._bench_items()
        yield "baselines", self._baselines()

    def _kernel(self, number: int) -> Kernel:
        return kernel(number, self.template["source"])

    def _parents(self) -> Iterator[dict[str, Any]]:
        for number in range(self.sizes.kernels):
            if place := number % self.sizes.attempts_a_run:
                parent = number - 1 - number * 7 % place
                yield {"kernel_id": self._kernel(number).id, "position": 0, "parent_id": self._kernel(parent).id}

    def _evaluations(self) -> Iterator[dict[str, Any]]:
        for number in range(self.sizes.kernels):
            kernel_id = self._kernel(number).id
            for which in range(self.evaluations_of(number)):
                yield self.evaluation(number, which) | {"kernel_id": kernel_id}

    def _runs(self) -> Iterator[dict[str, Any]]:
        count = -(-self.sizes.kernels // self.sizes.attempts_a_run)
        settings = dump_json({"isolation": "auto", "call_seconds": 60.0, "memory_bytes": 17179869184, "candidates": None, "islands": 2, "archive": "own",
                              "seed": "", "sampler": "random", "cascade": None, "builtin_first": 0, "reasoning": None, "temperature": None, "budget": None})  # fmt: skip
        for run in range(count):
            first = run * self.sizes.attempts_a_run
            task, device = self.tasks[self.task_of(first)], self.devices[run % 4][0]
            yield {
                "id": self.run_id(run), "task_id": task.id, "task_name": task.name, "task_path": task.path, "strategy": ("refine", "evolve", "fsr")[run % 3],
                "coder": self._kernel(first).author, "judge": "roofline", "device": "emulator", "gpu": device.gpu, "rounds": self.sizes.attempts_a_run,
                "status": "finished" if run % 50 else "interrupted", "message": "", "settings": settings, "created": self.moment(first),
                "updated": self.moment(first + self.sizes.attempts_a_run),
            }  # fmt: skip

    def _attempts(self) -> Iterator[dict[str, Any]]:
        for number in range(self.sizes.kernels):
            run, place = divmod(number, self.sizes.attempts_a_run)
            one = self._kernel(number)
            parents = [self._kernel(number - 1 - number * 7 % place).id] if place else []
            yield {
                "id": number + 1, "run_id": self.run_id(run), "number": place + 1, "plan": f"{PLANS[number % len(PLANS)]} (round {place + 1})",
                "kernel_id": one.id, "author": one.author, "parents": dump_json(parents), "parameters": "{}", "kernel_path": None,
                "evaluation_id": named("evaluation", number, 0),
                "advice": dump_json({"mode": "improve", "limiter": "dram", "evidence": {"roofline_share": 0.64}, "change": "Set vector_width from 1 to 2.",
                                     "parameters": {"softmax_rows.vector_width": 2}, "expected_speedup": 1.39}),
                "notes": "[]", "created": self.moment(number), "seconds": 12.5,
            }  # fmt: skip

    def _events(self) -> Iterator[dict[str, Any]]:
        for run in range(-(-self.sizes.kernels // self.sizes.attempts_a_run)):
            first, last = (
                run * self.sizes.attempts_a_run,
                min((run + 1) * self.sizes.attempts_a_run, self.sizes.kernels),
            )
            said: list[tuple[str, dict[str, Any], int]] = [
                ("RunStarted", {"task": "t", "rounds": last - first, "done": 0}, first)
            ]
            for number in range(first, last):
                one, place = self.evaluation(number, 0), number - first + 1
                said.append(("AttemptStarted", {"number": place, "plan": PLANS[number % len(PLANS)]}, number))
                said.append(("AttemptFinished", {
                    "number": place, "verdict": one["verdict"], "reason": one["reason"], "seconds": one["seconds"], "kind": one["timing_kind"],
                    "speedup": one["speedup"], "advice": "", "best": False}, number))  # fmt: skip
            said.append(("RunFinished", {"status": "finished", "attempts": last - first, "passed": 4}, last))
            for place, (name, fields, number) in enumerate(said, 1):
                yield {
                    "run_id": self.run_id(run),
                    "number": place,
                    "name": name,
                    "fields": dump_json({"run_id": self.run_id(run), **fields}),
                    "created": self.moment(number),
                }

    def _calls(self) -> Iterator[dict[str, Any]]:
        usage = Usage(4000, 0, 0, 1500, 0)
        messages = (
            Message("system", "You write CUDA kernels. " * 40, cache=True),
            Message("user", "Make it faster. " * 200),
        )
        reply = Reply(self.template["source"][:3000], usage, "end", "gpt")
        for number in range(0, self.sizes.kernels, 4):
            run, place = divmod(number, self.sizes.attempts_a_run)
            asked = Request(messages, Place(place + 1, "coder", 0), prompt="coder/start@1f0c9a2b")
            call = Call(
                run_id=self.run_id(run), place=asked.place, model="openai:gpt", request=asked, reply=reply, error="", usage=usage,
                dollars=Decimal("0.0123"), estimated=False, seconds=9.5, created=self.moment(number),
            )  # fmt: skip
            yield {"id": number + 1, **_as_text(call_columns(call))}

    def _suite_runs(self) -> int:
        return min(24, self.sizes.kernels // (50 * self.sizes.attempts_a_run) or 1)

    def _bench_runs(self) -> Iterator[dict[str, Any]]:
        for number in range(self._suite_runs()):
            yield {
                "id": f"core-{named('bench', number)[:6]}", "suite": ("core", "fusion")[number % 2], "suite_path": None, "digest": named("suite", number % 2),
                "suite_size": 90, "scale": "twin", "strategy": "refine", "coder": AUTHORS[number % len(AUTHORS)], "judge": "roofline",
                "rounds": self.sizes.attempts_a_run, "repeats": 1, "device": "emulator", "gpu": GPUS[number // 2 % 2][0], "status": "finished", "message": "",
                "settings": "{}", "environment": dump_json({"torch": "2.13.0"}), "created": self.moment(number * 400), "updated": self.moment(number * 400 + 400),
            }  # fmt: skip

    def _bench_items(self) -> Iterator[dict[str, Any]]:
        # as no run is of one suite's tasks, each item is given one of the runs that there are: figures are of no meaning, only of the right size
        for number in range(self._suite_runs()):
            for place in range(50):
                run = number * 50 + place
                if run * self.sizes.attempts_a_run >= self.sizes.kernels:
                    break
                task = self.tasks[self.task_of(run * self.sizes.attempts_a_run)]
                yield {
                    "bench_run_id": f"core-{named('bench', number)[:6]}", "position": place, "name": f"task {place}", "repeat": 0, "task_id": task.id,
                    "task_name": task.name, "task_path": None, "run_id": self.run_id(run), "status": "finished", "problem": "", "starts": 1, "seconds": 100.0,
                    "updated": self.moment(number * 400 + place),
                }  # fmt: skip

    def _baselines(self) -> Iterator[dict[str, Any]]:
        number = 0
        for task in range(len(self.tasks)):
            for name, factor in (("eager", 1.0), ("compile", 0.8)):
                for device in (0, 4):
                    number += 1
                    seconds = 1e-5 * (1 + task % 37) * factor
                    yield {
                        "id": number, "task_id": self.task_ids[task], "device_id": self.device_ids[device], "name": name,
                        "timing_kind": self.devices[device][1], "gpu": self.devices[device][0].gpu, "seconds": seconds, "seconds_low": 0.9 * seconds,
                        "seconds_high": 1.1 * seconds, "interval_source": "repeats", "created": self.moment(task),
                    }  # fmt: skip


def _as_text(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: dump_json(value) if isinstance(value, dict | list) else value for name, value in columns.items()}


def _plain_moments(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in row.items()
        }


def _fill_sqlite(path: Path, filler: Filler) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1500000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    sqlite3.register_adapter(datetime, lambda moment: moment.isoformat(" ", "microseconds"))
    for table, given in filler.tables():
        began, made = time.perf_counter(), _plain_moments(given)
        first = next(made, None)
        if first is None:
            continue
        query = f"INSERT INTO {table} ({', '.join(first)}) VALUES ({', '.join('?' * len(first))})"
        connection.execute(query, tuple(first.values()))
        connection.executemany(query, (tuple(row.values()) for row in made))
        print(f"  {table}: {time.perf_counter() - began:.1f} s", flush=True)
    connection.execute("COMMIT")
    connection.execute("PRAGMA optimize")
    connection.close()


def _fill_postgres(url: str, filler: Filler) -> None:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        for table, given in filler.tables():
            began, made = time.perf_counter(), _plain_moments(given)
            first = next(made, None)
            if first is None:
                continue
            with cursor.copy(f"COPY {table} ({', '.join(first)}) FROM STDIN") as copy:
                copy.write_row(tuple(first.values()))
                for row in made:
                    copy.write_row(tuple(row.values()))
            if "id" in first and type(first["id"]) is int:
                cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
            print(f"  {table}: {time.perf_counter() - began:.1f} s", flush=True)
        connection.commit()
        connection.autocommit = True
        cursor.execute("ANALYZE")


def make_store(place: str, sizes: Sizes) -> dict[str, float]:
    """Makes it; gives the seconds that filling and migrating took, by the clock and of this process's CPU."""
    began, cpu = time.perf_counter(), time.process_time()
    engine = make_engine(place)
    with writing(engine).begin() as connection:
        command.upgrade(alembic_config(connection), BEFORE_CATALOGUE)
    engine.dispose()
    filler = Filler(sizes)
    if "://" in place:
        _fill_postgres(place, filler)
    else:
        _fill_sqlite(Path(place), filler)
    filled, cpu_filled = time.perf_counter(), time.process_time()
    engine = make_engine(place)
    upgrade(engine)
    migrated, cpu_migrated = time.perf_counter(), time.process_time()
    with writing(engine).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "ANALYZE")
    engine.dispose()
    return {
        "fill_seconds": round(filled - began, 1), "fill_cpu_seconds": round(cpu_filled - cpu, 1),
        "migrate_seconds": round(migrated - filled, 1), "migrate_cpu_seconds": round(cpu_migrated - cpu_filled, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("place")
    parser.add_argument("--kernels", type=int, default=10_000)
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(make_store(options.place, Sizes(options.kernels, options.evaluations, seed=options.seed))))


if __name__ == "__main__":
    main()
