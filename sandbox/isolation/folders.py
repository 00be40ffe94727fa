"""What of the file system a fenced-in worker sees: the system's programs and libraries, Python, torch, this package."""

from __future__ import annotations

import os
import shutil
import site
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import kernelwright
from kernelwright.sandbox.cxx import find_cxx

__all__ = ["private_folders", "python_folders", "system_folders"]

_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix/store", "gnu/store")
_SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "OpenCL", "nsswitch.conf")


def system_folders() -> list[Path]:
    """Programs, libraries and the few files of /etc that finding them takes. None of them is a person's."""
    found = [Path("/", name) for name in _SYSTEM] + [Path("/etc", name) for name in _SETTINGS]
    return [path for path in found if os.path.lexists(path)]


@cache
def python_folders() -> tuple[Path, ...]:
    """The interpreter's folders, its packages', this package's and the C++ compiler's, outside of `system_folders`.

    Both the names by which programs know them and the places where they lie; no folder is in another one.
    """
    package = Path(kernelwright.__file__).parent
    found = [
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(sys.exec_prefix),
        *map(Path, site.getsitepackages()),
        package,
    ]
    found += [entry for entry in package.iterdir() if entry.is_symlink()]  # in a checkout its folders lie beside it
    for name in ("torch", "nvidia", "numpy", "cuda"):
        spec = find_spec(name)
        found += map(Path, spec.submodule_search_locations or ()) if spec else []
    compiler = find_cxx()
    program = shutil.which(compiler) if compiler else None
    if program is not None and (prefix := Path(program).resolve().parent.parent) != Path("/"):
        found.append(prefix)
    for entry in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if entry and Path(entry) not in (Path.home(), *Path.home().parents):
            found.append(Path(entry))
    found += [path.resolve() for path in found]
    system = system_folders()
    return tuple(
        path for path in _outermost(path for path in found if path.exists()) if not _within(path.resolve(), system)
    )


def private_folders() -> list[Path]:
    """Where people keep keys: hidden from programs that see the whole file system."""
    home = Path(os.path.expanduser("~"))
    names = (".ssh", ".aws", ".config", ".docker", ".gnupg", ".kube")
    return [home / name for name in names if (home / name).is_dir()]


def _outermost(paths: Iterable[Path]) -> list[Path]:
    kept: list[Path] = []
    for path in sorted(set(paths)):
        # a link inside a folder that is shown is there already, but what it points to may not be
        if not _within(path, kept):
            kept.append(path)
    return kept


def _within(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
