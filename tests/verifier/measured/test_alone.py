"""Measurements on one GPU exclude each other; on two they do not."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from kernelwright.verifier.measured.alone import alone_on


def test_others_are_kept_out_and_let_in_again(tmp_path: Path) -> None:
    with alone_on(0, tmp_path):
        (lock,) = tmp_path.iterdir()
        with lock.open("r+") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with alone_on(1, tmp_path):
            pass
    with lock.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_folder_that_can_not_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    with alone_on(0, tmp_path / "missing"):
        pass
