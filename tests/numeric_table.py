"""Makes the table of docs/numeric-policy.md: how far honest ways of computing and faults are from the policy's limits.

    OMP_NUM_THREADS=1 python tests/numeric_table.py --seeds 10 [--only CASE]... [--write]

Each number is a share of what is allowed, so that above 1 is wrong: for honest ways the largest over all seeds and
default workloads, for faults the largest over the workloads of a task, at the seed where that is smallest.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from numeric_cases import CASES, Case, F, Variant, faults, inputs_of, reference_of

from kernelwright.bench_tasks.task import DEFAULT_WORKLOADS, NumericPolicy
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.verifier.correctness import limits_share

PAGE = Path(__file__).resolve().parent.parent / "docs" / "numeric-policy.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
COMMON = ("tf32 inside", "bf16 inside", "times 1.0002", "one element")


def share(variant: Variant, inputs: list[torch.Tensor], expected: ReferenceResult) -> float:
    """The larger of the two criteria; not cut off at 1."""
    with np.errstate(all="ignore"):
        got = np.asarray(variant(*(x.numpy() for x in inputs)), F)
    return limits_share(torch.from_numpy(got.copy()), expected, NumericPolicy())


def _cell(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def figures(case: Case, seeds: int) -> tuple[int, float, dict[str, float]]:
    """(honest comparisons, their largest share, per fault the share by which it is found)."""
    honest, compared, found = 0.0, 0, dict.fromkeys(faults(case), math.inf)
    for seed in range(seeds):
        best = dict.fromkeys(found, 0.0)
        for distribution in dict.fromkeys(workload.distribution for workload in DEFAULT_WORKLOADS):
            inputs = inputs_of(case, distribution.value, 1000 + seed)
            expected = reference_of(case.function, inputs)
            for variant in case.honest.values():
                honest, compared = max(honest, share(variant, inputs, expected)), compared + 1
            for name, variant in faults(case).items():
                best[name] = max(best[name], share(variant, inputs, expected))
        found = {name: min(found[name], best[name]) for name in found}
    return compared, honest, found


def table(seeds: int, only: list[str]) -> str:
    """The rows in Markdown."""
    lines = [
        f"| function | honest ways | largest share | {' | '.join(COMMON)} | others |",
        "|---|---|---|" + "---|" * (len(COMMON) + 1),
    ]
    total = 0
    for case in CASES:
        if only and case.name not in only:
            continue
        compared, honest, found = figures(case, seeds)
        total += compared
        others = [name for name in found if name not in COMMON]
        least = min(others, key=lambda name: found[name])
        cells = [_cell(found[name]) for name in COMMON]
        lines.append(
            f"| {case.name} | {', '.join(case.honest)} | {honest:.2f} | {' | '.join(cells)} | {_cell(found[least])} ({least}) |"
        )
        print(lines[-1], file=sys.stderr)
    lines += [
        "",
        f"{total:,} honest comparisons over {seeds} seeds, on the default workloads; a function's are all passed where its largest share is below 1.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Prints the table, or writes it into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = table(options.seeds, options.only)
    if not options.write:
        print(text)
        return
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    PAGE.write_text(head + BEGIN + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
