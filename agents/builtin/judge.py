"""The roofline judge: reads the counters of a kernel's launches, says what limits them, and proposes the next change.

It works from the best kernel so far. Changes of its knobs are forecast on its counters (`verifier.model.what_if`) and
priced by the performance model; what earlier attempts showed about a knob overrules the forecast (`moves`, `lessons`).
No randomness, no state: the same history gives the same advice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kernelwright.agents.builtin.forecast import launches_of
from kernelwright.agents.builtin.lessons import Value, best, seconds
from kernelwright.agents.builtin.moves import find_moves
from kernelwright.agents.protocols import Advice, PastAttempt
from kernelwright.verifier.evaluation import Evaluation, StageStatus, Verdict
from kernelwright.verifier.model.diagnosis import Diagnosis, diagnose, launch_bound
from kernelwright.verifier.model.gpus import Gpu
from kernelwright.verifier.model.kernel_time import kernel_time

__all__ = ["RooflineJudge"]

NEAR_BOUND = 0.97
"""Share of the roofline bound at which nothing more is tried: the model itself is not better than 3 %."""

_CAUSES: dict[Verdict, tuple[str, str]] = {
    Verdict.REJECTED: ("rejected by a rule", "Follow the rule that is named and change nothing else."),
    Verdict.COMPILE_ERROR: (
        "does not compile",
        "Mend the first error the compiler names; later ones often follow from it.",
    ),
    Verdict.CRASHED: (
        "crashed",
        "Check the sizes, types and order of the launch arguments against the kernel's signature.",
    ),
    Verdict.TIMEOUT: ("timeout", "Look for a loop whose bound never changes, or do much less work per thread."),
    Verdict.UNSAFE: (
        "unsafe memory access",
        "Guard the access at the line that is named, and check how the grid covers the shape.",
    ),
    Verdict.WRONG: (
        "wrong result",
        "Check indexing at the edges, the order of accumulation, and what padding lanes contribute.",
    ),
    Verdict.CHEATING: ("outputs are not its own", "Compute every output in the kernels themselves."),
    Verdict.UNSUPPORTED: ("not supported here", "Avoid the instruction or feature that is named."),
    Verdict.OUTCLASSED: ("slower than the best", "Take another way than this one."),
}
_VIOLATIONS: dict[str, str] = {
    "out_of_bounds": "Add a bounds check before that line: the last block covers more than the data.",
    "misaligned": "Vector accesses need aligned addresses: use a narrower vector, or handle the rest one by one.",
    "null_pointer": "Check the order of the launch arguments.",
    "uninitialised_read": "Write the value, then synchronise, before it is read.",
    "shared_race": "Put __syncthreads() between the write and the read.",
    "global_race": "Blocks write the same place: give each its own, or use atomics.",
    "divergent_barrier": "Move __syncthreads() out of the branch, so that every thread meets it.",
    "missing_lanes": "Let all lanes of the mask take part in the warp operation.",
    "exit_before_barrier": "Do not return before a later __syncthreads(); guard the work instead.",
    "endless_loop": "Check that the loop's condition changes.",
}


class RooflineJudge:
    """A Judge for any kernel; for kernels of a parameterised coder it also names the parameters to change.

    Args:
        gpu: the card that times are modelled for.
        space: legal values by `"<kernel function>.<knob>"`; empty for other authors.
    """

    name = "roofline"

    def __init__(self, gpu: Gpu, space: Mapping[str, tuple[Value, ...]]) -> None:
        self.gpu = gpu
        self.space = {key: tuple(values) for key, values in space.items()}

    def advise(self, attempt: PastAttempt, history: tuple[PastAttempt, ...]) -> Advice:
        """Advice for the attempt after `attempt`; `history` holds those before it, oldest first."""
        attempts = (*history, attempt)
        base = best(attempts)
        # a kernel that can't beat the best is right as far as was seen: there is nothing to repair
        let_go = attempt.evaluation.verdict is Verdict.OUTCLASSED
        if base is None or not (attempt.evaluation.passed or let_go):
            return self._repair(attempt, base, attempts)
        return self._improve(attempt, base, attempts)

    # -- after a failure ----------------------------------------------------------------------------------------

    def _repair(self, attempt: PastAttempt, base: PastAttempt | None, attempts: Sequence[PastAttempt]) -> Advice:
        evaluation = attempt.evaluation
        cause, advice = _CAUSES.get(evaluation.verdict, ("failed", "Read the reason and mend that first."))
        failed = next((s for s in evaluation.stages if s.status is StageStatus.FAILED), None)
        evidence: dict[str, float | int | str] = {"verdict": evaluation.verdict.value}
        if failed is not None:
            evidence["stage"] = failed.name
            for name, value in failed.evidence.items():
                if isinstance(value, (int, float, str)):
                    evidence[name] = value if not isinstance(value, str) else value[:500]
        told = f"{evaluation.reason} {failed.evidence if failed else ''}"
        for kind, hint in _VIOLATIONS.items():
            if kind in told:
                evidence["violation"] = kind
                advice = hint
                break
        parameters: dict[str, Value] = {}
        if base is not None:
            moves = find_moves(base, attempts, self.space, self.gpu)
            if moves:
                parameters = moves[0].parameters
            advice = f"{advice} Go on from attempt {base.number}, which passed."
        elif evidence.get("violation") == "misaligned":
            narrow = {k: min(int(v) for v in vs) for k, vs in self.space.items() if k.endswith(".vector_width")}
            parameters = {k: v for k, v in narrow.items() if attempt.kernel.parameters.get(k) != v}
        return Advice(
            mode="repair",
            limiter=cause,
            evidence=evidence,
            change=f"{evaluation.reason.rstrip('.')}. {advice}",
            parameters=parameters,
        )

    # -- after a success ----------------------------------------------------------------------------------------

    def _improve(self, attempt: PastAttempt, base: PastAttempt, attempts: Sequence[PastAttempt]) -> Advice:
        timing = base.evaluation.timing
        assert timing is not None
        row, diagnosis = self._costliest(base.evaluation)
        moves = [] if timing.roofline_share >= NEAR_BOUND else find_moves(base, attempts, self.space, self.gpu)
        if moves and moves[0].kernel != row:
            row, diagnosis = self._launch(base.evaluation, moves[0].kernel) or (row, diagnosis)
        evidence = dict(diagnosis.evidence)
        evidence["roofline_share"] = round(timing.roofline_share, 4)
        if attempt.number != base.number:
            evidence["best_attempt"] = base.number
            if attempt.evaluation.passed:
                evidence["this_attempt_over_best"] = round(seconds(attempt) / timing.seconds, 4)
        if timing.roofline_share >= NEAR_BOUND:
            return Advice(
                mode="stop",
                limiter=timing.bound_by or diagnosis.limiter,
                evidence=evidence,
                change=f"Attempt {base.number} is at {100 * timing.roofline_share:.0f} % of the roofline bound.",
            )
        if moves:
            move = moves[0]
            return Advice(
                mode="improve",
                limiter=diagnosis.limiter,
                evidence=evidence,
                change=f"{row}: {diagnosis.finding} Next to try: {move}",
                parameters=move.parameters,
                expected_speedup=move.forecast,
            )
        if self.space:
            # After the first attempt the coder may have more in mind than steps from there: its usual choice.
            return Advice(
                mode="stop" if len(attempts) > 1 else "improve",
                limiter=diagnosis.limiter,
                evidence=evidence,
                change=f"{row}: {diagnosis.finding} Nothing is left that the model expects to help.",
            )
        bound = timing.seconds / timing.bound_seconds
        return Advice(
            mode="improve",
            limiter=diagnosis.limiter,
            evidence=evidence,
            change=f"{row}: {diagnosis.finding} {diagnosis.remedy} The bound is {bound:.2f}x away.",
        )

    def _costliest(self, evaluation: Evaluation) -> tuple[str, Diagnosis]:
        """The launch (or torch operation) furthest above its own bound, in seconds, and what limits it."""
        reports = launches_of(evaluation)
        excess = [(kernel_time(r, self.gpu).seconds - launch_bound(r, self.gpu), -i) for i, r in enumerate(reports)]
        worst = max(excess, default=(float("-inf"), 0))
        timing = evaluation.timing
        torch_rows = [
            row for row in (timing.breakdown if timing else []) if str(row.get("name", "")).startswith("aten.")
        ]
        slowest = max(torch_rows, key=lambda row: float(row["seconds"]), default=None)
        if slowest is not None and (
            not reports or float(slowest["seconds"]) > 2 * kernel_time(reports[-worst[1]], self.gpu).seconds
        ):
            name = str(slowest["name"])
            finding = "Most of the time is spent in an operation that stays in torch."
            evidence: dict[str, float | int | str] = {
                "operation": name,
                "microseconds": round(1e6 * slowest["seconds"], 3),
            }
            limiter = str(slowest.get("limited_by", "torch"))
            return name, Diagnosis(limiter, evidence, finding, "Write a kernel for it too.")
        if not reports:
            return "the call", Diagnosis("unknown", {}, "No launch was profiled.", "Profile it first.")
        if len(reports) > 1 and timing is not None and len(reports) * self.gpu.launch_seconds > 0.5 * timing.seconds:
            share = len(reports) * self.gpu.launch_seconds / timing.seconds
            return "the call", Diagnosis(
                "launch",
                {"launches": len(reports), "launch_share": round(share, 3)},
                f"{len(reports)} launches cost {100 * share:.0f} % of the time.",
                "Fuse kernels so that fewer are launched.",
            )
        report = reports[-worst[1]]
        return report.kernel, diagnose(report, kernel_time(report, self.gpu), self.gpu)

    def _launch(self, evaluation: Evaluation, kernel: str) -> tuple[str, Diagnosis] | None:
        """What limits the slowest launch of this kernel; None if it was not launched."""
        mine = [(kernel_time(r, self.gpu), r) for r in launches_of(evaluation) if r.kernel == kernel]
        if not mine:
            return None
        time, report = max(mine, key=lambda pair: pair[0].seconds)
        return kernel, diagnose(report, time, self.gpu)
