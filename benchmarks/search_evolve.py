"""Evolution as an arm of benchmarks/search.py: the library's strategy with a real archive, in a database in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from kernelwright.agents.builtin.operators import BuiltinOperators
from kernelwright.agents.builtin.policy.net import Policy
from kernelwright.agents.builtin.policy.operators import PolicyOperators
from kernelwright.agents.protocols import Coder
from kernelwright.bench_tasks.task import Task
from kernelwright.db.archive import DatabaseArchive
from kernelwright.db.store import Store
from kernelwright.rl.archive.islands import ArchiveSettings
from kernelwright.rl.archive.protocol import Draw, Standing
from kernelwright.rl.bandit import Outcome
from kernelwright.rl.operators import Operator
from kernelwright.rl.policy.simulate import SimulatedCoder, SimulatedPolicySampler, SimulatedTask, Trace, simulate
from kernelwright.rl.run import Attempt, Run, RunStatus
from kernelwright.rl.strategies.evolve import Evolution, Evolve
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.verifier.model.gpus import find_gpu

__all__ = ["evolved"]

_RUN = "simulated"  # the run that `simulate` says its attempts are of
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class _Kept:
    """An archive (`rl.archive.protocol.Archive`) whose attempts are stored when it takes them in: a simulation has no other store."""

    def __init__(self, store: Store, task: Task, archive: DatabaseArchive) -> None:
        self._store, self._task, self._archive = store, task, archive
        self._there = 0
        self.islands = archive.islands

    def absorb(self, attempts: Sequence[Attempt]) -> None:
        """Stores those that came since the last call, under the task's id, and takes them in."""
        new = [
            replace(each, evaluation=each.evaluation.model_copy(update={"task_id": self._task.id}))
            for each in attempts[self._there :]
        ]
        self._there = len(attempts)
        for each in new:
            self._store.add_attempt(each)
        self._archive.absorb(new)

    def standing(self, island: int) -> Standing:
        """See `Archive`."""
        return self._archive.standing(island)

    def outcomes(self) -> Sequence[Outcome]:
        """See `Archive`."""
        return self._archive.outcomes()

    def drawn(self, run_id: str, number: int) -> Draw | None:
        """See `Archive`."""
        return self._archive.drawn(run_id, number)

    def draw(self, run_id: str, number: int, island: int, operator: Operator, author: str, seed: str) -> Draw:
        """See `Archive`."""
        return self._archive.draw(run_id, number, island, operator, author, seed)


@contextmanager
def _archive(task: SimulatedTask, seed: str, budget: int) -> Iterator[_Kept]:
    own = Task(task.landscape.task, f"# {task.landscape.task}")
    with Store(":memory:", clock=lambda: _NOW) as store:
        store.create_run(
            Run(
                _RUN,
                own,
                "evolve",
                "builtin",
                "roofline",
                "emulator",
                task.gpu,
                budget,
                RunStatus.RUNNING,
                _NOW,
                settings={"seed": seed},
            )
        )
        archive = store.archive(own, task.gpu, TimingKind.MODELLED, _RUN, ArchiveSettings())
        yield _Kept(store, own, archive)


def evolved(task: SimulatedTask, seed: str, budget: int, target: float, policy: Policy | None = None) -> Trace:
    """The strategy `evolve` as a run of the program has it, with operators at random or led by a policy.

    Args:
        seed: of the draws.
        budget: evaluations at most.
        target: the search ends at a time of at most so many seconds.
        policy: None for operators at random.
    """
    simulated = SimulatedCoder(task.landscape)
    coder: Coder = BuiltinOperators(simulated, seed)
    if policy is not None:
        coder = PolicyOperators(SimulatedPolicySampler(simulated, seed, find_gpu(task.gpu), policy), coder)
    with _archive(task, seed, budget) as archive:
        return simulate(task, Evolve(Evolution(archive, _RUN, seed, (coder.name,))), coder, None, budget, target)
