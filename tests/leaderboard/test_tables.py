"""CSV and Markdown: what a program reads, and names that stay names."""

from __future__ import annotations

import csv
import io

import pytest
from scoring_entries import of

from kernelwright.bench_tasks.scoring.board import sections
from kernelwright.leaderboard.cells import cells
from kernelwright.leaderboard.tables import csv_text, markdown_text

HOSTILE = "=cmd()|[x](http://evil.example)<b>`|\n# no"


def test_csv_has_a_line_for_each_entry_with_what_must_not_be_mixed() -> None:
    found = sections([of([2.0, None], id="one"), of([2.0, 4.0], id="two", gpu="A100"), of([None, None], id="three")])
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert {(row["id"], row["gpu"], row["timing_kind"], row["scale"]) for row in rows} == {
        ("one", "H200", "modelled", "twin"),
        ("two", "A100", "modelled", "twin"),
        ("three", "H200", "modelled", "twin"),
    }
    by_id = {row["id"]: row for row in rows}
    assert float(by_id["two"]["geomean"]) == pytest.approx(8.0**0.5)
    assert by_id["three"]["dollars_per_solved"] == ""
    assert csv_text(()).splitlines() == ["suite"]


def test_a_hostile_author_is_a_name() -> None:
    found = sections([of([2.0, None], author=HOSTILE)])
    (row,) = csv.DictReader(io.StringIO(csv_text(found)))
    assert row["author"] == f"'{HOSTILE}".replace("\n", " ")
    table = markdown_text(found, tasks=True).splitlines()
    (line,) = [line for line in table if "evil" in line]
    for special in "[<`#":
        assert f"\\{special}" in line
        assert special not in line.replace(f"\\{special}", "")
    assert len(line.replace("\\|", "").split("|")) == len(cells(found[0].rows[0])) + 2


def test_no_entries() -> None:
    assert markdown_text(()) == "No entries.\n"


def test_each_p_has_its_column() -> None:
    (section,) = sections([of([2.0, None])], p=1.5)
    assert "fast_1.5" in cells(section.rows[0])
    assert "fast_1.5" in csv_text([section])
    (section,) = sections([of([2.0, None])])
    assert list(cells(section.rows[0])) == [
        "rank", "author", "coverage", "solved", "fast_1", "geomean", "median", "pass@1", "roofline", "per solved",
        "integrity", "evidence",
    ]  # fmt: skip


def test_nothing_moves_the_cursor_of_who_reads_a_file() -> None:
    found = sections([of([2.0, None], author="a\x1b[2Jb\u202ec\x07")])
    for text in (csv_text(found), markdown_text(found, tasks=True)):
        assert not {c for c in text if ord(c) < 32 and c != "\n"} | ({"\u202e"} & set(text))
