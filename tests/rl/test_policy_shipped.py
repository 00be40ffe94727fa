"""What comes with the package: weights, the landscapes that they were trained on, and that the two belong together."""

from __future__ import annotations

from importlib import resources

import pytest

from kernelwright.agents.builtin.policy.net import shipped_policy
from kernelwright.rl.policy.landscape import shipped_landscapes

WEIGHTS = resources.files("kernelwright.agents.builtin.policy").joinpath("weights.npz")
LANDSCAPES = resources.files("kernelwright.rl.policy").joinpath("landscapes.json.gz")

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.is_file() and LANDSCAPES.is_file()), reason="no trained policy is in the tree yet: make policy"
)


def test_the_weights_load_say_what_they_are_of_and_are_small() -> None:
    policy = shipped_policy()
    assert policy.about["tasks"] == sorted(each.task for each in shipped_landscapes())
    assert len(policy.about["tasks"]) >= 20
    assert len(WEIGHTS.read_bytes()) < 100_000


def test_the_landscapes_are_of_many_families_with_times_on_several_gpus_and_small() -> None:
    found = shipped_landscapes()
    assert len({each.family for each in found}) >= 6
    for each in found:
        for one in each.kernels:
            assert one.priced[0].seconds, f"{each.task}: the first choice has no time"
            assert len({gpu for p in one.priced for gpu in p.seconds}) >= 3
    assert len(LANDSCAPES.read_bytes()) < 1_500_000
