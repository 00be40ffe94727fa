"""Tasks and kernels on their way to an evaluator: all of them arrives, under the same ids."""

from __future__ import annotations

import json
from dataclasses import replace

from search_doubles import TASK, kernel

from kernelwright.rl.training.wire import kernel_from_json, kernel_json, task_from_json, task_json


def test_tasks_and_kernels_arrive_as_they_were() -> None:
    for task in (TASK, replace(TASK, backward=True, path=None, attachments={})):
        arrived = task_from_json(json.loads(json.dumps(task_json(task))))
        assert (arrived, arrived.id) == (task, task.id)
    for sent in (
        kernel(1),
        replace(kernel(2, ("a" * 16,)), source="# \u2028 \x00 \U0001f600\nclass ModelNew: pass\n"),
    ):
        read = kernel_from_json(json.loads(json.dumps(kernel_json(sent))))
        assert (read, read.id) == (sent, sent.id)
