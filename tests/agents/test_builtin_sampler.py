"""The built-in coder drawing at random: legal kernels, the same ones again, few changes to a parent."""

from __future__ import annotations

import pytest
import torch
from builtin_harness import coder_for
from builtin_modules import R
from search_doubles import evaluation
from torch import nn

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.builtin.sampler import BuiltinSampler
from kernelwright.agents.protocols import PastAttempt, Proposal, Turn


class Product(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.softmax(a @ b, -1)


@pytest.fixture(scope="module")
def coder() -> BuiltinCoder:
    return coder_for(Product(), (R(128, 64), R(64, 96)), "product")


def drawn(coder: BuiltinCoder, number: int, parent: PastAttempt | None = None, seed: str = "run-1") -> Proposal:
    history = () if parent is None else (parent,)
    proposal = BuiltinSampler(coder, seed).propose(history, None, Turn(number, parent))
    assert proposal is not None
    return proposal


def test_a_number_draws_the_same_kernel_and_other_numbers_or_seeds_others(coder: BuiltinCoder) -> None:
    assert drawn(coder, 3) == drawn(coder, 3)
    assert len({drawn(coder, number).kernel.id for number in range(1, 13)}) >= 10
    assert [drawn(coder, n).kernel.id for n in range(1, 5)] != [
        drawn(coder, n, seed="run-2").kernel.id for n in range(1, 5)
    ]


def test_every_draw_is_a_legal_choice(coder: BuiltinCoder) -> None:
    for number in range(1, 21):
        choice = drawn(coder, number).kernel.parameters
        assert set(choice) == set(coder.defaults)
        for name, value in choice.items():
            assert value in coder.space.get(name, (coder.defaults[name],))
        assert coder.changed(choice, choice) == choice  # nothing would have to be mended


def test_a_parent_keeps_most_of_its_knobs_and_is_not_drawn_again(coder: BuiltinCoder) -> None:
    first = drawn(coder, 1).kernel
    parent = PastAttempt(1, first, evaluation(first, 1e-5))
    for number in range(2, 22):
        proposal = drawn(coder, number, parent)
        assert proposal.kernel.id != first.id
        assert proposal.kernel.parents == (first.id,)
        changed = [name for name, value in proposal.kernel.parameters.items() if first.parameters[name] != value]
        assert 1 <= len(changed) <= 2 + 2 * 3  # two drawn, three repairs for each at most
