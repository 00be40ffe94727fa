"""The weights of a run's sampler: kept with it by path and digest, and looked at before it is gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from policy_doubles import flat_policy
from search_doubles import run

from kernelwright.agents.builtin.policy.net import shipped_policy
from kernelwright.config import Settings, load_settings
from kernelwright.db.store import Store
from kernelwright.errors import ConfigError
from kernelwright.events import ignore
from kernelwright.jobs import resume_run
from kernelwright.policy_weights import KEY, kept_weights, with_weights
from kernelwright.rl.run import RunStatus

POLICY = {"sampler": "policy", "strategy": "best-of-n"}


@pytest.fixture
def file(home: Path) -> Path:
    flat_policy().save(Path("mine.npz"))
    return Path("mine.npz").absolute()


def test_a_run_keeps_where_its_weights_are_and_their_digest(file: Path) -> None:
    kept = kept_weights(Settings(**POLICY, policy=Path("mine.npz")))
    assert kept == {KEY: {"path": str(file), "digest": flat_policy().digest}}
    assert kept_weights(Settings(**POLICY)) == {KEY: {"path": None, "digest": shipped_policy().digest}}


@pytest.mark.parametrize(
    "others", [{"sampler": "tpe"}, {"strategy": "refine"}, {"model": "openai:a"}], ids=["sampler", "strategy", "author"]
)
def test_nothing_is_kept_where_nobody_draws_with_them(home: Path, others: dict[str, str]) -> None:
    missing = Settings(**{**POLICY, "policy": Path("missing.npz"), **others})  # type: ignore[arg-type]
    assert kept_weights(missing) == {}
    assert with_weights(missing, {}) == missing


@pytest.mark.parametrize("more", [{"authors": ("builtin",)}, {"builtin_first": 1}])
def test_beside_a_model_too(file: Path, more: dict[str, object]) -> None:
    assert KEY in kept_weights(Settings(**POLICY, model="openai:a", policy=file, **more))  # type: ignore[arg-type]


def test_going_on_takes_those_of_the_run_whatever_is_set_now(file: Path) -> None:
    kept = kept_weights(Settings(**POLICY, policy=file))
    assert with_weights(Settings(**POLICY), kept).policy == file
    shipped = kept_weights(Settings(**POLICY))
    assert with_weights(Settings(**POLICY, policy=file), shipped).policy is None


def test_weights_that_are_gone_or_others_now_are_said(file: Path) -> None:
    settings = Settings(**POLICY, policy=file)
    kept = kept_weights(settings)
    digest = flat_policy().digest
    changed = flat_policy()
    changed.weights["b3"][0] += 1.0
    changed.save(file)
    with pytest.raises(ConfigError, match=f"weights {digest}, which were in .*mine.npz; those there now are others"):
        with_weights(settings, kept)
    file.unlink()
    with pytest.raises(ConfigError, match=f"weights {digest}, which were in .*mine.npz and can't be read now"):
        with_weights(settings, kept)
    shipped = {KEY: {"path": None, "digest": "0" * 16}}
    with pytest.raises(ConfigError, match="which came with the program; those there now are others") as caught:
        with_weights(settings, shipped)
    assert "version" in caught.value.mend


def test_a_stored_run_is_not_gone_on_with_by_other_weights(file: Path) -> None:
    settings = load_settings(device="emulator")
    kept = kept_weights(Settings(**POLICY, policy=file))
    file.unlink()
    with Store(settings.database_url) as store:
        store.create_run(
            replace(run(), strategy="best-of-n", coder="builtin", status=RunStatus.INTERRUPTED, settings=kept)
        )
        with pytest.raises(ConfigError, match="can't be read now"):
            resume_run(run().id, settings, store=store, observer=ignore)
