"""The JSON of runs of suites: one shape for `bench run`, `bench resume` and `bench show`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelwright.bench.progress import counts_of, result_of
from kernelwright.bench_tasks.scoring.results import Entry, Trial
from kernelwright.db.bench import BenchItem, BenchRun

__all__ = ["bench_json", "run_json"]


def run_json(run: BenchRun) -> dict[str, Any]:
    """A run without its items."""
    same = (
        "id", "suite", "suite_path", "digest", "suite_size", "strategy", "coder", "judge", "rounds", "repeats", "device",
        "gpu", "message",
    )  # fmt: skip
    return {name: getattr(run, name) for name in same} | {
        "scale": run.scale.value,
        "status": run.status.value,
        "created": run.created.isoformat(),
        "settings": dict(run.settings),
        "environment": dict(run.environment),
    }


def bench_json(run: BenchRun, items: Sequence[BenchItem], entry: Entry) -> dict[str, Any]:
    """A run with its items and what came of each, in their order; dollars as text, exact."""
    pairs = list(zip(items, entry.trials, strict=True))
    return {
        **run_json(run),
        "timing_kind": entry.timing_kind,
        "counts": {result.value: count for result, count in counts_of(pairs).items()},
        "dollars": f"{sum(trial.dollars for trial in entry.trials):f}",
        "seconds": sum(trial.seconds for trial in entry.trials),
        "items": [_item_json(item, trial) for item, trial in pairs],
    }


def _item_json(item: BenchItem, trial: Trial) -> dict[str, Any]:
    best = trial.best
    return {
        "task": item.name,
        "task_id": item.task_id,
        "repeat": item.repeat,
        "status": item.status.value,
        "result": result_of(item, trial).value,
        "solved": trial.solved,
        "speedup": None if best is None else best.speedup,
        "speedup_interval": None if trial.speedup_interval is None else list(trial.speedup_interval),
        "roofline_share": None if best is None else best.roofline_share,
        "verdicts": [attempt.verdict for attempt in trial.attempts],
        "integrity": trial.integrity.value,
        "remarks": list(trial.remarks),
        "problem": item.problem or trial.problem,
        "baselines": dict(trial.baselines),
        "dollars": f"{trial.dollars:f}",
        "seconds": trial.seconds,
        "run_id": trial.run_id or None,
        "kernel_id": trial.kernel_id or None,
        "evaluation_id": trial.evaluation_id or None,
    }
