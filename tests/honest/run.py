"""Judges the whole corpus several times, with secret seeds drawn anew each time, and prints a table: `make honest`."""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from concurrent.futures import Future, ProcessPoolExecutor

from honest.corpus import KERNELS, TASKS
from honest.judge import References, judge
from honest.kernel import Honest

Row = tuple[str, int, str, str, float]


def judge_task(kernels: list[Honest], rounds: int) -> list[Row]:
    """(name, round, verdict, reason, seconds) of kernels of one task, with one reference."""
    references = References()
    rows: list[Row] = []
    try:
        reference = references.get(kernels[0].task)
        for turn in range(rounds):
            for kernel in kernels:
                found = judge(kernel.source, kernel.name, reference)
                rows.append((kernel.name, turn + 1, found.verdict.value, found.reason, found.seconds))
    finally:
        references.close()
    return rows


def main() -> int:
    """Exit code 1 if an honest kernel was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="a regular expression that the name of a kernel holds")
    options = parser.parse_args()
    by_task: dict[str, list[Honest]] = defaultdict(list)
    for kernel in KERNELS:
        if re.search(options.only, kernel.name):
            by_task[kernel.task].append(kernel)
    rows: list[Row] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        running: list[Future[list[Row]]] = [pool.submit(judge_task, k, options.rounds) for k in by_task.values()]
        for future in running:
            rows += future.result()
            for name, turn, verdict, reason, _ in rows[-len(future.result()) :]:
                if verdict != "passed":
                    print(f"FALSE ALARM {name}, round {turn}: {verdict}: {reason}", flush=True)
            print(f"{len(rows)} verdicts", file=sys.stderr, flush=True)
    print(f"\n{'task':24} {'styles':>6} {'verdicts':>8} {'passed':>6}  median s")
    for name, kernels in by_task.items():
        mine = [row for row in rows if row[0] in {kernel.name for kernel in kernels}]
        seconds = sorted(row[4] for row in mine)[len(mine) // 2]
        print(f"{name:24} {len(kernels):6} {len(mine):8} {sum(row[2] == 'passed' for row in mine):6}  {seconds:.2f}")
    refused = sum(row[2] != "passed" for row in rows)
    print(
        f"{sum(map(len, by_task.values()))} honest kernels of {len(by_task)} of {len(TASKS)} tasks, {options.rounds} rounds, "
        f"{len(rows)} verdicts: {refused} refused"
    )
    return 1 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
