"""Prices of single choices: the launches of one kernel function, counted as in a run of the whole module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from builtin_harness import Runner

from kernelwright.agents.builtin.policy.candidates import legal_choices
from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.suite import SuiteTask
from kernelwright.errors import KernelwrightError
from kernelwright.rl.policy.pricing import OpenTask, price
from kernelwright.rl.policy.surveying import Survey
from kernelwright.verifier.model.gpus import find_gpu

GPU = find_gpu("H200")
SOURCE = """
import torch

class Model(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(size, 24))

    def forward(self, x):
        return torch.softmax(x @ self.weight, dim=-1)

def get_inputs():
    return [torch.randn(16, 32)]

def get_init_inputs():
    return [32]
"""


@pytest.fixture(scope="module")
def opened() -> OpenTask:
    return OpenTask(task_from_source(SOURCE, name="small"), GPU)


def test_a_kernels_price_is_its_part_of_the_whole_run(opened: OpenTask) -> None:
    coder = opened.coder
    product, softmax = coder.kernels
    knobs = legal_choices(softmax, 3, "x")[0][-1]
    reports = opened.reports(softmax, knobs)
    assert {report.kernel for report in reports} == {softmax.name}
    choice = {**coder.defaults, **{f"{softmax.name}.{name}": value for name, value in knobs.items()}}
    runner = Runner()
    model = runner.load(coder.write(choice)[0]).ModelNew(32)
    model.load_state_dict(opened.model.state_dict())
    with torch.no_grad():
        runner.call(model, opened.inputs)
    whole = {report.kernel: report for report in runner.reports}
    assert reports[0].counters == whole[softmax.name].counters
    assert price(reports, GPU) == price([whole[softmax.name]], GPU)
    facts = opened.facts(softmax, knobs)
    assert facts.launches[0].blocks == reports[0].blocks_total
    first = opened.reports(product, product.defaults())
    assert {report.kernel for report in first} >= {product.name}


def test_a_survey_goes_on_where_it_was_stopped_and_ends(tmp_path: Path) -> None:
    each = SuiteTask(
        "small", task_from_source(SOURCE.replace("torch.softmax(x @ self.weight, dim=-1)", "x * 2"), name="small")
    )
    survey = Survey("own", each, tmp_path, GPU, [GPU], 2)
    (kernel, first), (_, second) = survey.missing()
    assert first == kernel.defaults()
    assert survey.price(kernel, first).reports
    again = Survey("own", each, tmp_path, GPU, [GPU], 2)
    assert [knobs for _, knobs in again.missing()] == [second]
    found = again.prices.landscape([GPU])
    assert found is not None
    assert found.bound_seconds["H200"] > 0
    assert found.kernels[0].priced[0].seconds["H200"] > found.bound_seconds["H200"]


def test_what_can_not_be_lowered_is_said(tmp_path: Path) -> None:
    wrong = SOURCE.replace("torch.softmax(x @ self.weight, dim=-1)", "torch.linalg.svd(x)[1]")
    with pytest.raises(KernelwrightError):
        OpenTask(task_from_source(wrong, name="svd"), GPU)
