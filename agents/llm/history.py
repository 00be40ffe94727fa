"""The attempts made so far, as a table for a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.agents.llm.outcomes import Outcome, outcomes, parents_of
from kernelwright.agents.llm.text import one_line
from kernelwright.agents.protocols import PastAttempt
from kernelwright.verifier.wording import duration

__all__ = ["history_table"]

MOST_ROWS = 24
"""The latest; of those before them the ones that passed are shown first."""


def history_table(attempts: Sequence[PastAttempt]) -> str:
    """One paragraph for each attempt, oldest first: from which it was made, what was tried, what came out, and what had been
    predicted. Empty if there are none."""
    ordered = sorted(attempts, key=lambda a: a.number)
    made_from = {outcome.attempt: outcome for outcome in outcomes(ordered)}
    parents, shown = parents_of(ordered), _shown(ordered)
    lines = [f"({len(ordered) - len(shown)} earlier attempts are not shown)"] if len(shown) < len(ordered) else []
    for attempt in shown:
        parent = parents.get(attempt.number)
        origin = "" if parent is None else f" from attempt {parent.number}"
        lines.append(f"Attempt {attempt.number}{origin}: {_came_out(attempt)}")
        if attempt.plan:
            lines.append(f"  tried: {one_line(attempt.plan, 240)}")
        if (outcome := made_from.get(attempt.number)) is not None:
            if not attempt.plan or outcome.predicted is not None:
                lines.append(f"  advised: {one_line(outcome.change, 300)}")
            lines.append(f"  {_prediction(outcome)}")
    return "\n".join(lines)


def _shown(attempts: list[PastAttempt]) -> list[PastAttempt]:
    if len(attempts) <= MOST_ROWS:
        return attempts
    latest = attempts[-MOST_ROWS // 2 :]
    rest = attempts[: -MOST_ROWS // 2]
    chosen = sorted(rest, key=lambda a: (not a.evaluation.passed, -a.number))[: MOST_ROWS - len(latest)]
    return [*sorted(chosen, key=lambda a: a.number), *latest]


def _came_out(attempt: PastAttempt) -> str:
    timing = attempt.evaluation.timing
    if timing is None:
        return f"{attempt.evaluation.verdict.value}. {one_line(attempt.evaluation.reason, 300)}"
    return (
        f"passed, {duration(timing.seconds)} {timing.kind.value}, {timing.speedup:.2f}x against {timing.baseline}, "
        f"{100 * timing.roofline_share:.0f} % of the roofline bound"
    )


def _prediction(outcome: Outcome) -> str:
    predicted = "no speed-up was predicted" if outcome.predicted is None else f"predicted {outcome.predicted:.2f}x"
    happened = f"it {outcome.verdict}" if outcome.verdict == "passed" else f"it came out {outcome.verdict}"
    return f"{predicted}; {happened if outcome.happened is None else f'happened {outcome.happened:.2f}x'}"
