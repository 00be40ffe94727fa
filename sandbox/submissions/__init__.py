"""Adapters: submissions in the formats of other systems, made into a module with `ModelNew`.

Each module has `SUFFIXES`, how such files end, and ``kernel_of(task, text, path) -> str``, the source of the kernel; it raises
KernelError where the text is no submission for that task. Text only: nothing is run.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["adapter_for"]

_ADAPTERS: dict[str, str] = {"robust-kbench": "robust_kbench"}
"""Modules of this package by `Task.format`."""


def adapter_for(task_format: str, suffix: str) -> Any | None:
    """The module that takes files ending in `suffix` for tasks of a format; None where there is none."""
    if task_format not in _ADAPTERS:
        return None
    module = import_module(f"kernelwright.sandbox.submissions.{_ADAPTERS[task_format]}")
    return module if suffix.lower() in module.SUFFIXES else None
