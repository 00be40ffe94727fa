"""The suite `core`: what it holds, and that its files say what a suite needs."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from kernelwright.bench_tasks.own import own_suite
from kernelwright.bench_tasks.suite import Scale, SuiteTask

_LEAST = {
    "attention": 4, "convolution": 7, "indexing": 8, "loss": 6, "matmul": 9, "norm": 7, "optimiser": 5,
    "pointwise": 9, "pooling": 5, "reduction": 8, "scan": 5, "softmax": 2, "sorting": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def tasks() -> tuple[SuiteTask, ...]:
    return own_suite("core").tasks


def test_every_family_is_there(tasks: tuple[SuiteTask, ...]) -> None:
    bases = Counter(task.family for task in tasks if "@" not in task.name)
    assert set(bases) == set(_LEAST)
    assert {family: bases[family] for family, least in _LEAST.items() if bases[family] < least} == {}
    assert bases.total() >= 64


def test_names_and_contents_are_unique(tasks: tuple[SuiteTask, ...]) -> None:
    for scale in Scale:
        assert len({task.at(scale).id for task in tasks}) == len(tasks)
    assert len({task.name for task in tasks}) == len(tasks)


def test_every_task_has_a_title_a_twin_and_few_variants(tasks: tuple[SuiteTask, ...]) -> None:
    assert [task.name for task in tasks if not task.title or not task.twin] == []
    variants = Counter(task.name.partition("@")[0] for task in tasks if "@" in task.name)
    assert max(variants.values()) <= 2
    assert {task.name.partition("@")[2] for task in tasks} <= {"", "half", "backward"}


def test_half_and_backward_variants_are_what_they_are_called(tasks: tuple[SuiteTask, ...]) -> None:
    for task in tasks:
        _, _, variant = task.name.partition("@")
        assert task.task.backward == (variant == "backward"), task.name
        if variant == "half":
            assert any(f'DTYPE = "{dtype}"' in task.task.source.replace("'", '"') for dtype in ("float16", "bfloat16"))


def test_every_constant_is_used(tasks: tuple[SuiteTask, ...]) -> None:
    for task in tasks:
        names = Counter(node.id for node in ast.walk(ast.parse(task.task.source)) if isinstance(node, ast.Name))
        for name in task.twin:
            assert names[name] > 1, f"{task.name}: {name} is set and never used"
        if '"DTYPE"' in task.task.source:
            assert names["DTYPE"] > 1, task.name


def test_the_first_line_is_a_sentence_and_more_says_where_it_is_used(tasks: tuple[SuiteTask, ...]) -> None:
    for path in {task.task.path for task in tasks}:
        text = ast.get_docstring(ast.parse(Path(str(path)).read_text())) or ""
        first, _, rest = text.partition("\n")
        assert first.endswith("."), path
        assert rest.strip(), path
