"""Control groups for workers: memory and processes limited together, and all of them ended together.

Version 1 and version 2 both occur, and mixtures; often they are not ours to write. So it is tried, once per process.
Source: Linux, `cgroup-v1/memory.rst`, `cgroup-v1/pids.rst`, `cgroup-v2.rst`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Group", "Place", "find_places", "groups_problem", "make_group", "places_in"]

_PREFIX = "kernelwright-"
_CONTROLLERS = ("memory", "pids")
_LIMIT = {
    ("memory", 1): "memory.limit_in_bytes",
    ("memory", 2): "memory.max",
    ("pids", 1): "pids.max",
    ("pids", 2): "pids.max",
}
_PASSES = 500  # over the processes of a group that is ended; each waits up to a hundredth of a second
_COUNT = itertools.count()


@dataclass(frozen=True)
class Place:
    """A group of the host under which groups of workers are made."""

    controllers: tuple[str, ...]
    version: int
    folder: Path


@dataclass(frozen=True)
class Group:
    """The groups of one worker, one for each place."""

    members: tuple[tuple[Place, Path], ...]

    @property
    def doors(self) -> tuple[str, ...]:
        """The files to which a process writes its id to join."""
        return tuple(str(folder / "cgroup.procs") for _, folder in self.members)

    def ran_into(self) -> str:
        """Which limit the kernel has enforced by a kill or a refusal; "" if none."""
        for place, folder in self.members:
            if "memory" in place.controllers and _count(
                folder / ("memory.events" if place.version == 2 else "memory.oom_control"), "oom_kill"
            ):
                size = int((folder / _LIMIT["memory", place.version]).read_text())
                return f"it used more than {size / 2**30:.1f} GiB of memory"
        for place, folder in self.members:
            if "pids" in place.controllers and _count(folder / "pids.events", "max"):
                return f"it started more than {(folder / 'pids.max').read_text().strip()} processes and threads"
        return ""

    def kill(self) -> None:
        """Ends every process in it, and removes it."""
        for _, folder in self.members:
            if not folder.is_dir():
                continue
            with contextlib.suppress(OSError):
                (folder / "cgroup.kill").write_text("1")
            for _ in range(_PASSES):
                left = _processes(folder)
                if not left:
                    break
                for pid in left:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                _await_end(left[0])
            for _ in range(_PASSES):  # a group counts its zombies until they are reaped
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    select.select([], [], [], 0.001)


def groups_problem() -> str:
    """Why processes can't be limited by groups here; the empty string if both memory and processes can."""
    found = {name for place in find_places() for name in place.controllers}
    missing = [name for name in _CONTROLLERS if name not in found]
    return f"no control group can be written for {' and '.join(missing)}" if missing else ""


@cache
def find_places() -> tuple[Place, ...]:
    """Where groups can be made on this machine; groups of judges that were killed are removed on the way."""
    if sys.platform != "linux":
        return ()
    try:
        mounts, own = Path("/proc/self/mounts").read_text(), Path("/proc/self/cgroup").read_text()
    except OSError:
        return ()
    found = tuple(place for place in places_in(mounts, own) if _works(place))
    for place in found:
        _sweep(place.folder)
    return found


def places_in(mounts: str, own: str) -> list[Place]:
    """Places to be tried, the deepest first where several would do.

    Args:
        mounts: as in /proc/self/mounts.
        own: as in /proc/self/cgroup: this process's groups.
    """
    paths: dict[str, str] = {}
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        paths.update(dict.fromkeys(names.split(","), path))
    version_1: dict[str, Path] = {}
    unified: Path | None = None
    for line in mounts.splitlines():
        _, mounted, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified = Path(mounted)
        elif kind == "cgroup":
            version_1 |= {name: Path(mounted) for name in _CONTROLLERS if name in options.split(",")}
    found = []
    for name, root in version_1.items():
        folder = root / paths.get(name, "/").lstrip("/")
        # in a container the path may be the host's, and its root stands for ourselves
        found.append(Place((name,), 1, folder if folder.is_dir() else root))
    wanted = tuple(name for name in _CONTROLLERS if name not in version_1)
    if unified is not None and wanted:
        folder = unified / paths.get("", "/").lstrip("/")
        if not folder.is_dir():
            folder = unified
        for place in [folder, *folder.parents]:
            if not place.is_relative_to(unified):
                break
            offered = _words(place / "cgroup.controllers")
            if usable := tuple(name for name in wanted if name in offered):
                found.append(Place(usable, 2, place))
    return found


def make_group(memory_bytes: int, processes: int) -> Group | None:
    """A new group with these limits, or None where none can be made."""
    members = []
    name = f"{_PREFIX}{os.getpid()}-{next(_COUNT)}"
    taken: set[str] = set()
    try:
        for place in find_places():
            if taken.issuperset(place.controllers):
                continue
            taken.update(place.controllers)
            folder = place.folder / name
            folder.mkdir()
            members.append((place, folder))
            for controller, value in (("memory", memory_bytes), ("pids", processes)):
                if controller in place.controllers:
                    (folder / _LIMIT[controller, place.version]).write_text(str(value))
            if "memory" in place.controllers:
                # nothing goes to swap, where that is counted
                for swap, most in (("memory.swap.max", 0), ("memory.memsw.limit_in_bytes", memory_bytes)):
                    with contextlib.suppress(OSError):
                        if (folder / swap).exists():
                            (folder / swap).write_text(str(most))
    except OSError:
        Group(tuple(members)).kill()
        return None
    return Group(tuple(members)) if members else None


def _works(place: Place) -> bool:
    """Tries it: makes a group, sets a limit, lets a process join."""
    folder = place.folder / f"{_PREFIX}{os.getpid()}-try"
    try:
        if place.version == 2 and not set(place.controllers) <= _words(place.folder / "cgroup.subtree_control"):
            # refused with EBUSY where the place holds processes of its own
            (place.folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in place.controllers))
        folder.mkdir()
    except OSError:
        return False
    try:
        for controller in place.controllers:
            (folder / _LIMIT[controller, place.version]).write_text(str(1 << 30 if controller == "memory" else 1 << 10))
        return _joins(folder)
    except OSError:
        return False
    finally:
        Group(((place, folder),)).kill()


def _joins(folder: Path) -> bool:
    import subprocess

    script = 'echo $$ > "$0"'
    done = subprocess.run(["/bin/sh", "-c", script, str(folder / "cgroup.procs")], capture_output=True, check=False)
    return done.returncode == 0


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_PREFIX}*-*"):
        owner = left.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            Group(((Place((), 1, folder), left),)).kill()


def _processes(folder: Path) -> list[int]:
    try:
        return [int(word) for word in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _await_end(pid: int) -> None:
    """Waits a hundredth of a second at most."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        select.select([fd], [], [], 0.01)
    finally:
        os.close(fd)


def _words(path: Path) -> set[str]:
    try:
        return set(path.read_text().split())
    except OSError:
        return set()


def _count(path: Path, key: str) -> int:
    return next((value for name, value in _pairs(path) if name == key), 0)


def _pairs(path: Path) -> Iterator[tuple[str, int]]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, _, value = line.partition(" ")
        if value.isdigit():
            yield name, int(value)
