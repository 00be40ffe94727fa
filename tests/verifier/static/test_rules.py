"""Every rule: code that falls under it is named with its line, and its honest twin is left alone."""

from __future__ import annotations

import pytest
import static_cuda_cases
import static_python_cases
from static_modules import Case, marked_line, rejected, report

from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.static import RULES, Severity

CASES = (*static_python_cases.CASES, *static_cuda_cases.CASES)
NAMES = [f"{case.rule}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_code_that_falls_under_a_rule_is_named_with_its_line(case: Case) -> None:
    compile(case.hostile, "hostile", "exec")
    found = report(case.hostile)
    lines = [f.line for f in found.findings if f.rule == case.rule]
    assert lines, [f.rule for f in found.findings]
    marked = marked_line(case.hostile)
    if marked is not None:
        assert marked in lines


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_its_honest_twin_is_left_alone(case: Case) -> None:
    compile(case.honest, "honest", "exec")
    found = report(case.honest)
    assert case.rule not in {f.rule for f in found.findings}
    assert not rejected(case.honest), rejected(case.honest)


def test_every_rule_but_those_about_broken_sources_has_a_case() -> None:
    assert {case.rule for case in CASES} == set(RULES) - {"not_python", "not_parsed"}
    assert len(CASES) >= 120


def test_a_rule_rejects_with_a_verdict_or_not_at_all() -> None:
    for name, rule in RULES.items():
        assert (rule.severity is Severity.REJECT) == (rule.verdict is not None), name
        assert rule.mend.endswith("."), name
        assert rule.verdict in {None, Verdict.REJECTED, Verdict.COMPILE_ERROR}, name


def test_what_rejects_comes_first_and_the_rest_by_line() -> None:
    source = static_python_cases.m(
        "import time\ntime.time()\nreturn torch.relu(run(x))", top="import socket\nsocket.socket()\ntorch.equal = None"
    )
    found = report(source).findings
    assert [f.rule for f in found if f.severity is Severity.REJECT] == ["patches_library", "network"]
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=list(Severity).index)
    warned = [f.line for f in found if f.severity is Severity.WARN]
    assert warned == sorted(line for line in warned if line)
