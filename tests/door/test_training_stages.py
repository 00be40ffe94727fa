"""Stages as jobs: what is asked goes through JSON, and what can't begin leaves no folder."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from door_nouns import TASK

from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.rl.training.settings import GrpoSettings, SelfSettings, SftSettings, StageSettings
from kernelwright.training.opening import Tasks
from kernelwright.training.stages import Asked, begin


@pytest.mark.parametrize(
    ("stage", "settings"),
    [("sft", SftSettings(batch=2)), ("self", SelfSettings(rounds=7)), ("grpo", GrpoSettings(turns=3))],
)
def test_what_is_asked_through_json(stage: str, settings: StageSettings) -> None:
    asked = Asked(stage, "m", settings, Tasks((TASK,)), data=Path("/rows.jsonl"), workers=3)
    assert Asked.from_json(json.loads(json.dumps(asked.to_json()))) == asked


def test_nothing_to_learn_from_is_said_and_leaves_no_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = load_settings(device="emulator")
    asked = Asked("sft", "m", SftSettings(), Tasks((TASK,)))
    with (
        Store(settings.database_url) as store,
        pytest.raises(MisuseError, match="no kernel that passed on these tasks"),
    ):
        begin(asked, Path("out"), settings, store=store, watcher=lambda _done: None)
    assert not Path("out").exists()
