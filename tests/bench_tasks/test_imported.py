"""Imported suites: what is kept, and what is said when the collection has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from foreign_tasks import KERNELBENCH, write_kernelbench

from kernelwright.bench_tasks.collections import find_suite, read_collection, suite_names
from kernelwright.bench_tasks.imported import Imported, ImportedTask, check_name, read_import, write_import
from kernelwright.bench_tasks.suite import Scale
from kernelwright.errors import ConfigError, KernelwrightError, MisuseError, NotFoundError


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The folder of imported suites, with one called `mine` of four tasks in `kb`."""
    suite = read_collection(write_kernelbench(tmp_path / "kb", {"level1": 4}))
    tasks = {t.name: ImportedTask(t.task.id, {"ROWS": 8, "COLUMNS": 16}) for t in suite.tasks}
    tasks["2_Add"] = ImportedTask(tasks["2_Add"].id, full_only="it is too large.")
    tasks["3_Add"] = ImportedTask(tasks["3_Add"].id, why="it needs a package.", mend="Install it.")
    write_import(
        tmp_path / "suites",
        Imported("mine", str(tmp_path / "kb"), suite.format, suite.title, suite.digest, tasks),
    )
    return tmp_path / "suites"


def test_twins_and_reasons_come_back(kept):
    suite = find_suite("mine", kept)
    assert suite_names(kept)[-1] == "mine"
    assert suite.name == "mine"
    assert [(t.name, dict(t.twin), t.full_only) for t in suite.tasks] == [
        ("1_Add", {"ROWS": 8, "COLUMNS": 16}, ""), ("2_Add", {}, "it is too large."),
        ("4_Add", {"ROWS": 8, "COLUMNS": 16}, ""),
    ]  # fmt: skip
    assert "ROWS = 8\nCOLUMNS = 16" in suite.tasks[0].at(Scale.TWIN).source
    assert [(u.name, u.why, u.mend) for u in suite.unreadable] == [("3_Add", "it needs a package.", "Install it.")]


def test_the_digest_knows_the_twins(kept, tmp_path):
    assert find_suite("mine", kept).digest != find_suite(str(tmp_path / "kb")).digest


def test_tasks_that_changed_came_or_went_are_told(kept, tmp_path):
    level = tmp_path / "kb" / "level1"
    (level / "1_Add.py").write_text(KERNELBENCH.format(number=100))
    (level / "4_Add.py").unlink()
    (level / "5_Add.py").write_text(KERNELBENCH.format(number=5))
    suite = find_suite("mine", kept)
    assert [t.name for t in suite.tasks] == ["2_Add"]
    told = {u.name: u.why for u in suite.unreadable}
    assert "changed since" in told["1_Add"]
    assert "no longer there" in told["4_Add"]
    assert "added after" in told["5_Add"]


def test_a_collection_that_was_moved_is_told(kept, tmp_path):
    shutil.move(tmp_path / "kb", tmp_path / "elsewhere")
    with pytest.raises(NotFoundError, match="no longer where it was") as caught:
        find_suite("mine", kept)
    assert "bench import" in caught.value.mend


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "tasks": []}', "\x00"])
def test_a_damaged_file_is_told(kept, text):
    (kept / "mine.json").write_text(text)
    with pytest.raises(ConfigError, match="can't be read"):
        find_suite("mine", kept)


def test_names(kept):
    check_name("kernel-bench.2", ("core",))
    for name in ("core", "../x", "a/b", "", ".hidden", "x" * 65, "a b"):
        with pytest.raises(MisuseError):
            check_name(name, ("core",))
    with pytest.raises(KernelwrightError):
        read_import(kept, "other")
