"""Counts, shares and failures in words."""

from __future__ import annotations

import pytest

from kernelwright.sandbox.candidate import CandidateFailure
from kernelwright.verifier.wording import counted, error_share, excerpt, failure_reason, quoted, sentence


def test_one_is_singular() -> None:
    assert [counted(n, "launch", "launches") for n in (0, 1, 2)] == ["0 launches", "1 launch", "2 launches"]
    assert [counted(n, "block") for n in (1, 2048)] == ["1 block", "2,048 blocks"]


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "exact"),
        (0.004, "largest error less than 1 % of what is allowed"),
        (0.061, "largest error 6 % of what is allowed"),
        (1.0, "largest error 100 % of what is allowed"),
    ],
)
def test_share_of_the_allowed_error(share: float, words: str) -> None:
    assert error_share(share) == words


def test_a_sentence_has_one_full_stop() -> None:
    assert [sentence(text) for text in ("a", "a.", "a? ", "")] == ["a.", "a.", "a?", ""]


def test_a_compile_error_is_said_once_and_quoted() -> None:
    log = 'kernel.cu(5): error: identifier "z" is undefined\n          y[i] = z[i];\n                 ^\n\n1 error detected\n'
    failure = CandidateFailure(
        "build", 'the CUDA source does not compile: identifier "z" is undefined', line=5, log=log
    )
    assert failure_reason(failure) == 'The CUDA source does not compile at line 5: identifier "z" is undefined.'
    number, caret = excerpt(failure, "").splitlines()
    assert number == "    5 | y[i] = z[i];"
    assert number[caret.index("^")] == "z"


def test_a_warning_before_the_error_is_not_quoted() -> None:
    log = 'kernel.cu(2): warning #177-D: unused\n    int a;\n        ^\n\nkernel.cu(9): error: expected a ";"\n    }\n    ^\n'
    failure = CandidateFailure("build", 'the CUDA source does not compile: expected a ";"', line=9, log=log)
    assert excerpt(failure, "").splitlines()[0] == "    9 | }"


def test_a_python_error_is_quoted_from_the_module() -> None:
    failure = CandidateFailure("python", "NameError: name 'q' is not defined", line=2, mend="Define it.")
    assert excerpt(failure, "import torch\n    q()\n") == "    2 | q()"
    assert failure_reason(failure).endswith("at line 2: NameError: name 'q' is not defined. Define it.")
    assert excerpt(failure, "one line") == ""


def test_no_line_no_quote() -> None:
    assert excerpt(CandidateFailure("crashed", "gone"), "a\nb\n") == ""
    assert quoted("a\n\nb", 2) == ""
