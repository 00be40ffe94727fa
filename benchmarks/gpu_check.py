"""Runs every kernel there is on this machine's GPU, beside the emulator, and prints one table: `make gpu-check`.

    python benchmarks/gpu_check.py [--minutes N] [--jobs N] [--only REGEX] [--json FILE] [--samples FILE]

- examples: the built-in coder's kernel for each module under examples/, against eager PyTorch and torch.compile;
- kernels: one honest kernel for each task of tests/honest;
- hostile: kernels of tests/hostile that need a GPU to be of any use, each with its honest twin, through the whole verdict.

For each kernel: outputs of GPU and emulator on the same inputs (share of what the numeric policy allows, and whether the bits
agree), launches compared, measured time (cold L2) beside modelled time, the two timing methods (events, CUPTI), the judge's
own clock, and the share of the copy bandwidth measured in the same run. What was not reached in time is listed as such.
Without a GPU it says so and exits with 1. `--runtime emulated` tries everything but the GPU; its times say nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import torch  # noqa: E402

from kernelwright.bench_tasks.kernelbench import read_task, task_from_source  # noqa: E402
from kernelwright.bench_tasks.task import Task  # noqa: E402
from kernelwright.sandbox.candidate import Candidate  # noqa: E402
from kernelwright.sandbox.cuda.driver import driver_version, gpus  # noqa: E402
from kernelwright.sandbox.cuda.gpu_process import GpuProcess, Program  # noqa: E402
from kernelwright.sandbox.device import Device, gpu_problem  # noqa: E402
from kernelwright.sandbox.isolation import choose_isolation  # noqa: E402
from kernelwright.sandbox.kernel import Kernel  # noqa: E402
from kernelwright.sandbox.launch import LaunchReport  # noqa: E402
from kernelwright.sandbox.process import Limits  # noqa: E402
from kernelwright.sandbox.reference import Reference  # noqa: E402
from kernelwright.sandbox.trees import same_bits, tensors_of  # noqa: E402
from kernelwright.verifier.evaluate import evaluate  # noqa: E402
from kernelwright.verifier.measured.ceilings import PRODUCTS, Ceilings, measure_ceilings, with_ceilings  # noqa: E402
from kernelwright.verifier.measured.gpu_stages import GpuOptions  # noqa: E402
from kernelwright.verifier.measured.launches import launch_difference  # noqa: E402
from kernelwright.verifier.measured.rounds import COLD, WARM, Plan, measure, wall_clock  # noqa: E402
from kernelwright.verifier.measured.statistics import interval  # noqa: E402
from kernelwright.verifier.model import assemble  # noqa: E402
from kernelwright.verifier.model.agreement import median_error, spearman  # noqa: E402
from kernelwright.verifier.model.gpus import Gpu, find_gpu  # noqa: E402
from kernelwright.verifier.model.samples import Sample, sample_of, write_samples  # noqa: E402
from kernelwright.verifier.statistical import compare  # noqa: E402
from kernelwright.verifier.timing import modelled_call  # noqa: E402

LIMITS = Limits(call_seconds=60)
HOSTILE = (
    "outputs_by_data_ptr", "cupy_stream", "torch_stream", "graph_replay", "thread_that_computes_later", "lazy_output",
    "clocks_that_stand_still", "persisting_l2", "by_the_environment",
)  # fmt: skip
"""Pairs of tests/hostile whose point is the device: streams, caches by pointer, clocks, memory, L2."""
_GPU_LOCK: Any = None


@dataclass(frozen=True)
class Subject:
    """A kernel to check."""

    section: str
    name: str
    task: Task
    source: str = ""
    """Empty for an example, whose kernel is yet to be written."""
    baselines: tuple[str, ...] = ("eager",)


@dataclass(frozen=True)
class Setting:
    """What every check is made with."""

    device: Device
    gpu: Gpu
    runtime: str
    plan: Plan
    spin: float


def _share_lock(lock: Any) -> None:
    global _GPU_LOCK
    _GPU_LOCK = lock


def subjects(only: str) -> list[Subject]:
    """Examples first, then one honest kernel for each task."""
    from honest.corpus import KERNELS, TASKS

    found = [
        Subject("example", path.stem, read_task(path), baselines=("eager", "compile", "max-autotune"))
        for path in sorted((ROOT / "examples").glob("*.py"))
    ]
    seen = set()
    for kernel in KERNELS:
        if kernel.task not in seen:
            seen.add(kernel.task)
            found.append(
                Subject("kernel", kernel.name, task_from_source(TASKS[kernel.task], name=kernel.task), kernel.source)
            )
    return [subject for subject in found if re.search(only, subject.name)]


def written(subject: Subject, setting: Setting, folder: Path) -> str:
    """The built-in coder's best kernel, by the model."""
    out = folder / f"{subject.name}.kernel.py"
    command = [
        sys.executable, "-m", "kernelwright", "optimize", str(subject.task.path), "--device", "emulator", "--gpu", setting.gpu.name,
        "--out", str(out), "--rounds", "4",
    ]  # fmt: skip
    environment = os.environ | {"KERNELWRIGHT_DATABASE": str(folder / f"{subject.name}.db")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode:
        raise RuntimeError(f"optimize failed: {done.stderr[-400:]}")
    return out.read_text()


def check(subject: Subject, setting: Setting) -> dict[str, Any]:
    """One row; what goes wrong is in it too."""
    row: dict[str, Any] = {"section": subject.section, "name": subject.name}
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = subject.source or written(subject, setting, Path(folder))
        with ExitStack() as stack:
            _check(subject, source, setting, stack, row)
    except Exception as error:  # noqa: BLE001 - a row that failed is a finding, and the others go on
        row["problem"] = f"{type(error).__name__}: {str(error)[:300]}"
        row["detail"] = traceback.format_exc(limit=-3)[-600:]
    row["wall_seconds"] = round(time.perf_counter() - start, 2)
    return row


def _check(subject: Subject, source: str, setting: Setting, stack: ExitStack, row: dict[str, Any]) -> None:
    task, device = subject.task, setting.device
    reference = stack.enter_context(Reference(task))
    own, seed = task.workloads[0], 11
    inputs = reference.inputs(own.distribution, seed)
    expected = reference.run(inputs, weights_seed=0, samples_seed=seed + 1)
    init = reference.init(0)
    sizes = [t.nbytes for t in tensors_of(expected.native)]
    with Candidate(Kernel(source, subject.name), device, limits=LIMITS, wanted=reference.wanted) as emulated:
        emulated.load()
        emulated.build(init, seed=0)
        there = emulated.call(inputs, expected_bytes=sum(sizes), compiling=True, trace=True)
    modelled = modelled_call(own.name, there.reports, there.ops, setting.gpu)
    row["modelled_seconds"] = modelled.seconds
    row["reports"], row["torch_ops"] = [report.to_json() for report in there.reports], [op.name for op in there.ops]
    row["emulator_share"] = compare(there.outputs, expected, task.policy)[1]

    def opened(program: Program) -> GpuProcess:
        process = stack.enter_context(
            GpuProcess(program, device, limits=LIMITS, wanted=reference.wanted, runtime=setting.runtime)
        )
        process.open()
        process.load()
        process.build(init, seed=0)
        return process

    candidate = opened(Program(source))
    here, launches = candidate.call(inputs, expected=sizes, compiling=True, trace=True)
    mismatch, share = compare(here.outputs, expected, task.policy)
    pairs = list(zip(tensors_of(there.outputs), tensors_of(here.outputs), strict=True))
    row |= {
        "device": candidate.properties, "gpu_share": share, "right": mismatch is None,
        "same_bits": all(same_bits(one, two) for one, two in pairs),
        "largest_difference": max((_difference(one, two) for one, two in pairs), default=0.0),
        "launch_difference": launch_difference(there.reports, launches),
        "launches": [[launch.name[:120], list(launch.grid), list(launch.block), launch.seconds, launch.registers] for launch in launches],
        "registers": [None if r.resources is None else r.resources.registers for r in there.reports],
    }  # fmt: skip
    if mismatch is not None:
        row["mismatch"] = mismatch.what
    sets = [inputs, reference.inputs(own.distribution, seed + 1)]
    people = {"candidate": candidate}
    for name in subject.baselines:
        try:
            process = opened(Program(task.source, "Model", name, trusted=True, path=task.path))
            process.stage(sets)
            process.repeat([0], cold=False, compiling=True)
        except Exception as error:  # noqa: BLE001 - torch.compile refuses some modules
            row.setdefault("failed", {})[name] = str(error)[:200]
            continue
        people[name] = process
    for process in people.values():
        process.stage(sets)
    rng = random.Random(seed)
    with _GPU_LOCK:  # one timing at a time
        rounds = measure(people, sets=len(sets), plan=setting.plan, rng=rng, now=time.perf_counter)
        about = min(rounds.medians["candidate"][WARM])
        wall = None
        if not expected.changed:
            wall = wall_clock(candidate, sets=len(sets), claimed_about=about, rng=rng, spin=setting.spin)
        _, traced = candidate.call(inputs, expected=sizes, trace=True)
    row["measured"] = {
        name: {mode: vars(interval(values)) for mode, values in modes.items()} for name, modes in rounds.medians.items()
    }
    row["medians"], row["standard_error"], row["calls"] = rounds.medians, rounds.standard_error(), rounds.calls
    row["cupti_seconds"] = sum(launch.seconds for launch in traced)
    if wall is not None:
        row["wall"] = {"seconds": wall.slope.seconds, "claimed": wall.claimed, "ratio": wall.ratio}
    row["bytes"] = assemble.call_bytes(reference.signature) + sum(
        assemble.storage_bytes(spec) for spec in (*reference.signature.inputs, *reference.signature.parameters)
    )
    row["bound_terms"] = assemble.bound(reference.signature, reference.ops(), setting.gpu).terms


def _difference(one: torch.Tensor, two: torch.Tensor) -> float:
    if one.shape != two.shape or one.dtype != two.dtype:
        return math.inf
    if not one.numel() or not one.dtype.is_floating_point:
        return 0.0 if torch.equal(one, two) else math.inf
    found = (one.double() - two.double()).abs()
    found = found[torch.isfinite(found)]
    return float(found.max()) if found.numel() else 0.0


def check_hostile(name: str, setting: Setting) -> dict[str, Any]:
    """The verdicts about a hostile kernel and its twin, with the GPU's stages."""
    from hostile.cases import PAIRS

    pair = next(pair for pair in PAIRS if pair.name == name)
    row: dict[str, Any] = {"section": "hostile", "name": name}
    options = GpuOptions(
        Plan(budget_seconds=2.0, most_rounds=5), ("eager",), PRODUCTS if setting.runtime == "cuda" else (("float16", 64),),
        setting.runtime,
    )  # fmt: skip
    task = read_task(ROOT / "tests" / "hostile" / "tasks" / f"{pair.task}.py")
    try:
        with Reference(task) as reference:
            for which, source in (("hostile", pair.hostile), ("twin", pair.twin)):
                with _GPU_LOCK:
                    found = evaluate(
                        task, Kernel(source, name), device=setting.device, reference=reference, gpu=setting.gpu,
                        limits=Limits(call_seconds=20), on_gpu=options,
                    )  # fmt: skip
                row[which] = {"verdict": found.verdict.value, "reason": found.reason, "stage": found.stages[-1].name}
        row["right"] = row["hostile"]["verdict"] != "passed" and row["twin"]["verdict"] == "passed"
    except Exception as error:  # noqa: BLE001 - as in `check`
        row["problem"] = f"{type(error).__name__}: {str(error)[:300]}"
    return row


def table(rows: list[dict[str, Any]], ceilings: Ceilings) -> str:
    """For people."""
    lines = [
        f"{'kernel':38} {'outputs':9} {'bits':5} {'launches':8} {'measured':>10} {'modelled':>10} {'model':>6} {'CUPTI':>6} "
        f"{'wall':>6} {'copy':>6} {'eager':>7} {'compile':>8}"
    ]
    for row in rows:
        name = f"{row['section'][:7]} {row['name']}"[:38]
        if "measured" not in row:
            told = row.get("problem") or ", ".join(f"{w} {row[w]['verdict']}" for w in ("hostile", "twin") if w in row)
            lines.append(f"{name:38} {told[:110]}")
            continue
        cold = row["measured"]["candidate"][COLD]["value"]
        warm = row["measured"]["candidate"][WARM]["value"]
        share = row["bytes"] / cold / ceilings.copy_bytes_per_second

        def over(baseline: str, row: dict[str, Any] = row, cold: float = cold) -> str:
            found = row["measured"].get(baseline)
            return "-" if found is None else f"{found[COLD]['value'] / cold:.2f}x"

        wall = f"{row['wall']['ratio']:.2f}" if "wall" in row else "-"
        lines.append(
            f"{name:38} {'right' if row['right'] else 'WRONG':9} {'same' if row['same_bits'] else 'other':5} "
            f"{'OTHER' if row['launch_difference'] else 'same':8} {1e6 * cold:8.2f}us {1e6 * row['modelled_seconds']:8.2f}us "
            f"{row['modelled_seconds'] / cold:6.2f} {row['cupti_seconds'] / warm:6.2f} {wall:>6} {100 * share:5.0f}% "
            f"{over('eager'):>7} {over('compile'):>8}"
        )
    return "\n".join(lines)


def summary(rows: list[dict[str, Any]], ceilings: Ceilings) -> dict[str, Any]:
    """The figures that the table is for."""
    timed = [row for row in rows if "measured" in row]
    cold = [row["measured"]["candidate"][COLD]["value"] for row in timed]
    modelled = [row["modelled_seconds"] for row in timed]
    found: dict[str, Any] = {
        "kernels_timed": len(timed), "kernels_right": sum(row["right"] for row in timed),
        "kernels_with_the_same_bits": sum(row["same_bits"] for row in timed),
        "launches_differ": [row["name"] for row in timed if row["launch_difference"]],
        "not_timed": [row["name"] for row in rows if "problem" in row],
        "ceilings": ceilings.to_json(),
    }  # fmt: skip
    if len(timed) > 2:
        found["model_rank_correlation"] = spearman(modelled, cold)
        found["model_median_error"] = median_error(modelled, cold)
        found["methods_differ_most"] = max(
            abs(row["cupti_seconds"] / row["measured"]["candidate"][WARM]["value"] - 1) for row in timed
        )
    for baseline in ("eager", "compile", "max-autotune"):
        ratios = [
            row["measured"][baseline][COLD]["value"] / row["measured"]["candidate"][COLD]["value"]
            for row in timed
            if row["section"] == "example" and baseline in row["measured"]
        ]
        if ratios:
            found[f"examples_over_{baseline}"] = {
                "geometric_mean": math.exp(statistics.fmean(map(math.log, ratios))), "least": min(ratios), "count": len(ratios),
            }  # fmt: skip
    hostile = [row for row in rows if row["section"] == "hostile"]
    if hostile:
        found["hostile_as_they_should_be"] = f"{sum(bool(row.get('right')) for row in hostile)} of {len(hostile)}"
    return found


def samples(rows: list[dict[str, Any]]) -> list[Sample]:
    """What `kernelwright calibrate --from` reads: the kernels that are one launch and nothing of torch's."""
    found = []
    for row in rows:
        if "measured" in row and row["right"] and len(row["reports"]) == 1 and not row["torch_ops"]:
            times = row["medians"]["candidate"][COLD]
            found.append(
                sample_of(
                    LaunchReport.from_json(row["reports"][0]),
                    gpu=row["device"]["name"],
                    driver=driver_version() or "unknown",
                    source=row["name"],
                    seconds=row["measured"]["candidate"][COLD]["value"],
                    repeats=row["calls"]["candidate"],
                    standard_error=statistics.stdev(times) / math.sqrt(len(times)) if len(times) > 1 else 0.0,
                    date=datetime.now(UTC),
                )
            )
    return found


def main() -> int:
    """Exit code 1 where there is no GPU, or a kernel is wrong on it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="wall time at most (9)")
    parser.add_argument("--jobs", type=int, default=max(1, min(6, (os.cpu_count() or 2) // 2)))
    parser.add_argument("--only", default="", help="a regular expression that a kernel's name holds")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    parser.add_argument("--samples", type=Path, help="write samples for `kernelwright calibrate --from` to this file")
    parser.add_argument("--isolation", default="auto", choices=["auto", "bubblewrap", "docker", "process"])
    parser.add_argument("--gpu", default="", help="the table's name of this GPU, where it is not recognised")
    parser.add_argument("--runtime", default="cuda", choices=["cuda", "emulated"])
    options = parser.parse_args()
    problem = gpu_problem()
    if options.runtime == "cuda" and problem:
        print(f"error: gpu-check needs a GPU, but {problem}.", file=sys.stderr)
        return 1
    real = options.runtime == "cuda"
    gpu = find_gpu(options.gpu or (gpus()[0].name if real else "H200"))
    device = Device("cuda", gpu.name, gpu.arch, choose_isolation(options.isolation))
    plan = Plan(budget_seconds=2.0) if real else Plan(budget_seconds=0.2, most_rounds=2, most_calls=2, most_warm_up=2)
    setting = Setting(device, gpu, options.runtime, plan, 0.05 if real else 0.0)
    end = time.monotonic() + 60 * options.minutes
    eager = Program("import torch\nclass Model(torch.nn.Module):\n    pass\n", "Model", "eager", trusted=True)
    with GpuProcess(eager, device, runtime=options.runtime) as process:
        properties = process.open()
        ceilings = measure_ceilings(process, PRODUCTS if real else (("float16", 64),))
    print(f"{properties['name']}: copy {ceilings.copy_bytes_per_second / 1e12:.2f} TB/s, launch {1e6 * ceilings.launch_seconds:.2f} us, "
          + ", ".join(f"{k} {v / 1e12:.0f} TFLOP/s" for k, v in ceilings.matmul_flops.items()), flush=True)  # fmt: skip
    setting = Setting(device, with_ceilings(gpu, ceilings) if real else gpu, options.runtime, plan, setting.spin)
    todo = subjects(options.only)
    hostile = [name for name in HOSTILE if re.search(options.only, name)]
    rows: list[dict[str, Any]] = []
    lock = multiprocessing.Lock()
    pool = ProcessPoolExecutor(options.jobs, initializer=_share_lock, initargs=(lock,))
    running = {pool.submit(check, subject, setting): subject.name for subject in todo}
    running |= {pool.submit(check_hostile, name, setting): name for name in hostile}
    try:
        for future in as_completed(running, timeout=max(1.0, end - time.monotonic())):
            rows.append(future.result())
            print(f"{len(rows)} of {len(running)}: {rows[-1]['name']}", file=sys.stderr, flush=True)
    except TimeoutError:
        left = sorted(name for future, name in running.items() if not future.done())
        print(f"out of time; not reached: {', '.join(left)}")
        rows += [{"section": "left", "name": name, "problem": "not reached in time"} for name in left]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    order = {"example": 0, "kernel": 1, "hostile": 2, "left": 3}
    rows.sort(key=lambda row: (order[row["section"]], row["name"]))
    found = summary(rows, ceilings)
    print(table(rows, ceilings))
    print(json.dumps(found, indent=1))
    if not real:
        print("this was the emulator in a GPU's place: no time above says anything")
    if options.json:
        environment = {
            "date": datetime.now(UTC).date().isoformat(), "machine": platform.machine(), "python": platform.python_version(),
            "isolation": device.isolation, "runtime": options.runtime, "driver": [g.to_json() for g in gpus()], "device": properties,
        }  # fmt: skip
        options.json.write_text(
            json.dumps({"environment": environment, "summary": found, "rows": rows}, indent=1) + "\n"
        )
    if options.samples and real:
        write_samples(samples(rows), options.samples)
    for process in multiprocessing.active_children():
        process.terminate()
    return 0 if all(row.get("right", True) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
