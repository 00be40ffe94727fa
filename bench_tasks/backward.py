"""Whether a task asks for gradients too: ``BACKWARD = True`` in its file, read without running it."""

from __future__ import annotations

import ast

from kernelwright.errors import TaskError

__all__ = ["backward_of"]


def backward_of(tree: ast.Module, path: str | None) -> bool:
    """What the file says at its top level; False if it says nothing.

    Raises:
        TaskError: `BACKWARD` is there and neither True nor False; names the line.
    """
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "BACKWARD" for target in targets):
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool):
                return node.value.value
            raise TaskError(
                "BACKWARD is neither True nor False.",
                path=path,
                line=node.lineno,
                mend="Write BACKWARD = True, as a literal, to have gradients checked too.",
            )
    return False
