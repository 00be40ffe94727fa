"""The names by which a task file says how it is to be judged, told from names that are only near to them."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable

from kernelwright.bench_tasks.constants import bindings
from kernelwright.errors import TaskError

__all__ = ["did_you_mean", "has_own_literals", "refuse_misspelt"]

_OWN = frozenset({"FAMILY", "TWIN", "VARIANTS"})
_KINDS: dict[str, tuple[type[ast.expr], ...]] = {
    "FAMILY": (ast.Constant,),
    "TWIN": (ast.Dict,),
    "VARIANTS": (ast.Dict,),
    "BACKWARD": (ast.Constant,),
    "WORKLOADS": (ast.List, ast.Tuple),
}
_CONSTANTS: dict[str, type] = {"FAMILY": str, "BACKWARD": bool}
_NEAR = 0.8  # as difflib counts: TWINS and VARIANT are, FORWARD is not


def has_own_literals(tree: ast.Module) -> bool:
    """Whether the file names one of ours at its top level: then it is read as a file of our suites is."""
    return any(name in _OWN for name, _value in bindings(tree))


def refuse_misspelt(tree: ast.Module, path: str | None) -> None:
    """Refuses a name at the top level that is almost one of ours, has its kind of value, and is read nowhere in the file.

    Raises:
        TaskError: there is one; names the line.
    """
    near = [
        (name, value, meant)
        for name, value in bindings(tree)
        if (meant := _meant(name)) is not None and _is_kind(value, meant)
    ]
    if not near:
        return
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for name, value, meant in near:
        if name not in read:
            raise TaskError(
                f"nothing reads {name}. Did you mean {meant}?",
                path=path,
                line=value.lineno,
                mend=f"Write {meant} = ..., or give it a name that is less like it.",
            )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``Did you mean ROWS?``, or nothing where no known name is near."""
    by_folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return f"Did you mean {by_folded[close[0]]}?" if close else ""


def _meant(name: str) -> str | None:
    """Which of ours a name is almost; None if it is one of them, or near to none."""
    if name in _KINDS:
        return None
    close = difflib.get_close_matches(name.strip("_").upper(), _KINDS, n=1, cutoff=_NEAR)
    return close[0] if close else None


def _is_kind(value: ast.expr, meant: str) -> bool:
    if not isinstance(value, _KINDS[meant]):
        return False
    wanted = _CONSTANTS.get(meant)
    return wanted is None or (isinstance(value, ast.Constant) and isinstance(value.value, wanted))
