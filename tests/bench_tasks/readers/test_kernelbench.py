"""Collections of KernelBench files."""

from __future__ import annotations

import os

import pytest
from foreign_tasks import KERNELBENCH, write_kernelbench

from kernelwright.bench_tasks.readers.kernelbench import read, recognises


def test_levels_numbers_and_titles(tmp_path):
    suite = read(write_kernelbench(tmp_path, {"level1": 11, "level2": 2}))
    names = [(task.level, task.name) for task in suite.tasks]
    assert names[:3] == [("1", "level1_1_Add"), ("1", "level1_2_Add"), ("1", "3_Add")]
    assert names[9:] == [("1", "10_Add"), ("1", "11_Add"), ("2", "level2_1_Add"), ("2", "level2_2_Add")]
    assert suite.tasks[4].title == "Adds 5 to its input"
    assert suite.format == "kernelbench"
    assert not suite.unreadable


def test_what_is_in_a_level_and_no_task_is_told_with_the_reason(tmp_path):
    write_kernelbench(tmp_path, {"level1": 1})
    (tmp_path / "level1" / "2_broken.py").write_text("class Model(:\n")
    (tmp_path / "level1" / "3_latin.py").write_bytes("# é".encode("latin-1"))
    (tmp_path / "level1" / "4_other.py").write_text("print('x')")
    (tmp_path / "level1" / "__init__.py").write_text("")
    (tmp_path / "tool.py").write_text("class Model: ...\ndef get_inputs(): ...\n")
    suite = read(tmp_path)
    assert [task.name for task in suite.tasks] == ["1_Add"]
    told = {each.name: each.why for each in suite.unreadable}
    assert set(told) == {"2_broken", "3_latin", "4_other"}
    assert "not valid Python" in told["2_broken"]
    assert "UTF-8" in told["3_latin"]
    assert "no Model" in told["4_other"]
    assert all(each.mend and each.level == "1" for each in suite.unreadable)


def test_a_huge_file_is_told_and_not_read(tmp_path):
    write_kernelbench(tmp_path, {"level1": 1})
    with (tmp_path / "level1" / "2_huge.py").open("wb") as file:
        file.truncate(1 << 34)
    (missing,) = read(tmp_path).unreadable
    assert "over the limit" in missing.why


def test_a_folder_without_levels_gives_the_files_that_look_like_tasks(tmp_path):
    (tmp_path / "mine.py").write_text(KERNELBENCH.format(number=1))
    (tmp_path / "setup.py").write_text("raise SystemExit\n")
    suite = read(tmp_path)
    assert [task.name for task in suite.tasks] == ["mine"]
    assert not suite.unreadable


OURS = '''"""Adds one."""

FAMILY = "pointwise"
TWIN = {"ROWS": 8}
VARIANTS = {"narrow": {"COLUMNS": 3}, "wide": {"COLUMNS": 65536, "TWIN": {"COLUMNS": 16}}}
''' + KERNELBENCH.format(number=1)


def test_files_with_our_literals_keep_them_beside_plain_ones(tmp_path):
    (tmp_path / "mine.py").write_text(OURS)
    (tmp_path / "plain.py").write_text(KERNELBENCH.format(number=2))
    found = [(t.name, t.family, dict(t.twin), t.title) for t in read(tmp_path).tasks]
    assert found == [
        ("mine", "pointwise", {"ROWS": 8}, "Adds one"),
        ("mine@narrow", "pointwise", {"ROWS": 8}, "Adds one; COLUMNS = 3"),
        ("mine@wide", "pointwise", {"COLUMNS": 16}, "Adds one; COLUMNS = 65536"),
        ("plain", "", {}, "Adds 2 to its input"),
    ]
    assert [t.name for t in read(tmp_path / "mine.py").tasks] == ["mine", "mine@narrow", "mine@wide"]


def test_what_can_not_be_read_does_not_vanish_from_a_folder_without_levels(tmp_path):
    (tmp_path / "mine.py").write_text(OURS)
    (tmp_path / "notpython.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "typo.py").write_text(OURS.replace("get_inputs", "get_input"))
    (tmp_path / "other.py").write_text(OURS.replace("TWIN", "TWINS"))
    (tmp_path / "tool.py").write_text("print('x')\n")
    told = {each.name: each.why for each in read(tmp_path).unreadable}
    assert set(told) == {"notpython", "typo", "other"}
    assert "not valid Python" in told["notpython"]
    assert "(line 2)" in told["notpython"]
    assert "no get_inputs" in told["typo"]
    assert "Did you mean TWIN?" in told["other"]


def test_one_level_and_one_file(tmp_path):
    write_kernelbench(tmp_path, {"level3": 2})
    assert [task.name for task in read(tmp_path / "level3").tasks] == ["1_Add", "2_Add"]
    assert [task.name for task in read(tmp_path / "level3" / "2_Add.py").tasks] == ["2_Add"]


def test_names_that_are_not_utf8_are_told(tmp_path):
    folder = os.fsencode(tmp_path / "level1")
    os.mkdir(folder)
    try:
        with open(os.path.join(folder, b"1_\xff\x1b[2J.py"), "w") as file:
            file.write(KERNELBENCH.format(number=1))
    except OSError:
        pytest.skip("the file system takes no such name")
    (missing,) = read(tmp_path).unreadable
    assert "not UTF-8" in missing.why
    assert missing.name.isprintable()
    assert missing.path.isprintable()


def test_a_title_has_no_control_characters(tmp_path):
    text = KERNELBENCH.format(number=1).replace("Adds 1", "\\x1b[31mAdds")
    (tmp_path / "mine.py").write_text(text)
    (task,) = read(tmp_path).tasks
    assert task.title.isprintable()


def test_nothing_of_it_is_run(tmp_path):
    (tmp_path / "mine.py").write_text(KERNELBENCH.format(number=1) + "\nraise SystemExit('it was run')\n")
    assert recognises(tmp_path)
    assert len(read(tmp_path).tasks) == 1


def test_other_folders_are_not_recognised(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    assert not recognises(tmp_path)
    assert not recognises(tmp_path / "a.py")
    assert not recognises(tmp_path / "missing.py")
