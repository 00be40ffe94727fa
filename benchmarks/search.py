"""How many evaluations each strategy needs to come within 5 % of the best known choice, on landscapes of modelled times.

    python benchmarks/search.py [--prices FOLDER | --landscapes FILE] [--seeds 5] [--budget 100] [--folds 6] [--json FILE] [--table FILE]

Nothing is run or measured: prices are looked up (benchmarks/landscapes.py makes them), so every strategy chooses among the same
choices and the best of them is known. With --prices, the folder of price lists, the roofline judge has its counters; from a
file of landscapes, the one that ships by default, its arm is left out. The policy of a task was trained without the task's
family. A search that never got there counts as its budget: the figures of arms that stop early or fail are too good for them,
which the column `reached` shows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from landscapes import GPUS
from search_arms import ARMS, Case

from kernelwright.agents.builtin.policy.candidates import key_of
from kernelwright.agents.builtin.policy.net import Policy, load_policy
from kernelwright.bench_tasks.scoring.intervals import Figure, mean_figure, median_figure
from kernelwright.rl.policy.families import folds, kin
from kernelwright.rl.policy.landscape import Landscape, read_landscapes, shipped_landscapes
from kernelwright.rl.policy.pricelist import PriceList
from kernelwright.rl.policy.simulate import Reports, SimulatedTask
from kernelwright.rl.policy.training import Recipe, train
from kernelwright.verifier.model.gpus import all_gpus, find_gpu

CLOSE = 1.05
LEAST_CHOICES = 8
CONTROL = "best-of-n"


@dataclass(frozen=True)
class Result:
    """One arm on one task with one seed."""

    arm: str
    task: str
    seed: int
    evaluations: int
    """Up to the first within 5 % of the best known; the budget if there was none."""
    reached: bool


def main() -> None:
    """Runs every arm on every task and writes the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--prices", type=Path, help="folder of price lists")
    parser.add_argument("--landscapes", type=Path, help="file of landscapes (default: the one that ships)")
    parser.add_argument("--gpu", default="H200", help="card whose modelled times are searched (H200)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=100, help="evaluations of a search (100)")
    parser.add_argument(
        "--folds", type=int, default=6, help="policies that are trained, each without some families (6)"
    )
    parser.add_argument(
        "--policies", type=Path, help="keep the folds' weights in this folder, and take them from there"
    )
    parser.add_argument("--arms", nargs="*", help="names of arms (all)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--table", type=Path, help="write the Markdown table to this file")
    options = parser.parse_args()
    landscapes, reports = _opened(options)
    tasks = [each for each in landscapes if _suits(each, options.gpu)]
    policies = _policies(landscapes, options)
    results: list[Result] = []
    for landscape in tasks:
        task = SimulatedTask(landscape, options.gpu, reports.get(landscape.task, {}))
        started = time.perf_counter()
        for name in options.arms or ARMS:
            results += _runs(name, task, policies[kin(landscape)], options)
        print(f"{landscape.task}: {time.perf_counter() - started:.1f} s", flush=True)
    figures = _figures(results, tasks, options)
    table = _table(figures, results, tasks, options)
    print(table)
    if options.table:
        options.table.write_text(table)
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")


def _opened(options: argparse.Namespace) -> tuple[Sequence[Landscape], Mapping[str, Reports]]:
    if not options.prices:
        found = read_landscapes(options.landscapes) if options.landscapes else shipped_landscapes()
        return found, {}
    landscapes, reports = [], {}
    gpus = [find_gpu(name) for name in GPUS]
    for path in sorted(options.prices.glob("*.jsonl")):
        prices = PriceList(path)
        landscape = prices.landscape(gpus)
        if landscape is not None:
            landscapes.append(landscape)
            reports[landscape.task] = {(e.kernel, key_of(e.choice.knobs)): e.reports for e in prices.entries}
    return landscapes, reports


def _suits(landscape: Landscape, gpu: str) -> bool:
    """Whether there is something to search: choices enough, and one that runs for every kernel."""
    choices = 1
    for kernel in landscape.kernels:
        choices *= sum(gpu in p.seconds for p in kernel.priced)
    return choices >= LEAST_CHOICES


def _policies(landscapes: Sequence[Landscape], options: argparse.Namespace) -> Mapping[str, Policy]:
    """The policy for each family: trained on all others of its fold's complement."""
    found: dict[str, Policy] = {}
    for group in folds(landscapes, options.folds):
        kept = [each for each in landscapes if kin(each) not in group]
        name = "without-" + "-".join(sorted(group)) + ".npz"
        path = options.policies / name if options.policies else None
        if path is not None and path.exists():
            policy = load_policy(path)
        else:
            started = time.perf_counter()
            policy = train(kept, all_gpus(), Recipe()).policy
            print(f"trained {name} on {len(kept)} tasks in {time.perf_counter() - started:.0f} s", flush=True)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                policy.save(path)
        found |= dict.fromkeys(group, policy)
    return found


def _runs(name: str, task: SimulatedTask, policy: Policy, options: argparse.Namespace) -> list[Result]:
    target = CLOSE * task.best_seconds
    found = []
    for seed in range(options.seeds):
        trace = ARMS[name](Case(task, policy, f"{task.landscape.task}/{seed}", options.budget, target))
        if trace is None:
            return []
        at = trace.reached(target)
        found.append(Result(name, task.landscape.task, seed, at or options.budget, at is not None))
    return found


def _figures(results: Sequence[Result], tasks: Sequence[Landscape], options: argparse.Namespace) -> dict[str, object]:
    control = _by_task(results, CONTROL)
    arms = {}
    for name in dict.fromkeys(r.arm for r in results):
        own = _by_task(results, name)
        ratios = [fmean(own[task]) / fmean(control[task]) for task in own if task in control]
        total = sum(fmean(own[t]) for t in own) / max(1e-9, sum(fmean(control[t]) for t in own if t in control))
        arms[name] = {
            "tasks": len(own),
            "mean": _ends(mean_figure([fmean(v) for v in own.values()], seed=0)),
            "median": _ends(median_figure([fmean(v) for v in own.values()], seed=0)),
            "ratio_of_means": total,
            "mean_ratio": _ends(mean_figure(ratios, seed=0)) if ratios else None,
            "reached": fmean([float(r.reached) for r in results if r.arm == name]),
        }
    return {
        "gpu": options.gpu, "seeds": options.seeds, "budget": options.budget, "within": CLOSE, "folds": options.folds,
        "tasks": [_about(each, options.gpu) for each in tasks], "arms": arms,
        "runs": [[r.arm, r.task, r.seed, r.evaluations, r.reached] for r in results],
    }  # fmt: skip


def _about(landscape: Landscape, gpu: str) -> dict[str, object]:
    best = landscape.best_seconds(gpu)
    share = 1.0
    if len(landscape.kernels) == 1:
        times = [p.seconds[gpu] for p in landscape.kernels[0].priced if gpu in p.seconds]
        share = sum(t <= CLOSE * best for t in times) / len(times)
    return {
        "task": landscape.task, "family": landscape.family, "kernels": len(landscape.kernels),
        "choices": [len(k.priced) for k in landscape.kernels], "whole": all(k.whole for k in landscape.kernels),
        "best_microseconds": 1e6 * best, "close_share": share if len(landscape.kernels) == 1 else None,
    }  # fmt: skip


def _by_task(results: Sequence[Result], arm: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for result in results:
        if result.arm == arm:
            found.setdefault(result.task, []).append(result.evaluations)
    return found


def _ends(figure: Figure) -> list[float | None]:
    return [figure.value, figure.low, figure.high]


def _table(
    figures: Mapping[str, object], results: Sequence[Result], tasks: Sequence[Landscape], options: argparse.Namespace
) -> str:
    def shown(ends: Sequence[float | None] | None, digits: int = 1) -> str:
        if ends is None:
            return "-"
        value, low, high = ends
        return f"{value:.{digits}f}" + (f" ({low:.{digits}f} to {high:.{digits}f})" if low is not None else "")

    lines = [
        f"Evaluations until a time within {round(100 * (CLOSE - 1))} % of the best known, modelled for {options.gpu}; {len(tasks)} tasks, "
        f"{options.seeds} seeds, budget {options.budget} (a search that never got there counts as {options.budget}). Intervals: 95 %, "
        "bootstrap over tasks of the means over seeds. Ratio: over best-of-n on the same task.",
        "",
        "| strategy | tasks | mean | median | ratio, mean over tasks | ratio of the means | reached |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    arms = figures["arms"]
    assert isinstance(arms, dict)
    for name, arm in arms.items():
        lines.append(
            f"| {name} | {arm['tasks']} | {shown(arm['mean'])} | {shown(arm['median'])} | {shown(arm['mean_ratio'], 2)} | "
            f"{arm['ratio_of_means']:.2f} | {100 * arm['reached']:.0f} % |"
        )
    names = list(arms)
    lines += ["", "Mean evaluations by task:", "", "| task | choices | within 5 % | " + " | ".join(names) + " |"]
    lines.append("| --- " * (3 + len(names)) + "|")
    for landscape in tasks:
        about = _about(landscape, options.gpu)
        choices = " x ".join(map(str, about["choices"]))  # type: ignore[call-overload]
        share = "-" if about["close_share"] is None else f"{100 * float(about['close_share']):.0f} %"  # type: ignore[arg-type]
        cells = []
        for name in names:
            own = _by_task(results, name).get(landscape.task)
            cells.append("-" if own is None else f"{fmean(own):.1f}")
        lines.append(
            f"| {landscape.task} | {choices}{'' if about['whole'] else ' (part)'} | {share} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
