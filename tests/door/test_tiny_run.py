"""The demonstration of GRPO: what a rise is, and with the extra that there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_extra import needs_extra

from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.training.tiny_run import rise_of, train_tiny


def test_a_rise_compares_the_first_with_the_last_quarter() -> None:
    log = [{"kind": "step", "step": n, "rewards": [n / 10, n / 10 + 0.01]} for n in range(8)]
    found = rise_of([{"kind": "held-out", "step": 0}, *log])
    assert found.first.mean == pytest.approx(0.055)
    assert found.last.mean == pytest.approx(0.655)
    assert found.beyond_intervals
    assert not rise_of(log[::-1]).beyond_intervals
    assert not rise_of([{"kind": "step", "step": n, "rewards": [0.0, 1.0]} for n in range(4)]).beyond_intervals
    with pytest.raises(ValueError, match="four steps"):
        rise_of(log[:3])


@needs_extra
def test_the_mean_reward_rises_beyond_its_interval(home: Path, tmp_path: Path) -> None:
    settings = load_settings(device="emulator")
    with Store(settings.database_url) as store:
        ended = train_tiny(0, tmp_path, settings, store=store, watcher=lambda _done: None)
    assert ended.finished
    assert rise_of(ended.log).beyond_intervals
