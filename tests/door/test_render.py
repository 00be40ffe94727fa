"""What is drawn: kinds beside times, hostile text harmless, plain lines without a terminal."""

from __future__ import annotations

import io

import pytest
from door_nouns import KERNEL, RUN, attempt, failed, passed
from rich.console import Console

from kernelwright.errors import TaskError
from kernelwright.events import AttemptFinished, AttemptStarted, Note, RunStarted, StageFinished, StageStarted
from kernelwright.render import (
    LiveLine,
    ProgressView,
    attempts_table,
    best_block,
    error_text,
    evaluation_view,
    make_console,
    plain_source,
)
from kernelwright.verifier.evaluation import Stage, StageStatus


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


def test_live_line_says_where_and_how_long() -> None:
    now = [100.0]
    line = LiveLine(lambda: now[0])
    line.round = "round 2 of 6"
    now[0] = 107.9
    line.stage_begins("correctness")
    now[0] = 110.0
    line.stage_begins("correctness, workload 3 of 6")  # goes on with the same stage
    now[0] = 112.0
    assert line.__rich__().plain == "round 2 of 6, correctness, workload 3 of 6: 4 s (12 s in all)"
    line.stage_begins("integrity")
    assert line.__rich__().plain == "round 2 of 6, integrity: 0 s (12 s in all)"


def test_a_terminal_shows_the_live_line(page: io.StringIO) -> None:
    now = [0.0]
    console = Console(file=page, force_terminal=True, width=80, height=25, legacy_windows=False)
    with ProgressView(console, "H200", clock=lambda: now[0]) as view:
        view(RunStarted("softmax-7k3f9q", "softmax", 1))
        view(AttemptStarted("softmax-7k3f9q", 1, "one block per row"))
        now[0] = 3.0
        view(StageStarted("correctness, workload 1 of 6"))
        now[0] = 5.0
        view(Note("drawn above the live line, which is drawn again"))
    text = page.getvalue()
    assert "up to 1 round\x1b" in text or "up to 1 round\n" in text or "up to 1 round " in text
    assert "round 1 of 1, correctness, workload 1 of 6: 2 s (5 s in all)" in text


def test_a_long_summary_hangs_under_itself(page: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with ProgressView(make_console(page)) as view:
        view(StageFinished("timing", "passed", "2.50 µs modelled for H200, eager 2.64 µs", 0.5))
    first, second = page.getvalue().splitlines()
    assert first.index("2.50") == len(second) - len(second.lstrip())


@pytest.mark.parametrize("name", ["softmax_rows", "gelu_bias_dropout_residual_pointwise", "batch_norm_statistics_rows"])
def test_no_word_is_broken_in_80_columns(page: io.StringIO, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    console = make_console(page)
    plan = f"{name}: 64 threads a row, 4 elements a load, the row kept in registers (the usual choice)"
    attempts = [attempt(1, passed(), plan=plan), attempt(10, failed(), plan=plan)]
    console.print(attempts_table(attempts, attempts[0], width=console.width))
    text = page.getvalue()
    for word in (*plan.split(), "modelled for H200", "10.0 µs", "2.50x", "passed", "wrong"):
        assert word in text, word
    assert max(map(len, text.splitlines())) <= 80


def test_the_line_at_fault_is_quoted(page: io.StringIO) -> None:
    quote = "    5 | y[i] = z[i];\n      |        ^"
    stage = Stage(name="build", status=StageStatus.FAILED, summary="", seconds=1.0, evidence={"excerpt": quote})
    make_console(page).print(evaluation_view(failed("It does not compile.").model_copy(update={"stages": [stage]})))
    assert page.getvalue().splitlines()[-3:] == ["wrong: It does not compile.", *quote.splitlines()]


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
