"""GRPO on a tiny model with random weights: does the mean reward rise, and how long does it take?

The model's words are pieces of kernels (`kernelwright.rl.training.tiny`); the prompt, the reward, the verifier on the emulator, the
pool of evaluators and TRL's trainer are those of `kernelwright train grpo`. A judged kernel is known from then on, as in every
stage. Needs the extra: pip install 'kernelwright[rl]'.

    python benchmarks/grpo_tiny.py                three seeds
    python benchmarks/grpo_tiny.py --json OUT     the curves as JSON as well
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError
from kernelwright.rl.training.progress import StepDone
from kernelwright.training.tiny_run import SETTINGS, rise_of, train_tiny


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # the evaluators want the cores; the model is too small to share its work
    found = []
    for seed in arguments.seeds:
        print(f"seed {seed}: step, mean reward [95 % interval], passed, evaluated now")
        try:
            found.append(one(seed, arguments.steps, arguments.workers))
        except KernelwrightError as error:
            print(f"error: {error}")
            return error.exit_code
        print(words(found[-1]))
    rose = sum(each["beyond_intervals"] for each in found)
    print(f"{rose} of {len(found)} seeds: the last quarter's interval lies above the first quarter's")
    if arguments.json is not None:
        load = [round(value, 1) for value in os.getloadavg()]
        about = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load_at_end": load}
        arguments.json.write_text(json.dumps({"about": about, "seeds": found}, indent=1) + "\n", encoding="utf-8")
    return 0 if rose == len(found) else 1


def one(seed: int, steps: int, workers: int) -> dict[str, Any]:
    """One seed, with a store and a folder of its own; compiled kernels are kept between seeds, as between any two runs."""
    with tempfile.TemporaryDirectory() as folder, Store(str(Path(folder) / "store.db")) as store:
        began, cpu = time.monotonic(), _cpu()
        settings = load_settings(device="emulator")
        asked = SETTINGS.model_copy(update={"steps": steps})
        ended = train_tiny(seed, Path(folder), settings, store=store, watcher=show, workers=workers, asked=asked)
        wall, cpu = time.monotonic() - began, _cpu() - cpu
    rise = rise_of(ended.log)
    curve = [line for line in ended.log if line["kind"] == "step"]
    return {
        "seed": seed,
        "seconds": wall,
        "cpu_seconds": cpu,
        "first": vars(rise.first),
        "last": vars(rise.last),
        "beyond_intervals": rise.beyond_intervals,
        "kernels_evaluated": sum(line["evaluated"] for line in curve),
        "curve": [{key: line[key] for key in ("step", "reward", "reward_low", "reward_high", "passed", "outcomes")} for line in curve],
    }  # fmt: skip


def show(done: StepDone) -> None:
    figures = done.figures
    interval = f"[{figures['reward_low']:+.3f}, {figures['reward_high']:+.3f}]"
    print(
        f"  {done.step:>3}  {figures['reward']:+.3f} {interval}  {figures['passed']:>2}/{figures['samples']}  {figures['evaluated']:>2}"
    )


def words(found: dict[str, Any]) -> str:
    first, last = found["first"], found["last"]
    return (
        f"  first quarter {first['mean']:+.3f} [{first['low']:+.3f}, {first['high']:+.3f}], "
        f"last {last['mean']:+.3f} [{last['low']:+.3f}, {last['high']:+.3f}]; {found['kernels_evaluated']} kernels evaluated, "
        f"{found['seconds']:.0f} s, of CPU {found['cpu_seconds']:.0f} s"
    )


def _cpu() -> float:
    used: Sequence[Any] = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    raise SystemExit(main())
