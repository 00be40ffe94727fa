"""Looking through a stranger's folder, and names that are fit to be shown."""

from __future__ import annotations

import os
from pathlib import Path

from kernelwright.bench_tasks import files
from kernelwright.bench_tasks.files import first_bytes, natural_key, shown, unique_names, walk


def test_links_are_told_and_not_followed_and_a_loop_ends(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "real.py").write_text("x")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "secret.py").symlink_to("/etc/passwd")
    found, left = walk(tmp_path, ".py")
    assert [file.name for file in found] == ["real.py"]
    assert [(each.name, "link" in each.why) for each in left] == [("secret", True)]


def test_a_pipe_and_a_folder_with_the_name_of_a_file_block_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    found, left = walk(tmp_path, ".py")
    assert found == []
    assert [each.why for each in left] == ["it is no regular file."]
    assert first_bytes(tmp_path / "pipe.py", 10) == b""
    assert first_bytes(tmp_path / "missing", 10) == b""


def test_hidden_folders_are_left_out(tmp_path):
    for place in (".git", "__pycache__", "kept"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "x.py").write_text("")
    (tmp_path / "kept" / ".hidden.py").write_text("")
    assert [str(f.relative_to(tmp_path)) for f in walk(tmp_path, ".py")[0]] == ["kept/x.py"]


def test_a_flood_of_files_is_cut_off_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_FILES", 5)
    for number in range(9):
        (tmp_path / f"{number}.py").touch()
    found, left = walk(tmp_path, ".py")
    assert len(found) == 5
    assert "more than 5 files" in left[-1].why


def test_numbers_sort_as_numbers():
    names = ["10_b", "2_a", "a", "1_z", "02_a", "9" * 5000]
    assert sorted(names, key=natural_key)[:3] == ["1_z", "2_a", "02_a"]
    assert sorted(["level10/1", "level2/3", "level2/10"], key=natural_key) == ["level2/3", "level2/10", "level10/1"]


def test_every_name_can_be_written_and_shown():
    evil = os.fsdecode(b"a\xff\x1b[31m\nb\xe2\x80\xae")
    text = shown(evil)
    assert text.encode()
    assert text.isprintable()


def test_names_get_the_folders_that_tell_them_apart():
    root = Path("/r")
    files_named = [
        (root / "t" / "level_1" / "x.py", "x"),
        (root / "t" / "level_2" / "x.py", "x"),
        (root / "t" / "level_2" / "y.py", "y"),
    ]
    assert unique_names(files_named, root) == ["level_1_x", "level_2_x", "y"]


def test_names_that_stay_alike_are_numbered():
    root = Path("/r")
    assert unique_names([(root / "a-b.py", "a_b"), (root / "a b.py", "a_b"), (root / "c.py", "c")], root) == [
        "a_b", "a_b_2", "c",
    ]  # fmt: skip
