"""`kernelwright archive`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from archive_doubles import an_archive, attempt
from sqlalchemy import text

from kernelwright.cli import run
from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.rl.operators import Operator
from kernelwright.verifier.evaluation import Verdict


@pytest.fixture
def bred(home: Path) -> Path:
    """A store with an archive of three attempts, one of them a parent."""
    with Store(load_settings().database_url) as store:
        archive = an_archive(store, islands=2)
        made = [attempt(1, 3e-5), attempt(2, Verdict.WRONG), attempt(3, 1e-5, registers=100, shared_load_bytes=9999)]
        made = [replace(one, kernel=replace(one.kernel, author="\x1b[31mred")) for one in made]
        for number, one in enumerate(made, 1):
            archive.draw("evolve-1", number, (number - 1) % 2, Operator.START, "", "s")
            store.add_attempt(one)
        archive.absorb(made)
        archive.draw("evolve-1", 4, 0, Operator.TUNE, "", "s")
    return home


def test_a_run_shows_its_islands_and_cells(bred: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["archive", "evolve"]) == 0
    out = capsys.readouterr().out
    assert "3 attempts, 2 different kernels that passed, 2 cells" in out
    assert "island 0: 2 attempts, best 10.0 µs, 0 since it gained" in out
    assert "island 1: 1 attempt, none passed" in out
    assert "\x1b[31m" not in out


def test_json_has_the_whole_grid(bred: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["archive", "evolve-1", "--json", "--check"]) == 0
    (archive,) = json.loads(capsys.readouterr().out)["archives"]
    assert (archive["gpu"], archive["timing_kind"], archive["problems"]) == ("H200", "modelled", [])
    fastest, other = archive["elites"]
    assert (fastest["number"], fastest["cell"]) == (3, "r64-s0-o50-d67-shared_tiling")
    assert fastest["speedup"] == pytest.approx(3.0)
    assert fastest["features"]["tags"] == ["shared_tiling"]
    assert fastest["offspring"] + other["offspring"] == 1
    assert [island["failed"] for island in archive["islands"]] == [0, 1]


def test_all_archives_and_those_of_a_task(bred: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["archive", "--json"]) == 0
    everything = json.loads(capsys.readouterr().out)
    assert run(["archive", everything["archives"][0]["task_id"][:8], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == everything


def test_a_difference_is_told_and_the_exit_code_says_so(bred: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(load_settings().database_url) as store, store._writing() as session:
        session.execute(text("UPDATE archive_islands SET entries = 9 WHERE island = 1"))
    assert run(["archive", "--check"]) == 1
    assert "island 1: entries is 9, counted 1" in capsys.readouterr().out


def test_an_empty_store_says_how_to_begin(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["archive"]) == 0
    assert "--strategy evolve" in capsys.readouterr().out
