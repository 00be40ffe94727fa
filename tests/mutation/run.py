"""Judges every mutant with the real verifier and writes what came out: `make mutation-test`.

Verdicts are kept line by line in `build/mutation.jsonl`, so that a run that was stopped (Ctrl-C) goes on where it was;
a line counts only for the same mutant under the same code of the judge. Seeds are secret ones, drawn anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from honest.judge import References, judge
from mutation.equivalent import BY_ARGUMENT, same_machine_code
from mutation.mutants import Mutant, chosen_mutants
from mutation.report import write_report

ROOT = Path(__file__).parents[2]
STATE = ROOT / "build" / "mutation.jsonl"
_JUDGE = ("bench_tasks", "sandbox", "verifier")


def code_key() -> str:
    """Hash of the judge's code: verdicts of another one are not counted; 12 hex digits."""
    digest = hashlib.sha256()
    for folder in _JUDGE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".cpp", ".h", ".hpp", ".cu", ".cuh"}:
                digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def judge_mutant(mutant: Mutant, references: References) -> dict[str, Any]:
    """One line of the results."""
    found = judge(mutant.source, mutant.name, references.get(mutant.kernel.task))
    line: dict[str, Any] = {
        "key": mutant.key,
        "name": mutant.name,
        "operator": mutant.operator.name,
        "precision": mutant.operator.precision,
        "verdict": found.verdict.value,
        "stage": found.stages[-1].name,
        "reason": found.reason,
        "seconds": round(found.seconds, 2),
        "seeds": found.seeds,
    }
    if found.passed and same_machine_code(mutant.kernel.source, mutant.source):
        line["equivalent"] = "the compiler makes the same PTX of it"
    return line


def read_lines(code: str) -> dict[str, dict[str, Any]]:
    """What earlier runs of the same judge found, by mutant key."""
    lines = STATE.read_text(encoding="utf-8").splitlines() if STATE.exists() else []
    known = [json.loads(line) for line in lines if line.endswith("}")]
    return {line["key"]: line for line in known if line["code"] == code}


class _Run:
    """A whole run: what is done, and what goes on."""

    def __init__(self, code: str, total: int, done: dict[str, dict[str, Any]]) -> None:
        self.code, self.total, self.done = code, total, done
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._begin = time.monotonic()
        self._before = len(done)

    def judge_task(self, mutants: list[Mutant]) -> None:
        """The mutants of one task, with one reference process."""
        references = References(keep=1)
        try:
            for mutant in mutants:
                if self.stop.is_set():
                    return
                self._keep(judge_mutant(mutant, references) | {"code": self.code})
        finally:
            references.close()

    def _keep(self, line: dict[str, Any]) -> None:
        with self._lock:
            self.done[line["key"]] = line
            with STATE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            took = time.monotonic() - self._begin
            left = took / (len(self.done) - self._before) * (self.total - len(self.done))
            survived = line["verdict"] == "passed" and "equivalent" not in line and line["name"] not in BY_ARGUMENT
            print(
                f"[{len(self.done)}/{self.total}, {left / 60:.0f} min left] {line['name']}: {line['verdict']}"
                + (" SURVIVED" if survived else ""),
                file=sys.stderr,
                flush=True,
            )


def main() -> int:
    """Exit code 0 if at least 99 % of the mutants that are not equivalent were refused, and every precision fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=2, help="verdicts at a time")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--only", default="", help="mutants whose name holds this; nothing is written but the lines")
    options = parser.parse_args()
    STATE.parent.mkdir(exist_ok=True)
    if options.fresh:
        STATE.unlink(missing_ok=True)
    mutants = [mutant for mutant in chosen_mutants() if options.only in mutant.name]
    code = code_key()
    wanted = {mutant.key for mutant in mutants}
    run = _Run(code, len(mutants), {k: line for k, line in read_lines(code).items() if k in wanted})
    by_task: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        if mutant.key not in run.done:
            by_task.setdefault(mutant.kernel.task, []).append(mutant)
    with ThreadPoolExecutor(options.jobs) as pool:
        pending = {pool.submit(run.judge_task, group) for group in by_task.values()}
        try:
            while pending:
                ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in ended:
                    future.result()
        except BaseException:
            run.stop.set()
            pool.shutdown(cancel_futures=True)
            print(f"stopped; {len(run.done)} of {len(mutants)} are kept in {STATE}", file=sys.stderr)
            raise
    if options.only:
        return 0
    return write_report(mutants, run.done, code)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
