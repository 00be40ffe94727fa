"""The data card: a README.md that says what is in a data set, what is not and why, and what the figures rest on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelwright.rl.curation.candidate import Harvest
from kernelwright.rl.curation.heldout import HeldOutIndex
from kernelwright.rl.curation.rows import COLUMNS
from kernelwright.rl.curation.select import Reason, Rules, Selection

__all__ = ["CARD_FILE", "DATA_FILE", "DROPPED_FILE", "Facts", "card", "dropped_lines"]

CARD_FILE = "README.md"
DATA_FILE = "data/train-00000-of-00001.parquet"
DROPPED_FILE = "dropped.jsonl"
_RULES = {
    Reason.FAILED: "any verdict but `passed`",
    Reason.CONDEMNED: "the kernel, or the same one but for its names, was found to cheat or to be unsafe, was judged otherwise on this task, or was refused or suspect when it was submitted",
    Reason.NOT_WHOLE: "a stage of the judgement (static, correctness, integrity, timing) is missing or did not pass",
    Reason.SUSPECT: "it passed, and the static analysis or a stage warned of it",
    Reason.OTHER_KIND: "measured and modelled times never share a column",
    Reason.OTHER_GPU: "`--gpu` names another one",
    Reason.HELD_OUT: "the task, or a text of the row, is that of a held-out task: same id, same module under other names and sizes, same operations in the same order, near-duplicate, or a quotation",
    Reason.HELD_OUT_KERNEL: "the same kernel passed on a held-out task",
    Reason.SLOW: "the speed-up is below the least",
    Reason.DUPLICATE: "the same kernel but for names, comments and layout",
    Reason.NEAR_DUPLICATE: "most of its five-token runs are those of a better kernel of the same module",
    Reason.NOT_CHOSEN: "neither the fastest of its task with the shortest reasoning, nor a large speed-up",
    Reason.SAME_TASK: "one row for each module and GPU",
    Reason.BALANCE: "no family may have many more rows than the middle one",
}


@dataclass(frozen=True)
class Facts:
    """What the card says besides the selection."""

    digest: str
    """Of the rows' content."""
    versions: Mapping[str, str]
    """Of what wrote it."""
    held_out: Mapping[str, int]
    """Tasks by suite or path."""


def dropped_lines(selection: Selection) -> str:
    """JSON lines: every attempt that passed and is left out, with the reason."""
    return "".join(
        json.dumps(
            {
                "run_id": each.run_id, "attempt": each.number, "task": each.task, "kernel_id": each.kernel_id,
                "reason": each.reason.value, "detail": each.detail,
            },
            sort_keys=True,
        )
        + "\n"
        for each in selection.dropped
    )  # fmt: skip


def card(
    selection: Selection,
    rows: Sequence[Mapping[str, Any]],
    rules: Rules,
    harvest: Harvest,
    held_out: HeldOutIndex,
    facts: Facts,
) -> str:
    """The text of README.md; it depends on content only, so that the same store gives the same card."""
    purpose = "supervised fine-tuning" if rules.purpose == "sft" else "reinforcement learning"
    size = next((name for limit, name in ((1000, "n<1K"), (10_000, "1K<n<10K")) if len(rows) < limit), "10K<n<100K")
    kind = "none" if selection.kind is None else selection.kind.value
    parts = [
        f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {DATA_FILE}\n"
        f"size_categories:\n- {size}\ntags:\n- code\n- cuda\n---\n",
        f"# CUDA kernels for {purpose}\n",
        f"{len(rows)} rows of {len({row['task_id'] for row in rows})} tasks, chosen by `kernelwright dataset build --for {rules.purpose}` "
        f"from {sum(harvest.failed.values()) + len(harvest.candidates)} attempts of {harvest.runs} runs. Every kernel was judged by "
        "Kernelwright: compared with a float64 reference on many inputs, searched for tricks, and timed on verified calls.\n",
        f"Times are **{kind}**"
        + (
            ": counted by an emulator and turned into seconds by a performance model, not taken on a GPU.\n"
            if kind == "modelled"
            else ".\n"
        ),
        f"SHA-256 of the content: `{facts.digest}`\n",
        "## What was kept and what was not\n",
        _table(("attempts", "", "rule"), _outcome(selection)),
        f"Each attempt that passed and is left out is a line of `{DROPPED_FILE}`.\n",
        "## Rules\n",
        _table(("rule", "value"), _rules(rules, held_out, facts)),
        "## What is in it\n",
        _table(("family", "rows"), [(name, str(count)) for name, count in selection.families().items()]),
        _table(("GPU", "time", "rows", "median speed-up"), _speedups(rows)),
        "## Licences\n",
        _table(("of the task", "of the kernel", "rows"), _counted(rows, "task_licence", "kernel_licence")),
        "`unknown` is what nobody told when it was imported: ask its publisher before you train on it.\n",
        "## Environments that judged\n",
        _table(("device", "versions", "rows"), _environments(selection)),
        "Written with " + ", ".join(f"{name} {version}" for name, version in sorted(facts.versions.items())) + ".\n",
        "## Columns\n",
        _table(("column", "type", "meaning"), [(f"`{n}`", t, m) for n, t, m in COLUMNS[rules.purpose]]),
    ]
    return "\n".join(parts)


def _outcome(selection: Selection) -> list[tuple[str, ...]]:
    rows = [(str(len(selection.kept)), "kept", "")]
    rules = {reason.value: _RULES[reason] for reason in Reason}
    return [*rows, *((str(count), reason, rules[reason]) for reason, count in selection.counts().items())]


def _rules(rules: Rules, held_out: HeldOutIndex, facts: Facts) -> list[tuple[str, ...]]:
    strict = held_out.strictness
    found = [
        ("least speed-up", f"{rules.least_speedup:g}x"),
        (
            "large speed-up, kept though not the fastest",
            f"over {rules.large_speedup:g}x, at most {rules.per_task} of a task",
        ),
        ("near-duplicates", f"{rules.similarity:.0%} of five-token runs in common"),
        ("balance", f"{rules.balance:g} times the middle family" if rules.balance else "none"),
        ("GPU", rules.gpu or "any"),
    ]
    if not held_out:
        return [*found, ("held-out tasks", "none")]
    named = ", ".join(f"{name} ({count})" for name, count in sorted(facts.held_out.items()))
    return [
        *found,
        ("held-out tasks", named),
        ("near to a held-out task", f"{strict.similarity:.0%} of five-token runs in common"),
        ("quotation of a held-out task", f"{strict.overlap:.0%} of its own runs of {strict.ngram} words"),
    ]


def _speedups(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["gpu"], row["time_kind"]), []).append(row["speedup"])
    return [
        (gpu, kind, str(len(found)), f"{sorted(found)[(len(found) - 1) // 2]:.2f}x")
        for (gpu, kind), found in sorted(groups.items())
    ]


def _counted(rows: Sequence[Mapping[str, Any]], *columns: str) -> list[tuple[str, ...]]:
    counts = Counter(tuple(str(row[column]) for column in columns) for row in rows)
    return [(*key, str(count)) for key, count in sorted(counts.items())]


def _environments(selection: Selection) -> list[tuple[str, ...]]:
    counts = Counter(
        (each.candidate.device, ", ".join(f"{name} {v}" for name, v in sorted(each.candidate.versions.items())))
        for each in selection.kept
    )
    return [(*key, str(count)) for key, count in sorted(counts.items())]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    """Text of strangers breaks out of no table."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(plain.split()).replace("|", "\\|").replace("<", "&lt;")
