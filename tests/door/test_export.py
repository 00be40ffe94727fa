"""The exported file: its header, that it imports, that nothing of a person's is overwritten or half-written."""

from __future__ import annotations

import dataclasses
import os
import runpy
from pathlib import Path

import pytest
from door_nouns import KERNEL, TASK, WHEN, failed, passed

import kernelwright
from kernelwright.errors import MisuseError
from kernelwright.export import MARKER, check_target, default_target, kernel_file, write_file, write_kernel_file
from kernelwright.sandbox.kernel import Kernel


def test_header_says_how_it_was_verified() -> None:
    text = kernel_file(TASK, KERNEL, passed(), WHEN)
    assert text.startswith(MARKER + "\n")
    for said in (
        TASK.id,
        KERNEL.id,
        kernelwright.__version__,
        "2026-11-21",
        "passed, on emulator (as H200) (sm_90, process)",
        "2 secret draws over 2 workloads (as-given, normal)",
        "10.0 µs modelled for H200; eager PyTorch 25.0 µs modelled for H200: 2.50x",
        "no measurement",
        "load_state_dict(",
    ):
        assert said in text, said


def test_a_kernel_that_did_not_pass_says_so() -> None:
    text = kernel_file(TASK, KERNEL, failed("output 0 is off by 3."), WHEN)
    assert "NOT VERIFIED. output 0 is off by 3." in text
    assert "Time" not in text


def test_hostile_names_stay_inside_the_comment(tmp_path: Path) -> None:
    task = dataclasses.replace(TASK, name="x\nimport os; os.abort()\r\u2028y")
    kernel = Kernel(source="VALUE = 1\n", author="me\nraise SystemExit")
    path = tmp_path / "k.py"
    path.write_text(kernel_file(task, kernel, failed("a\nraise ValueError", kernel), WHEN))
    assert runpy.run_path(str(path))["VALUE"] == 1
    assert default_target(task).name == "x_import_os__os.abort____y.kernel.py"


def test_source_keeps_its_future_import_and_docstring(tmp_path: Path) -> None:
    kernel = Kernel(source='"""Doc."""\n\nfrom __future__ import annotations\n\nVALUE: Nothing = 1\n', author="a")
    path = tmp_path / "k.py"
    path.write_text(kernel_file(TASK, kernel, passed(kernel), WHEN))
    found = runpy.run_path(str(path))
    assert (found["VALUE"], found["__doc__"]) == (1, "Doc.")


def test_own_files_are_overwritten_and_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "softmax.kernel.py"
    write_kernel_file(path, MARKER + "\nold\n")
    write_kernel_file(path, MARKER + "\nnew\n")
    assert path.read_text() == MARKER + "\nnew\n"
    path.write_text("precious\n")
    with pytest.raises(MisuseError, match="did not write"):
        write_kernel_file(path, MARKER + "\n")
    assert path.read_text() == "precious\n"
    write_kernel_file(path, MARKER + "\n", force=True)
    assert path.read_text() == MARKER + "\n"


def test_target_is_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="does not exist"):
        check_target(tmp_path / "missing" / "k.py")
    with pytest.raises(MisuseError, match="a folder"):
        check_target(tmp_path)


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "k.py"
    write_kernel_file(path, MARKER + "\nold\n")
    with pytest.raises(UnicodeEncodeError):
        write_kernel_file(path, "\ud800")  # a lone surrogate can't be encoded: stands for any failure half-way
    assert path.read_text() == MARKER + "\nold\n"
    assert os.listdir(tmp_path) == ["k.py"]


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_kernel_file(tmp_path / "k.py", MARKER)
    finally:
        os.umask(before)
    assert (tmp_path / "k.py").stat().st_mode & 0o777 == 0o640


def test_what_is_no_file_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    """A device, a pipe or `/dev/stdout` in a file's place would be a broken machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_target(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, "all of it")
        assert os.read(reader, 100) == b"all of it"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    inner, outer = os.pipe()
    try:
        write_file(Path(f"/dev/fd/{outer}"), b"there too")
        assert os.read(inner, 100) == b"there too"
    finally:
        os.close(inner)
        os.close(outer)


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "table.md").write_text("old")
    (tmp_path / "link.md").symlink_to("far/table.md")
    write_file(tmp_path / "link.md", "new")
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "far" / "table.md").read_text() == "new"
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["far", "link.md", "table.md"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_file(tmp_path / ("é" * 127), "x")
    with pytest.raises(MisuseError, match="too long"):
        write_file(tmp_path / ("é" * 128), "x")
