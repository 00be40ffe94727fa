"""The arms of benchmarks/search.py: strategies of the library on simulated tasks, and kernel_tuner's in its simulation mode."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from search_evolve import evolved

from kernelwright.agents.builtin.judge import RooflineJudge
from kernelwright.agents.builtin.policy.net import Policy
from kernelwright.agents.builtin.sampler import BuiltinSampler
from kernelwright.rl.policy.simulate import SimulatedCoder, SimulatedPolicySampler, SimulatedTask, Trace, simulate
from kernelwright.rl.strategies.best_of_n import BestOfN
from kernelwright.rl.strategies.refine import Refine
from kernelwright.verifier.model.gpus import find_gpu

MOST_COMBINATIONS = 50_000
"""Combinations of knobs that kernel_tuner is given to build a search space from; larger ones are left out."""
KERNEL_TUNER = ("genetic_algorithm", "simulated_annealing", "bayes_opt")
"""Its greedy searches (greedy_ils, mls) never end where fewer choices than evaluations can be reached."""


@dataclass(frozen=True)
class Case:
    """One task, one seed."""

    task: SimulatedTask
    policy: Policy
    """Trained with the task's family left out."""
    seed: str
    budget: int
    target: float


Arm = Callable[[Case], Trace | None]
"""None where it does not apply to the task."""


def flat(policy: Policy) -> Policy:
    """The same correction with a prior that knows nothing: every choice has the same score."""
    return replace(policy, weights={**policy.weights, "w3": np.zeros_like(policy.weights["w3"])})


def best_of_n(case: Case) -> Trace:
    """Independent draws, which may hit a choice twice."""
    coder = SimulatedCoder(case.task.landscape)
    return simulate(case.task, BestOfN(), BuiltinSampler(coder, case.seed), None, case.budget, case.target)


def best_of_n_after_first(case: Case) -> Trace:
    """The same, after the choice that the coder makes by itself: what its own care alone is worth."""
    first = case.task.seconds(SimulatedCoder(case.task.landscape).defaults)
    if first is not None and first <= case.target:
        return Trace((first,))
    rest = best_of_n(replace(case, budget=case.budget - 1))
    return Trace((first, *rest.seconds), rest.stopped)


def without_repetition(case: Case) -> Trace:
    """Choices of the landscape in a random order: what chance needs at best."""
    kernels = [[p.seconds.get(case.task.gpu) for p in k.priced] for k in case.task.landscape.kernels]
    rng = random.Random(case.seed)
    times = []
    for _ in range(case.budget):
        drawn = [rng.choice(kernel) for kernel in kernels] if len(kernels) > 1 else []
        times.append(None if any(t is None for t in drawn) else sum(t for t in drawn if t is not None))
    if len(kernels) == 1:
        times = list(kernels[0])
        rng.shuffle(times)
    return Trace(tuple(times[: case.budget]))


def tpe(case: Case) -> Trace | None:
    """Optuna's TPE through the library's own drawer; None where it is not installed or not there yet."""
    try:
        from kernelwright.agents.builtin.tpe import TpeDrawer
    except ImportError:
        return None
    coder = SimulatedCoder(case.task.landscape)
    sampler = BuiltinSampler(coder, case.seed, TpeDrawer(coder))
    return simulate(case.task, BestOfN(at_once=1, show_all=True), sampler, None, case.budget, case.target)


def refine(case: Case) -> Trace | None:
    """The built-in coder with the roofline judge, which reads counters; one run a task, since nothing in it is random."""
    if not case.task.reports:
        return None
    coder = SimulatedCoder(case.task.landscape)
    judge = RooflineJudge(find_gpu(case.task.gpu), coder.space)
    return simulate(case.task, Refine(), coder, judge, case.budget, case.target)


def _led(case: Case, policy: Policy, *, blind: bool = False) -> Trace:
    coder = SimulatedCoder(case.task.landscape)
    sampler = SimulatedPolicySampler(coder, case.seed, find_gpu(case.task.gpu), policy)
    return simulate(
        case.task, BestOfN() if blind else BestOfN(at_once=1, show_all=True), sampler, None, case.budget, case.target
    )


def policy(case: Case) -> Trace:
    """The trained policy, corrected by what the run shows."""
    return _led(case, case.policy)


def policy_blind(case: Case) -> Trace:
    """Draws from the trained policy that see no result."""
    return _led(case, case.policy, blind=True)


def no_prior(case: Case) -> Trace:
    """The correction alone: what is left of the policy's arm without what it has learned."""
    return _led(case, flat(case.policy))


def evolve(case: Case) -> Trace:
    """The strategy `evolve` with operators that choose at random."""
    return evolved(case.task, case.seed, case.budget, case.target)


def evolve_led(case: Case) -> Trace:
    """The strategy `evolve` with the trained policy behind its operators."""
    return evolved(case.task, case.seed, case.budget, case.target, case.policy)


def kernel_tuner(strategy: str) -> Arm:
    """A strategy of kernel_tuner in simulation mode, on tasks of one kernel."""

    def run(case: Case) -> Trace | None:
        kernels = case.task.landscape.kernels
        if len(kernels) > 1:
            return None
        times = {tuple(map(str, p.choice.knobs.values())): p.seconds.get(case.task.gpu) for p in kernels[0].priced}
        names = [f"knob_{name}" for name in kernels[0].priced[0].choice.knobs]
        columns = [sorted(set(column)) for column in zip(*times, strict=True)]
        kept = [i for i, column in enumerate(columns) if len(column) > 1]
        if math.prod(len(columns[i]) for i in kept) > MOST_COMBINATIONS:
            return None
        parameters = {names[i]: _numbered(columns[i]) for i in kept}
        known = {tuple(_number(columns[i], key[i]) for i in kept): seconds for key, seconds in times.items()}
        return _tuned(strategy, parameters, known, case)

    return run


def _number(column: list[str], value: str) -> int:
    """kernel_tuner's parameters as numbers: a knob's own, in order, or the place of a word."""
    try:
        return int(value)
    except ValueError:
        return column.index(value)


def _numbered(column: list[str]) -> list[int]:
    return sorted(_number(column, value) for value in column)


def _tuned(
    strategy: str, parameters: Mapping[str, list[int]], known: Mapping[tuple[int, ...], float | None], case: Case
) -> Trace | None:
    try:
        from kernel_tuner import tune_kernel
    except ImportError:
        return None
    names = list(parameters)
    rows = {}
    for key, seconds in known.items():
        row: dict[str, object] = dict(zip(names, key, strict=True))
        row |= {"time": 1e3 * seconds if seconds else "InvalidConfig", "compile_time": 0.0, "verification_time": 0.0}
        row |= {"benchmark_time": 0.0, "strategy_time": 0.0, "framework_time": 0.0, "timestamp": ""}
        row |= {} if seconds else {"__error__": "InvalidConfig"}
        rows[",".join(map(str, key))] = row

    def priced(chosen: Mapping[str, int]) -> bool:  # kernel_tuner takes lambdas apart, and leaves functions as they are
        return tuple(chosen[name] for name in names) in known

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.json"
        data = {
            "device_name": case.task.gpu, "kernel_name": "priced", "problem_size": 1, "tune_params_keys": names,
            "tune_params": parameters, "objective": "time", "cache": rows,
        }  # fmt: skip
        path.write_text(json.dumps(data))
        number = int.from_bytes(case.seed.encode(), "little") % 2**32
        random.seed(number)
        np.random.seed(number)
        options = {"max_fevals": min(case.budget, len(rows))}
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            results, _ = tune_kernel(
                "priced", "__global__ void priced() {}", 1, [], dict(parameters), lang="CUDA",
                restrictions=[priced], strategy=strategy, strategy_options=options,
                cache=str(path), simulation_mode=True, quiet=True,
            )  # fmt: skip
    seen: dict[tuple[int, ...], float | None] = {}
    for result in results:
        key = tuple(int(result[n]) for n in names)
        seen.setdefault(key, known[key])
    return Trace(tuple(seen.values()))


ARMS: Mapping[str, Arm] = {
    "best-of-n": best_of_n,
    "best-of-n after the coder's own": best_of_n_after_first,
    "random, no repetition": without_repetition,
    "TPE (Optuna)": tpe,
    "refine (roofline judge)": refine,
    "evolve": evolve,
    "evolve, with the policy": evolve_led,
    "policy": policy,
    "policy, no results shown": policy_blind,
    "correction alone": no_prior,
    **{f"kernel_tuner {name.replace('_', ' ')}": kernel_tuner(name) for name in KERNEL_TUNER},
}
