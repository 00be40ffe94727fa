"""The stages of a verdict: timed, told to the observer, kept; the first that fails is the last."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kernelwright.errors import LaunchError
from kernelwright.events import Observer, StageFinished, StageStarted
from kernelwright.sandbox.candidate import CandidateFailure
from kernelwright.verifier.evaluation import Stage, StageStatus, Verdict
from kernelwright.verifier.wording import excerpt, failure_reason, sentence

__all__ = ["OpenStage", "StageFailed", "Stages"]

_VERDICTS = {
    "build": Verdict.COMPILE_ERROR,
    "unsupported": Verdict.UNSUPPORTED,
    "launch": Verdict.CRASHED,
    "python": Verdict.CRASHED,
    "memory": Verdict.CRASHED,
    "crashed": Verdict.CRASHED,
    "timeout": Verdict.TIMEOUT,
    "protocol": Verdict.CHEATING,
    "unsafe": Verdict.UNSAFE,
}


class StageFailed(Exception):
    """A stage found the verdict."""

    def __init__(self, verdict: Verdict, reason: str, summary: str, evidence: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.summary = summary
        self.evidence = evidence or {}


@dataclass
class OpenStage:
    """What a running stage fills in."""

    summary: str = ""
    status: StageStatus = StageStatus.PASSED
    evidence: dict[str, Any] | None = None


class Stages:
    """Those of one evaluation.

    Args:
        source: the kernel's, to quote from.
    """

    def __init__(self, source: str, observer: Observer) -> None:
        self.source, self.observer = source, observer
        self.ended: list[Stage] = []

    @contextmanager
    def run(self, name: str) -> Iterator[OpenStage]:
        """Times a stage, records how it ended, and tells the observer."""
        self.observer(StageStarted(name))
        start, open_stage = time.perf_counter(), OpenStage()
        try:
            yield open_stage
        except StageFailed as failure:
            # nothing is wrong with a kernel that is let go: the rest of its stage was not done
            let_go = failure.verdict is Verdict.OUTCLASSED
            open_stage.status = StageStatus.SKIPPED if let_go else StageStatus.FAILED
            open_stage.summary, open_stage.evidence = failure.summary, failure.evidence
            raise
        except LaunchError as error:  # a block that does not fit on the GPU it is modelled for
            open_stage.status, open_stage.summary = StageStatus.FAILED, "launch refused"
            raise StageFailed(
                Verdict.CRASHED, sentence(f"A launch was refused: {error}"), open_stage.summary
            ) from error
        except CandidateFailure as failure:
            verdict = _VERDICTS[failure.kind]
            open_stage.status, open_stage.summary = StageStatus.FAILED, verdict.value.replace("_", " ")
            open_stage.evidence = {
                "kind": failure.kind,
                "line": failure.line,
                "log": failure.log,
                "detail": failure.detail,
                "excerpt": excerpt(failure, self.source),
            }
            raise StageFailed(verdict, failure_reason(failure), open_stage.summary, open_stage.evidence) from failure
        finally:
            seconds = time.perf_counter() - start
            self.ended.append(
                Stage(
                    name=name, status=open_stage.status, summary=open_stage.summary, seconds=seconds,
                    evidence=open_stage.evidence or {},
                )
            )  # fmt: skip
            self.observer(StageFinished(name, open_stage.status.value, open_stage.summary, seconds))
