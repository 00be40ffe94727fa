"""Replacing a data set: killed at any moment, it leaves the old one or the new one whole, and nothing that is not ours is touched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelwright.dataset_folder import check_place, replace_set
from kernelwright.errors import KernelwrightError, MisuseError

FILES = ("README.md", "dropped.jsonl", "data/train-00000-of-00001.parquet")
HIDDEN = ".kernelwright-new"


def _set(text: str) -> Callable[[Path], None]:
    """Writes a set whose files all say `text`."""

    def write(folder: Path) -> None:
        (folder / "data").mkdir()
        for name in FILES:
            (folder / name).write_text(f"{text} {name}")

    return write


def _whole(folder: Path) -> str | None:
    """What all files of a set say; None if it is not whole."""
    texts = [(folder / name).read_text() if (folder / name).is_file() else "" for name in FILES]
    said = {text.partition(" ")[0] for text in texts}
    return said.pop() if [t.partition(" ")[2] for t in texts] == list(FILES) and len(said) == 1 else None


def _left(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_dataset_folder as t
from kernelwright.dataset_folder import replace_set

FOLDER, OLD = Path({folder!r}), {old!r}
CHANGES = {{"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "tempfile.mkdtemp", "shutil.rmtree"}}


def child(out, kill_at):
    if OLD:
        replace_set(out, t._set("old"), force=True)
    count = 0

    def hook(event, arguments):
        nonlocal count
        if event in CHANGES:
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    replace_set(out, t._set("new"), force=True)


for kill_at in range(1, 1000):
    out = FOLDER / str(kill_at)
    pid = os.fork()
    if pid == 0:
        child(out, kill_at)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
"""


@pytest.mark.parametrize("old", [True, False])
def test_a_kill_at_any_step_leaves_a_whole_set(tmp_path: Path, old: bool) -> None:
    """The kill comes just before each change of the file system, as Python's audit hooks tell them."""
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path), old=old)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = sorted(tmp_path.iterdir(), key=lambda each: int(each.name))
    assert len(steps) >= 15
    assert _whole(steps[-1]) == "new"  # it was killed no more
    found = set()
    for out in steps:
        at_rest, hidden = _whole(out), _whole(out / HIDDEN)
        found.add((at_rest, hidden))
        assert hidden == "new" or at_rest in ({"old", "new"} if old else {None, "new"}), out
        if old:
            assert (out / FILES[2]).is_file()  # who reads the data only finds one or the other
        check_place(out, force=True)
        assert not (out / HIDDEN).exists()
        assert _whole(out) == ("new" if hidden == "new" else at_rest)
        replace_set(out, _set("newer"), force=True)
        assert _whole(out) == "newer"
        assert _left(out) == sorted(FILES)
        assert len(list(out.iterdir())) == 3
    assert {("new", None), (None, "new")} <= found


def test_files_of_others_stay(tmp_path: Path) -> None:
    out = tmp_path / "set"
    replace_set(out, _set("old"), force=False)
    for name in ("notes.txt", ".hidden", "data/mine.parquet", "more/deep.txt"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(MisuseError, match="other things in it: " + name.partition("/deep")[0]):
            replace_set(out, _set("new"), force=True)
        assert (out / name).read_text() == "mine"
        assert _whole(out) == "old"
        (out / name).unlink()
    (out / "more").rmdir()
    replace_set(out, _set("new"), force=True)
    assert _whole(out) == "new"


def test_a_folder_with_a_readme_of_its_own_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(MisuseError, match=r"other things in it: README\.md"):
        replace_set(tmp_path, _set("new"), force=True)
    assert _left(tmp_path) == ["README.md"]


def test_data_behind_a_link_are_not_ours(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    replace_set(out, _set("old"), force=False)
    (out / "data").rename(elsewhere)
    (out / "data").symlink_to(elsewhere)
    with pytest.raises(MisuseError, match="other things in it: data"):
        replace_set(out, _set("new"), force=True)
    assert (elsewhere / "train-00000-of-00001.parquet").read_text().startswith("old")


def test_the_folder_itself_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be where somebody is, a mount, or behind a link."""
    out, link = tmp_path / "set", tmp_path / "link"
    out.mkdir()
    link.symlink_to(out)
    before = out.stat().st_ino
    monkeypatch.chdir(out)
    assert replace_set(Path("."), _set("one"), force=False) == [Path(name) for name in reversed(FILES)]
    assert _whole(Path(".")) == "one"
    replace_set(link, _set("two"), force=True)
    assert _whole(out) == "two"
    assert link.is_symlink()
    assert out.stat().st_ino == before


def test_what_can_not_be_written_changes_nothing(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        _set("half")(folder)
        raise OSError(28, "No space left on device")

    out = tmp_path / "a" / "set"
    with pytest.raises(KernelwrightError, match="No space left"):
        replace_set(out, full, force=False)
    assert not out.exists()
    replace_set(out, _set("old"), force=False)
    with pytest.raises(KernelwrightError, match="No space left"):
        replace_set(out, full, force=True)
    assert _whole(out) == "old"
    assert len(list(out.iterdir())) == 3


AT_ONCE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_dataset_folder as t
from kernelwright.dataset_folder import replace_set
for _ in range(20):
    replace_set(Path({out!r}), t._set({text!r}), force=True)
"""


def test_builds_at_once_wait_for_each_other(tmp_path: Path) -> None:
    out = tmp_path / "set"
    tests = str(Path(__file__).parent)
    both = [
        subprocess.Popen([sys.executable, "-c", AT_ONCE.format(tests=tests, out=str(out), text=text)])
        for text in ("left", "right")
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    assert _whole(out) in {"left", "right"}
    assert len(list(out.iterdir())) == 3
