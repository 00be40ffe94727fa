"""Optimises every module under examples/ with the built-in coder and prints what came of it.

    python benchmarks/examples.py [--rounds N] [--json FILE] [NAME ...]

Per example: attempts, verdicts, best modelled time, speed-up over eager PyTorch's modelled time, share of the roofline
bound, wall time of the whole search and peak memory of its processes. Every time of a kernel is modelled for the GPU
named; wall times are of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def tree_pss(root: int) -> int:
    """Memory in bytes of a process and all its descendants; a page that several share counts once (PSS of Linux's /proc)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        todo += parents.get(pid, [])
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((1024 * int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total


def optimize(path: Path, rounds: int, scratch: Path) -> dict[str, object]:
    """Runs the command line as a person would, and watches its memory."""
    command = [sys.executable, "-m", "kernelwright", "optimize", str(path), "--rounds", str(rounds), "--json"]
    command += ["--out", str(scratch / f"{path.stem}.kernel.py")]
    start = time.perf_counter()
    environment = os.environ | {"KERNELWRIGHT_DATABASE": str(scratch / "store.db")}
    with open(scratch / f"{path.stem}.json", "w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=environment)
        peak, done = 0, threading.Event()
        while not done.is_set():
            peak = max(peak, tree_pss(process.pid))
            try:
                process.wait(timeout=0.05)  # seconds between two looks at its memory
                done.set()
            except subprocess.TimeoutExpired:
                pass
        out.seek(0)
        text = out.read()
    found = json.loads(text) if text else {}
    return {
        "example": path.stem,
        "exit": process.returncode,
        "wall_seconds": time.perf_counter() - start,
        "peak_bytes": peak,
        "found": found,
    }


def _short(row: dict[str, object]) -> dict[str, object]:
    """A row without sources and profiles."""
    found = row["found"]
    assert isinstance(found, dict)
    kept = ("number", "plan", "verdict", "reason", "timing", "limited_by", "seconds")
    attempts = [{key: attempt.get(key) for key in kept} for attempt in found.get("attempts") or []]
    return {**row, "found": {"attempts": attempts, "best": ((found.get("best") or {}).get("number"))}}


def main() -> int:
    """Prints the table; 1 when an example did not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="examples to run; all by default")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    options = parser.parse_args()
    paths = [p for p in sorted((ROOT / "examples").glob("*.py")) if not options.names or p.stem in options.names]
    rows = []
    print(
        f"{'example':30} {'attempts':>8} {'passed':>6} {'best µs':>9} {'eager µs':>9} {'speed-up':>8} {'roofline':>8} {'wall s':>7} {'peak MB':>8}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            row = optimize(path, options.rounds, Path(scratch))
            rows.append(row)
            found = row["found"]
            assert isinstance(found, dict)
            best = ((found.get("best") or {}).get("evaluation") or {}).get("timing") or {}
            attempts = found.get("attempts") or []
            seconds, eager, bound = (best.get(k) for k in ("seconds", "baseline_seconds", "bound_seconds"))
            cells = ["-"] * 4 if not seconds else [
                f"{seconds * 1e6:.2f}", f"{eager * 1e6:.2f}", f"{eager / seconds:.2f}x", f"{bound / seconds:.0%}",
            ]  # fmt: skip
            passed = sum(a.get("verdict") == "passed" for a in attempts)
            print(
                f"{row['example']:30} {len(attempts):8} {passed:6} {cells[0]:>9} {cells[1]:>9} {cells[2]:>8} {cells[3]:>8} "
                f"{row['wall_seconds']:7.1f} {row['peak_bytes'] / 1e6:8.0f}",
                flush=True,
            )
    if options.json:
        machine = {
            "cpus": os.cpu_count(),
            "load": os.getloadavg()[0],
            "machine": platform.machine(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("kernelwright", "torch", "nvidia-cuda-nvrtc")},
        }
        options.json.write_text(
            json.dumps({"machine": machine, "rows": [_short(row) for row in rows]}, indent=1) + "\n"
        )
    return int(any(row["exit"] != 0 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
