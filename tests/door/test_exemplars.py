"""Winners that prompts show: chosen from the store, or taken from the recording that is replayed."""

from __future__ import annotations

from pathlib import Path

import pytest
from door_nouns import RUN, TASK, attempt, passed

from kernelwright.db.store import Store
from kernelwright.errors import ConfigError
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.writers import Traffic, exemplars_for


def test_a_replayed_run_shows_what_the_recorded_one_showed(tmp_path: Path) -> None:
    """Not what the store has won since, the recorded run's own kernels among it, nor what another store has."""
    gpu, tape = find_gpu("H200"), tmp_path / "tape"
    best = attempt(1, passed())
    with Store(tmp_path / "one.db") as store:
        assert exemplars_for(TASK, gpu, store, 3, Traffic(record=tmp_path / "empty")) == []
        store.create_run(RUN)
        store.add_attempt(best)
        (shown,) = exemplars_for(TASK, gpu, store, 3, Traffic(record=tape))
        assert shown["source"] == best.kernel.source
        assert exemplars_for(TASK, gpu, store, 0) == []
        assert exemplars_for(TASK, gpu, store, 3, Traffic(replay=tmp_path / "empty")) == []
    with Store(tmp_path / "other.db") as store:
        assert exemplars_for(TASK, gpu, store, 3, Traffic(replay=tape)) == [shown]


@pytest.mark.parametrize("text", ["{}", "[1]", '{"source": "x"}', "1", "[" * 5000])
def test_damaged_exemplars_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "exemplars.jsonl").write_text(text)
    with Store(tmp_path / "k.db") as store, pytest.raises(ConfigError, match="no list of exemplars"):
        exemplars_for(TASK, find_gpu("H200"), store, 3, Traffic(replay=tmp_path))


def test_a_recording_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Store(tmp_path / "k.db") as store, pytest.raises(ConfigError, match="can't be written"):
        exemplars_for(TASK, find_gpu("H200"), store, 3, Traffic(record=tmp_path / "file"))
