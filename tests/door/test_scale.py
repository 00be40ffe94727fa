"""`--scale`: a task file at smaller sizes, which everything that is stored says."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign_tasks import KERNELBENCH

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.twin import scaled_words
from kernelwright.config import Settings
from kernelwright.errors import TaskError
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.scaling import task_at


def at(path: Path, scale: str, tmp_path: Path) -> tuple[Task, list[str]]:
    said: list[str] = []
    settings = Settings(data=tmp_path / "data", cache=tmp_path / "cache", device="emulator")
    return task_at(path, scale, settings, said.append), said


def test_the_file_s_own_twin_is_taken_and_told(tmp_path: Path) -> None:
    file = tmp_path / "add.py"
    file.write_text('TWIN = {"ROWS": 8}\n' + KERNELBENCH.format(number=1))
    task, said = at(file, "twin", tmp_path)
    assert task.name == "add_twin"
    assert constants_of(task.source)["ROWS"] == 8
    assert scaled_words(task) == "ROWS = 8 (file: 4096)"
    assert "ROWS = 8 (file: 4096)" in said[0]
    assert task.id != at(file, "full", tmp_path)[0].id
    assert scaled_words(at(file, "full", tmp_path)[0]) == ""
    assert at(file, "auto", tmp_path)[0] == task


def test_without_one_smaller_sizes_are_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "add.py"
    file.write_text(KERNELBENCH.format(number=1))
    task, said = at(file, "twin", tmp_path)
    found = constants_of(task.source)
    assert 1 < found["ROWS"] * found["COLUMNS"] <= 1 << 20
    assert said[0] == "Looking for smaller sizes."
    file.write_text(KERNELBENCH.format(number=1).replace("1024 * 4", "int('4096')").replace("= 2048", "= int('2048')"))
    with pytest.raises(TaskError, match="it has no smaller sizes: its sizes are no numbers"):
        at(file, "twin", tmp_path)


def test_memory_beyond_the_limit_is_told_with_the_setting(tmp_path: Path) -> None:
    file = tmp_path / "add.py"
    file.write_text(KERNELBENCH.format(number=1).replace("1024 * 4", "1024 * 1024"))
    task, _ = at(file, "full", tmp_path)
    with pytest.raises(TaskError, match=r"asks for 8.00 GiB at once.* the 4.00 GiB .*memory_bytes") as caught:
        Reference(task, limits=Limits(memory_bytes=4 << 30))
    assert "--scale twin" in caught.value.mend
    assert "KERNELWRIGHT_MEMORY_BYTES" in caught.value.mend
