"""Without the extra, what is missing is said with what to do."""

from __future__ import annotations

import importlib.util

import pytest

from kernelwright.errors import ConfigError
from kernelwright.rl.training.extra import require_extra


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in {"trl", "peft"} else real("json"))
    with pytest.raises(ConfigError, match="needs peft, trl, which are not installed") as caught:
        require_extra()
    assert "kernelwright[rl]" in caught.value.mend


def test_no_server_is_asked_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # so that it is as before when the test ends
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    require_extra(hub=True)
    assert "HF_HUB_OFFLINE" not in os.environ
    require_extra()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
