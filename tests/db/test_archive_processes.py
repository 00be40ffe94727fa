"""Several processes on one archive lose nothing, and one that is killed leaves it consistent."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from archive_doubles import an_archive
from search_doubles import EPOCH

from kernelwright.db.store import Store
from kernelwright.rl.archive.protocol import Draw

_WORKER = """
    import sys
    from archive_doubles import an_archive, attempt
    from search_doubles import EPOCH
    from kernelwright.db.store import Store
    from kernelwright.rl.operators import Operator
    from kernelwright.verifier.evaluation import Verdict

    path, run_id, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    OPERATORS = (Operator.TUNE, Operator.CROSSOVER, Operator.REPAIR, Operator.START)

    def outcome(number):
        return Verdict.WRONG if number % 5 == 0 else 1e-4 / (1 + number % 7)

    def work(archive, store):
        for number in range(1, count + 1):
            one = attempt(number, outcome(number), run_id=run_id, version=number * (1 + len(run_id)), registers=24 + number % 90)
            archive.draw(run_id, number, number % 2, OPERATORS[number % 4], "", "seed")
            store.add_attempt(one)
            archive.absorb([one])
            print(number, flush=True)

    with Store(path, clock=lambda: EPOCH) as store:
        archive = an_archive(store, run_id=run_id, islands=2, migrate_every=5, stagnant_after=4, restart_after=9)
        print("ready", flush=True)
        sys.stdin.readline()
        work(archive, store)
"""


def start(path: Path, run_id: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(_WORKER), str(path), run_id, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
    )


def begin(*workers: subprocess.Popen[str]) -> None:
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:  # all have the archive open: now they race
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()


def test_two_processes_that_write_two_hundred_entries_each_lose_none(tmp_path: Path) -> None:
    path, count = tmp_path / "k.db", 200
    Store(path).close()
    with start(path, "a-1", count) as one, start(path, "bb-2", count) as other:
        begin(one, other)
        one.communicate()
        other.communicate()
    assert (one.returncode, other.returncode) == (0, 0)
    with Store(path) as store:
        archive = an_archive(store, run_id="a-1")
        assert archive.problems() == []
        standings = [archive.standing(island) for island in (0, 1)]
        # every fifth failed; the two processes' kernels that are the same count once
        assert sum(s.passed + s.failed for s in standings) > count
        with store._reading() as session:
            from sqlalchemy import text

            entries = session.execute(text("SELECT run_id, count(*) FROM archive_entries GROUP BY run_id")).all()
            draws = session.execute(text("SELECT count(*) FROM archive_draws")).scalar_one()
        assert {row[0]: row[1] for row in entries} == {"a-1": count, "bb-2": count}
        assert draws == 2 * count


def all_draws(path: Path, count: int) -> list[Draw | None]:
    with Store(path) as store:
        archive = an_archive(store, run_id="a-1")
        assert archive.problems() == []
        return [archive.drawn("a-1", number) for number in range(1, count + 1)]


def test_a_writer_that_is_killed_leaves_it_consistent_and_going_on_draws_the_same(tmp_path: Path) -> None:
    count, rng = 40, random.Random(8)
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    with start(whole, "a-1", count) as worker:
        begin(worker)
        worker.communicate()
    for _ in range(4):
        with start(killed, "a-1", count) as victim:
            begin(victim)
            assert victim.stdout is not None
            for _ in range(rng.randrange(1, count // 2)):
                victim.stdout.readline()
            os.kill(victim.pid, signal.SIGKILL)
        if not killed.exists():
            continue
        with Store(killed, clock=lambda: EPOCH) as store:
            assert an_archive(store, run_id="a-1").problems() == []
    with start(killed, "a-1", count) as last:
        begin(last)
        last.communicate()
    assert last.returncode == 0
    assert all_draws(killed, count) == all_draws(whole, count)
