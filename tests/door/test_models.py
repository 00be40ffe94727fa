"""Every strategy with a language model on real tasks: real kernels through the real SDKs, judged by the real verifier."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kernelwright.agents.model_server import ScriptedServer, serving
from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings, load_settings
from kernelwright.db.store import Store
from kernelwright.events import Event, StageFinished, ignore
from kernelwright.jobs import Outcome, optimize_task
from kernelwright.rl.archive.islands import ArchiveSettings
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import TimingKind, Verdict

EXAMPLES = Path(__file__).parents[2] / "examples"
MODELS = EXAMPLES / "models"
TASKS = {
    "softmax": ("openai:scripted", {"ROWS": 512}),
    "rms_norm": ("anthropic:scripted", {"TOKENS": 256}),
    "swiglu": ("compatible", {"TOKENS": 256}),
    "linear_relu": ("openai:scripted", {}),
    "gelu_bias_dropout_residual": ("anthropic:scripted", {"SEQUENCE": 16}),
}
"""The model that writes, and the sizes in the module that are made smaller for the emulator."""
FAILS = {"broken": Verdict.COMPILE_ERROR, "wrong": Verdict.WRONG}
CODER, JUDGE, VOTER = "You write CUDA kernels", "You read what a verifier found", "You read a CUDA kernel before"
IMPROVE = {"evidence": [], "limiter": "latency", "change": "more bytes a load", "expected_speedup": 1.5, "stop": False}
REPAIR = {"cause": "the stage says it", "line": None, "fix": "mend it"}


def task_of(name: str) -> Task:
    source = (EXAMPLES / f"{name}.py").read_text()
    for size, value in TASKS[name][1].items():
        source, changed = re.subn(rf"^{size} = \d+$", f"{size} = {value}", source, flags=re.MULTILINE)
        assert changed == 1
    return Task(name, source)


def says(name: str, kind: str, **when: Any) -> dict[str, Any]:
    """The coder's reply with one of the kernels."""
    return {
        "when": {"system": CODER, **when},
        "text": f"PLAN: the {kind} one",
        "file": str(MODELS / name / f"{kind}.py"),
    }


def judge(*, stops: bool) -> list[dict[str, Any]]:
    forever: dict[str, Any] = {"times": "forever"}
    return [
        {"when": {"system": JUDGE, "prompt": r"Attempt \d+ failed"}, "json": REPAIR, **forever},
        {"when": {"system": JUDGE}, "json": IMPROVE},
        {"when": {"system": JUDGE}, "json": {**IMPROVE, "stop": stops}, **forever},
    ]


@contextmanager
def scripted(
    replies: list[dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ScriptedServer, str]]:
    """A server, and what --model names."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-scripted-0123456789")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-scripted-0123456789")
    with serving({"replies": replies}) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.anthropic_url)
        model = TASKS[name][0]
        yield server, f"{server.openai_url}#scripted" if model == "compatible" else model


def settings_for(folder: Path, model: str, strategy: str, **more: Any) -> Settings:
    return load_settings(data=folder, model=model, strategy=strategy, device="emulator", isolation="process", **more)


def made(
    folder: Path, name: str, strategy: str, replies: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, **more: Any
) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    with (
        scripted(replies, name, monkeypatch) as (server, model),
        Store(folder / "k.db") as store,
    ):
        outcome = optimize_task(
            task_of(name), settings_for(folder, model, strategy, **more), store=store, observer=events.append
        )
        calls = store.calls(outcome.run.id)
        assert len({call.place for call in calls}) == len(calls) == len(server.tally().calls)
        assert {call.model for call in calls} == {model}
        authors = {attempt.kernel.author for attempt in outcome.attempts}
        assert authors == {model}
    return outcome, events


def plans(outcome: Outcome) -> dict[int, str]:
    return {a.number: a.plan.removeprefix("the ").removesuffix(" one") for a in outcome.attempts}


def parents(outcome: Outcome) -> dict[int, int | None]:
    by_kernel = {a.kernel.id: a.number for a in reversed(outcome.attempts)}
    return {a.number: by_kernel[a.kernel.parents[0]] if a.kernel.parents else None for a in outcome.attempts}


def check_verdicts(outcome: Outcome) -> None:
    for attempt in outcome.attempts:
        kind, verdict = plans(outcome)[attempt.number], attempt.evaluation.verdict
        if kind == "hostile":
            assert verdict in {Verdict.REJECTED, Verdict.CHEATING, Verdict.WRONG, Verdict.UNSAFE}, attempt.evaluation
        else:
            assert verdict is FAILS.get(kind, Verdict.PASSED), attempt.evaluation.reason
    assert outcome.best is not None
    assert plans(outcome)[outcome.best.number] == "good"


def tasks() -> Any:
    return pytest.mark.parametrize("name", TASKS)


@pytest.mark.models
@tasks()
def test_refine_repairs_then_improves_then_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    order = ("wrong", "broken", "hostile", "slow", "good")
    outcome, _ = made(
        tmp_path, name, "refine", [*judge(stops=True), *(says(name, kind) for kind in order)], monkeypatch, rounds=8
    )
    assert tuple(plans(outcome).values()) == order
    check_verdicts(outcome)
    assert parents(outcome) == {1: None, 2: 1, 3: 2, 4: 3, 5: 4}
    modes = [a.advice.mode for a in outcome.attempts if a.advice is not None]
    assert modes == ["repair", "repair", "repair", "improve", "stop"]
    assert outcome.run.message.startswith("The judge sees nothing left worth trying")


@pytest.mark.models
@tasks()
def test_fsr_gives_errors_back_then_seeds_from_the_fastest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    start, repair, improve = "Write the first kernel", r"Attempt \d+ failed", "Make the kernel of attempt"
    replies = [
        *(says(name, kind, prompt=start) for kind in ("wrong", "broken", "hostile")),
        says(name, "slow", prompt=[repair, "came out `compile_error`"]),
        says(name, "good", prompt=[repair, "came out `wrong`"]),
        says(name, "slow", prompt=repair),
        # a generation that brings nothing better
        *(says(name, kind, prompt=improve) for kind in ("wrong", "broken", "hostile")),
    ]
    outcome, _ = made(tmp_path, name, "fsr", replies, monkeypatch, rounds=8, candidates=3)
    assert [set(list(plans(outcome).values())[i : i + 3]) for i in (0, 3)] == [
        {"wrong", "broken", "hostile"},
        {"slow", "good"},
    ]
    check_verdicts(outcome)
    best = outcome.best
    assert best is not None
    assert parents(outcome) == {1: None, 2: None, 3: None, 4: 1, 5: 2, 6: 3, 7: best.number, 8: best.number}
    assert outcome.run.message == "All 8 rounds are used."


@pytest.mark.models
@tasks()
def test_votes_order_a_generation_and_refuse_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    good = (MODELS / name / "good.py").read_text()
    mark = re.escape(good.splitlines()[0])  # its docstring is in no other of the kernels
    vote = {"why": "read it", "verdict": True, "confidence": 0.9}
    replies = [
        {"when": {"system": VOTER, "user": mark}, "json": vote, "times": "forever"},
        {"when": {"system": VOTER}, "json": {**vote, "verdict": False}, "times": "forever"},
        says(name, "broken", prompt="Write the first kernel"),
        says(name, "slow", prompt=r"Attempt \d+ failed"),
        *(says(name, kind) for kind in ("wrong", "hostile", "broken", "good")),
    ]
    outcome, events = made(tmp_path, name, "translate-evolve", replies, monkeypatch, rounds=5, candidates=4)
    check_verdicts(outcome)
    assert [a.plan for a in outcome.attempts][:2] == ["the broken one", "the slow one"]
    assert set(parents(outcome).values()) == {None, 1, 2}
    assert len(outcome.attempts) == 5
    order = next(e.summary for e in events if isinstance(e, StageFinished) and e.stage == "vote")
    assert outcome.best is not None
    assert order.startswith(f"order of evaluation: {outcome.best.number}")
    assert [a.evaluation.verdict for a in outcome.attempts].count(Verdict.PASSED) == 2  # doubted ones were judged too


@pytest.mark.models
@tasks()
def test_the_best_of_n_is_found_without_any_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    order = ("good", "wrong", "broken", "hostile", "slow")
    outcome, _ = made(
        tmp_path, name, "best-of-n", [says(name, kind) for kind in order], monkeypatch, rounds=5, candidates=5
    )
    assert sorted(plans(outcome).values()) == sorted(order)
    assert set(parents(outcome).values()) == {None}
    assert all(a.advice is None for a in outcome.attempts)
    check_verdicts(outcome)
    assert outcome.run.status is RunStatus.FINISHED


@pytest.mark.models
def test_the_built_in_coder_begins_and_the_model_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "softmax"
    with (
        scripted([*judge(stops=False), says(name, "good")], name, monkeypatch) as (server, model),
        Store(tmp_path / "k.db") as store,
    ):
        settings = settings_for(tmp_path, model, "refine", rounds=2, builtin_first=1)
        outcome = optimize_task(task_of(name), settings, store=store, observer=lambda _event: None)
        asked = [str(call.place) for call in store.calls(outcome.run.id)]
        assert len(server.tally().calls) == 3
    assert [a.kernel.author for a in outcome.attempts] == ["builtin", model]
    assert asked == ["1/judge/0", "2/coder/0", "2/judge/0"]


@pytest.mark.models
def test_evolve_credits_who_wrote_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only coder is a model, and the built-in one makes the first attempt for it."""
    with (
        scripted([says("softmax", "good")], "softmax", monkeypatch) as (_, model),
        Store(tmp_path / "k.db") as store,
    ):
        settings = settings_for(tmp_path, model, "evolve", rounds=2, builtin_first=1, candidates=1, islands=1)
        outcome = optimize_task(task_of("softmax"), settings, store=store, observer=ignore)
        archive = store.archive(
            outcome.run.task, "H200", TimingKind.MODELLED, outcome.run.id, ArchiveSettings(islands=1)
        )
        drawn = [archive.drawn(outcome.run.id, number) for number in (1, 2)]
        assert [draw and draw.author for draw in drawn] == [model, model]
        assert [found.arm.author for found in archive.outcomes()] == ["builtin", model]
