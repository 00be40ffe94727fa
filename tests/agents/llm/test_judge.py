"""LlmJudge: advice in a schema, evidence that the profile has, and the other judge where no reply can be used."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from llm_doubles import BRIEFING, H200, METRICS, ScriptedModel, advice, failed_stage, past, said, texts
from search_doubles import ScriptedJudge

from kernelwright.agents.builtin.judge import RooflineJudge
from kernelwright.agents.llm.judge import IMPROVE_SCHEMA, REPAIR_SCHEMA, LlmJudge
from kernelwright.agents.models.protocol import Reply
from kernelwright.agents.protocols import Advice, PastAttempt
from kernelwright.errors import BudgetReached, ModelError
from kernelwright.verifier.evaluation import Timing, TimingKind, Verdict

PASSED = past(2, 2e-5)
FAILED = past(2, Verdict.UNSAFE, **failed_stage("sanitise", "out of bounds at line 7", {}))
ANSWER: dict[str, Any] = {
    "evidence": [{"metric": "dram__bytes_read.sum", "value": 16_777_216}],
    "limiter": "dram",
    "change": "load 16 bytes at a time",
    "expected_speedup": 1.4,
    "stop": False,
}
REPAIR: dict[str, Any] = {"cause": "the last block", "line": 7, "fix": "guard the store"}


def advise(
    *replies: str | Reply, attempt: PastAttempt = PASSED, history: tuple[PastAttempt, ...] = ()
) -> tuple[Advice, ScriptedModel, ScriptedJudge]:
    model, fallback = ScriptedModel(replies), ScriptedJudge()
    found = LlmJudge(model, BRIEFING, fallback).advise(attempt, history)
    assert len(model.asked) == len(replies)
    return found, model, fallback


def test_advice_on_a_kernel_that_passed() -> None:
    found, model, fallback = advise(json.dumps(ANSWER))
    assert (found.mode, found.limiter, found.change) == ("improve", "dram", "load 16 bytes at a time")
    assert found.expected_speedup == 1.4
    assert found.evidence == {"dram__bytes_read.sum": 16_777_216.0, "roofline_share": 0.355}
    (request,) = model.asked
    assert (str(request.place), request.prompt[:14]) == ("2/judge/0", "judge/improve@")
    assert request.schema == IMPROVE_SCHEMA
    user = request.messages[1].text
    assert PASSED.kernel.source.strip() in user
    assert all(name in user for name in METRICS)
    assert fallback.seen == []


def test_evidence_is_what_the_profile_says() -> None:
    said_of = [
        {"metric": "dram__bytes_read.sum", "value": 1.0},
        {"metric": "warp_stall_barrier", "value": 40},
        {"metric": "launch__grid_size", "value": 128},
    ]
    found, _, _ = advise(json.dumps({**ANSWER, "evidence": said_of}))
    note = found.evidence["note"]
    assert isinstance(note, str)
    assert found.evidence["dram__bytes_read.sum"] == METRICS["dram__bytes_read.sum"]
    assert found.evidence["launch__grid_size"] == 128.0
    assert "warp_stall_barrier" not in found.evidence
    assert "left out, since the profile does not have them: warp_stall_barrier" in note
    assert "dram__bytes_read.sum is 1.678e+07, not 1" in note
    assert "launch__grid_size" not in note


def test_metrics_may_come_as_an_object() -> None:
    found, _, _ = advise(json.dumps({**ANSWER, "evidence": {"launch__grid_size": 128}}))
    assert found.evidence["launch__grid_size"] == 128.0


@pytest.mark.parametrize("wanted", [0, -2, 1e300, float("nan"), float("inf")])
def test_a_speed_up_that_can_not_be_is_left_out(wanted: float) -> None:
    found, _, _ = advise(json.dumps({**ANSWER, "expected_speedup": wanted}))
    assert found.expected_speedup is None
    assert "left out an expected speed-up" in str(found.evidence["note"])


def test_a_speed_up_beyond_the_bound_is_remarked() -> None:
    found, _, _ = advise(json.dumps({**ANSWER, "expected_speedup": 50}))
    assert found.expected_speedup == 50
    assert "more than the 2.82x that the roofline bound allows" in str(found.evidence["note"])


def test_a_stop_is_taken_and_where_it_stops_is_recorded() -> None:
    found, _, _ = advise(json.dumps({**ANSWER, "stop": True, "change": "", "expected_speedup": None}))
    assert (found.mode, found.expected_speedup) == ("stop", None)
    assert found.change
    assert found.evidence["note"] == "stops at 36 % of the roofline bound"
    near = past(3, 7.2e-6)
    found, _, _ = advise(json.dumps({**ANSWER, "stop": True}), attempt=near)
    assert (found.mode, found.evidence["roofline_share"]) == ("stop", 0.9861)
    assert "note" not in found.evidence


def test_advice_on_a_kernel_that_failed() -> None:
    found, model, _ = advise(json.dumps(REPAIR), attempt=FAILED)
    assert (found.mode, found.limiter, found.change) == ("repair", "the last block", "guard the store")
    line = FAILED.kernel.source.splitlines()[6].strip()
    assert found.evidence == {"verdict": "unsafe", "stage": "sanitise", "line": 7, "source": line}
    assert model.asked[0].prompt.startswith("judge/repair@")
    assert model.asked[0].schema == REPAIR_SCHEMA
    found, _, _ = advise(json.dumps({**REPAIR, "line": 4000}), attempt=FAILED)
    assert "line" not in found.evidence
    assert found.evidence["note"] == "left out line 4000: the kernel has 14"
    endless = json.dumps({**REPAIR, "line": 7}).replace(
        "7", "0x" + "f" * 5000
    )  # Python prints no number of 6,000 digits
    found, _, _ = advise(endless, attempt=FAILED)
    assert found.evidence["note"] == "left out line far beyond: the kernel has 14"


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("", "it is empty"),
        ("It is the memory.", "no JSON object"),
        (json.dumps(ANSWER)[:-20], "no JSON object"),
        (said(json.dumps(ANSWER)[:-20], "length"), "cut off"),
        (said("no", "refusal"), "refusal"),
        (json.dumps({**ANSWER, "change": "  "}), "`change` is empty"),
        (json.dumps({"limiter": "dram"}), "is wrong"),
        (json.dumps(REPAIR), "is wrong"),
    ],
)
def test_a_reply_that_can_not_be_used_goes_back_once(bad: str | Reply, told: str) -> None:
    found, model, fallback = advise(bad, json.dumps(ANSWER))
    assert found.change == ANSWER["change"]
    assert model.places == ["2/judge/0", "2/judge/1"]
    assert model.asked[1].prompt.startswith("judge/unusable@")
    assert told in model.asked[1].messages[-1].text
    assert fallback.seen == []


def test_then_the_other_judge_advises_and_it_is_said() -> None:
    found, _, fallback = advise("no", "no", history=(past(1, 3e-5),))
    assert found.change == "improve: wider loads"
    assert fallback.seen == [(PASSED, (past(1, 3e-5),))]
    assert found.evidence["note"] == (
        "by the scripted judge: no usable reply of openai:scripted: it holds no JSON object."
    )
    assert found.evidence["waves"] == 3


def test_the_roofline_judge_can_stand_in() -> None:
    found = LlmJudge(ScriptedModel(["no", "no"]), BRIEFING, RooflineJudge(H200, {})).advise(FAILED, ())
    assert found.mode == "repair"
    assert "by the roofline judge" in str(found.evidence["note"])


def test_what_the_model_raises_goes_up() -> None:
    with pytest.raises(ModelError, match="no reply"):
        LlmJudge(ScriptedModel([ModelError("no reply")]), BRIEFING, ScriptedJudge()).advise(PASSED, ())


@pytest.mark.parametrize("replies", [[], ["no"]])
def test_a_used_budget_leaves_the_advice_to_the_other_judge(replies: list[str]) -> None:
    model = ScriptedModel([*replies, BudgetReached("The budget is used.")])
    found = LlmJudge(model, BRIEFING, ScriptedJudge()).advise(PASSED, ())
    assert found.change == "improve: wider loads"
    assert "the budget allows no call" in str(found.evidence["note"])


def test_the_evaluation_must_be_of_the_kernel() -> None:
    with pytest.raises(ValueError, match="the evaluation is of kernel"):
        advise(attempt=PastAttempt(1, past(1, 1e-5).kernel, PASSED.evaluation))


def test_what_was_predicted_is_shown_beside_what_happened() -> None:
    first = replace(past(1, 4e-5), advice=advice("use shared memory", 3.0))
    second = past(2, 2e-5, parent=first)
    _, model, _ = advise(json.dumps(ANSWER), attempt=second, history=(first,))
    text = texts(model.asked[0])
    assert "advised: use shared memory" in text
    assert "predicted 3.00x; happened 2.00x" in text


def test_a_measured_time_is_called_measured() -> None:
    timing = Timing(kind=TimingKind.MEASURED, gpu="H200", seconds=2e-5, baseline_seconds=3e-5, bound_seconds=7.1e-6)
    device = PASSED.evaluation.device.model_copy(update={"kind": "cuda"})
    attempt = replace(PASSED, evaluation=PASSED.evaluation.model_copy(update={"timing": timing, "device": device}))
    _, model, _ = advise(json.dumps(ANSWER), attempt=attempt)
    assert "20.0 µs measured" in texts(model.asked[0])
