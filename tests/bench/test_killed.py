"""kill -9 of real searches at random moments, again and again: the run ends as if it had never been stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from kernelwright.bench.entries import entry_of
from kernelwright.bench.events import ignore
from kernelwright.bench.plan import options_of
from kernelwright.bench.running import go_on
from kernelwright.config import Settings
from kernelwright.db.bench import BenchStatus, ItemStatus
from kernelwright.db.store import Store

_TASK = '''"""{title}."""

import torch

FAMILY = "pointwise"
N = 4096
TWIN = {{"N": 512}}


class Model(torch.nn.Module):
    def forward(self, x):
        return {body}


def get_inputs():
    return [torch.randn(8, N)]


def get_init_inputs():
    return []
'''
BODIES = {
    "relu": "torch.relu(x)",
    "scale": "x * 2 + 1",
    "softmax": "torch.softmax(x, -1)",
    "spectrum": "torch.fft.fft(x).real",
}
ROUNDS = 2

_COMMAND = """
    import sys
    from pathlib import Path
    from kernelwright.bench.events import ItemSaid
    from kernelwright.bench.plan import Options, options_of, plan_run
    from kernelwright.bench.running import begin_run, go_on
    from kernelwright.bench_tasks.own import tasks_of_file
    from kernelwright.bench_tasks.suite import Scale, Suite
    from kernelwright.config import load_settings
    from kernelwright.jobs import open_store, resolve_target, utc_now

    def tell(event):
        if isinstance(event, ItemSaid):
            print(type(event.event).__name__, flush=True)

    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    settings = load_settings(data=sys.argv[3], device="emulator", rounds=rounds, exemplars=0)
    with open_store(settings) as store:
        if found := store.bench_runs():
            go_on(found[0].run.id, settings, options_of(found[0].run), store, tell)
        else:
            tasks = tuple(task for file in sorted(folder.glob("*.py")) for task in tasks_of_file(file))
            suite = Suite("tiny", "", "kernelwright", tasks, str(folder))
            options = Options(2, 3600.0, None)
            plan = plan_run(
                suite, tasks, settings, resolve_target(settings), options, scale=Scale.TWIN, repeats=1, now=utc_now()
            )
            begin_run(plan, settings, options, store, tell)
"""


def killed_after(folder: Path, data: Path, events: int) -> bool:
    """Works on the run in a process group of its own, and kills that after so many events; whether it came to that."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_COMMAND), str(folder), str(ROUNDS), str(data)],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as command:
        assert command.stdout is not None
        for _ in range(events):
            if not command.stdout.readline():
                return False
        os.killpg(command.pid, signal.SIGKILL)
    return True


@pytest.mark.suites
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    folder, data, rng = tmp_path / "tiny", tmp_path / "data", random.Random(seed)
    folder.mkdir()
    for name, body in BODIES.items():
        (folder / f"{name}.py").write_text(_TASK.format(title=name, body=body))
    kills = 0
    while kills < 5 and killed_after(folder, data, rng.randint(1, 40)):
        kills += 1
        for file in folder.glob("*.py"):
            file.unlink()  # what is to be run is in the store
    assert kills
    settings = Settings(data=data)
    with Store(settings.database_url) as store:
        (found,) = store.bench_runs()
        before = {item.run_id: store.attempts(item.run_id) for item in store.bench_items(found.run.id) if item.run_id}
        run = found.run
        if run.status is not BenchStatus.FINISHED:
            run = go_on(run.id, settings, options_of(run), store, ignore)
        assert run.status is BenchStatus.FINISHED
        items = {item.name: item for item in store.bench_items(run.id)}
        assert {name: item.status for name, item in items.items()} == {
            name: ItemStatus.FAILED if name == "spectrum" else ItemStatus.FINISHED for name in BODIES
        }
        for name in ("relu", "scale", "softmax"):
            attempts = store.attempts(items[name].run_id or "")
            assert [attempt.number for attempt in attempts] == list(range(1, ROUNDS + 1))
            assert Counter(attempt.evaluation.verdict.value for attempt in attempts) == {"passed": ROUNDS}
            kept = before.get(items[name].run_id, [])
            assert attempts[: len(kept)] == kept  # nothing is judged twice, nothing is lost
        assert len(store.runs()) == 3  # nor begun twice
        trials = {trial.task: trial for trial in entry_of(store, run.id).trials}
        assert [trials[name].solved for name in BODIES] == [True, True, True, False]
        assert "fft" in trials["spectrum"].problem
