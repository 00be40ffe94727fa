"""Finds a suite by name, or reads one from a path in whichever of the known formats it is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from kernelwright.bench_tasks.imported import apply_import, imported_names, read_import
from kernelwright.bench_tasks.literals import did_you_mean
from kernelwright.bench_tasks.own import OWN, own_suite
from kernelwright.bench_tasks.suite import Suite
from kernelwright.errors import NotFoundError

__all__ = ["find_suite", "name_of", "read_collection", "readers", "suite_names"]

_READERS = ("robust_kbench", "flashinfer", "gpu_mode", "kernelbench")
"""Modules of `kernelwright.bench_tasks.readers`, in the order in which they are asked: the one that takes any folder of task
files comes last."""
_LONGEST = 48  # characters of a suite's name that is a folder's
_FORMATS = (
    "KernelBench has folders level1, level2, ... of files with class Model and get_inputs(); robust-kbench a folder for each task "
    "with func_forward.py and config_forward.json; FlashInfer-Bench .json definitions in a folder definitions; GPU MODE a folder "
    "for each task with task.yml and reference.py."
)


def readers() -> Iterator[Any]:
    """The reader modules, each imported when its turn comes."""
    for name in _READERS:
        yield import_module(f"kernelwright.bench_tasks.readers.{name}")


def suite_names(imported: Path | None = None) -> tuple[str, ...]:
    """Suites that have a name: ours, then those that were imported.

    Args:
        imported: the folder that says where imported ones lie (`suites` in the data folder of the settings).
    """
    return (*OWN, *(name for name in imported_names(imported) if name not in OWN))


def find_suite(name: str, imported: Path | None = None) -> Suite:
    """The suite of this name, or the one at this path. A name comes before a folder that is called the same: `./NAME` is the folder.

    Args:
        imported: as in `suite_names`.

    Raises:
        NotFoundError: there is neither, or an imported one is no longer there.
        ConfigError: what is kept of an imported one can't be read.
    """
    if name in OWN:
        return own_suite(name)
    if imported is not None and name in imported_names(imported):
        return apply_import(read_import(imported, name), read_collection)
    if Path(name).exists():
        return read_collection(Path(name))
    if "/" in name or "\\" in name or Path(name).suffix in {".py", ".json", ".yml"}:
        raise NotFoundError("there is no such file or folder.", path=name, mend="Check the path.")
    known = suite_names(imported)
    near = did_you_mean(name, known)
    raise NotFoundError(
        f"there is no suite called {name!r}.", mend=f"{near} There are {', '.join(known)}; or give a path.".lstrip()
    )


def read_collection(path: Path) -> Suite:
    """The suite at `path`: a folder, or one file. It is called as the folder or file is (`name_of`).

    Raises:
        NotFoundError: nothing is there, or nothing in a format that is known.
        TaskError: it is a Python file and no task.
    """
    if not path.exists():
        raise NotFoundError("there is no such file or folder.", path=str(path), mend="Check the path.")
    for reader in readers():
        # a Python file that is named is to be a task: the last reader says why it is none
        if reader.recognises(path) or (reader.__name__.endswith(".kernelbench") and _is_python(path)):
            suite: Suite = reader.read(path)
            return replace(suite, name=name_of(path, suite.format))
    raise NotFoundError("nothing there is in a format that is known.", path=str(path), mend=_FORMATS)


def name_of(path: Path, format_: str = "kernelbench") -> str:
    """What the suite at a path is called: the name of its folder or file in lower case, of letters, digits, dots, hyphens and
    underscores; never that of one of our own suites."""
    place = path.resolve()
    if place.is_file() and format_ in {"robust-kbench", "gpu-mode"}:  # there a task is a folder
        place = place.parent
    word = place.stem if place.is_file() else place.name
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))
    plain = re.sub(r"[^a-z0-9._-]+", "_", plain).strip("._-")[:_LONGEST] or "tasks"
    return f"{plain}-tasks" if plain in OWN else plain


def _is_python(path: Path) -> bool:
    return path.suffix == ".py" and path.is_file()
