"""One task of any format from a path."""

from __future__ import annotations

import pytest
from foreign_tasks import KERNELBENCH, write_kernelbench, write_robust

from kernelwright.bench_tasks.reading import read_any_task
from kernelwright.errors import TaskError


def test_each_format_is_found_by_looking(tmp_path):
    write_robust(tmp_path / "scale")
    (tmp_path / "mine.py").write_text(KERNELBENCH.format(number=1))
    assert read_any_task(tmp_path / "mine.py").format == "kernelbench"
    assert read_any_task(tmp_path / "scale").format == "robust-kbench"
    assert read_any_task(tmp_path / "scale" / "func_backward.py").backward


@pytest.mark.parametrize(("name", "said"), [("missing.py", "no such file"), (".", "directory")])
def test_what_is_no_task_is_told(tmp_path, name, said):
    with pytest.raises(TaskError, match=said):
        read_any_task(tmp_path / name)


def test_a_collection_is_no_task(tmp_path):
    with pytest.raises(TaskError, match="directory"):
        read_any_task(write_kernelbench(tmp_path / "kb", {"level1": 2}))
    write_robust(tmp_path / "rkb" / "one")
    with pytest.raises(TaskError, match="a collection"):
        read_any_task(tmp_path / "rkb")
