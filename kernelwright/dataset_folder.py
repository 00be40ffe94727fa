"""The folder of a data set: what in it is ours, and how a new set takes the place of an old one.

A new set is written into a hidden folder within, which gets its last name when it is whole; from then on it is the one that counts.
Its files take the places of the old ones, one after another, and the hidden folder goes. So at any moment the old set or the new one
is whole, and a build that was killed in between is finished by the next. The folder itself stays: it may be a mount, or where somebody is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kernelwright.errors import KernelwrightError, MisuseError
from kernelwright.rl.curation.card import CARD_FILE, DATA_FILE, DROPPED_FILE
from kernelwright.words import one_line

__all__ = ["check_place", "replace_set"]

_FILES = (CARD_FILE, DROPPED_FILE, DATA_FILE)
_WHOLE = ".kernelwright-new"
"""A set that is whole, and is being put in its place."""
_PART = ".kernelwright-part-"
"""Begins the name of one that is being written."""
_NAMED = 3  # things in the way that are told by name


def check_place(out: Path, *, force: bool) -> None:
    """Whether a data set may be written there; with `force`, in the place of one that a build wrote.

    What a build that was killed had ready is put in its place first.

    Raises:
        MisuseError: it may not.
    """
    if out.exists() and not out.is_dir():
        raise MisuseError("a file is in the way.", mend="Name a folder.", path=str(out))
    if not out.is_dir():
        return
    try:
        with _alone(out):
            _check(out, force=force)
    except OSError as error:
        raise MisuseError(f"the folder can't be used: {error.strerror or error}.", path=str(out)) from error


def replace_set(out: Path, write: Callable[[Path], None], *, force: bool) -> list[Path]:
    """Makes `out` hold what `write` writes into the empty folder that it is given: the card, the list of what was dropped, the data.

    Raises:
        MisuseError: something is in the way.
        KernelwrightError: it can't be written; then `out` is as it was.
    """
    check_place(out, force=force)
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out) as alone:
            try:
                _check(out, force=force)  # another build may have ended meanwhile
                if alone:
                    _sweep(out)
                part = Path(tempfile.mkdtemp(prefix=_PART, dir=out))
                try:
                    write(part)
                    for name in _FILES:
                        _flush(part / name)
                    os.rename(part, out / _WHOLE)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
                _finish(out)
            finally:
                if made:
                    with suppress(OSError):  # it has a data set in it, unless this went wrong
                        out.rmdir()
    except OSError as error:
        raise KernelwrightError(f"the data set can't be written: {error.strerror or error}.", path=str(out)) from error
    return [out / name for name in (DATA_FILE, DROPPED_FILE, CARD_FILE)]


def _check(out: Path, *, force: bool) -> None:
    """As `check_place`, of a folder that nobody else is building into.

    Raises:
        MisuseError: something is in the way.
        OSError: the folder can't be read, or written where a killed build had begun to.
    """
    _finish(out)
    others, ours = _contents(out)
    if len(ours) < len(_FILES):
        others += ours  # a README.md alone is somebody's own
    if others:
        named = ", ".join(one_line(name, 60) for name in others[:_NAMED])
        named += f" and {len(others) - _NAMED} more" if others[_NAMED:] else ""
        raise MisuseError(
            f"the folder has other things in it: {named}.",
            mend="Name an empty folder, or a new one"
            + ("; --force replaces nothing but a data set." if force else "."),
            path=str(out),
        )
    if ours and not force:
        raise MisuseError("a data set is in the way.", mend="Name another folder, or add --force.", path=str(out))


def _contents(out: Path) -> tuple[list[str], list[str]]:
    """What is in the folder: names of what no build wrote, and of what one did."""
    others: list[str] = []
    ours: list[str] = []
    for each in sorted(out.iterdir()):
        if each.name == Path(DATA_FILE).parent.name and each.is_dir() and not each.is_symlink():
            for inner in sorted(each.iterdir()):
                (ours if inner == out / DATA_FILE else others).append(f"{each.name}/{inner.name}")
        elif each.name in _FILES:
            ours.append(each.name)
        elif each.name != _WHOLE and not each.name.startswith(_PART):
            others.append(each.name)
    return others, ours


def _finish(out: Path) -> None:
    """Puts a whole new set in its place, if there is one. Begun anew after a kill, it comes to the same."""
    whole = out / _WHOLE
    if not whole.is_dir():
        return
    for name in _FILES:
        if (whole / name).is_file():
            beside = out / f"{_PART}{Path(name).name}"
            beside.unlink(missing_ok=True)
            _copy(whole / name, beside)
            (out / name).parent.mkdir(exist_ok=True)
            os.replace(beside, out / name)
    shutil.rmtree(whole)


def _copy(file: Path, to: Path) -> None:
    try:
        os.link(file, to)
    except OSError:  # a file system without links
        shutil.copyfile(file, to)
        _flush(to)


def _sweep(out: Path) -> None:
    """Removes what builds that were killed had not finished."""
    for each in out.glob(f"{_PART}*"):
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """To the disk: a power cut after the renames must not find empty files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(out: Path) -> Iterator[bool]:
    """Waits for other builds into this folder; gives whether there can be none now. Some network file systems can't say."""
    descriptor = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
