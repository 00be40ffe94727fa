"""Rows for fine-tuning: read from files with care, chosen from the store, and learned in the reply alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from training_doubles import module

from kernelwright.agents.llm.parse import find_kernel
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import ConfigError, MisuseError
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.training.rows import Row, reply_of, rows_of_file, successes, tokens_of, write_rows
from kernelwright.verifier.evaluation import TimingKind

SAID = [{"role": "user", "content": "write"}, {"role": "assistant", "content": "done"}]


def lines(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


HELD = Task(
    "held",
    "import torch\nN = 4096\n\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        gate = torch.tanh(x)\n"
    "        return gate * x\n\ndef get_inputs():\n    return [torch.randn(N, N)]\n",
)


def test_conversations_and_pairs_are_read_and_held_out_tasks_left_out(tmp_path: Path) -> None:
    path = lines(
        tmp_path,
        {"messages": SAID, "task_id": "t1"},
        "",
        {"prompt": "p", "completion": "c", "task_id": "t2"},
        {"messages": SAID, "prompt": "unused", "completion": "unused"},
        {"prompt": "p", "completion": "c", "task_id": HELD.id},
        {
            "prompt": "p",
            "completion": "c",
            "task_id": "its twin",
            "task_source": HELD.source.replace("4096", "16").replace("gate", "g"),
        },
    )
    rows, left_out = rows_of_file(path, [HELD])
    assert left_out == 2
    assert rows == [
        Row(SAID[:1], "done", "t1"),
        Row([{"role": "user", "content": "p"}], "c", "t2"),
        Row(SAID[:1], "done"),
    ]


def test_rows_are_written_and_read_back(tmp_path: Path) -> None:
    rows = [Row([{"role": "system", "content": "s"}, *SAID[:1]], "π\u2028", "t")]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert rows_of_file(tmp_path / "rows.jsonl") == (rows, 0)


@pytest.mark.parametrize(
    "row",
    ["{", "[]", "3", {}, {"messages": []}, {"messages": SAID[:1]}, {"messages": [*SAID, SAID[0]]}, {"prompt": "p"},
     {"messages": [{"role": "user"}, SAID[1]]}, {"prompt": 1, "completion": "c"}, "[" * 100_000],
)  # fmt: skip
def test_what_is_no_row_is_told_with_its_line(tmp_path: Path, row: Any) -> None:
    path = lines(tmp_path, {"messages": SAID}, row)
    with pytest.raises(ConfigError) as caught:
        rows_of_file(path)
    assert caught.value.line == 2


def test_no_file_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="no such file"):
        rows_of_file(tmp_path / "nothing.parquet")


def test_successes_are_the_fastest_that_differ() -> None:
    given = [
        Variant(f"k{n}", "", score, 1e-5, TimingKind.MODELLED) for n, score in enumerate([1.0, 1.99, 2.0, 0.5, 1.5])
    ]
    assert [v.score for v in successes(given, 2)] == [2.0, 1.5]
    assert [v.score for v in successes(given, 9)] == [2.0, 1.5, 1.0, 0.5]
    assert successes([], 2) == []


def test_a_reply_is_read_back_as_its_kernel() -> None:
    for source in (module("a"), "x = '''\n```\n'''\nclass ModelNew: pass\n"):
        assert find_kernel(reply_of(source, "a plan")) == (source, True)


class Letters:
    """A tokenizer of one id a letter."""

    chat_template = None
    eos_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": ([1] if add_special_tokens else []) + [ord(c) for c in text]}


def test_the_reply_alone_is_learned_with_its_end() -> None:
    (found,), left_out = tokens_of([Row([{"role": "user", "content": "ab"}], "cd")], Letters(), 100)
    assert left_out == 0
    assert found.input_ids == [1, ord("a"), ord("b"), ord("c"), ord("d"), 0]
    assert found.labels == [-100, -100, -100, ord("c"), ord("d"), 0]


def test_rows_that_are_too_long_are_left_out_and_not_cut() -> None:
    rows = [Row([{"role": "user", "content": "ab"}], "cd"), Row([{"role": "user", "content": "ab"}], "c" * 50)]
    found, left_out = tokens_of(rows, Letters(), 6)
    assert (len(found), left_out) == (1, 1)
