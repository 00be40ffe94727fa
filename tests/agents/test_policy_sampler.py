"""The policy's sampler as a coder: legal kernels, none twice, the same for the same history."""

from __future__ import annotations

import pytest
import torch
from builtin_harness import coder_for
from builtin_modules import R
from policy_doubles import flat_policy, leaning_policy
from search_doubles import evaluation
from torch import nn

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.operators import BuiltinOperators
from kernelwright.agents.builtin.policy.candidates import key_of, legal_choices
from kernelwright.agents.builtin.policy.features import NAMES, features
from kernelwright.agents.builtin.policy.operators import PolicyOperators
from kernelwright.agents.builtin.policy.sampler import PolicySampler
from kernelwright.agents.protocols import PastAttempt, Proposal, Turn
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.model.gpus import find_gpu

GPU = find_gpu("H200")


class Product(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.softmax(a @ b, -1)


@pytest.fixture(scope="module")
def coder() -> BuiltinCoder:
    return coder_for(Product(), (R(128, 64), R(64, 96)), "product")


@pytest.fixture(scope="module")
def sampler(coder: BuiltinCoder) -> PolicySampler:
    return PolicySampler(coder, "run-1", GPU, flat_policy())


def attempt(proposal: Proposal, number: int, seconds: float | None) -> PastAttempt:
    return PastAttempt(number, proposal.kernel, evaluation(proposal.kernel, seconds or Verdict.WRONG))


def test_turns_without_results_differ_and_are_always_the_same(sampler: PolicySampler) -> None:
    found = [sampler.propose((), None, Turn(number)) for number in range(1, 9)]
    ids = [p.kernel.id for p in found if p is not None]
    assert len(set(ids)) == 8
    again = sampler.propose((), None, Turn(3))
    assert again is not None
    assert again.kernel.id == ids[2]


def test_proposals_after_results_are_legal_new_and_repeatable(sampler: PolicySampler, coder: BuiltinCoder) -> None:
    history: tuple[PastAttempt, ...] = ()
    for number, seconds in enumerate((3e-5, None, 2e-5, 4e-5), 1):
        proposal = sampler.propose(history, None, Turn(number))
        assert proposal is not None
        assert proposal == sampler.propose(history, None, Turn(number))
        assert proposal.kernel.id not in {past.kernel.id for past in history}
        choice = proposal.kernel.parameters
        assert coder.changed(choice, choice) == choice
        history += (attempt(proposal, number, seconds),)


def test_turns_of_a_batch_share_a_history_and_differ(sampler: PolicySampler) -> None:
    first = sampler.propose((), None, Turn(1))
    assert first is not None
    history = (attempt(first, 1, 3e-5),)
    batch = [sampler.propose(history, None, Turn(number)) for number in (2, 3, 4, 5)]
    assert len({p.kernel.id for p in batch if p is not None} - {first.kernel.id}) == 4
    late = sampler.propose(history, None, Turn(100_000))  # numbers of other runs may be anything
    assert late is not None
    assert late.kernel.id != first.kernel.id


@pytest.mark.parametrize("operator", ["", "start", "tune", "diff", "rewrite", "template"])
def test_operators_make_new_kernels_led_by_the_policy_where_it_writes_and_tunes(
    sampler: PolicySampler, coder: BuiltinCoder, operator: str
) -> None:
    led = PolicyOperators(sampler, BuiltinOperators(coder, "run-1"))
    first = sampler.propose((), None, Turn(1))
    assert first is not None
    parent = attempt(first, 1, 3e-5)
    found = led.propose((parent,), None, Turn(2, parent, operator))
    assert found is not None
    assert found.kernel.id != first.kernel.id
    assert ("by the policy" in found.plan) is (operator in ("", "start", "tune"))


def test_kernels_of_other_authors_in_the_history_are_no_obstacle(sampler: PolicySampler) -> None:
    foreign = Kernel("class ModelNew: pass", author="model")
    assert sampler.propose((PastAttempt(1, foreign, evaluation(foreign, 1e-5)),), None, Turn(2)) is not None


def test_a_policy_that_likes_few_threads_begins_with_few(coder: BuiltinCoder) -> None:
    def rows_threads(weight: float) -> int:
        found = PolicySampler(coder, "x", GPU, leaning_policy("log threads", weight)).propose((), None, Turn(1))
        assert found is not None
        return next(int(v) for k, v in found.kernel.parameters.items() if k.endswith("rows.threads"))

    assert rows_threads(-1.0) < rows_threads(1.0)


def test_candidates_are_legal_with_the_first_choice_ahead_and_stable(coder: BuiltinCoder) -> None:
    for kernel in coder.kernels:
        found, whole = legal_choices(kernel, 40, "seed")
        assert found[0] == kernel.defaults()
        assert len({key_of(choice) for choice in found}) == len(found) == 40
        assert not whole
        assert all(kernel.legal(choice) for choice in found)
        assert legal_choices(kernel, 10, "seed")[0] == found[:10]
        assert legal_choices(kernel, 40, "other")[0] != found


def test_features_are_finite_and_tell_choices_and_gpus_apart(sampler: PolicySampler) -> None:
    for facts, choices in sampler.candidates():
        rows = features(facts, list(choices), GPU)
        assert rows.shape == (len(choices), len(NAMES))
        assert abs(rows).max() < 1000
        assert len({tuple(row) for row in rows.tolist()}) == len(choices)
        assert (features(facts, list(choices), find_gpu("L40S")) != rows).any(axis=1).all()
