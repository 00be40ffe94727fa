"""Prices choices of the built-in coder on tasks of our suites, for `kernelwright train policy` and benchmarks/search.py.

    python benchmarks/landscapes.py FOLDER [--choices N] [--tasks PATTERN ...] [--minutes M] [--store FILE] [--export FILE]

FOLDER holds one price list a task (JSON lines, launch reports and all). Tasks take turns, so that stopping at any moment (Ctrl-C, a
kill, --minutes) leaves every task with about as many prices; running it again goes on. --store takes in besides what the
runs of a store (an SQLite file) have already found out about the same tasks. --export writes what is there as one
file of landscapes, without the reports. Times are modelled: the load of this machine does not enter them.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import time
import warnings
from pathlib import Path

import torch

from kernelwright.bench_tasks.own import own_suite
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError
from kernelwright.rl.policy.landscape import write_landscapes
from kernelwright.rl.policy.pricelist import PriceList
from kernelwright.rl.policy.surveying import Survey
from kernelwright.rl.run import Attempt
from kernelwright.verifier.model.gpus import Gpu, find_gpu

GPUS = ("H200", "H100 SXM", "A100 80GB", "L40S", "RTX 4090", "B200")
TASKS = (
    "core/softmax", "core/matmul_square", "core/layer_norm", "core/gelu_tanh@half",
    "core/attention_full", "core/sum_last_axis", "core/cross_entropy", "core/matmul_square@half",
    "core/rms_norm@half", "core/log_softmax_classes", "core/conv2d_depthwise", "core/max_pool2d",
    "core/embedding", "core/adamw", "core/group_norm", "core/attention_causal@half",
    "core/sum_first_axis@half", "core/bce_with_logits", "core/matvec", "core/add_broadcast",
    "fusion/swiglu_gate@half", "fusion/linear_bias_gelu@half", "fusion/bias_mask_softmax@half", "fusion/residual_rmsnorm",
    "core/argmax_vocabulary", "core/attention_decode", "core/gem_pool", "core/smooth_l1_boxes",
    "core/matmul_tall", "core/vector_norm", "fusion/crop_flip_normalise", "core/srgb_encode",
    "core/instance_norm", "fusion/linear_softcap", "core/conv2d_1x1", "fusion/layernorm_linear@half",
)  # fmt: skip
"""Tasks that the built-in coder lowers whole, of every family that it knows, float32 and half, most of one kernel and some of several."""
EACH_TURN = 6
"""Prices of a task before the next one has its turn."""


def main() -> None:
    """Prices until nothing is missing or the time is up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--choices", type=int, default=170, help="of each kernel function, at most (170)")
    parser.add_argument("--tasks", nargs="*", default=["*"], help="patterns of SUITE/NAME; all of the list by default")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--gpu", default="H200", help="card that the coder writes for (H200)")
    parser.add_argument("--store", type=Path, help="SQLite file of a store whose attempts are taken in as well")
    parser.add_argument("--export", type=Path, help="write the landscapes of what is priced to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    gpus = [find_gpu(name) for name in GPUS]
    try:
        if options.minutes > 0:
            _price(options, gpus)
    except KeyboardInterrupt:
        print("stopped; run it again to go on", flush=True)
    if options.export:
        lists = [PriceList(path) for path in sorted(options.folder.glob("*.jsonl"))]
        found = [landscape for each in lists if (landscape := each.landscape(gpus)) is not None]
        write_landscapes(options.export, found)
        size = options.export.stat().st_size
        prices = sum(len(kernel.priced) for landscape in found for kernel in landscape.kernels)
        print(f"{len(found)} tasks, {prices} prices for {len(gpus)} GPUs, {size / 1e3:.0f} kB: {options.export}")


def _price(options: argparse.Namespace, gpus: list[Gpu]) -> None:
    end = time.monotonic() + 60 * options.minutes
    by_name = {
        f"{suite}/{each.name}": (suite, each)
        for suite in ("core", "fusion", "models")
        for each in own_suite(suite).tasks
    }
    names = [name for name in TASKS if any(fnmatch.fnmatch(name, pattern) for pattern in options.tasks)]
    surveys: dict[str, Survey | None] = {}
    attempts = _stored(options.store) if options.store else {}
    turns = 0
    while time.monotonic() < end:
        made = 0
        for name in names:
            if time.monotonic() >= end:
                break
            if name not in surveys:
                suite, each = by_name[name]
                try:
                    opened = Survey(suite, each, options.folder, find_gpu(options.gpu), gpus, options.choices)
                    surveys[name] = opened
                    taken = sum(map(opened.take, attempts.get(opened.opened.task.id, ())))
                    if taken:
                        print(f"{name}: {taken} prices from the store", flush=True)
                except (KernelwrightError, ValueError) as error:
                    print(f"{name}: left out: {error}", flush=True)
                    surveys[name] = None
            survey = surveys[name]
            if survey is None:
                continue
            started, used, count, failed = time.perf_counter(), _processor(), 0, 0
            for kernel, knobs in survey.missing():
                if count == EACH_TURN or time.monotonic() >= end:
                    break
                failed += not survey.price(kernel, knobs).reports
                count += 1
            made += count
            if count:
                print(
                    f"{turns:3} {name:36} +{count} ({failed} failed) = {len(survey.prices.entries)}, "
                    f"{time.perf_counter() - started:.1f} s, processor {_processor() - used:.1f} s", flush=True,
                )  # fmt: skip
        turns += 1
        if not made:
            return


def _stored(file: Path) -> dict[str, list[Attempt]]:
    """Attempts of the built-in coder by the id of their task."""
    found: dict[str, list[Attempt]] = {}
    with Store(str(file)) as store:
        for run in store.runs(limit=100_000):
            own = [a for a in store.attempts(run.id) if a.kernel.author == "builtin" and a.evaluation.profile]
            found.setdefault(run.task_id, []).extend(own)
    return found


def _processor() -> float:
    """Processor time of this process and those it waited for, in seconds."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


if __name__ == "__main__":
    main()
