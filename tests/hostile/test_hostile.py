"""Hostile kernels are refused for the right reason, and their honest twins pass.

A default run takes a sample of the pairs; `pytest -m hostile tests/hostile` runs all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from hostile.cases import PAIRS
from hostile.harness import SECRET, References, disguised, isolation, judge, machine, static_refused
from hostile.open_cases import HOSTILE_NOT_YET, TWIN_NOT_YET
from hostile.pair import POWERLESS, REFUSED, SEEN, Pair

from kernelwright.verifier.evaluation import Evaluation, Verdict

SAMPLE = (
    "uninitialised_output",
    "works_in_the_input",
    "decoy_then_operator",
    "kernel_that_touches_the_result",
    "fall_back_by_except",
    "comparisons_that_say_yes",
    "parameter_that_requires_grad",
)
"""Names of the pairs of a default run: some of each family."""
_LEAST_TIME = 0.9999  # of its twin's modelled time, which is no noisy one: less, and an attack has paid


def params(pairs: tuple[Pair, ...], open_cases: dict[str, str]) -> list[ParameterSet]:
    return [
        pytest.param(
            pair,
            id=pair.name,
            marks=[pytest.mark.xfail(reason=open_cases[pair.name], raises=AssertionError, strict=True)]
            if pair.name in open_cases
            else [],
        )
        for pair in pairs
    ]


@pytest.fixture(scope="module")
def references() -> Iterator[References]:
    opened = References()
    yield opened
    opened.close()


def check_hostile(pair: Pair, references: References, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if pair.machine and isolation() == "process":
        pytest.skip("it attacks the machine, and there is no sandbox here")
    reference = references.get(pair.task)
    with machine(folder, monkeypatch) as reachable:
        text = reachable.fill(pair.hostile)
        found = judge(pair, text, reference)
        if static_refused(found):
            check_static(pair, found)
            # what static analysis sees, another spelling hides from it: the run has to hold by itself
            found = judge(pair, disguised(text), reference)
        traces = reachable.traces()
        said = found.model_dump_json()
    assert not traces, f"it left {traces}; {found.verdict.value}: {found.reason}"
    assert SECRET not in said, "it read the person's key"
    if found.verdict is Verdict.PASSED and POWERLESS in pair.expect:
        twin = judge(pair, pair.twin, reference)
        assert twin.timing is not None, twin.reason
        assert found.timing is not None
        assert found.timing.seconds >= _LEAST_TIME * twin.timing.seconds, "the attack made it faster"
        return
    check_verdict(pair, found)


def check_static(pair: Pair, found: Evaluation) -> None:
    """A refusal before the run, for the pair's reason or for what its text gives away."""
    shown = f"{found.verdict.value}: {found.reason}"
    assert found.verdict.value in (*REFUSED, *pair.expect), shown
    assert re.search(f"{pair.reason}|{SEEN}", found.reason, re.IGNORECASE), shown


def check_verdict(pair: Pair, found: Evaluation) -> None:
    shown = f"{found.verdict.value}: {found.reason}"
    assert found.verdict.value in pair.expect, shown
    assert re.search(pair.reason, found.reason, re.IGNORECASE), shown


def check_twin(pair: Pair, references: References) -> None:
    found = judge(pair, pair.twin, references.get(pair.task))
    assert found.verdict is Verdict.PASSED, f"{found.verdict.value}: {found.reason}"


SAMPLED = tuple(pair for pair in PAIRS if pair.name in SAMPLE)


@pytest.mark.parametrize("pair", params(SAMPLED, HOSTILE_NOT_YET))
def test_a_hostile_kernel_is_refused(
    pair: Pair, references: References, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_hostile(pair, references, tmp_path, monkeypatch)


@pytest.mark.parametrize("pair", params(SAMPLED, TWIN_NOT_YET))
def test_its_honest_twin_passes(pair: Pair, references: References) -> None:
    check_twin(pair, references)


@pytest.mark.hostile
@pytest.mark.parametrize("pair", params(PAIRS, HOSTILE_NOT_YET))
def test_every_hostile_kernel_is_refused(
    pair: Pair, references: References, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_hostile(pair, references, tmp_path, monkeypatch)


@pytest.mark.hostile
@pytest.mark.parametrize("pair", params(PAIRS, TWIN_NOT_YET))
def test_every_honest_twin_passes(pair: Pair, references: References) -> None:
    check_twin(pair, references)


def test_names_are_unique_and_known() -> None:
    names = [pair.name for pair in PAIRS]
    assert len(set(names)) == len(names)
    assert {*SAMPLE, *HOSTILE_NOT_YET, *TWIN_NOT_YET} <= set(names)
    assert len(names) >= 70


def test_a_twin_is_another_text_than_its_hostile_kernel() -> None:
    for pair in PAIRS:
        assert pair.hostile != pair.twin, pair.name
        compile(pair.hostile, pair.name, "exec")
        compile(pair.twin, pair.name, "exec")


def test_the_readme_names_every_pair_and_no_other() -> None:
    text = Path(__file__).with_name("README.md").read_text()
    names = {pair.name for pair in PAIRS}
    assert set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", text)) - {"open_cases"} <= names
    assert not [name for name in names if f"`{name}`" not in text]
