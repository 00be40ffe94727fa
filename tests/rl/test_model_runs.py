"""Searches with a language model for coder and judge, over the real SDK, the real store and real HTTP: nothing is lost,
nothing judged or paid twice, whatever goes wrong on the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import model_runs
import pytest
from model_runs import MODEL, RUN, chain, judges, model_search, outcome_of
from search_doubles import EPOCH

from kernelwright.agents.model_server import serving
from kernelwright.agents.models.calls import Call
from kernelwright.agents.models.prices import load_prices
from kernelwright.db.store import Store
from kernelwright.rl.run import Attempt, RunStatus
from kernelwright.rl.search import SearchResult


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose settings are in force once `point` has said where the server is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def point(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    for name, value in model_runs.environment(folder, url).items():
        monkeypatch.setenv(name, value)


def bare(attempts: tuple[Attempt, ...]) -> list[Attempt]:
    return [replace(a, seconds=0.0, created=EPOCH) for a in attempts]


def test_each_attempt_answers_to_the_one_before_and_all_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [outcome_of(n) for n in range(1, 7)]
    with serving({"replies": [*judges(), *chain(outcomes)]}) as server, Store(here / "k.db") as store:
        point(monkeypatch, here, server.openai_url)
        result = model_search(store, "refine", 6)
        calls = store.calls(RUN)
    assert [a.plan for a in result.attempts] == [f"version {n}" for n in range(1, 7)]
    ids = [a.kernel.id for a in result.attempts]
    assert [a.kernel.parents for a in result.attempts] == [(), *((i,) for i in ids[:-1])]
    assert [a.kernel.author for a in result.attempts] == [MODEL] * 6
    assert [str(c.place) for c in calls] == [f"{n}/{role}/0" for n in range(1, 7) for role in ("coder", "judge")]
    assert all(c.reply is not None and c.request.messages for c in calls)
    repaired = [a.number for a in result.attempts if a.advice is not None and a.advice.mode == "repair"]
    assert repaired == [2, 3, 6]


@pytest.mark.parametrize("rounds", [30, pytest.param(200, marks=pytest.mark.models)])
def test_attempts_with_a_fault_in_every_third_request(here: Path, monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """Faults of every kind that the server knows and that cost no time; what a broken call may have cost is estimated."""
    kinds: list[Any] = [
        {"kind": "rate_limit", "retry_after": 0},
        "server_error",
        "overloaded",
        "drop_before",
        "drop_mid",
        "truncated_json",
        "not_json",
        "no_code_fence",
        "empty",
        "refusal",
        "wrong_language",
        "huge",
    ]
    script = {
        "replies": [*judges(), *chain([outcome_of(n) for n in range(1, rounds + 1)])],
        "faults": {"every": 3, "kinds": kinds},
    }
    with serving(script) as server, Store(here / "k.db") as store:
        point(monkeypatch, here, server.openai_url)
        result = model_search(store, "refine", rounds)
        calls, spent, tally = store.calls(RUN), store.spent(RUN), server.tally()
    assert [a.number for a in result.attempts] == list(range(1, rounds + 1))
    assert result.run.status is RunStatus.FINISHED
    places = Counter(c.place for c in calls if c.reply is not None)
    assert max(places.values()) == 1
    # to the cent and beyond it: what the server charged for whole replies is what the store says
    price = load_prices(here / "prices.toml").of(MODEL)
    assert price is not None
    metered = [c for c in calls if not c.estimated]
    complete = [served.charged for served in tally.calls if served.complete]
    assert sum((c.dollars for c in metered), Decimal(0)) == sum(map(price.cost, complete), Decimal(0))
    assert spent == sum((c.dollars for c in calls), Decimal(0))
    charged = sum((price.cost(served.charged) for served in tally.calls), Decimal(0))
    assert charged <= spent
    assert tally.repeated == 0


def test_a_budget_stops_before_the_call_that_could_pass_it_and_more_money_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = [outcome_of(n) for n in range(1, 25)]
    with serving({"replies": [*judges(), *chain(outcomes)]}) as server, Store(here / "k.db") as store:
        point(monkeypatch, here, server.openai_url)
        stopped = model_search(store, "refine", 24, budget="0.20")
        first = store.spent(RUN)
        asked = len(server.tally().calls)
        assert stopped.run.status is RunStatus.INTERRUPTED
        assert "$0.20" in stopped.stopped_because
        assert 0 < len(stopped.attempts) < 24
        assert first <= Decimal("0.20")
        again = model_search(store, "refine", 24, budget="0.20")
        assert len(server.tally().calls) == asked  # nothing was asked, nothing paid
        assert again.attempts == stopped.attempts
        whole = model_search(store, "refine", 24, budget="10")
        assert len(whole.attempts) == 24
        assert server.tally().repeated == 0


def killed_at(folder: Path, url: str, rounds: int, strategy: str, lines: int) -> str:
    """Runs the search in a process that is killed after so many lines of it; what it said."""
    program = [sys.executable, model_runs.__file__, str(folder / "k.db"), url, str(rounds), strategy]
    said = []
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={**os.environ}, cwd=folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if len(said) >= lines:
                process.send_signal(signal.SIGKILL)
    return "".join(said)


def whole_run(folder: Path, url: str, strategy: str, rounds: int, monkeypatch: pytest.MonkeyPatch) -> SearchResult:
    folder.mkdir()
    point(monkeypatch, folder, url)
    with Store(folder / "k.db") as store:
        return model_search(store, strategy, rounds)


def answered(folder: Path) -> list[Call]:
    with Store(folder / "k.db") as store:
        return [call for call in store.calls(RUN) if call.reply is not None]


def kill_and_go_on(here: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, kills: int, seed: int) -> None:
    """Kills a run at random moments until it has been killed so often or ends, and compares with one that never was."""
    rounds = 6
    rng = random.Random(seed)
    outcomes = [outcome_of(n) for n in range(1, rounds + 20)]
    with serving({"replies": [*judges(), *chain(outcomes)]}) as server:
        whole = whole_run(here / "whole", server.openai_url, strategy, rounds, monkeypatch)
        folder = here / "killed"
        folder.mkdir()
        point(monkeypatch, folder, server.openai_url)
        begun = len(server.tally().calls)
        for _ in range(kills):
            before = {call.place for call in answered(folder)} if (folder / "k.db").exists() else set()
            said = killed_at(folder, server.openai_url, rounds, strategy, rng.randint(1, 12))
            after = [call.place for call in answered(folder)]
            assert len(after) == len(set(after))
            assert before <= set(after)
            if "ended" in said:
                break
        with Store(folder / "k.db") as store:
            if store.run(RUN).status is not RunStatus.FINISHED:
                model_search(store, strategy, rounds)
            attempts = tuple(store.attempts(RUN))
            kept = [call for call in store.calls(RUN) if call.reply is not None]
        asked = [served for served in server.tally().calls[begun:] if served.complete]
    assert bare(attempts) == bare(whole.attempts)
    assert len({call.place for call in kept}) == len(kept)
    # a reply that was on its way when its asker was killed was never in its hands; no other is asked for twice
    lost = len(asked) - len(kept)
    assert 0 <= lost <= kills * 4  # the calls under way at once


@pytest.mark.parametrize("strategy", ["refine", "translate-evolve"])
def test_a_killed_run_ends_as_if_it_never_was_and_pays_for_no_answer_twice(
    here: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    kill_and_go_on(here, monkeypatch, strategy, kills=2, seed=1)


@pytest.mark.models
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("strategy", ["refine", "fsr", "translate-evolve", "best-of-n"])
@pytest.mark.parametrize("seed", range(13))
def test_killed_at_fifty_random_moments(here: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, seed: int) -> None:
    kill_and_go_on(here, monkeypatch, strategy, kills=4, seed=seed)
