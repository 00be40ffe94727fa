"""Reports that are kept by the content of their task, so that a task is linted once and others can ask what was found."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

from kernelwright.bench_tasks.suite import Scale, SuiteTask
from kernelwright.verifier.lint.report import LintReport

__all__ = ["keep_report", "kept_report"]

_log = logging.getLogger(__name__)
_VERSION = 2
"""Of the linter: what an older one found is not taken for what this one would find."""


def kept_report(cache: Path, each: SuiteTask, scale: Scale) -> LintReport | None:
    """What was found in this very task at this scale; None if it was not linted.

    Args:
        cache: the cache folder of the settings.

    Raises:
        TaskError: as `SuiteTask.at`.
    """
    file = _file(cache, each, scale)
    try:
        report = LintReport.from_json(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("the kept report of %s can't be read: %s", each.name, error)
        return None
    return replace(report, task=each.name)


def keep_report(cache: Path, each: SuiteTask, scale: Scale, report: LintReport) -> None:
    """Keeps it, whole or not at all. One of a task that could not be used is not kept: what it lacked may be there next time."""
    if any(finding.rule in ("not-usable", "not-attacked") for finding in report.findings):
        return
    file = _file(cache, each, scale)
    part = file.with_name(f".{file.stem}.{os.getpid()}.{threading.get_ident()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(report.to_json()), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        _log.warning("the report of %s can't be kept: %s", each.name, error)


def _file(cache: Path, each: SuiteTask, scale: Scale) -> Path:
    parts = (each.task.id, each.at(scale).id, scale.value, each.full_only, str(sorted(each.twin.items())))
    key = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:24]
    return cache / "lint" / str(_VERSION) / key[:2] / f"{key}.json"
