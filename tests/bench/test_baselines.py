"""Baselines in the store: measured and modelled ones of the same task and GPU stay apart, and none is made twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from search_doubles import EPOCH

from kernelwright.bench.baselines import TaskBaselines, baselines_of_task
from kernelwright.bench_tasks.task import Task
from kernelwright.db.store import Store
from kernelwright.events import ignore
from kernelwright.jobs import Target
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.process import Limits
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.verifier.model.gpus import find_gpu

SOURCE = """
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) + 1

def get_inputs():
    return [torch.randn(64, 64)]

def get_init_inputs():
    return []
"""
EMULATED = Target(find_gpu("H200"), Device("emulator", "H200", "sm_90", "process"), Limits(), timing_seconds=0.5)


@pytest.mark.suites
def test_kinds_stay_apart(tmp_path: Path) -> None:
    task = Task("relu", SOURCE)
    with Store(tmp_path / "k.db") as store:

        def found(target: Target, *names: str) -> TaskBaselines:
            return baselines_of_task(
                "relu", task, target, names, store, observer=ignore, clock=lambda: EPOCH, runtime="emulated"
            )

        modelled = found(EMULATED, "eager", "compile")
        assert (set(modelled.found), set(modelled.missing)) == ({"eager"}, {"compile"})
        on_gpu = replace(EMULATED, device=replace(EMULATED.device, kind="cuda"))
        measured = found(on_gpu, "eager", "nonsense")
        assert (set(measured.found), set(measured.missing)) == ({"eager"}, {"nonsense"})
        for kind, each in ((TimingKind.MODELLED, modelled), (TimingKind.MEASURED, measured)):
            assert store.baselines([task.id], kind, "H200") == [each.found["eager"]]
            assert each.found["eager"].kind is kind
        again = found(EMULATED, "eager", "compile")
        assert (again.fresh, again.found) == (False, modelled.found)
        other = replace(EMULATED, device=replace(EMULATED.device, isolation="bubblewrap"))
        assert found(other, "eager").fresh  # another device


def test_a_task_that_fails_is_said_and_stores_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "k.db") as store:
        task = Task("broken", "raise RuntimeError('not today')\n")
        found = baselines_of_task("broken", task, EMULATED, ("eager",), store, observer=ignore, clock=lambda: EPOCH)
        assert "not today" in found.missing["eager"]
        assert store.baselines([task.id], TimingKind.MODELLED, "H200") == []
