"""The folder of a stage: whole or not at all, one trainer at a time, going on from the newest whole checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwright.errors import ConfigError, MisuseError, NotFoundError
from kernelwright.rl.training.folder import KEPT, Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.create(tmp_path / "grpo", {"stage": "grpo", "steps": 3})


def checkpoint(folder: Folder, step: int, *, whole: bool = True) -> Path:
    place = folder.checkpoints / f"checkpoint-{step}"
    place.mkdir(parents=True)
    (place / "weights").write_text("x")
    if whole:
        folder.mark(place, {"step": step})
    return place


def test_what_was_asked_is_read_back(folder: Folder) -> None:
    assert Folder.open(folder.path, "grpo").asked == {"version": 1, "stage": "grpo", "steps": 3}


def test_a_folder_is_not_begun_twice_nor_over_something_else(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="holds a stage of training already"):
        Folder.create(folder.path, {"stage": "grpo"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(MisuseError, match="is not empty"):
        Folder.create(tmp_path / "mine", {"stage": "grpo"})


def test_what_can_not_be_gone_on_with_is_said(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no stage of training"):
        Folder.open(tmp_path / "nothing", "grpo")
    with pytest.raises(ConfigError, match="it is a stage `grpo`, not `sft`"):
        Folder.open(folder.path, "sft")
    for broken in ("{", "[]", '{"version": 99, "stage": "grpo"}', "\0"):
        (folder.path / "training.json").write_text(broken)
        with pytest.raises(ConfigError):
            Folder.open(folder.path, "grpo")


def test_the_newest_whole_checkpoint_counts_and_torn_ones_go(folder: Folder) -> None:
    assert folder.latest() is None
    checkpoint(folder, 2)
    checkpoint(folder, 10)
    torn = checkpoint(folder, 12, whole=False)
    garbled = checkpoint(folder, 11)
    (garbled / "complete.json").write_text('{"step":')
    found = folder.latest()
    assert found is not None
    assert (found[0].name, found[1]) == ("checkpoint-10", {"step": 10})
    assert not torn.exists()
    assert not garbled.exists()


def test_only_one_process_trains(folder: Folder) -> None:
    with (
        folder.held(),
        pytest.raises(MisuseError, match="another process trains"),
        Folder.open(folder.path, "grpo").held(),
    ):
        pass
    with folder.held():
        pass


def test_steps_that_were_done_again_are_in_the_log_once(folder: Folder) -> None:
    assert folder.read_log() == []
    for step, reward in ((1, 0.1), (2, 0.2), (3, 0.3)):
        folder.write_log({"kind": "step", "step": step, "reward": reward})
    folder.write_log({"kind": "held-out", "step": 2, "reward": 0.0})
    with folder.log.open("a") as file:
        file.write('{"kind": "step", "st')
    folder.cut_log(2)
    assert [(line["kind"], line["step"]) for line in folder.read_log()] == [("step", 1), ("held-out", 2), ("step", 2)]
    folder.write_log({"kind": "step", "step": 2, "reward": 0.25})
    assert folder.read_log()[-1]["reward"] == 0.25


def test_an_end_is_told(folder: Folder) -> None:
    assert not folder.finished
    folder.finish({"model": "m"})
    assert folder.finished
    assert folder.result == {"model": "m"}


def test_a_folder_without_a_step_is_removed_and_one_with_a_step_is_not(folder: Folder, tmp_path: Path) -> None:
    with folder.held():
        folder.discard_if_unused()
    assert not folder.path.exists()
    used = Folder.create(tmp_path / "used", {"stage": "grpo"})
    used.write_log({"kind": "step", "step": 1})
    used.discard_if_unused()
    assert used.path.exists()
    saved = Folder.create(tmp_path / "saved", {"stage": "grpo"})
    checkpoint(saved, 1)
    saved.discard_if_unused()
    assert saved.latest() is not None


def test_all_but_the_newest_checkpoints_are_removed(tmp_path: Path) -> None:
    folder = Folder.create(tmp_path / "o", {"stage": "self"})
    for step in range(8, 8 + KEPT + 2):  # by number: "checkpoint-10" comes before "checkpoint-9" by name
        place = folder.checkpoints / f"checkpoint-{step}"
        place.mkdir(parents=True)
        folder.mark(place, {"step": step})
        folder.rotate()
    assert {int(place.name.removeprefix("checkpoint-")) for place in folder.checkpoints.iterdir()} == {10, 11, 12}
    assert folder.latest() == (folder.checkpoints / "checkpoint-12", {"step": 12})
