"""What our own code adds to an attempt with language models: everything but the model, the build and the evaluation.

A search with a scripted model server on this machine, one attempt after another, coder and judge both asked; the evaluation is
read from the kernel's text and takes no time. From the wall time of the whole search the time that the server took is
subtracted: from the moment a request has arrived there to the last byte of its reply, as the client saw it.

    python benchmarks/agents_overhead.py [--attempts 60] [--json FILE]

Prints milliseconds an attempt: median and 95th percentile. Goal: under 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1] / "tests")
)  # the search and its script are those of the tests

import model_runs

from kernelwright.agents.model_server import serving
from kernelwright.db.store import Store
from kernelwright.events import AttemptFinished, Event

GOAL_MS = 50.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attempts", type=int, default=60)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        walls, servers = _measure(Path(folder), arguments.attempts)
    # the first attempt imports the libraries and opens the connection
    own = [1000 * (wall - server) for wall, server in zip(walls[1:], servers[1:], strict=True)]
    found = {
        "attempts": len(own),
        "median_ms": statistics.median(own),
        "p95_ms": statistics.quantiles(own, n=20)[-1],
        "largest_ms": max(own),
        "first_ms": 1000 * (walls[0] - servers[0]),
        "server_median_ms": 1000 * statistics.median(servers[1:]),
        "goal_ms": GOAL_MS,
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores",
    }
    print(
        f"own code, per attempt (two calls): median {found['median_ms']:.1f} ms, 95th percentile {found['p95_ms']:.1f} ms"
    )
    print(
        f"the first attempt, with its imports: {found['first_ms']:.0f} ms; the server: {found['server_median_ms']:.1f} ms an attempt"
    )
    print(f"goal: under {GOAL_MS:.0f} ms: {'reached' if found['median_ms'] < GOAL_MS else 'NOT reached'}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _measure(folder: Path, attempts: int) -> tuple[list[float], list[float]]:
    """Wall seconds of each attempt, and of its calls as the client saw them."""
    script = {"replies": model_runs.script(attempts)}
    ends: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, AttemptFinished):
            ends.append(time.perf_counter())

    with serving(script) as server, Store(folder / "k.db") as store:
        os.environ.update(model_runs.environment(folder, server.openai_url))
        started = time.perf_counter()
        model_runs.model_search(store, "refine", attempts, observer=watch)
        calls = store.calls(model_runs.RUN)
    walls = [end - begin for begin, end in zip([started, *ends], ends, strict=False)]
    servers = [sum(c.seconds for c in calls if c.place.attempt == number) for number in range(1, attempts + 1)]
    return walls, servers


if __name__ == "__main__":
    raise SystemExit(main())
