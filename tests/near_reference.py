"""The linter's reference in this very process: the worker's own handlers behind the judge's own end, without a pipe between them.

For task files that the tests wrote themselves, where starting a process for each would take longer than the test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kernelwright.bench_tasks.task import Task
from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.lint_reference import LintReference
from kernelwright.sandbox.lint_worker import HANDLERS, Examined
from kernelwright.sandbox.serve import describe_error
from kernelwright.sandbox.trees import map_tensors

__all__ = ["NearReference"]


class _Near:
    """What `Worker` is to the judge."""

    alive = True

    def __init__(self) -> None:
        self._examined = Examined()

    def request(self, op: str, *, timeout: float, values: Any = None, **fields: Any) -> Message:
        """Lets the handler answer; tensors are copied on the way, as they are through a channel."""
        assert op in HANDLERS
        try:
            body, answer = getattr(self._examined, op)(Message(fields, map_tensors(values, lambda t: t.clone()), None))
        except Exception as error:  # noqa: BLE001 - as `serve.answer` does
            return Message({"ok": False, "error": describe_error(error)}, None, None)
        plain = json.loads(json.dumps({"ok": True, **body}))
        return Message(plain, map_tensors(answer, lambda t: t.clone()), None)

    def close(self) -> None:
        """Nothing to end."""


class NearReference(LintReference):
    """A Task, loaded here."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)

    def _new_worker(self) -> Any:
        return _Near()


def suite_path(tmp: Path, name: str, source: str) -> Path:
    """A file with this source."""
    path = tmp / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    return path
