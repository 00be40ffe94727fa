"""Rows for supervised fine-tuning: from a data set's files, or from kernels that passed; then as token ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelwright.agents.llm.text import fenced
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import ConfigError, MisuseError
from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.contrastive.prompt import Messages
from kernelwright.rl.curation.normal import digest, normal_task
from kernelwright.rl.training.generation import encode

__all__ = ["Row", "Tokens", "reply_of", "rows_of_file", "successes", "tokens_of", "write_rows"]

_LARGEST_FILE = 4 << 30  # bytes


@dataclass(frozen=True)
class Row:
    """A prompt and the reply to be learned."""

    prompt: Messages
    reply: str
    task_id: str = ""
    """Empty where it is not known."""


@dataclass(frozen=True)
class Tokens:
    """A row as token ids; what is not learned has the label -100."""

    input_ids: list[int]
    labels: list[int]


def successes(variants: Iterable[Variant], most: int) -> list[Variant]:
    """At most `most` kernels of a task: the fastest, and none within 2 % of one taken already, which would teach the same."""
    taken: list[Variant] = []
    for variant in sorted(variants, key=lambda v: (-v.score, v.kernel_id)):
        if len(taken) == most:
            break
        if all(variant.score < 0.98 * other.score for other in taken):
            taken.append(variant)
    return taken


def reply_of(source: str, plan: str = "") -> str:
    """A kernel as a model is to reply it: a line that says what it is, and the module in a fenced block."""
    head = f"PLAN: {plan}\n\n" if plan else ""
    return f"{head}{fenced(source, max(64, 2 * len(source)), 'python')}\n"


def rows_of_file(path: Path, held_out: Sequence[Task] = ()) -> tuple[list[Row], int]:
    """The rows of a JSON-lines or Parquet file, with `messages` or `prompt` and `completion`, and how many were held out.

    Args:
        held_out: tasks whose rows are left out, by the columns `task_id` and `task_source`: at other sizes, and in other words, a task
            is the same one (`rl.curation.normal`).

    Raises:
        MisuseError: there is no such file.
        ConfigError: a row is none.
    """
    if not path.is_file():
        raise MisuseError("there is no such file.", mend="Make one with `kernelwright dataset build`.", path=str(path))
    ids = {task.id for task in held_out}
    forms = {digest(normal_task(task.source)) for task in held_out}
    rows: list[Row] = []
    left_out = 0
    for number, data in enumerate(_records(path), start=1):
        source = data.get("task_source")
        known = forms and isinstance(source, str) and digest(normal_task(source)) in forms
        if known or str(data.get("task_id", "")) in ids:
            left_out += 1
            continue
        row = _row(data)
        if row is None:
            raise ConfigError(
                "a row has neither `messages` that end with the assistant's nor `prompt` and `completion`.",
                path=str(path),
                line=number,
            )
        rows.append(row)
    return rows, left_out


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes JSON lines that `rows_of_file` reads back; the file is there whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        for row in rows:
            said = [*row.prompt, {"role": "assistant", "content": row.reply}]
            file.write(json.dumps({"task_id": row.task_id, "messages": said}) + "\n")
    beside.replace(path)


def _records(path: Path) -> Iterable[dict[str, Any]]:
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet
        from pyarrow import ArrowException

        try:
            found: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        except (ArrowException, OSError, ValueError) as error:
            raise ConfigError(f"it can't be read: {' '.join(str(error).split())[:200]}.", path=str(path)) from error
        return found
    if path.stat().st_size > _LARGEST_FILE:
        raise ConfigError(f"it has more than {_LARGEST_FILE:,} bytes.", path=str(path))
    return _lines(path)


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                data = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError("a line is no JSON.", path=str(path), line=number) from error
            if not isinstance(data, dict):
                raise ConfigError("a line is no JSON object.", path=str(path), line=number)
            yield data


def _row(data: dict[str, Any]) -> Row | None:
    task_id = str(data.get("task_id", ""))
    said = data.get("messages")
    if isinstance(said, Sequence) and len(said) > 1 and all(_is_message(each) for each in said):
        if said[-1]["role"] != "assistant":
            return None
        return Row([dict(each) for each in said[:-1]], said[-1]["content"], task_id)
    prompt, completion = data.get("prompt"), data.get("completion")
    if isinstance(prompt, str) and isinstance(completion, str):
        return Row([{"role": "user", "content": prompt}], completion, task_id)
    return None


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)


def tokens_of(rows: Sequence[Row], tokenizer: Any, most: int) -> tuple[list[Tokens], int]:
    """Rows as token ids, the reply alone to be learned, and how many were left out for having more than `most`."""
    found: list[Tokens] = []
    for row in rows:
        prompt = encode(tokenizer, row.prompt)
        reply = [*tokenizer(row.reply, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        if len(prompt) + len(reply) <= most:
            found.append(Tokens([*prompt, *reply], [-100] * len(prompt) + reply))
    return found, len(rows) - len(found)
