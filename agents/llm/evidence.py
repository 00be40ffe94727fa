"""What is told of an evaluation: where it failed and by what evidence, or what it reached."""

from __future__ import annotations

import re
from typing import Any

from kernelwright.agents.llm.briefing import Briefing
from kernelwright.agents.llm.profile import profile_view
from kernelwright.agents.llm.text import numbered
from kernelwright.agents.protocols import PastAttempt
from kernelwright.verifier.evaluation import Evaluation, StageStatus, Verdict
from kernelwright.verifier.explain import Explanation, explain

__all__ = ["attempt_facts", "check_same_kernel"]

_FRAME_OF_KERNEL = re.compile(r'^[ \t]*File "<kernel>"', re.MULTILINE)
_MOST_OF_A_TRACEBACK = 8_000  # characters
_OUR_PLACES = re.compile(r"(?:/[\w.@+~-]+)+/(?=(?:site-packages|kernelwright|torch|cupy)/)")
"""Where things lie on this machine, which is nobody's business."""


def check_same_kernel(attempt: PastAttempt) -> None:
    """What was judged and profiled must be what is shown.

    Raises:
        ValueError: the evaluation is of another kernel.
    """
    if attempt.evaluation.kernel_id != attempt.kernel.id:
        raise ValueError(
            f"attempt {attempt.number}: the evaluation is of kernel {attempt.evaluation.kernel_id}, but the kernel is "
            f"{attempt.kernel.id}"
        )


def attempt_facts(attempt: PastAttempt, briefing: Briefing) -> dict[str, Any]:
    """What the templates may ask for of the kernel under judgement.

    Raises:
        ValueError: the evaluation is of another kernel.
    """
    check_same_kernel(attempt)
    evaluation, source = attempt.evaluation, attempt.kernel.source
    stages = explain(briefing.task, attempt.kernel, evaluation)
    failed = next((s for s in stages if s.status == StageStatus.FAILED.value), None)
    evidence = next((s.evidence for s in evaluation.stages if s.status is StageStatus.FAILED), {})
    lines = () if failed is None else failed.lines
    return {
        "attempt": attempt,
        "evaluation": evaluation,
        "timing": evaluation.timing,
        "passed_stages": [s.stage for s in stages if s.status in {"passed", "warned"}],
        "failed_stage": "" if failed is None else failed.stage,
        "words": "\n".join(failed.sentences) if failed is not None else _passed(stages, evaluation),
        "lines": [
            {"text": line.text, "line": line.line, "cuda_line": line.cuda_line, "column": line.column} for line in lines
        ],
        "log": str(evidence.get("log") or "").strip(),
        "traceback": _own_frames(str(evidence.get("detail") or "")),
        "profile": profile_view(evaluation, briefing.gpu),
        "numbered": bool(lines),
        "kernel_text": numbered(source) if lines else source,
    }


def _passed(stages: list[Explanation], evaluation: Evaluation) -> str:
    """Time and its parts, or why it was let go, and what static analysis warns of."""
    said = [evaluation.reason] if evaluation.verdict is Verdict.OUTCLASSED else []
    for stage in stages:
        if stage.stage in {"timing", "profile", "gpu timing"} and stage.status in {"passed", "warned"}:
            said += stage.sentences
        elif stage.stage == "static":
            said += [sentence for sentence in stage.sentences if sentence.startswith("- warn")]
    return "\n".join(said)


def _own_frames(traceback: str) -> str:
    """The frames of the kernel and what they end in; what stands above them is ours."""
    found = _FRAME_OF_KERNEL.search(traceback)
    text = (traceback[found.start() :] if found else traceback)[-_MOST_OF_A_TRACEBACK:]
    return _OUR_PLACES.sub("", text).strip()
