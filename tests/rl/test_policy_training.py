"""Training: it finds what is fast, the same every time, and a policy trained on one task helps on another of its like."""

from __future__ import annotations

import math

import pytest
from policy_doubles import GPU, flat_policy, kernel, landscape, leaning_policy

from kernelwright.agents.builtin.policy.net import Policy
from kernelwright.errors import ConfigError
from kernelwright.rl.policy.families import folds, kin
from kernelwright.rl.policy.landscape import KernelLandscape, Landscape
from kernelwright.rl.policy.training import Recipe, Trained, agreement, train
from kernelwright.verifier.model.gpus import find_gpu

GPUS = (find_gpu(GPU), find_gpu("L40S"))
RECIPE = Recipe(epochs=400, batch=8, hidden=(16, 8), rate=2e-2)


def tasks() -> list[Landscape]:
    return [landscape(f"core/scale_{i}", kernels=[kernel(elements=1 << i)]) for i in (16, 18, 20, 22)]


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(tasks(), GPUS, RECIPE)


def favourite(policy: Policy, one: KernelLandscape) -> float:
    from kernelwright.agents.builtin.policy.features import features

    scores = policy.scores(features(one.facts, [p.choice for p in one.priced], GPUS[0]))
    return one.priced[int(scores.argmax())].seconds[GPU]


def test_the_favourite_is_near_the_best_also_of_a_size_not_trained_on(trained: Trained) -> None:
    assert trained.favourite > 0.8 * trained.best_reward > 0
    unseen = kernel(elements=1 << 19)
    assert favourite(trained.policy, unseen) <= 1.31 * 1e-5  # at most one step of 1.3 away, of up to six
    assert favourite(flat_policy(), unseen) > 1.31 * 1e-5


def test_scores_times_temperature_are_beliefs_about_times(trained: Trained) -> None:
    from kernelwright.agents.builtin.policy.features import features

    one = kernel(elements=1 << 20)
    scores = trained.policy.scores(features(one.facts, [p.choice for p in one.priced], GPUS[0]))
    believed = trained.policy.temperature * (scores - scores.max())
    times = [math.log(1e-5 / p.seconds[GPU]) for p in one.priced]
    near = [(b, t) for b, t in zip(believed, times, strict=True) if t > -0.6]  # what is drawn often is learned well
    assert max(abs(b - t) for b, t in near) < 0.35


def test_the_same_seed_gives_the_same_weights_and_another_others(trained: Trained) -> None:
    short = Recipe(epochs=3, hidden=(8, 4))
    first, again, other = (
        train(tasks(), GPUS, recipe).policy for recipe in (short, short, Recipe(seed=1, epochs=3, hidden=(8, 4)))
    )
    assert first.digest == again.digest != other.digest
    assert agreement(first, again) == 0.0
    assert agreement(first, other) > 0.01
    assert agreement(first, trained.policy) == float("inf")  # other shapes


def test_a_choice_that_can_not_run_is_learned_to_be_avoided() -> None:
    data = tasks()[2].to_json()
    for row in data["kernels"][0]["priced"]:
        if row["knobs"]["threads"] == 128:
            row["seconds"], row["why"] = {}, "it does not compile"
    spoilt = Landscape.from_json(data)
    policy = train([spoilt], GPUS[:1], RECIPE).policy
    assert favourite_knobs(policy, spoilt.kernels[0])["threads"] != 128


def favourite_knobs(policy: Policy, one: KernelLandscape) -> dict[str, object]:
    from kernelwright.agents.builtin.policy.features import features

    scores = policy.scores(features(one.facts, [p.choice for p in one.priced], GPUS[0]))
    return dict(one.priced[int(scores.argmax())].choice.knobs)


def test_nothing_to_train_on_is_said() -> None:
    with pytest.raises(ConfigError, match="several choices on a known GPU"):
        train([landscape()], [find_gpu("T4")], RECIPE)


def test_progress_counts_the_epochs() -> None:
    seen: list[tuple[int, int]] = []
    train(tasks(), GPUS, Recipe(epochs=4, hidden=(4, 4)), lambda done, total, _: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_folds_leave_each_family_out_once_and_kin_together() -> None:
    made = [landscape(f"core/{family}_{i}", family) for family, n in FAMILIES.items() for i in range(n)]
    groups = folds(made, 3)
    assert len(groups) == 3
    assert sorted(f for group in groups for f in group) == sorted({kin(each) for each in made})
    assert kin(landscape("core/a", "attention")) == kin(landscape("core/b", "softmax"))
    assert kin(landscape("core/softmax", "softmax")) == kin(landscape("core/softmax@half", "softmax"))
    assert folds(made, 3) == groups
    assert len(folds(made, 100)) == len({kin(each) for each in made})


FAMILIES = {"norm": 3, "softmax": 2, "attention": 2, "matmul": 4, "pooling": 1, "pointwise": 5}


def test_the_correction_is_fitted_to_what_the_policy_is_wrong_by(trained: Trained) -> None:
    assert 0.03 <= float(trained.policy.about["spread"]) < 0.5
    far = train(tasks(), GPUS, Recipe(epochs=1, hidden=(4, 4)))
    assert float(far.policy.about["spread"]) > float(trained.policy.about["spread"])
    assert leaning_policy("log threads", 1.0).about["spread"] == 0.5
