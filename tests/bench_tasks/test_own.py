"""Files of our suites: tasks, twins and variants, and what is said where one is not as it should be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.own import OWN, own_suite, tasks_of_file
from kernelwright.bench_tasks.suite import Scale, Suite
from kernelwright.errors import NotFoundError, TaskError

SOURCE = '''"""Scales rows. More words.

And a paragraph.
"""
import torch

FAMILY = "pointwise"
ROWS, COLS = 4096, 8192
DTYPE = "float32"
BACKWARD = False
TWIN = {"ROWS": 4}
VARIANTS = {"half": {"DTYPE": "float16"}, "wide": {"COLS": 65536, "TWIN": {"COLS": 32}}, "backward": {"BACKWARD": True}}


class Model(torch.nn.Module):
    def forward(self, x):
        return x * 2


def get_inputs():
    return [torch.randn(ROWS, COLS, dtype=getattr(torch, DTYPE))]
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scale_rows.py"
    path.write_text(SOURCE)
    return path


def test_a_file_gives_its_task_and_one_for_each_variant(file: Path) -> None:
    tasks = tasks_of_file(file)
    assert [t.name for t in tasks] == ["scale_rows", "scale_rows@half", "scale_rows@wide", "scale_rows@backward"]
    assert [t.task.name for t in tasks] == ["scale_rows", "scale_rows_half", "scale_rows_wide", "scale_rows_backward"]
    assert {t.family for t in tasks} == {"pointwise"}
    assert tasks[0].title == "Scales rows. More words"
    assert tasks[1].title.endswith("DTYPE = float16")
    assert [t.task.backward for t in tasks] == [False, False, False, True]
    assert len({t.task.id for t in tasks}) == 4


def test_the_twin_differs_in_its_sizes_only(file: Path) -> None:
    base, half, wide, _ = tasks_of_file(file)
    small = base.at(Scale.TWIN)
    assert constants_of(small.source) == constants_of(base.task.source) | {"ROWS": 4}
    assert small == replace(base.task, source=small.source)
    assert small.id != base.task.id
    assert constants_of(half.at(Scale.TWIN).source)["DTYPE"] == "float16"
    found = constants_of(wide.at(Scale.TWIN).source)
    assert (found["ROWS"], found["COLS"]) == (4096, 32)
    assert base.at(Scale.FULL) is base.task


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('FAMILY = "pointwise"', "FAMILY = 3", "FAMILY is 3"),
        ('TWIN = {"ROWS": 4}', 'TWIN = {"ROWS": 4.5}', "TWIN.* is no dictionary"),
        ('TWIN = {"ROWS": 4}', 'TWIN = {"ROWS": True}', "TWIN.* is no dictionary"),
        ('TWIN = {"ROWS": 4}', 'TWIN = {"DEPTH": 4}', "TWIN names DEPTH"),
        ('TWIN = {"ROWS": 4}', "TWIN = dict(ROWS=4)", "TWIN is no literal"),
        ('"half": {"DTYPE"', '"half": {"DTIPE"', "VARIANTS: 'half' names DTIPE"),
        ('{"half"', '{"half size"', "VARIANTS is no dictionary"),
        ('"TWIN": {"COLS": 32}', '"TWIN": 32', "TWIN.* is no dictionary"),
        ("class Model", "class Modell", "defines no Model"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_path(file: Path, old: str, new: str, what: str) -> None:
    file.write_text(SOURCE.replace(old, new))
    with pytest.raises(TaskError, match=what) as caught:
        tasks_of_file(file)
    assert caught.value.path == str(file)


@pytest.mark.parametrize(
    ("old", "new", "meant"),
    [
        ('{"ROWS": 4}', '{"ROW": 4}', "ROWS"),
        ('{"ROWS": 4}', '{"rows": 4}', "ROWS"),
        ('"DTYPE": "f', '"DTIPE": "f', "DTYPE"),
    ],
)
def test_a_constant_that_is_not_there_is_told_with_the_one_that_may_be_meant(
    file: Path, old: str, new: str, meant: str
) -> None:
    file.write_text(SOURCE.replace(old, new))
    with pytest.raises(TaskError) as caught:
        tasks_of_file(file)
    assert caught.value.mend == f"Did you mean {meant}?"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("VARIANTS", "VARIANT"), ("FAMILY", "FAMILLY"), ("TWIN =", "TWINS ="), ("TWIN =", "twin ="), ("FAMILY", "Family"),
        ("BACKWARD = False", "BACKWORD = True"), ("BACKWARD = False", "WORKLOAD = []"),
    ],
)  # fmt: skip
def test_a_name_that_is_almost_one_of_ours_is_refused_with_its_line(file: Path, old: str, new: str) -> None:
    file.write_text(SOURCE.replace(old, new, 1))
    with pytest.raises(TaskError, match=f"nothing reads {new.split()[0]}. Did you mean") as caught:
        tasks_of_file(file)
    assert caught.value.line == 1 + SOURCE.replace(old, new, 1)[: SOURCE.replace(old, new, 1).index(new)].count("\n")


@pytest.mark.parametrize("line", ["TWINS = 4", "VARIANT = 'a'", "FORWARD = True", "TWINS = {}\nCOUNT = len(TWINS)"])
def test_names_of_the_file_s_own_are_let_be(file: Path, line: str) -> None:
    file.write_text(f"{SOURCE}\n{line}\n")
    assert len(tasks_of_file(file)) == 4


def test_every_suite_of_ours_is_read_and_its_names_are_unique() -> None:
    for name in OWN:
        suite = own_suite(name)
        names = [t.name for t in suite.tasks]
        assert len(names) == len(set(names))
        assert all(t.family and t.title and t.twin for t in suite.tasks), name
        assert len({t.at(Scale.TWIN).id for t in suite.tasks}) == len(names)


def test_a_suite_that_is_not_there() -> None:
    with pytest.raises(NotFoundError, match="core, fusion"):
        own_suite("cores")


def test_the_digest_follows_tasks_and_twins_and_not_their_order(file: Path) -> None:
    tasks = tuple(tasks_of_file(file))
    suite = Suite("s", "", "kernelwright", tasks)
    assert suite.digest == Suite("other", "title", "kernelwright", tasks[::-1]).digest
    assert suite.digest != Suite("s", "", "kernelwright", tasks[1:]).digest
    assert suite.digest != Suite("s", "", "kernelwright", (replace(tasks[0], twin={}), *tasks[1:])).digest
