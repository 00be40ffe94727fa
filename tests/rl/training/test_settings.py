"""Settings of the stages: bounds, and the way through JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from kernelwright.rl.training.settings import GrpoSettings, SelfSettings, SftSettings, StageSettings


@pytest.mark.parametrize("kind", [SftSettings, SelfSettings, GrpoSettings])
def test_through_json(kind: type[StageSettings]) -> None:
    settings = kind(seed=7, learning_rate=0.25)
    assert kind.model_validate(json.loads(json.dumps(settings.model_dump()))) == settings


@pytest.mark.parametrize(
    "wrong",
    [{"learning_rate": 0}, {"learning_rate": float("nan")}, {"turns": 0}, {"gamma": 1.5}, {"tau": 0}, {"temperature": 0},
     {"steps": -1}, {"lora_rank": -1}, {"seed": -1}, {"no_such": 1}],
)  # fmt: skip
def test_what_can_not_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GrpoSettings(**wrong)


def test_a_group_is_every_turn_of_every_conversation() -> None:
    assert GrpoSettings(trajectories=4, turns=3).group == 12
    assert GrpoSettings(lora_rank=8).lora.alpha == 16
