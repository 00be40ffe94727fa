"""Rows of a data set: what a column holds is said beside it here, and the data card takes its table from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.rl.curation.candidate import Candidate, Harvest
from kernelwright.rl.curation.select import Kept, Purpose

__all__ = ["COLUMNS", "completion_of", "content_digest", "licences", "prompt_of", "rows_of"]

_SYSTEM = (
    "You write CUDA C++ kernels for PyTorch modules. What you write is compiled, compared with the reference on many inputs and "
    "searched for tricks; only then is its time taken."
)
_PROMPT = """\
Write a faster kernel for this PyTorch module on a {gpu}.

{source}

Reply with one Python module in a fenced block. It defines `class ModelNew(torch.nn.Module)` with the constructor arguments, \
parameters and results of `Model`, and computes what `Model` computes with CUDA kernels of its own, compiled with \
`cupy.RawModule` or `torch.utils.cpp_extension.load_inline` and launched on torch's current stream.{backward}
"""
_BACKWARD = " The gradients for inputs and parameters are asked for as well."

Column = tuple[str, str, str]
_COMMON: tuple[Column, ...] = (
    ("prompt", "string", "what is asked: the task's source and the form of the answer"),
    ("task_id", "string", "content hash of the task"),
    ("task_name", "string", "name of the task in the run that the row is from"),
    ("task_source", "string", "the PyTorch reference: Model, get_inputs, get_init_inputs"),
    ("family", "string", "what kind of kernel the task asks for"),
    ("module", "string", "hash of the module whatever its sizes and names; split by it, not by row"),
    ("time_kind", "string", "`measured` on a GPU or `modelled` for one: the same in every row of a data set"),
    ("gpu", "string", "the GPU that was measured on, or modelled"),
    ("baseline", "string", "what the reference was run as: `eager`"),
    ("baseline_seconds", "double", "time of the reference for one forward call, seconds"),
    ("bound_seconds", "double", "the least time that bytes and operations allow, seconds"),
    ("seconds", "double", "time of the kernel for one forward call, seconds"),
    ("speedup", "double", "baseline_seconds / seconds"),
    ("run_id", "string", "provenance: the run"),
    ("attempt", "int64", "provenance: the number of the attempt in it, from 1"),
    ("kernel_id", "string", "provenance: content hash of the kernel"),
    ("evaluation_id", "string", "provenance: content hash of the evaluation"),
    ("author", "string", "who wrote the kernel"),
    ("archive", "string", "the archive that the kernel was imported from; empty if it was written here"),
    ("task_licence", "string", "licence of the task's source, where it is known"),
    ("kernel_licence", "string", "licence of the kernel's source, where it is known"),
)
_SFT: tuple[Column, ...] = (
    ("completion", "string", "the answer: reasoning if there is some, then the module in a fenced block"),
    ("messages", "messages", "prompt and completion as a conversation: role, content"),
    ("kernel_source", "string", "the module that defines ModelNew"),
    ("reasoning", "string", "what the model thought, if it was shown nothing but the reference; else empty"),
    ("reasoning_chars", "int64", "characters of what it thought, shown here or not; -1 if no model wrote it"),
    ("why", "string", "`fastest of its task`, or `large speed-up`"),
)
_RL: tuple[Column, ...] = (
    ("messages", "messages", "the prompt as a conversation: role, content"),
    ("workloads", "string", "JSON: the inputs on which a kernel must prove itself (docs/tasks.md)"),
    ("policy", "string", "JSON: how far a kernel may be from the float64 reference"),
    ("backward", "bool", "whether gradients are asked for"),
    ("attempts", "int64", "attempts at this task in the store"),
    ("passed", "int64", "those of them that passed"),
)
COLUMNS: Mapping[Purpose, tuple[Column, ...]] = {"sft": (*_COMMON, *_SFT), "rl": (*_COMMON, *_RL)}
"""Name, type (of Parquet; `messages` is a list of role and content), meaning."""


def prompt_of(source: str, gpu: str, *, backward: bool = False) -> str:
    """What a model is asked in every row, and is to be asked when it has learned."""
    return _PROMPT.format(source=_fenced(source), gpu=gpu, backward=_BACKWARD if backward else "")


def completion_of(kernel: str, reasoning: str = "") -> str:
    """The answer in the form that `kernelwright.agents.llm.parse` reads back."""
    thought = f"<think>\n{reasoning.strip()}\n</think>\n\n" if reasoning.strip() else ""
    return f"{thought}{_fenced(kernel)}\n"


def rows_of(
    kept: Sequence[Kept], purpose: Purpose, harvest: Harvest, own_tasks: frozenset[str]
) -> list[dict[str, Any]]:
    """Rows in the order of the selection.

    Args:
        own_tasks: ids of tasks of our own suites, whose licence is ours.
    """
    make = _sft if purpose == "sft" else _rl
    return [{**_common(each, own_tasks), **make(each, harvest)} for each in kept]


def content_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of the rows as JSON, 64 hex digits: the same content has the same, whatever wrote the file."""
    found = hashlib.sha256()
    for row in rows:
        found.update(json.dumps(row, sort_keys=True, ensure_ascii=True).encode())
        found.update(b"\n")
    return found.hexdigest()


def licences(candidate: Candidate, own_tasks: frozenset[str]) -> tuple[str, str]:
    """Of the task and of the kernel; `unknown` where nothing says."""
    constants = constants_of(candidate.task.source)
    # a stranger's source may say what it likes of where it is from
    grown = not candidate.archive and constants.get("ORIGIN") == "kernelwright dataset expand"
    ours = candidate.task.id in own_tasks or grown
    task = "Apache-2.0" if ours else candidate.licence or "unknown"
    if candidate.archive:
        return task, candidate.licence or "unknown"
    return task, "Apache-2.0" if candidate.author == "builtin" else "terms of the model's provider"


def _common(kept: Kept, own_tasks: frozenset[str]) -> dict[str, Any]:
    each = kept.candidate
    task_licence, kernel_licence = licences(each, own_tasks)
    return {
        "prompt": prompt_of(each.task.source, each.gpu, backward=each.task.backward),
        "task_id": each.task.id,
        "task_name": each.task.name,
        "task_source": each.task.source,
        "family": kept.family,
        "module": kept.module,
        "time_kind": each.kind.value,
        "gpu": each.gpu,
        "baseline": each.baseline,
        "baseline_seconds": each.baseline_seconds,
        "bound_seconds": each.bound_seconds,
        "seconds": each.seconds,
        "speedup": each.speedup,
        "run_id": each.run_id,
        "attempt": each.number,
        "kernel_id": each.kernel_id,
        "evaluation_id": each.evaluation_id,
        "author": each.author,
        "archive": each.archive,
        "task_licence": task_licence,
        "kernel_licence": kernel_licence,
    }


def _sft(kept: Kept, _harvest: Harvest) -> dict[str, Any]:
    each = kept.candidate
    thought = each.reasoning
    shown = thought.text if thought is not None and thought.from_reference else ""
    completion = completion_of(each.kernel, shown)
    prompt = prompt_of(each.task.source, each.gpu, backward=each.task.backward)
    return {
        "completion": completion,
        "messages": _messages(("system", _SYSTEM), ("user", prompt), ("assistant", completion)),
        "kernel_source": each.kernel,
        "reasoning": shown,
        "reasoning_chars": -1 if thought is None else len(thought.text),
        "why": kept.why,
    }


def _rl(kept: Kept, harvest: Harvest) -> dict[str, Any]:
    task = kept.candidate.task
    prompt = prompt_of(task.source, kept.candidate.gpu, backward=task.backward)
    attempts, passed = harvest.attempts_of.get(task.id, (1, 1))
    return {
        "messages": _messages(("system", _SYSTEM), ("user", prompt)),
        "workloads": json.dumps([workload.to_json() for workload in task.workloads]),
        "policy": json.dumps(vars(task.policy)),
        "backward": task.backward,
        "attempts": attempts,
        "passed": passed,
    }


def _fenced(code: str) -> str:
    """In a block that the code can't end: fences in it are shorter."""
    fence = "```"
    while fence in code:
        fence += "`"
    code = code.strip("\n")
    return f"{fence}python\n{code}\n{fence}"


def _messages(*said: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in said]
