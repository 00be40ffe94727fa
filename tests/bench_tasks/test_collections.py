"""Suites by name or path, and the formats told apart."""

from __future__ import annotations

import pytest
from foreign_tasks import write_kernelbench, write_robust

from kernelwright.bench_tasks.collections import find_suite, name_of, read_collection, suite_names
from kernelwright.errors import NotFoundError, TaskError


def test_the_format_is_found_by_looking(tmp_path):
    assert read_collection(write_kernelbench(tmp_path / "kb", {"level1": 1})).format == "kernelbench"
    write_robust(tmp_path / "rkb" / "scale")
    assert read_collection(tmp_path / "rkb").format == "robust-kbench"


def test_what_is_in_no_format_is_told_with_what_each_looks_like(tmp_path):
    with pytest.raises(NotFoundError) as caught:
        read_collection(tmp_path)
    assert all(word in caught.value.mend for word in ("KernelBench", "robust-kbench", "FlashInfer-Bench", "GPU MODE"))
    with pytest.raises(NotFoundError, match="no such file"):
        read_collection(tmp_path / "missing")


def test_a_suite_by_its_path(tmp_path):
    assert len(find_suite(str(write_kernelbench(tmp_path / "kb", {"level1": 2}))).tasks) == 2


def test_a_name_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(NotFoundError, match="no suite called 'kb'"):
        find_suite("kb", tmp_path)
    assert suite_names(tmp_path)[:2] == ("core", "fusion")


def test_a_name_that_is_almost_one_is_told_with_it_and_a_path_as_a_path(tmp_path):
    with pytest.raises(NotFoundError) as caught:
        find_suite("cor", tmp_path)
    assert caught.value.mend.startswith("Did you mean core?")
    for path in (str(tmp_path / "nothere.py"), "nothere.py", "no/where"):
        with pytest.raises(NotFoundError, match="no such file or folder"):
            find_suite(path, tmp_path)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("KernelBench", "kernelbench"),
        ("My Tässks!", "my_tassks"),
        ("core", "core-tasks"),
        ("...", "tasks"),
        ("日本", "tasks"),
    ],
)
def test_a_suite_at_a_path_is_called_as_its_folder(tmp_path, folder, name):
    assert name_of(tmp_path / folder) == name
    if folder == "KernelBench":
        assert find_suite(str(write_kernelbench(tmp_path / folder, {"level1": 1}))).name == name


def test_a_file_that_is_named_and_no_task_says_why(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(TaskError, match="defines no Model"):
        find_suite(str(tmp_path / "a.py"))
