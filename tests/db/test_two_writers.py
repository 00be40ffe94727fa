"""Several processes on one database lose nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

from search_doubles import attempt, run

from kernelwright.db.store import Store

_WRITER = """
    import sys
    from search_doubles import attempt, run
    from kernelwright.db.store import Store

    path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with Store(path) as store:  # all make and migrate the same new file
        store.create_run(run(name))
        for number in range(1, count + 1):
            store.add_attempt(attempt(name, number, 1e-5))
            assert len(store.attempts(name)) == number
"""


def _start(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(_WRITER), str(path), name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )


def test_three_processes_make_and_fill_one_database(tmp_path: Path) -> None:
    path, count = tmp_path / "k.db", 25
    names = ("a-1", "b-1", "c-1")
    with ExitStack() as stack:
        writers = [stack.enter_context(_start(path, name, count)) for name in names]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:  # all are past their imports: now they race
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with Store(path) as store:
        assert {r.id: r.attempts for r in store.runs()} == dict.fromkeys(names, count)
        for name in names:
            assert store.run(name) == run(name)
            assert store.attempts(name) == [attempt(name, number, 1e-5) for number in range(1, count + 1)]
