"""How long the server takes for each page and its JSON twin, with 100,000 kernels and 1,000,000 evaluations in the store.

    python benchmarks/web.py FOLDER [--kernels N] [--evaluations N] [--on sqlite|postgres|both] [--clients 20] [--seconds 120] [--think 0 1]
                             [--pages TEXT] [--json FILE] [--table FILE] [-- FLAGS OF serve]

The store is made in FOLDER if it is not there (see web_store.py; some 10 GB on SQLite at full size) and kept; PostgreSQL runs in FOLDER
too, started here. Then the real server (`kernelwright serve --no-worker`) answers 20 clients, each of which asks for one page after the other, chosen at random among
all of them with random kernels, runs, tasks and searches: at once (think time 0), and with a second between an answer and the
next question. Server time is what its Server-Timing header says: from a request's arrival to the beginning of the answer, waiting included. Client time ends with the
last byte. The clients run on the same machine, in a process of their own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import random
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from local_postgres import local_postgres, why_none
from sqlalchemy import text
from web_store import AUTHORS, GPUS, Sizes, make_store

from kernelwright.db.engine import make_engine
from kernelwright.rl.archive.features import TAGS

API = "/api/v1"
GOAL_MS = 100.0
_SAMPLE = 400
_WARM_SECONDS = 15.0
_WORDS = (
    "softmax",
    "row",
    "tile",
    "matmul",
    "atomics",
    "persistent",
    "vector loads",
    "layer norm",
    "attention",
    "team",
    "gpt",
    "reduce atomic",
    "looped",
)
_OPERATIONS = (
    "softmax",
    "matmul",
    "relu",
    "F.gelu",
    "sum",
    "nn.Linear",
    "conv2d",
    "exp",
    "cumsum",
    "topk",
    "sigmoid",
    "mean",
)


@dataclass(frozen=True)
class Page:
    """A page under its name in the table, and how an address of it is drawn."""

    name: str
    template: str
    query: tuple[str, ...] = ()

    def address(self, rng: random.Random, known: dict[str, list[Any]]) -> str:
        run, number = rng.choice(known["attempts"])
        other, _ = rng.choice(known["attempts"])
        values = {
            "run": run, "number": number, "other": other, "kernel": rng.choice(known["kernels"]), "kernel_2": rng.choice(known["kernels"]), "task": rng.choice(known["tasks"]),
            "evaluation": rng.choice(known["evaluations"]),
        }  # fmt: skip
        query = {
            name: value for each in self.query if rng.random() < 0.6 for name, value in _drawn(each, rng, known).items()
        }
        path = re.sub(r"\{(\w+)\}", lambda m: quote(str(values[m[1]]), safe=""), self.template)
        return path + (("&" if "?" in path else "?") + urlencode(query) if query else "")


def _drawn(name: str, rng: random.Random, known: dict[str, list[Any]]) -> dict[str, str]:
    found = {
        "q": lambda: rng.choice(_WORDS), "op": lambda: rng.choice(_OPERATIONS), "technique": lambda: rng.choice(list(TAGS)),
        "gpu": lambda: rng.choice(GPUS)[0], "arch": lambda: rng.choice(GPUS)[1], "author": lambda: rng.choice(AUTHORS),
        "verdict": lambda: rng.choice(("passed", "wrong", "unsafe", "cheating")), "kind": lambda: rng.choice(("measured", "modelled")),
        "sort": lambda: rng.choice(("speedup", "newest")), "dtype": lambda: rng.choice(("float32", "float16", "bf16", "int64")),
        "shape": lambda: rng.choice(("1024", "4096x1024", "128")), "task": lambda: rng.choice(known["tasks"]), "suite": lambda: "core", "p": lambda: str(rng.choice((0.8, 1.25, 2.0))),
    }  # fmt: skip
    return {name: found[name]()}


PAGES = (
    Page("home", "/"),
    Page("submit", "/submit"),
    Page("runs", "/runs"),
    Page("runs of a task", "/runs?task={task}"),
    Page("run", "/runs/{run}"),
    Page("attempt", "/runs/{run}/attempts/{number}"),
    Page("lineage", "/runs/{run}/lineage"),
    Page("kernels", "/kernels"),
    Page("kernels, chosen by one thing", "/kernels?op=softmax", ("sort", "kind")),
    Page(
        "kernels, chosen by several",
        "/kernels",
        ("q", "op", "technique", "gpu", "arch", "author", "verdict", "kind", "sort", "dtype", "shape"),
    ),
    Page("kernel", "/kernels/{kernel}"),
    Page("compare runs", "/compare?a={run}&b={other}"),
    Page("compare kernels", "/compare?a={kernel}&b={kernel_2}"),
    Page("leaderboard", "/leaderboard", ("suite", "gpu", "kind", "p")),
    Page("tasks", "/tasks"),
    Page("tasks, searched", "/tasks", ("q",)),
    Page("task", "/tasks/{task}"),
    Page("system", "/system"),
)


def known_things(place: str) -> dict[str, list[Any]]:
    """Ids to ask for."""
    engine = make_engine(place)
    with engine.connect() as connection:
        attempts = connection.execute(text("SELECT count(*) FROM attempts")).scalar() or 0
        rng = random.Random(1)
        ids = sorted(rng.sample(range(1, attempts + 1), min(_SAMPLE, attempts)))
        listed = ",".join(map(str, ids))
        rows = connection.execute(
            text(f"SELECT run_id, number, kernel_id, evaluation_id FROM attempts WHERE id IN ({listed})")
        ).all()
        tasks = connection.execute(text("SELECT id FROM tasks")).scalars().all()
    engine.dispose()
    return {
        "attempts": [(r[0], r[1]) for r in rows],
        "kernels": [r[2] for r in rows],
        "evaluations": [r[3] for r in rows],
        "tasks": list(tasks),
    }


@contextmanager
def served(place: str, folder: Path, flags: Sequence[str]) -> Iterator[str]:
    """The real server on the store; gives its address."""
    environment = {
        **os.environ,
        "KERNELWRIGHT_DATABASE": place,
        "KERNELWRIGHT_DATA": str(folder),
        "KERNELWRIGHT_CACHE": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "kernelwright", "serve", "--no-worker", "--port", "0", "--rate", "0", *flags]
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=log, text=True)
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if (found := re.search(r"http://\S+", line)) is not None:
                threading.Thread(target=server.stderr.read, daemon=True).start()
                yield found[0]
                return
        raise SystemExit("the server did not start; see serve.log in the folder")
    finally:
        server.terminate()
        server.wait(timeout=60)


def ask(connection: http.client.HTTPConnection, address: str) -> tuple[int, float, float]:
    """Status, and milliseconds of the server and of the client."""
    began = time.perf_counter()
    connection.request("GET", address)
    answer = connection.getresponse()
    answer.read()
    took = 1e3 * (time.perf_counter() - began)
    said = re.search(r"dur=([\d.]+)", answer.headers.get("Server-Timing", ""))
    return answer.status, float(said[1]) if said else float("nan"), took


Result = tuple[str, int, float, float]
"""Name, status, milliseconds of the server, of the client."""


def _clients(
    url: str, pages: Sequence[Page], known: dict[str, list[Any]], count: int, think: float, seconds: float, answer: Any
) -> None:
    """The process of the clients."""
    host = urlsplit(url).netloc
    end = time.monotonic() + seconds
    found: list[list[Result]] = [[] for _ in range(count)]

    def one(number: int) -> None:
        rng = random.Random(number)
        connection = http.client.HTTPConnection(host, timeout=120)
        time.sleep(rng.uniform(0, think or 0.1))
        while time.monotonic() < end:
            page, twin = rng.choice(pages), rng.random() < 0.5
            address = page.address(rng, known)
            found[number].append(
                (f"{page.name}{', JSON' if twin else ''}", *ask(connection, API + address if twin else address))
            )
            time.sleep(think)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer.send([result for results in found for result in results])
    answer.close()


def load(
    url: str, pages: Sequence[Page], known: dict[str, list[Any]], count: int, think: float, seconds: float
) -> list[Result]:
    """What the clients met."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_clients, args=(url, pages, known, count, think, seconds, theirs))
    process.start()
    theirs.close()
    found: list[Result] = ours.recv()
    process.join()
    return found


def there(url: str, pages: Sequence[Page], known: dict[str, list[Any]]) -> list[Page]:
    """Those that the server has. Asks each until it is answered as it will be: what is kept in memory is made then."""
    found, rng = [], random.Random(7)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    for page in pages:
        statuses = {ask(connection, prefix + page.address(rng, known))[0] for prefix in ("", API)}
        if statuses == {200}:
            found.append(page)
        else:
            print(f"  {page.name}: left out, the server answers {sorted(statuses)}", flush=True)
    end = time.monotonic() + _WARM_SECONDS
    while time.monotonic() < end:
        for page in found:
            ask(connection, page.address(rng, known))
    return found


def summary(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """By page: how often it was asked for, failures, and percentiles in milliseconds."""
    by_name: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_name[result[0]].append(result)
    order = [f"{page.name}{twin}" for page in PAGES for twin in ("", ", JSON")]
    told = {}
    for name in sorted(by_name, key=order.index):
        given = by_name[name]
        told[name] = {"requests": len(given), "failed": sum(status != 200 for _, status, _, _ in given)}
        for side, place in (("server", 2), ("client", 3)):
            values = [result[place] for result in given]
            cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
            told[name] |= {
                f"{side}_p50": round(cuts[49], 1),
                f"{side}_p95": round(cuts[94], 1),
                f"{side}_p99": round(cuts[98], 1),
            }
    return told


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "# Times of pages", "",
        f"{found['kernels']:,} kernels, {found['evaluations']:,} evaluations; {found['clients']} clients on the same machine; milliseconds. Server time is from a "
        f"request's arrival to the beginning of its answer. {found['machine']}, {found['cores']} cores, load {found['load_before']} before and {found['load_after']} after "
        "(the benchmark itself included); made by benchmarks/web.py.", "",
    ]  # fmt: skip
    for one in found["measured"]:
        store = one.get("store", {})
        made = (
            f" Store filled in {store['fill_seconds']:.0f} s, catalogue made by the migration in {store['migrate_seconds']:.0f} s."
            if store
            else ""
        )
        lines += [
            f"## {one['engine']}, think time {one['think']:g} s", "",
            f"{one['per_second']:.1f} answers a second; server p95 over all pages {one['server_p95']:.1f} ms.{made}", "",
            "| page | requests | failed | server p50 | p95 | p99 | client p50 | p95 | p99 |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]  # fmt: skip
        for name, row in one["pages"].items():
            figures = [row[f"{side}_p{p}"] for side in ("server", "client") for p in (50, 95, 99)]
            mark = "**" if row["server_p95"] > GOAL_MS else ""
            cells = [f"{mark}{v:.1f}{mark}" if place == 1 else f"{v:.1f}" for place, v in enumerate(figures)]
            lines.append(f"| {name} | {row['requests']} | {row['failed']} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kernels", type=int, default=100_000)
    parser.add_argument("--evaluations", type=int, default=1_000_000)
    parser.add_argument("--on", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each table")
    parser.add_argument("--think", type=float, nargs="*", default=[0.0, 1.0])
    parser.add_argument("--pages", default="", help="only pages whose name has this")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path)
    options, flags = parser.parse_known_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    load_before = os.getloadavg()[0]
    measured = []
    for engine in ("sqlite", "postgres") if options.on == "both" else (options.on,):
        with ExitStack() as stack:
            if engine == "postgres":
                if problem := why_none():
                    print(f"PostgreSQL is left out: {problem}.", flush=True)
                    continue
                place = stack.enter_context(local_postgres(options.folder / "postgres"))
            else:
                place = str(options.folder / "kernelwright.db")
            store = made_or_there(engine, place, options.folder, Sizes(options.kernels, options.evaluations))
            known = known_things(place)
            url = stack.enter_context(served(place, options.folder, [flag for flag in flags if flag != "--"]))
            pages = there(url, [page for page in PAGES if options.pages in page.name], known)
            for think in options.think:
                results = load(url, pages, known, options.clients, think, options.seconds)
                every = summary([("home", *rest) for _, *rest in results])["home"]
                measured.append({
                    "engine": engine, "think": think, "per_second": len(results) / options.seconds, "server_p95": every["server_p95"], "store": store,
                    "pages": summary(results),
                })  # fmt: skip
                print(
                    f"{engine}, think {think:g} s: {len(results)} answers, server p50 {every['server_p50']} p95 {every['server_p95']} ms",
                    flush=True,
                )
    found = {
        "kernels": options.kernels, "evaluations": options.evaluations, "clients": options.clients, "seconds": options.seconds,
        "machine": platform.machine(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
        "load_before": round(load_before, 1), "load_after": round(os.getloadavg()[0], 1), "measured": measured,
    }  # fmt: skip
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.table:
        options.table.write_text(table(found))


def made_or_there(engine: str, place: str, folder: Path, sizes: Sizes) -> dict[str, float]:
    """Makes the store unless it is there; what that took, in seconds."""
    note = folder / f"{engine}.json"
    if not note.is_file():
        print(f"{engine}: the store is made", flush=True)
        note.write_text(json.dumps(make_store(place, sizes)))
    found: dict[str, float] = json.loads(note.read_text())
    return found


if __name__ == "__main__":
    main()
