"""What a terminal shows of evidence: explanations with their source lines, and a bundle judged again."""

from __future__ import annotations

import io

import pytest
from door_nouns import failed, passed

from kernelwright.evidence import Recheck
from kernelwright.render import make_console
from kernelwright.render_evidence import explanation_view, recheck_view
from kernelwright.verifier.archive import Change
from kernelwright.verifier.explain import Explanation, SourceLine
from kernelwright.verifier.recheck import Comparison, Difference


def shown(view: object, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    page = io.StringIO()
    monkeypatch.delenv("COLUMNS", raising=False)
    make_console(page).print(view)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def test_a_source_line_has_its_caret_under_the_column(monkeypatch: pytest.MonkeyPatch) -> None:
    line = SourceLine("    int a = zeta; // [bold]", 12, 5, 13)
    lines = shown(
        explanation_view([Explanation("build", "failed", ("It fails.", "- one\x1b[2J"), (line,))]), monkeypatch
    )
    assert lines[:4] == [
        "build  failed",
        "  It fails.",
        "  - one [2J",
        "    line 12, CUDA line 5 | int a = zeta; // [bold]",
    ]
    assert lines[3][lines[4].index("^")] == "z"


def test_a_line_that_is_only_known_in_the_cuda_source(monkeypatch: pytest.MonkeyPatch) -> None:
    view = explanation_view([Explanation("sanitise", "failed", (), (SourceLine("y[i] = 1\x1b[2J;", None, 5),))])
    assert shown(view, monkeypatch)[1] == "    CUDA line 5 | y[i] = 1\\x1b[2J;"


def test_a_changed_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Recheck("", (Change("kernel.py", "its SHA-256 is not the one in the manifest."),), None, None)
    assert not found.holds
    text = shown(recheck_view(found), monkeypatch)
    assert text[0] == "  changed  kernel.py: its SHA-256 is not the one in the manifest."
    assert "nothing in it was run" in text[-1]


VERDICT = Comparison("verdict", True, "passed", "passed", True)
COUNTERS = Comparison("counters", False, "1 launch", "1 launch: flops 3 and 4", False)
TORCH = Difference("device.versions.torch", "2.1", "2.13")


@pytest.mark.parametrize(
    ("comparisons", "environment", "holds", "says"),
    [
        ((VERDICT,), (), True, "its verdict holds."),
        ((VERDICT, COUNTERS), (), False, "not the figures, in the same environment"),
        ((VERDICT, COUNTERS), (TORCH,), True, "in another environment"),
        ((Comparison("verdict", False, "passed", "wrong", True),), (TORCH,), False, "does not hold"),
    ],
)
def test_what_decides(
    monkeypatch: pytest.MonkeyPatch,
    comparisons: tuple[Comparison, ...],
    environment: tuple[Difference, ...],
    holds: bool,
    says: str,
) -> None:
    found = Recheck("ab", (), passed(), passed(), comparisons, environment)
    assert found.holds is holds
    text = shown(recheck_view(found), monkeypatch)
    assert says in text[-1]
    assert ("differs" in "".join(text)) is any(not each.same for each in comparisons)
    assert any("torch: 2.1, here 2.13" in line for line in text) is bool(environment)


def test_fresh_seeds_decide_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Recheck("ab", (), passed(), passed(), (VERDICT,), (), failed())
    assert not found.holds
    assert "With fresh seeds the verdict is another one." in shown(recheck_view(found), monkeypatch)[-1]
