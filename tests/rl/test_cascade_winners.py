"""Whole runs on the emulator, with a cascade and without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.config import Settings
from kernelwright.events import ignore
from kernelwright.jobs import Outcome, open_store, optimize_task
from kernelwright.verifier.evaluation import Verdict

BODIES = {
    "softmax": ("torch.softmax(x, -1)", "64, 384"),
    "scaled_tanh": ("torch.tanh(x) * 3.0 + x", "128, 256"),
    "row_sums": ("(x * x).sum(0)", "96, 128"),
}


@pytest.mark.learning
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", BODIES)
def test_the_winner_of_a_run_is_the_same_with_and_without_a_cascade(tmp_path: Path, name: str) -> None:
    body, shape = BODIES[name]
    source = (
        f"import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return {body}\n"
        f"def get_inputs():\n    return [torch.rand({shape})]\ndef get_init_inputs():\n    return []\n"
    )
    task = task_from_source(source, name=name)

    def go(*, cascade: bool) -> Outcome:
        settings = Settings(
            data=tmp_path / str(cascade), device="emulator", isolation="process", strategy="best-of-n", rounds=8,
            cascade=cascade,
        )  # fmt: skip
        (tmp_path / str(cascade)).mkdir()
        with open_store(settings) as store:
            return optimize_task(task, settings, store=store, observer=ignore, run_id=f"{name}-000000")

    whole, cascaded = go(cascade=False), go(cascade=True)
    assert [a.kernel.id for a in whole.attempts] == [a.kernel.id for a in cascaded.attempts]
    assert whole.best is not None
    assert cascaded.best is not None
    assert whole.best.kernel == cascaded.best.kernel
    let_go = [a for a in cascaded.attempts if a.evaluation.verdict is Verdict.OUTCLASSED]
    assert let_go
    for attempt in let_go:  # judged whole, it is right and not the best
        assert whole.attempts[attempt.number - 1].evaluation.passed
