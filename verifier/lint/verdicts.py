"""What the attacks that were accepted say of a task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from kernelwright.verifier.lint.attacks import STANDS_IN, VALUE_RULES
from kernelwright.verifier.lint.report import Accepted, Finding
from kernelwright.verifier.lint.rules import LITTLE_CHANGE, LOOSE, TIGHT, Severity
from kernelwright.verifier.lint.trial import Trial
from kernelwright.verifier.wording import counted

__all__ = ["attack_findings", "fixed_tolerance"]

_GRADIENT = "the gradient of "
_SHOWN = 6  # things that are named in one sentence


def attack_findings(trial: Trial, parameters: Collection[str]) -> list[Finding]:
    """Findings from `trial`; an attack that the task's own comparison accepts is always in one.

    Args:
        parameters: names of the weights that are parameters; the others are buffers.
    """
    found, covered = _worthless(trial)
    found += _functions(trial)
    if not covered:
        found += _left_out(trial, parameters)
    found += _fixed(trial)
    return found


# -- kernels that compute nothing


def _worthless(trial: Trial) -> tuple[list[Finding], bool]:
    """(findings, whether all results pass everywhere)."""
    values = [a for a in trial.accepted if a.rule in VALUE_RULES and not a.is_function]
    everything = set(trial.names)
    if everything and _results(values, lambda a: a.ours) >= everything:
        rule, words, more = _covering(values, lambda a: a.ours, everything)
        return [Finding(rule, Severity.REFUSED, f"{words} on every workload{more}.")], True
    found = []
    passed = _by_first_rule(a for a in values if a.ours and not _is_cotangent(a))
    for rule, each in passed.items():
        gradients = [a.result for a in each if a.result.startswith(_GRADIENT)]
        outputs = [a.result for a in each if not a.result.startswith(_GRADIENT)]
        if gradients:
            named = "zero-gradient" if rule == "zeros" else rule
            found.append(_marked(named, f"{_list(gradients)}: {_hows(each)} on every workload."))
        if outputs:
            found.append(_marked(rule, f"{_list(outputs)}: {_hows(each)} on every workload."))
    here = [a for a in values if a.ours_as_given]
    if everything and _results(here, lambda a: True) >= everything:
        rule, words, more = _covering(here, lambda a: True, everything)
        found.append(_marked(rule, f"{words} on the task's own inputs, not on others{more}."))
    else:
        settled = {a.result for each in passed.values() for a in each}
        partly = _by_first_rule(a for a in here if a.result not in settled and not _is_cotangent(a))
        for rule, each in partly.items():
            what = f"{_list([a.result for a in each])}: {_hows(each)} on the task's own inputs, not on others."
            found.append(Finding(rule, Severity.NOTE, what))
    return found, False


def _functions(trial: Trial) -> list[Finding]:
    """Results that are no more than what an attack gives: nothing is wrong with a kernel that gives it."""
    found = []
    for name in trial.names:
        hows = [a for a in trial.accepted if a.is_function and a.result == name]
        worthless = any(
            a.ours and a.rule in VALUE_RULES and not a.is_function for a in trial.accepted if a.result == name
        )
        if hows and not worthless:
            what = f"{_named([name])} is {hows[-1].how}, which follows the inputs: a kernel that gives it has computed the function."
            found.append(Finding(hows[0].rule, Severity.NOTE, what))
    return found


def _covering(
    values: Sequence[Accepted], says: Callable[[Accepted], bool], everything: set[str]
) -> tuple[str, str, str]:
    """(the first rule that all results pass under, a sentence without its end, which other rules there are)."""
    chosen = [a for a in values if says(a)]
    rules = [rule for rule in VALUE_RULES if _results((a for a in chosen if a.rule == rule), says) >= everything]
    if rules:
        first = _hows([a for a in chosen if a.rule == rules[0]])
        more = f" (as under {_list(rules[1:])})" if rules[1:] else ""
        return rules[0], f"A kernel that gives {first} passes", more
    parts = [f"{_list([a.result for a in each])}: {_hows(each)}" for each in _by_first_rule(chosen).values()]
    rule = next(rule for rule in VALUE_RULES if any(a.rule == rule for a in chosen))
    return rule, f"A kernel that gives {'; '.join(parts)} passes", ""


def _by_first_rule(accepted: Iterable[Accepted]) -> dict[str, list[Accepted]]:
    """One acceptance for each result, under the first rule that has any."""
    each = list(accepted)
    found: dict[str, list[Accepted]] = {}
    settled: set[str] = set()
    for rule in VALUE_RULES:
        for a in each:
            if a.rule == rule and a.result not in settled:
                settled.add(a.result)
                found.setdefault(rule, []).append(a)
    return found


def _is_cotangent(accepted: Accepted) -> bool:
    """A gradient that is a cotangent, or an input: that of a sum, of a product."""
    return accepted.rule == "an-input" and accepted.result.startswith(_GRADIENT)


def _results(accepted: Iterable[Accepted], says: Callable[[Accepted], bool]) -> set[str]:
    return {a.result for a in accepted if says(a)}


# -- kernels that leave something out


def _left_out(trial: Trial, parameters: Collection[str]) -> list[Finding]:
    found: list[Finding] = []
    honest = [a for a in trial.accepted if a.how not in STANDS_IN]
    ignored = {a.subject for a in honest if a.rule == "ignores-input" and (a.ours or a.ours_as_given)}
    whole = [
        a
        for a in trial.accepted
        if (a.rule in VALUE_RULES and not a.is_function) or (a.rule == "ignores-input" and a.how not in STANDS_IN)
    ]
    told = {a.result or a.subject for a in whole if a.ours or a.ours_as_given}
    everywhere_told = {a.result or a.subject for a in whole if a.ours}

    def inside(accepted: Accepted) -> bool:
        """Whether it is an axis of an input that is ignored altogether, of an output that is worthless, and as widely."""
        broader = everywhere_told if accepted.ours else told
        return accepted.rule.endswith("-axis") and accepted.subject.partition(" of ")[2] in broader

    for rule, grave, less in (
        ("ignores-input", Severity.REFUSED, Severity.MARKED),
        ("ignores-weight", Severity.MARKED, Severity.NOTE),
        ("ignores-axis", Severity.MARKED, Severity.NOTE),
        ("constant-axis", Severity.MARKED, Severity.NOTE),
    ):
        here = [a for a in honest if a.rule == rule and not inside(a)]
        everywhere = _subjects(a for a in here if a.ours)
        if rule == "ignores-weight":
            buffers = [s for s in everywhere if s.removeprefix("weight ") not in parameters]
            if buffers:
                what = f"{_named(buffers)} can be left out on every workload; no parameter is among them."
                found.append(Finding(rule, Severity.NOTE, what))
            graver = [s for s in everywhere if s not in buffers]
        else:
            graver = everywhere
        if graver:
            found.append(Finding(rule, grave, f"{_named(graver)} {_verb(rule)} on every workload."))
        only = [s for s in _subjects(a for a in here if a.ours_as_given) if s not in everywhere]
        if only:
            where = "initial weights and the task's own inputs" if rule == "ignores-weight" else "the task's own inputs"
            found.append(Finding(rule, less, f"{_named(only)} {_verb(rule)} on {where}, not on others."))
    for rule in ("ignores-input", "ignores-axis"):
        stand_in = [a for a in trial.accepted if a.rule == rule and a.how in STANDS_IN and a.ours and not inside(a)]
        named = [s for s in _subjects(stand_in) if s not in ignored]
        if named:
            hows = " or ".join(dict.fromkeys(_stands_in(a.how) for a in stand_in))
            found.append(Finding(rule, Severity.NOTE, f"{_named(named)}: {hows}, on every workload."))
    weak = {name: effect for name, effect in trial.effects.items() if effect < LITTLE_CHANGE and name not in ignored}
    if weak:
        least = min(weak.values())
        what = f"{_named(list(weak))}: replacing it changes the outputs by {least:.2g} of their size or little more."
        found.append(Finding("weak-effect", Severity.NOTE, what, weak))
    return found


def _verb(rule: str) -> str:
    return "needs its first slice only" if rule.endswith("-axis") else "can be left out"


def _stands_in(how: str) -> str:
    return "its mean may stand for it" if how == "its mean" else "the order of its elements does not matter"


def _subjects(accepted: Iterable[Accepted]) -> list[str]:
    return list(dict.fromkeys(a.subject for a in accepted))


# -- what other checkers would accept


def _fixed(trial: Trial) -> list[Finding]:
    words = []
    for tolerance, names in ((TIGHT, fixed_tolerance(trial.accepted, trial.names, TIGHT)),
                             (LOOSE, fixed_tolerance(trial.accepted, trial.names, LOOSE))):  # fmt: skip
        if names:
            words.append(f"at {tolerance:g}: {_list(names)}")
    if not words:
        return []
    return [
        Finding(
            "fixed-tolerance", Severity.NOTE, f"torch.allclose on the task's own inputs accepts, {'; '.join(words)}."
        )
    ]


def fixed_tolerance(accepted: Sequence[Accepted], names: Sequence[str], tolerance: float) -> list[str]:
    """What torch.allclose at `LOOSE` or `TIGHT` accepts on the task's own inputs: rules, or what is left out."""

    def says(a: Accepted) -> bool:
        return not a.is_function and (a.loose if tolerance == LOOSE else a.tight)

    found = [
        rule for rule in VALUE_RULES if names and _results((a for a in accepted if a.rule == rule), says) >= set(names)
    ]
    return [*found, *_subjects(a for a in accepted if a.subject and a.how not in STANDS_IN and says(a))]


# -- words


def _marked(rule: str, what: str) -> Finding:
    return Finding(rule, Severity.MARKED, what[0].upper() + what[1:])


def _hows(accepted: Iterable[Accepted]) -> str:
    hows = list(dict.fromkeys(a.how for a in accepted))
    return hows[0] if len(hows) == 1 else " or ".join(hows[:2])


def _list(names: Iterable[str]) -> str:
    each = list(dict.fromkeys(names))
    more = f" and {counted(len(each) - _SHOWN, 'other')}" if len(each) > _SHOWN else ""
    return ", ".join(each[:_SHOWN]) + more


def _named(names: Sequence[str]) -> str:
    text = _list(names)
    return text[0].upper() + text[1:]
