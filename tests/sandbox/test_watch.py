"""Ending, from another thread, the workers that one thread has started."""

from __future__ import annotations

import threading

import pytest

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.errors import TaskError
from kernelwright.sandbox.process import Limits, Watch, watched
from kernelwright.sandbox.reference import Reference

PLAIN = "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
INPUTS = "def get_inputs():\n    return [torch.rand(4)]\ndef get_init_inputs():\n    return []\n"
ENDLESS = PLAIN.replace("return x", "while True: pass") + INPUTS


def test_who_waits_for_a_worker_that_is_ended_is_told() -> None:
    watch, other, told = Watch(), Watch(), threading.Event()

    def end() -> None:
        while not told.wait(0.2):  # again and again: at first there is no process yet
            other.end()
            watch.end()

    killer = threading.Thread(target=end)
    killer.start()
    try:
        with watched(watch), pytest.raises(TaskError, match="died"):
            Reference(task_from_source(ENDLESS, name="endless"), limits=Limits(call_seconds=10, load_seconds=30))
    finally:
        told.set()
        killer.join()


def test_what_is_started_outside_stays() -> None:
    watch = Watch()
    with watched(watch):
        pass
    with Reference(task_from_source(PLAIN + INPUTS, name="plain")) as reference:
        watch.end()
        assert reference.signature.inputs[0].shape == (4,)
        assert reference.ops() == ()
