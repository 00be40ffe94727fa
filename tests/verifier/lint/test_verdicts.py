"""Whatever the task's own comparison accepts is reported, in the words of the right rule."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kernelwright.verifier.lint.attacks import STANDS_IN, VALUE_RULES
from kernelwright.verifier.lint.report import Accepted
from kernelwright.verifier.lint.rules import LOOSE, TIGHT, Severity
from kernelwright.verifier.lint.trial import Trial
from kernelwright.verifier.lint.verdicts import attack_findings, fixed_tolerance

NAMES = ("output 0", "output 1", "the gradient of weight")
SUBJECTS = {
    "ignores-input": ("input 0", "input 1"),
    "ignores-weight": ("weight weight", "weight steps"),
    "ignores-axis": ("axis 0 of input 0", "axis 1 of input 1"),
    "constant-axis": ("axis 0 of output 0", "axis 1 of output 1"),
}


def _trial(*accepted: Accepted) -> Trial:
    return Trial(accepted, len(accepted), 1, {}, (), (), NAMES, (), ())


def _value(rule: str, result: str, *, ours: bool = True, given: bool = True, loose: bool = True) -> Accepted:
    return Accepted(rule, "", f"how {rule}", result, ours, given, loose, loose)


@st.composite
def _accepted(draw: st.DrawFn) -> Accepted:
    ours, given, tight, loose = (draw(st.booleans()) for _ in range(4))
    if draw(st.booleans()):
        return Accepted(draw(st.sampled_from(VALUE_RULES)), "", "how", draw(st.sampled_from(NAMES)), ours, given, tight, loose)  # fmt: skip
    rule = draw(st.sampled_from(sorted(SUBJECTS)))
    how = draw(st.sampled_from(["zeros", *STANDS_IN])) if rule in ("ignores-input", "ignores-axis") else "zeros"
    return Accepted(rule, draw(st.sampled_from(SUBJECTS[rule])), how, "", ours, given, tight, loose)


@given(st.lists(_accepted(), max_size=8))
def test_what_the_comparison_accepts_is_always_reported(accepted: list[Accepted]) -> None:
    findings = attack_findings(_trial(*accepted), {"weight"})
    said = " ".join(f.what.lower() for f in findings)
    refused = any(f.severity is Severity.REFUSED for f in findings)
    for each in accepted:
        if not each.ours or refused:
            continue
        if each.rule == "an-input" and each.result.startswith("the gradient"):
            continue  # a gradient that is a cotangent is as it should be
        told = each.result or each.subject
        assert told in said or told.partition(" of ")[2] in said, each
    everywhere = {a.result for a in accepted if a.ours and a.rule in VALUE_RULES}
    if everywhere == set(NAMES):
        assert refused
    if any(
        a.ours_as_given or a.ours for a in accepted if a.rule in VALUE_RULES and not a.result.startswith("the grad")
    ):
        assert any(f.rule in VALUE_RULES for f in findings)


def test_an_axis_that_is_one_slice_everywhere_is_told_beside_outputs_that_pass_once() -> None:
    """What holds on the task's own inputs only does not cover what holds on every workload."""
    once = [Accepted("zeros", "", "zeros", name, False, True, False, False) for name in NAMES]
    axis = Accepted("constant-axis", "axis 0 of output 0", "zeros", "", True, True, False, False)
    findings = attack_findings(_trial(*once, axis), ())
    assert ["axis 0 of output 0" in f.what.lower() for f in findings if f.rule == "constant-axis"] == [True]


def test_all_results_under_one_rule_refuse_under_the_first_such_rule() -> None:
    every = [_value(rule, name) for rule in ("previous-output", "constant") for name in NAMES]
    (found,) = [f for f in attack_findings(_trial(*every), ()) if f.severity is not Severity.NOTE]
    assert (found.rule, found.severity) == ("constant", Severity.REFUSED)
    assert found.what == ("A kernel that gives how constant passes on every workload (as under previous-output).")


def test_results_under_different_rules_refuse_together() -> None:
    each = [_value("zeros", NAMES[0]), _value("an-input", NAMES[1]), _value("an-input", NAMES[2])]
    (found,) = [f for f in attack_findings(_trial(*each), ()) if f.severity is not Severity.NOTE]
    assert (found.rule, found.severity) == ("zeros", Severity.REFUSED)
    assert "output 0: how zeros; output 1" in found.what


def test_one_result_marks_and_the_own_inputs_alone_mark() -> None:
    (found,) = [f for f in attack_findings(_trial(_value("constant", NAMES[1])), ()) if f.rule == "constant"]
    assert (found.severity, found.what) == (Severity.MARKED, "Output 1: how constant on every workload.")
    here = [_value("an-input", name, ours=False) for name in NAMES]
    (found,) = [f for f in attack_findings(_trial(*here), ()) if f.rule == "an-input"]
    assert found.severity is Severity.MARKED
    assert "not on others" in found.what


def test_a_gradient_of_zeros_has_a_rule_of_its_own_and_a_cotangent_none() -> None:
    (found,) = [f for f in attack_findings(_trial(_value("zeros", NAMES[2])), ()) if f.severity is Severity.MARKED]
    assert found.rule == "zero-gradient"
    assert not [f for f in attack_findings(_trial(_value("an-input", NAMES[2])), ()) if f.rule != "fixed-tolerance"]


def test_a_mean_that_stands_for_an_input_is_a_note() -> None:
    mean = Accepted("ignores-input", "input 0", "its mean", "", True, True, True, True)
    (found,) = [f for f in attack_findings(_trial(mean), ()) if f.rule == "ignores-input"]
    assert found.severity is Severity.NOTE
    assert "Input 0: its mean may stand for it" in found.what
    assert fixed_tolerance([mean], NAMES, LOOSE) == []


def test_a_buffer_without_effect_is_a_note() -> None:
    def ignored(name: str) -> Accepted:
        return Accepted("ignores-weight", f"weight {name}", "zeros", "", True, True, False, False)

    found = attack_findings(_trial(ignored("scale"), ignored("steps")), {"scale"})
    assert [(f.severity, f.what.split()[1]) for f in found] == [(Severity.NOTE, "steps"), (Severity.MARKED, "scale")]


def test_fixed_tolerances_need_every_result() -> None:
    some = [_value("zeros", name, ours=False, given=False) for name in NAMES[:2]]
    assert fixed_tolerance(some, NAMES, TIGHT) == []
    every = [*some, _value("zeros", NAMES[2], ours=False, given=False)]
    assert fixed_tolerance(every, NAMES, TIGHT) == ["zeros"]
    assert [f.rule for f in attack_findings(_trial(*every), ())] == ["fixed-tolerance"]


def test_what_is_the_function_itself_is_no_attack() -> None:
    means = [replace(_value("mean-of-inputs", name), is_function=True) for name in NAMES]
    found = attack_findings(_trial(*means), ())
    assert {(f.rule, f.severity) for f in found} == {("mean-of-inputs", Severity.NOTE)}
    assert found[0].what.startswith("Output 0 is how mean-of-inputs, which follows the inputs")
    assert fixed_tolerance(means, NAMES, LOOSE) == []
    zeros = [_value("zeros", name) for name in NAMES]
    assert attack_findings(_trial(*means, *zeros), ())[0].severity is Severity.REFUSED
