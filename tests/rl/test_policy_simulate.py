"""Searches on landscapes: the library's own coders and strategies, looked-up times, nothing that is not there."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_doubles import GPU, flat_policy, kernel, landscape, leaning_policy

from kernelwright.agents.builtin.judge import RooflineJudge
from kernelwright.agents.builtin.policy.candidates import key_of
from kernelwright.agents.builtin.sampler import BuiltinSampler
from kernelwright.rl.policy.landscape import Landscape
from kernelwright.rl.policy.simulate import SimulatedCoder, SimulatedPolicySampler, SimulatedTask, Trace, simulate
from kernelwright.rl.strategies.best_of_n import BestOfN
from kernelwright.rl.strategies.fsr import FeatureSearch
from kernelwright.rl.strategies.refine import Refine
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.model.gpus import find_gpu

ONE_BY_ONE = BestOfN(at_once=1, show_all=True)
TWO = landscape(kernels=[kernel("one"), kernel("two")])


def part() -> Landscape:
    """Half of the choices, as of a space that was sampled."""
    data = landscape().to_json()
    rows = data["kernels"][0]["priced"]
    data["kernels"][0]["priced"] = [rows[0], *random.Random(0).sample(rows[1:], 9)]
    return Landscape.from_json(data)


@pytest.mark.parametrize("made", [landscape(), TWO, part()], ids=["one", "two", "part"])
def test_every_strategy_stays_on_the_landscape_and_finds_its_best(made: Landscape) -> None:
    task = SimulatedTask(made, GPU)
    coder = SimulatedCoder(made)
    sampler = SimulatedPolicySampler(coder, "s", find_gpu(GPU), flat_policy())
    best = min((p for p in made.kernels[0].priced), key=lambda p: p.seconds[GPU])
    assert best.seconds[GPU] * len(made.kernels) == pytest.approx(task.best_seconds)
    for strategy, writer in (
        (BestOfN(), BuiltinSampler(coder, "s")), (FeatureSearch(), BuiltinSampler(coder, "s")), (ONE_BY_ONE, BuiltinSampler(coder, "s")),
        (ONE_BY_ONE, sampler), (BestOfN(), sampler),
    ):  # fmt: skip
        trace = simulate(task, strategy, writer, None, 60)
        assert 8 <= len(trace.seconds) <= 60
        assert all(s is not None and s >= task.best_seconds for s in trace.seconds)
    found = simulate(task, ONE_BY_ONE, sampler, None, 60)
    assert found.reached(1.0001 * task.best_seconds) is not None
    if len(made.kernels) == 1:
        assert len(found.seconds) == len(made.kernels[0].priced)
        assert found.stopped == "The coder has nothing new to try."
        assert len(set(found.seconds)) == len({p.seconds[GPU] for p in made.kernels[0].priced})


def test_a_search_stops_at_its_target_and_says_when_it_was_there() -> None:
    task = SimulatedTask(landscape(), GPU)
    coder = SimulatedCoder(task.landscape)
    trace = simulate(task, ONE_BY_ONE, BuiltinSampler(coder, "s"), None, 60, target=2e-5)
    assert trace.reached(2e-5) == len(trace.seconds)
    assert Trace((3.0, None, 2.0, 1.0)).reached(2.0) == 3
    assert Trace((3.0, None)).reached(2.0) is None


def test_the_same_seed_gives_the_same_search() -> None:
    task = SimulatedTask(TWO, GPU)
    coder = SimulatedCoder(TWO)
    runs = [simulate(task, ONE_BY_ONE, BuiltinSampler(coder, seed), None, 20).seconds for seed in ("a", "a", "b")]
    assert runs[0] == runs[1] != runs[2]


def test_refinement_by_the_roofline_judge_runs_without_counters_too() -> None:
    task = SimulatedTask(landscape(), GPU)
    coder = SimulatedCoder(task.landscape)
    trace = simulate(task, Refine(), coder, RooflineJudge(find_gpu(GPU), coder.space), 30)
    assert trace.seconds


def test_a_choice_without_a_time_is_a_failure() -> None:
    data = landscape().to_json()
    data["kernels"][0]["priced"][0]["seconds"] = {}
    task = SimulatedTask(Landscape.from_json(data), GPU)
    coder = SimulatedCoder(task.landscape)
    proposal = coder.proposal(dict(coder.defaults), (), None, "x")
    assert task.evaluate(proposal.kernel).verdict is Verdict.COMPILE_ERROR
    assert simulate(task, ONE_BY_ONE, coder, None, 3).seconds[-1] is not None


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_change_lands_on_the_landscape_with_the_wanted_value(data: st.DataObject) -> None:
    made = part()
    coder = SimulatedCoder(made)
    name = data.draw(st.sampled_from(sorted(coder.space)))
    value = data.draw(st.sampled_from(coder.space[name]))
    base = data.draw(st.sampled_from([p.choice.knobs for p in made.kernels[0].priced]))
    found = coder.changed({f"scale_pointwise.{k}": v for k, v in base.items()}, {name: value})
    assert found is not None
    assert found[name] == value
    assert key_of({k.rpartition(".")[2]: v for k, v in found.items()}) in made.kernels[0].by_key
    assert coder.changed(coder.defaults, {name: 12345}) is None


def test_a_trained_prior_saves_evaluations() -> None:
    task = SimulatedTask(landscape(), GPU)
    coder = SimulatedCoder(task.landscape)

    def needed(sampler: object) -> int:
        return simulate(task, ONE_BY_ONE, sampler, None, 60).reached(1.01e-5) or 60  # type: ignore[arg-type]

    led = SimulatedPolicySampler(coder, "s", find_gpu(GPU), leaning_policy("log threads", -0.3))
    by_chance = [needed(BuiltinSampler(coder, str(seed))) for seed in range(10)]
    assert needed(led) < sum(by_chance) / len(by_chance)
