"""LlmJudge: a language model as the judge of what to change next."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from kernelwright.agents.llm.briefing import Briefing
from kernelwright.agents.llm.conversation import Conversation, Options
from kernelwright.agents.llm.evidence import attempt_facts
from kernelwright.agents.llm.facts import briefing_facts
from kernelwright.agents.llm.history import history_table
from kernelwright.agents.llm.json_reply import ReplyProblem, read_object, strict_schema
from kernelwright.agents.llm.profile import ProfileView
from kernelwright.agents.llm.templates import render
from kernelwright.agents.llm.text import one_line, visible
from kernelwright.agents.models.protocol import ModelClient, Reasoning, Reply
from kernelwright.agents.protocols import Advice, Judge, PastAttempt
from kernelwright.errors import BudgetReached

__all__ = ["IMPROVE_SCHEMA", "REPAIR_SCHEMA", "LlmJudge"]

_TRIES = 2
_MOST_EVIDENCE = 12
_MOST_CHANGE = 4_000  # characters
_AGREES = 0.02
"""Relative: a figure that the judge quotes and that is further from the profile's is put right."""
_EARLY_STOP = 0.9
"""Share of the roofline bound below which a stop is remarked upon."""


def _as_list(value: Any) -> Any:
    """`{"metric": value}` is let pass for a list of them, and None for an empty one."""
    if isinstance(value, dict) and "metric" not in value:
        return [{"metric": str(name), "value": figure} for name, figure in value.items()]
    return [] if value is None else value


class _Metric(BaseModel):
    metric: str = Field(description="a name from the table of metrics")
    value: float


class _Improve(BaseModel):
    """What is asked for of a kernel that passed. Evidence comes first, so that it is looked for first."""

    evidence: Annotated[list[_Metric], BeforeValidator(_as_list)] = Field(description="the metrics that show it")
    limiter: str = Field(description="what limits the kernel, in a word or two")
    change: str = Field(description="one change, in words that can be followed")
    expected_speedup: float | None = Field(default=None, description="time before over time after; null if unknown")
    stop: bool = Field(default=False, description="true if nothing is left that is worth trying")


class _Repair(BaseModel):
    cause: str = Field(description="why it fails")
    line: int | None = Field(
        default=None, description="line of the kernel's file, counted from 1; null if it is no single one"
    )
    fix: str = Field(description="the smallest change that mends it")


IMPROVE_SCHEMA = strict_schema(_Improve)
REPAIR_SCHEMA = strict_schema(_Repair)


class LlmJudge:
    """A Judge (see `kernelwright.agents.protocols`) that asks a model.

    Where two replies in turn can't be used, or the budget does not allow the call, it is `fallback` that advises, and the
    evidence says so in `note`: what was evaluated is kept with some advice, whatever happens.

    Args:
        fallback: needs no network, as a rule the roofline judge.
    """

    def __init__(
        self, model: ModelClient, briefing: Briefing, fallback: Judge, *, reasoning: Reasoning | None = None,
        temperature: float | None = None, max_output_tokens: int = 8_192,
    ) -> None:  # fmt: skip
        self.name = model.name
        self.model, self.briefing, self.fallback = model, briefing, fallback
        self.options = Options(reasoning, temperature, max_output_tokens)
        self._facts = briefing_facts(briefing)

    def advise(self, attempt: PastAttempt, history: tuple[PastAttempt, ...]) -> Advice:
        """Advice for the attempt after `attempt`; `history` holds those before it.

        Raises:
            ModelError: no reply came.
            ValueError: the evaluation is of another kernel: what was profiled must be what is shown.
        """
        facts = {**self._facts, **attempt_facts(attempt, self.briefing), "history": history_table((*history, attempt))}
        passed = attempt.evaluation.passed
        talk = Conversation(
            self.model, render("judge/improve" if passed else "judge/repair", facts), attempt.number, "judge",
            self.options, again="judge/unusable", tries=_TRIES,
            schema=IMPROVE_SCHEMA if passed else REPAIR_SCHEMA, schema_name="improve" if passed else "repair",
        )  # fmt: skip
        try:
            return self._asked(talk, attempt, facts)
        except (ReplyProblem, BudgetReached) as problem:
            advice = self.fallback.advise(attempt, history)
            why = "the budget allows no call" if isinstance(problem, BudgetReached) else str(problem)
            note = f"by the {self.fallback.name} judge: no usable reply of {self.name}: {why}"
            return advice.model_copy(update={"evidence": {**advice.evidence, "note": one_line(note, 500)}})

    def _asked(self, talk: Conversation, attempt: PastAttempt, facts: dict[str, Any]) -> Advice:
        """What the model says, asked again as often as it may be; raises ReplyProblem when none of it can be used."""
        reply = talk.ask()
        while True:
            try:
                if attempt.evaluation.passed:
                    return _improve(_object(reply, _Improve), attempt, facts["profile"])
                return _repair(_object(reply, _Repair), attempt)
            except ReplyProblem as problem:
                if talk.turn + 1 >= _TRIES:
                    raise
                reply = talk.ask_again(str(problem))


def _object(reply: Reply, form: type[Any]) -> Any:
    if reply.stop_reason == "refusal":
        raise ReplyProblem("it is a refusal.")
    try:
        return read_object(reply.text, form)
    except ReplyProblem as problem:
        if reply.stop_reason == "length":
            raise ReplyProblem(f"it was cut off at the limit of tokens; be brief ({problem})") from problem
        raise


def _improve(found: _Improve, attempt: PastAttempt, profile: ProfileView | None) -> Advice:
    change = visible(found.change).strip()
    if not change and not found.stop:
        raise ReplyProblem("`change` is empty.")
    timing = attempt.evaluation.timing
    assert timing is not None
    evidence, notes = _evidence(found.evidence, profile)
    evidence["roofline_share"] = round(timing.roofline_share, 4)
    if found.stop and timing.roofline_share < _EARLY_STOP:
        notes.append(f"stops at {100 * timing.roofline_share:.0f} % of the roofline bound")
    speedup = None if found.stop else found.expected_speedup
    if speedup is not None and not (math.isfinite(speedup) and 0 < speedup < 1e6):
        notes.append(f"left out an expected speed-up of {speedup:g}")
        speedup = None
    if speedup is not None and timing.seconds / speedup < 0.999 * timing.bound_seconds:
        notes.append(
            f"expects {speedup:.2f}x, more than the {timing.seconds / timing.bound_seconds:.2f}x that the roofline bound allows"
        )
    if notes:
        evidence["note"] = "; ".join(notes)[:1000]
    return Advice(
        mode="stop" if found.stop else "improve",
        limiter=one_line(found.limiter, 120) or "not said",
        evidence=evidence,
        change=change[:_MOST_CHANGE] or "Nothing is left that is worth trying.",
        expected_speedup=speedup,
    )


def _evidence(said: list[_Metric], profile: ProfileView | None) -> tuple[dict[str, float | int | str], list[str]]:
    """The metrics that the profile has, with its own figures; and what was wrong with the others."""
    evidence: dict[str, float | int | str] = {}
    unknown, wrong = [], []
    for each in said[:_MOST_EVIDENCE]:
        name, stated = each.metric.strip(), each.value if math.isfinite(each.value) else None
        value = None if profile is None else profile.value(name, stated)
        if value is None:
            unknown.append(one_line(name, 80))
            continue
        evidence[name] = value
        if stated is None or abs(stated - value) > _AGREES * max(abs(value), abs(stated)):
            wrong.append(f"{name} is {value:.4g}, not {each.value:.4g}")
    notes = [f"left out, since the profile does not have them: {', '.join(unknown)}"] if unknown else []
    return evidence, notes + wrong


def _repair(found: _Repair, attempt: PastAttempt) -> Advice:
    fix, cause = visible(found.fix).strip(), one_line(found.cause, 400)
    if not fix:
        raise ReplyProblem("`fix` is empty.")
    evaluation = attempt.evaluation
    evidence: dict[str, float | int | str] = {"verdict": evaluation.verdict.value}
    if evaluation.stages:
        evidence["stage"] = evaluation.stages[-1].name
    lines = attempt.kernel.source.splitlines()
    if found.line is not None:
        if 0 < found.line <= len(lines):
            evidence["line"] = found.line
            evidence["source"] = one_line(lines[found.line - 1], 200)
        else:
            # one with more than 4,300 digits, which Python does not print, can come in as a hexadecimal number
            which = str(found.line) if abs(found.line) < 10**18 else "far beyond"
            evidence["note"] = f"left out line {which}: the kernel has {len(lines)}"
    return Advice(mode="repair", limiter=cause or "not said", evidence=evidence, change=fix[:_MOST_CHANGE])
