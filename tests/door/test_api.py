"""The Python API end to end: a live module in, a module that computes the same out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import kernelwright
from kernelwright.db.store import Store
from kernelwright.errors import KernelwrightError, MisuseError, NotFoundError, TaskError
from kernelwright.events import AttemptFinished, Event, RunFinished, RunStarted
from kernelwright.export import MARKER


class Scale(nn.Module):
    """Pointwise, with a weight that is not the initial one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1.0, 2.0, 33))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x * self.weight + 0.5)


@pytest.mark.slow
def test_optimize_returns_a_module_that_stands_in(home: Path, tmp_path: Path) -> None:
    module, events = Scale(), list[Event]()
    with Store(tmp_path / "own.db") as store:
        result = kernelwright.optimize(module, (torch.randn(7, 33),), rounds=1, store=store, observer=events.append)
        assert store.run(result.run_id).task.name == "scale"
    assert result.passed
    assert result.evaluation.timing is not None
    assert result.evaluation.timing.kind == "modelled"
    assert "__global__" in result.source
    assert len(result.attempts) == 1
    assert isinstance(next(e for e in events if isinstance(e, RunStarted | AttemptFinished)), RunStarted)
    assert isinstance(events[-1], RunFinished)

    fast = result.module
    x = torch.randn(7, 33)
    torch.testing.assert_close(fast(x), module(x).detach())
    assert result.module is fast
    for wrong, told in [(torch.randn(8, 33), "(8, 33) float32"), (x.double(), "(7, 33) float64"), (3.0, "no tensor")]:
        with pytest.raises(MisuseError) as refused:
            fast(wrong)
        assert "(7, 33) float32" in refused.value.message
        assert told in refused.value.message
    torch.testing.assert_close(fast(x), module(x).detach())  # it lives on

    path = result.save(tmp_path / "scale.kernel.py")
    text = path.read_text()
    assert text.startswith(MARKER)
    judged = kernelwright.verify(module, path, (torch.randn(7, 33),))
    assert judged.passed, judged.reason


def test_what_can_not_be_used_is_told_before_any_work(home: Path) -> None:
    x = (torch.randn(3),)
    with pytest.raises(NotFoundError, match="H2000"):
        kernelwright.optimize(nn.ReLU(), x, gpu="H2000")
    with pytest.raises(MisuseError):
        kernelwright.optimize(nn.ReLU(), x, rounds=0)
    with pytest.raises(MisuseError, match="example_inputs"):
        kernelwright.verify(nn.ReLU(), "x = 1\n")
    with pytest.raises(TaskError):
        kernelwright.verify(Path("missing.py"), "x = 1\n")


def test_a_result_without_a_passed_attempt_says_so(home: Path) -> None:
    from door_nouns import RUN, TASK, attempt, failed

    from kernelwright.api import OptimizeResult

    result = OptimizeResult(RUN.id, TASK, (attempt(1, failed("off by 3.")),), None)
    assert not result.passed
    for use in (lambda: result.source, lambda: result.module, lambda: result.save("x.py")):
        with pytest.raises(KernelwrightError, match="off by 3"):
            use()
