"""Constants of a task file: the literals at its top level, read and replaced in the text without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from kernelwright.errors import TaskError

__all__ = ["bindings", "constants_of", "with_constants"]


def constants_of(source: str) -> dict[str, Any]:
    """Values by name of what is bound to a literal at the top level, of the last such line each; not Python gives nothing.

    ``ROWS, COLS = 8, 128`` binds two. Sums, differences and products of whole numbers, such as ``1024 * 2``, are literals too.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found = {}
    for name, node in bindings(tree):
        try:
            found[name] = _value(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            found.pop(name, None)
    return found


def with_constants(source: str, values: Mapping[str, Any], *, path: str | None = None) -> str:
    """The source with other literals for these names; every line stays where it is.

    Raises:
        TaskError: a name is bound to no literal at the top level, or to more than one.
    """
    places: dict[str, list[ast.expr]] = {}
    for name, node in bindings(ast.parse(source)):
        places.setdefault(name, []).append(node)
    lines = source.encode().splitlines(keepends=True)  # ast counts columns in bytes
    edits = []
    for name, value in values.items():
        found = places.get(name, [])
        if len(found) != 1 or found[0].end_lineno != found[0].lineno:
            what = "no literal" if not found else "a literal of several lines" if len(found) == 1 else "several values"
            raise TaskError(
                f"a value for {name} is given, but the file gives it {what}.",
                path=path,
                mend=f"Write {name} = ... once, in one line, outside of every class and function.",
            )
        edits.append((found[0].lineno - 1, found[0].col_offset, found[0].end_col_offset or 0, repr(value)))
    for line, begin, end, text in sorted(edits, reverse=True):
        lines[line] = lines[line][:begin] + text.encode() + lines[line][end:]
    return b"".join(lines).decode()


def _value(node: ast.expr) -> Any:
    """What a literal stands for.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(node, ast.BinOp):
        return ast.literal_eval(node)
    left, right = _value(node.left), _value(node.right)
    if type(left) is int and type(right) is int and max(abs(left), abs(right)) < 1 << 63:
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
    return ast.literal_eval(node)


def bindings(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Names that the top level binds, in order, each with what it is bound to."""
    for statement in tree.body:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            pairs: list[tuple[ast.expr, ast.expr]] = [(statement.target, statement.value)]
        elif isinstance(statement, ast.Assign):
            pairs = [pair for target in statement.targets for pair in _pairs(target, statement.value)]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Name):
                yield target.id, value


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]
