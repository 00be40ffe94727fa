"""What is drawn: kinds beside times, hostile text harmless, plain lines without a terminal."""

from __future__ import annotations

import io

import pytest
from door_nouns import KERNEL, RUN, attempt, failed, passed

from kernelwright.errors import TaskError
from kernelwright.events import AttemptFinished, AttemptStarted, Note, RunStarted, StageFinished, StageStarted
from kernelwright.render import (
    ProgressView,
    attempts_table,
    best_block,
    error_text,
    evaluation_view,
    make_console,
    plain_source,
)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.delenv("COLUMNS", raising=False)
    return io.StringIO()


def test_progress_is_one_plain_line_an_event(page: io.StringIO) -> None:
    with ProgressView(make_console(page), "H200") as view:
        view(RunStarted("softmax-7k3f9q", "softmax", 6))
        view(AttemptStarted("softmax-7k3f9q", 1, "one block per row"))
        view(StageStarted("build"))
        view(StageFinished("build", "passed", "32 registers", 0.07))
        view(StageFinished("correctness", "failed", "off by 3", 1.2))
        view(AttemptFinished("r", 1, "passed", "fine", 10e-6, "modelled", 2.5, "read 16 bytes", True))
        view(AttemptFinished("r", 2, "wrong", "off by 3", None, None, None, "", False))
        view(Note("stays in torch: aten.sort"))
    lines = [line.rstrip() for line in page.getvalue().splitlines() if line.strip()]
    assert lines == [
        "Run softmax-7k3f9q: softmax, up to 6 rounds",
        "Round 1/6  one block per row",
        "  ok      build         70.0 ms  32 registers",
        "  FAILED  correctness    1.20 s  off by 3",
        "  passed: 10.0 µs modelled for H200, 2.50x against eager  (best so far)",
        "  judge: read 16 bytes",
        "  wrong: off by 3",
        "  note: stays in torch: aten.sort",
    ]


def test_table_has_every_attempt_and_the_kind_of_time(page: io.StringIO) -> None:
    attempts = [attempt(1, failed("off by 3")), attempt(2, passed(), plan="two rows per block")]
    console = make_console(page)
    console.print(attempts_table(attempts, attempts[1], width=console.width))
    console.print(best_block(RUN, attempts[1]))
    text = page.getvalue()
    assert "modelled for H200" in text
    for said in (
        "*2",
        "two rows per block",
        "wrong",
        "off by 3",
        "10.0 µs",
        "2.50x",
        "80 %",
        "dram",
        "25.0 µs",
        "8.00 µs",
    ):
        assert said in text, said


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(page: io.StringIO, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    console = make_console(page)
    attempts = [attempt(1, passed(), plan="a plan of many words that has to be folded somewhere " * 3)]
    console.print(attempts_table(attempts, attempts[0], width=console.width))
    console.print(best_block(RUN, attempts[0]))
    assert max(map(len, page.getvalue().splitlines())) <= width


def test_nothing_passed(page: io.StringIO) -> None:
    make_console(page).print(best_block(RUN, None))
    assert "No attempt passed" in page.getvalue()


def test_hostile_text_is_neither_markup_nor_escape_sequence(page: io.StringIO) -> None:
    evil = "[bold red]x[/bold red] :smile: \x1b[2J\x1b]0;title\x07 \r\n [link=file:///etc/passwd]y"
    console = make_console(page)
    console.print(evaluation_view(failed(evil)))
    console.print(error_text(TaskError(evil, mend=evil, path=evil)))
    console.print(attempts_table([attempt(1, failed(evil), plan=evil)], None, width=120))
    console.print(plain_source(evil))
    text = page.getvalue()
    assert "[bold red]x[/bold red] :smile:" in text
    assert "\x1b" not in text
    assert "\r" not in text
    assert "\\x1b[2J" in text  # source shows what was there


def test_error_gives_place_message_and_mend(page: io.StringIO) -> None:
    make_console(page).print(error_text(TaskError("no Model.", mend="Define it.", path="a.py", line=3)))
    assert page.getvalue().splitlines() == ["error: a.py:3: no Model.", "  Define it."]


def test_source_is_shown_as_it_is(page: io.StringIO) -> None:
    make_console(page).print(plain_source(KERNEL.source), soft_wrap=True)
    assert page.getvalue() == KERNEL.source + "\n"
