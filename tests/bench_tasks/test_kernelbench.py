"""Reading a task file: what it names, and what is said when it can't be used."""

from __future__ import annotations

import os

import pytest

from kernelwright.bench_tasks.kernelbench import read_task, task_from_source
from kernelwright.bench_tasks.task import Task, TensorSpec, Workload
from kernelwright.errors import TaskError

GOOD = """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return x + 1
def get_inputs():
    return [torch.randn(3)]
def get_init_inputs():
    return []
"""


def test_a_good_file_is_read_and_not_run(tmp_path):
    path = tmp_path / "my-task 1.py"
    path.write_text(GOOD + "\nraise SystemExit('this file was run')\n")
    task = read_task(path)
    assert task.name == "my_task_1"
    assert task.path == str(path)
    assert task.source.endswith("was run')\n")


def test_the_id_follows_the_content_and_not_the_place(tmp_path):
    one, two = task_from_source(GOOD, name="a", path="x.py"), task_from_source(GOOD, name="b", path="y.py")
    assert one.id == two.id
    assert one.id != task_from_source(GOOD + "#", name="a").id
    changed = Task(name="a", source=GOOD, workloads=(Workload("w", one.workloads[0].distribution),))
    assert changed.id != one.id
    assert (
        Task(name="a", source=GOOD, attachments={"m": b"1"}).id
        != Task(name="a", source=GOOD, attachments={"m": b"2"}).id
    )


def test_names_bound_anywhere_at_module_level_count():
    task_from_source("from mymodels import Model\nget_inputs = lambda: []\n", name="t")
    task_from_source("from mytask import *\n", name="t")
    task_from_source(
        "try:\n    from a import Model\nexcept ImportError:\n    from b import Model\ndef get_inputs(): ...\n", name="t"
    )


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("def get_inputs(): return []\n", "defines no Model", None),
        ("class Model: ...\n", "defines no get_inputs", None),
        ("class ModelNew: ...\ndef get_inputs(): ...\n", "found ModelNew", None),
        ("x = (\n\n  1 2)\n", "not valid Python", 3),
        ("", "defines no Model and no get_inputs", None),
        ("x = '\0'", "not valid Python", None),
        ("(" * 5000, "not valid Python", 1),
    ],
)
def test_a_file_that_can_not_be_used_is_explained(tmp_path, text, says, line):
    path = tmp_path / "t.py"
    path.write_text(text)
    with pytest.raises(TaskError, match=says) as caught:
        read_task(path)
    assert caught.value.path == str(path)
    assert caught.value.mend
    if line is not None:
        assert caught.value.line == line


def test_what_is_no_readable_file_is_explained(tmp_path):
    with pytest.raises(TaskError, match="no such file"):
        read_task(tmp_path / "absent.py")
    with pytest.raises(TaskError, match="directory"):
        read_task(tmp_path)
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(TaskError, match="regular file"):
        read_task(tmp_path / "pipe.py")
    binary = tmp_path / "b.py"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError, match="UTF-8"):
        read_task(binary)
    large = tmp_path / "l.py"
    with large.open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(TaskError, match="limit"):
        read_task(large)


def test_a_tensor_spec_survives_json():
    spec = TensorSpec("x", (2, 3), "float32", (3, 1))
    assert TensorSpec.from_json(spec.to_json()) == spec
    assert spec.numel == 6
