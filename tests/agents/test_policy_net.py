"""The policy's weights: what they score, and that a file is taken only if it is whole and for these features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from policy_doubles import flat_policy, leaning_policy

from kernelwright.agents.builtin.policy.features import NAMES
from kernelwright.agents.builtin.policy.net import Policy, load_policy
from kernelwright.errors import ConfigError


def saved(tmp_path: Path, policy: Policy) -> Path:
    path = tmp_path / "weights.npz"
    policy.save(path)
    return path


def test_a_file_gives_the_same_scores_back_and_the_same_bytes(tmp_path: Path) -> None:
    policy = leaning_policy("log threads", 1.0)
    rows = np.random.default_rng(0).normal(size=(5, len(NAMES)))
    path = saved(tmp_path, policy)
    again = load_policy(path)
    np.testing.assert_allclose(again.scores(rows), policy.scores(rows), rtol=1e-6)
    assert again.digest == policy.digest
    first = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == first


def test_the_score_follows_the_feature_it_leans_on() -> None:
    rows = np.zeros((3, len(NAMES)))
    rows[:, NAMES.index("log threads")] = (5, 7, 10)
    scores = leaning_policy("log threads", -1.0).scores(rows)
    assert scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda policy: policy.weights.update(w2=np.full((3, 4), np.nan)),
        lambda policy: policy.weights.update(w1=np.zeros((4, 3))),
        lambda policy: policy.about.update(features=["something else"]),
        lambda policy: policy.about.update(temperature=0.0),
        lambda policy: policy.about.update(noise="much"),
        lambda policy: policy.about.pop("spread"),
        lambda policy: policy.scale.__setitem__(0, 0.0),
    ],
)
def test_weights_that_can_not_be_used_are_refused_in_a_sentence(tmp_path: Path, spoil: object) -> None:
    policy = flat_policy()
    spoil(policy)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="no weights of a policy"):
        load_policy(saved(tmp_path, policy))


@pytest.mark.parametrize("content", [b"", b"not a file of ours", b"PK\x03\x04"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load_policy(path)
    with pytest.raises(ConfigError):
        load_policy(tmp_path / "missing.npz")


def test_a_weight_that_was_changed_does_not_match_the_digest(tmp_path: Path) -> None:
    path = saved(tmp_path, flat_policy())
    with np.load(path) as data:
        arrays = dict(data)
    arrays["b3"] = arrays["b3"] + 1
    np.savez(path, **arrays)
    with pytest.raises(ConfigError, match="digest"):
        load_policy(path)


def test_a_pickle_in_the_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ConfigError):
        load_policy(path)
