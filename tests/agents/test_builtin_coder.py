"""The coder's proposals: first choice, advice, neighbours, failures; and what it says when it can't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from builtin_harness import Runner, check, coder_for
from builtin_modules import Calls, R
from model_reports import softmax_rows
from torch import nn

from kernelwright.agents.builtin.coder import BuiltinCoder
from kernelwright.agents.protocols import Advice, Coder, PastAttempt, Proposal
from kernelwright.bench_tasks.graph import Graph
from kernelwright.errors import LoweringError
from kernelwright.verifier.evaluation import DeviceInfo, Evaluation, Stage, StageStatus, Timing, TimingKind, Verdict
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.gpus import find_gpu

DEVICE = DeviceInfo(kind="emulator", name="emulator (H200)", gpu="H200", arch="sm_90", isolation="process")


def _past(proposal: Proposal, number: int, seconds: float | None) -> PastAttempt:
    """An attempt that passed in `seconds`, or was wrong."""
    common: dict[str, Any] = {"task_id": "t", "kernel_id": proposal.kernel.id, "device": DEVICE}
    if seconds is None:
        stage = Stage(name="correctness", status=StageStatus.FAILED, summary="differs", seconds=0)
        return PastAttempt(
            number, proposal.kernel, Evaluation(verdict=Verdict.WRONG, reason="differs", stages=[stage], **common)
        )
    timing = Timing(kind=TimingKind.MODELLED, gpu="H200", seconds=seconds, baseline_seconds=1, bound_seconds=1e-6)
    return PastAttempt(
        number, proposal.kernel, Evaluation(verdict=Verdict.PASSED, reason="", stages=[], timing=timing, **common)
    )


@pytest.fixture(scope="module")
def coder() -> BuiltinCoder:
    return coder_for(nn.Softmax(-1), (R(64, 1024),), "softmax")


def _next(coder: BuiltinCoder, history: tuple[PastAttempt, ...], **wanted: Any) -> Proposal | None:
    return coder.propose(history, Advice(mode="improve", limiter="dram", change="", parameters=wanted))


def _opening(coder: BuiltinCoder) -> tuple[PastAttempt, PastAttempt]:
    """The first two attempts, the second faster."""
    first = coder.propose((), None)
    assert first is not None
    second = coder.propose((_past(first, 1, 2e-5),), None)
    assert second is not None
    return _past(first, 1, 2e-5), _past(second, 2, 1e-5)


@pytest.fixture(scope="module")
def started(coder: BuiltinCoder) -> tuple[PastAttempt, PastAttempt]:
    """The two attempts every run begins with, the second one faster."""
    plain = coder.propose((), None)
    assert plain is not None
    first = _past(plain, 1, 2e-5)
    usual = coder.propose((first,), None)
    assert usual is not None
    return first, _past(usual, 2, 1e-5)


def test_it_is_a_coder_and_starts_plain_then_as_usual(
    coder: BuiltinCoder, started: tuple[PastAttempt, PastAttempt]
) -> None:
    typed: Coder = coder
    first = typed.propose((), None)
    assert first is not None
    assert first.kernel.author == "builtin"
    assert first.kernel.parents == ()
    assert first.kernel.parameters["softmax_rows.vector_width"] == 1
    assert first.kernel.source.count("import cupy") == 1
    assert dict(started[1].kernel.parameters) == dict(coder.defaults)
    assert started[1].kernel.parents == (first.kernel.id,)
    assert all(coder.defaults[name] in values for name, values in coder.space.items())


def test_advice_is_followed_from_the_best_kernel(coder: BuiltinCoder, started: tuple[PastAttempt, PastAttempt]) -> None:
    third = _next(coder, started, **{"softmax_rows.vector_width": 2})
    assert third is not None
    assert third.kernel.parameters["softmax_rows.vector_width"] == 2
    assert third.kernel.parents == (started[1].kernel.id,)
    assert "softmax_rows.vector_width 4 -> 2" in third.plan
    slower = _past(third, 3, 3e-5)
    fourth = _next(coder, (*started, slower), **{"softmax_rows.strategy": "online"})
    assert fourth is not None
    assert fourth.kernel.parameters["softmax_rows.vector_width"] == 4
    assert fourth.kernel.parents == (started[1].kernel.id,)


def test_advice_that_promises_more_than_the_usual_choice_goes_first(coder: BuiltinCoder) -> None:
    plain = coder.propose((), None)
    assert plain is not None
    launch = softmax_rows(64, 1024, 256, 1, passes=3, name="softmax_rows")
    profile = assemble.profile([launch], [], find_gpu("H200"))
    first = _past(plain, 1, 2e-5)
    first = replace(first, evaluation=first.evaluation.model_copy(update={"profile": profile}))

    def second(promised: float | None, past: PastAttempt = first) -> Proposal:
        advice = Advice(
            mode="improve", limiter="latency", change="",
            parameters={"softmax_rows.threads": 512}, expected_speedup=promised,
        )  # fmt: skip
        found = coder.propose((past,), advice)
        assert found is not None
        return found

    strong = second(9.0)
    assert strong.plan.endswith("(as the judge advises)")
    assert strong.kernel.parents == (plain.kernel.id,)
    assert strong.kernel.parameters["softmax_rows.threads"] == 512
    for usual in (second(1.01), second(None), second(9.0, _past(plain, 1, 2e-5))):  # the last was not profiled
        assert dict(usual.kernel.parameters) == dict(coder.defaults)
    third = coder.propose((first, _past(strong, 2, 3e-5)), None)
    assert third is not None
    assert dict(third.kernel.parameters) == dict(coder.defaults)


def test_what_was_tried_or_is_unknown_is_not_proposed_again(
    coder: BuiltinCoder, started: tuple[PastAttempt, PastAttempt]
) -> None:
    third = _next(coder, started, **{"softmax_rows.vector_width": 2})
    assert third is not None
    again = _next(coder, (*started, _past(third, 3, 2e-5)), **{"softmax_rows.vector_width": 2})
    other = _next(coder, started, **{"softmax_rows.colour": 3, "softmax_rows.threads": 96})
    assert again is not None
    assert other is not None
    known = {a.kernel.id for a in started}
    assert len({*known, third.kernel.id, again.kernel.id}) == 4
    assert other.kernel.id not in known


def test_a_value_is_made_legal_by_changing_others(coder: BuiltinCoder) -> None:
    choice = coder.changed(coder.defaults, {"softmax_rows.rows_per_block": 32})
    assert choice is not None
    assert choice["softmax_rows.rows_per_block"] == 32
    threads, width = int(choice["softmax_rows.threads"]), int(choice["softmax_rows.vector_width"])
    lanes = threads // 32
    assert threads % 32 == 0
    assert choice["softmax_rows.strategy"] != "registers" or 1024 // lanes <= 64
    assert width in (1, 2, 4)


def test_every_kernel_is_proposed_once_and_then_it_ends() -> None:
    coder = coder_for(nn.ReLU(), (R(5, 7),))
    history: tuple[PastAttempt, ...] = ()
    for number in range(100):
        proposal = coder.propose(history, None)
        if proposal is None:
            break
        assert proposal.kernel.id not in {a.kernel.id for a in history}
        history = (*history, _past(proposal, number, 1e-5 * (number + 1)))
    assert proposal is None
    assert len(history) > 5


def test_the_same_history_gives_the_same_proposal(
    coder: BuiltinCoder, started: tuple[PastAttempt, PastAttempt]
) -> None:
    again = coder_for(nn.Softmax(-1), (R(64, 1024),), "softmax")
    assert again.propose(started, None) == coder.propose(started, None)


def test_after_a_failure_it_goes_on_from_what_passed(
    coder: BuiltinCoder, started: tuple[PastAttempt, PastAttempt], runner: Runner
) -> None:
    plain, usual = started
    wrong = _past(Proposal(usual.kernel, ""), 2, None)
    after = coder.propose((plain, wrong), None)
    assert after is not None
    assert after.kernel.parents == (plain.kernel.id,)
    nothing_passed = coder.propose((_past(Proposal(plain.kernel, ""), 1, None), wrong), None)
    assert nothing_passed is not None
    assert nothing_passed.kernel.id not in {plain.kernel.id, usual.kernel.id}
    check(runner, nn.Softmax(-1), (R(64, 1024),), distributions=(), parameters=plain.kernel.parameters, coder=coder)


def test_what_has_no_rule_stays_in_torch_between_kernels(runner: Runner) -> None:
    unequal = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), unequal, nn.Flatten(), nn.Linear(36, 5))
    coder = check(runner, module, (R(2, 3, 8, 8),), distributions=())
    assert coder.stays_in_torch == ("aten.avg_pool2d.default",)
    proposal = coder.propose((), None)
    assert proposal is not None
    assert proposal.notes == tuple(f"{op} stays in torch" for op in coder.stays_in_torch)


def test_sorting_stays_in_torch_with_both_results(runner: Runner) -> None:
    def function(x: torch.Tensor) -> Any:
        values, order = (x * 2).sort(-1)
        return values + 1, order, x.cumsum(0) * 3

    coder = check(runner, Calls(function), (R(6, 9),), distributions=())
    assert coder.stays_in_torch == ("aten.sort.default", "aten.cumsum.default")


@pytest.mark.parametrize(
    ("module", "inputs", "said"),
    [
        (Calls(lambda x: x.cumsum(-1)), (R(3, 8),), r"aten\.cumsum\.default \(no rule for it\)"),
        (Calls(lambda x: x.t()), (R(3, 4),), "computes nothing"),
        (Calls(lambda x: x[x > 0]), (R(9),), "shape depends on the values"),
        (Calls(lambda x: x.item()), (R(1),), "is no tensor"),
    ],
)
def test_nothing_to_lower_is_said_with_the_reason(module: nn.Module, inputs: tuple[Any, ...], said: str) -> None:
    with pytest.raises(LoweringError, match=said):
        coder_for(module, inputs)


def test_a_graph_with_a_problem_is_refused_with_it() -> None:
    with pytest.raises(LoweringError, match="because of this"):
        BuiltinCoder(Graph(problem="because of this"), "task")


def test_dropout_while_training_is_named() -> None:
    with pytest.raises(LoweringError, match="random numbers"):
        coder_for(nn.Dropout(0.5).train(), (R(4, 4),))


def test_weights_keep_their_names_and_ties() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.ModuleList([nn.Linear(4, 4)])
            self.second[0].weight = self.first.weight
            self.register_buffer("unused", torch.zeros(3))

        def forward(self, x: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
            return self.second[0](self.first(x)) * scale

    source, _ = (lambda c: c.write(c.defaults))(coder_for(Tied(), (R(6, 4), 2.0)))
    assert "def forward(self, x, scale=2.0):" in source
    assert '_attach(self, "second.0.weight", self.get_parameter("first.weight"))' in source
    assert '"unused"' in source


def test_nothing_is_written_where_torch_would_do_all_the_work() -> None:
    """A kernel that copies for torch's median is refused by the verifier, and rightly: it need not be tried."""
    for function, name in (
        (lambda x: x.unfold(0, 3, 1).flatten(-2).median(-1).values, "median"),
        (lambda x: torch.zeros_like(x).scatter_add(0, x.long(), torch.ones_like(x)), "scatter_add"),
    ):
        with pytest.raises(LoweringError, match=rf"moves data only.*{name}"):
            coder_for(Calls(function), (torch.rand(8, 6),))
    assert coder_for(Calls(lambda x: x.exp().median(-1).values), (torch.rand(8, 6),)).stays_in_torch
