"""The task that a twin stands for."""

from __future__ import annotations

import pytest

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.twin import twin_of_task
from kernelwright.errors import TaskError

HEAD = """import torch
ROWS, COLUMNS = 100, 64
class Model(torch.nn.Module):
    def forward(self, x):
        return x
def get_inputs():
    return [torch.randn(ROWS, COLUMNS)]
"""
ROW = "    {{'name': 'rows {0}', 'distribution': 'as_given', 'sizes': {{'ROWS': {0}}}}},\n"


def read(*rows: int, tail: str = ""):
    more = "MORE_WORKLOADS = [\n" + "".join(ROW.format(number) for number in rows) + "]\n" if rows else ""
    return task_from_source(HEAD + more + tail, name="t")


def test_of_more_workloads_those_that_suit_the_twin_stay():
    twin = twin_of_task(read(7, 8, 16, 17, 500, tail="LAST = 3\n"), {"ROWS": 8})
    assert [w.name for w in twin.workloads if w.sizes] == ["rows 7", "rows 16"]
    assert twin.source.endswith("]\nLAST = 3\n")
    assert "ROWS, COLUMNS = 8, 64" in twin.source


@pytest.mark.parametrize("rows", [(), (7,), (500,), (7, 500)])
def test_its_text_says_the_same_workloads(rows):
    twin = twin_of_task(read(*rows), {"ROWS": 8, "COLUMNS": 4})
    assert task_from_source(twin.source, name="t").workloads == twin.workloads


def test_workloads_of_the_author_stay():
    own = 'WORKLOADS = [{"distribution": "normal"}, {"distribution": "normal", "sizes": {"ROWS": 500}}]\n'
    assert len(twin_of_task(read(tail=own), {"ROWS": 8}).workloads) == 2


def test_a_number_that_is_not_there():
    with pytest.raises(TaskError, match="no literal"):
        twin_of_task(read(7), {"DEPTH": 8})
