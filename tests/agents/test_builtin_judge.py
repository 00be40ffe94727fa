"""The roofline judge on evaluations made by the real model from hand-counted launches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from model_reports import bank_conflicts, copy, naive_matmul, softmax_rows, tiled_matmul

from kernelwright.agents.builtin.judge import RooflineJudge
from kernelwright.agents.builtin.moves import find_moves
from kernelwright.agents.protocols import Advice, PastAttempt
from kernelwright.bench_tasks.task import TaskSignature, TensorSpec
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import LaunchReport, OpRecord
from kernelwright.verifier.evaluation import DeviceInfo, Evaluation, Stage, StageStatus, Verdict
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.gpus import find_gpu

H200 = find_gpu("H200")
DEVICE = DeviceInfo(kind="emulator", name="emulator (H200)", gpu="H200", arch="sm_90", isolation="process")
Choice = Mapping[str, int | str | bool]
World = Callable[[Choice], Sequence[LaunchReport]]


def signature(elements: int) -> TaskSignature:
    x = TensorSpec("x", (elements,), "float32", (1,))
    return TaskSignature((x,), (x,), ())


def op(elements: int, name: str = "aten.mul.Tensor") -> OpRecord:
    return OpRecord(name, 4 * elements, 4 * elements, elements, "float32", "pointwise", ((elements,),))


def passed(
    number: int,
    launches: Sequence[LaunchReport],
    elements: int,
    choice: Choice | None = None,
    torch_ops: Sequence[OpRecord] = (),
) -> PastAttempt:
    kernel = Kernel(
        source=f"# {sorted((choice or {}).items())} {number}", author="builtin", parameters=dict(choice or {})
    )
    evaluation = Evaluation(
        task_id="t",
        kernel_id=kernel.id,
        verdict=Verdict.PASSED,
        reason="",
        stages=[Stage(name="timing", status=StageStatus.PASSED, summary="", seconds=0)],
        device=DEVICE,
        timing=assemble.timing(launches, torch_ops, [op(elements)], signature(elements), H200),
        profile=assemble.profile(launches, torch_ops, H200),
    )
    return PastAttempt(number, kernel, evaluation)


def failed(number: int, verdict: Verdict, reason: str, choice: Choice | None = None, **evidence: object) -> PastAttempt:
    kernel = Kernel(source=f"# failed {number}", author="builtin", parameters=dict(choice or {}))
    stage = Stage(name="sanitise", status=StageStatus.FAILED, summary="", seconds=0, evidence=dict(evidence))
    evaluation = Evaluation(
        task_id="t", kernel_id=kernel.id, verdict=verdict, reason=reason, stages=[stage], device=DEVICE
    )
    return PastAttempt(number, kernel, evaluation)


ELEMENTS = 1 << 24
COPY_SPACE = {"copy.vector_width": (1, 2, 4), "copy.threads": (64, 128, 256, 512, 1024)}


def copy_world(choice: Choice) -> list[LaunchReport]:
    return [copy(ELEMENTS, int(choice["copy.vector_width"]), int(choice["copy.threads"]))]


ROWS, COLUMNS = 4096, 8192
ROW_SPACE = {
    "softmax.vector_width": (1, 2, 4),
    "softmax.threads": (32, 64, 128, 256, 512, 1024),
    "softmax.strategy": ("online", "registers"),
}


def softmax_world(choice: Choice) -> list[LaunchReport]:
    passes = 2 if choice["softmax.strategy"] == "online" else 1
    return [
        softmax_rows(ROWS, COLUMNS, int(choice["softmax.threads"]), int(choice["softmax.vector_width"]), passes=passes)
    ]


def search(
    space: Mapping[str, tuple[int | str | bool, ...]], world: World, elements: int, start: Choice, rounds: int = 40
) -> list[PastAttempt]:
    """The loop as the coder runs it: advice is applied to the best attempt so far."""
    judge = RooflineJudge(H200, space)
    history: list[PastAttempt] = []
    choice = dict(start)
    for number in range(1, rounds + 1):
        attempt = passed(number, world(choice), elements, choice)
        advice = judge.advise(attempt, tuple(history))
        history.append(replace(attempt, advice=advice))
        if advice.mode == "stop":
            break
        best = min(history, key=lambda a: a.evaluation.timing.seconds)
        choice = {**best.kernel.parameters, **advice.parameters}
    return history


def busy_copy() -> LaunchReport:
    """A copy with 200 integer instructions an element."""
    report = copy(ELEMENTS, 1)
    c = report.counters
    warp = {**c.warp_instructions, "int": 200 * c.warps}
    thread = {name: 32 * count for name, count in warp.items()}
    return replace(report, counters=replace(c, warp_instructions=warp, thread_instructions=thread))


def seconds(attempt: PastAttempt) -> float:
    assert attempt.evaluation.timing is not None
    return attempt.evaluation.timing.seconds


def test_first_advice_names_limiter_evidence_and_one_change():
    advice = RooflineJudge(H200, COPY_SPACE).advise(
        passed(
            1,
            copy_world({"copy.vector_width": 1, "copy.threads": 256}),
            ELEMENTS,
            {"copy.vector_width": 1, "copy.threads": 256},
        ),
        (),
    )
    assert (advice.mode, advice.limiter) == ("improve", "latency")
    assert advice.parameters == {"copy.vector_width": 4}
    assert advice.expected_speedup is not None
    assert advice.expected_speedup > 1.1
    assert advice.evidence["kernel"] == "copy"
    assert "kernelwright__loads_in_flight_per_warp" in advice.evidence
    assert "copy.vector_width from 1 to 4" in advice.change


def test_forecast_is_near_what_then_happens():
    before = {"copy.vector_width": 1, "copy.threads": 256}
    first = passed(1, copy_world(before), ELEMENTS, before)
    advice = RooflineJudge(H200, COPY_SPACE).advise(first, ())
    second = passed(2, copy_world({**before, **advice.parameters}), ELEMENTS)
    assert advice.expected_speedup == pytest.approx(seconds(first) / seconds(second), rel=0.05)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("threads", [64, 1024])
def test_search_reaches_the_bound_of_a_streaming_kernel(width, threads):
    history = search(COPY_SPACE, copy_world, ELEMENTS, {"copy.vector_width": width, "copy.threads": threads})
    best = min(history, key=seconds)
    assert best.evaluation.timing.roofline_share > 0.95
    assert history[-1].advice.mode == "stop"
    assert len(history) <= 6


def test_search_on_a_row_kernel_finds_the_best_choice_in_few_rounds():
    start = {"softmax.vector_width": 1, "softmax.threads": 32, "softmax.strategy": "online"}
    history = search(ROW_SPACE, softmax_world, ROWS * COLUMNS, start)
    best = min(map(seconds, history))
    every = [
        seconds(passed(1, softmax_world(choice), ROWS * COLUMNS, choice))
        for width in (1, 2, 4)
        for threads in ROW_SPACE["softmax.threads"]
        for strategy in ("online", "registers")
        for choice in [{"softmax.vector_width": width, "softmax.threads": threads, "softmax.strategy": strategy}]
    ]
    assert best <= 1.02 * min(every)
    assert len(history) < len(every) / 2
    assert history[-1].advice.mode == "stop"


@pytest.mark.parametrize(
    ("space", "world", "elements", "start"),
    [
        (COPY_SPACE, copy_world, ELEMENTS, {"copy.vector_width": 1, "copy.threads": 64}),
        (ROW_SPACE, softmax_world, ROWS * COLUMNS, {"softmax.vector_width": 1, "softmax.threads": 32, "softmax.strategy": "online"}),
    ],
)  # fmt: skip
def test_nothing_is_proposed_twice_and_all_of_it_is_in_the_space(space, world, elements, start):
    history = search(space, world, elements, start)
    choices = [tuple(sorted(a.kernel.parameters.items())) for a in history]
    assert len(choices) == len(set(choices))
    for attempt in history[:-1]:
        assert attempt.advice.parameters
        for key, value in attempt.advice.parameters.items():
            assert value in space[key]


def test_the_same_history_gives_the_same_advice():
    start = {"softmax.vector_width": 1, "softmax.threads": 32, "softmax.strategy": "online"}
    first, second = (search(ROW_SPACE, softmax_world, ROWS * COLUMNS, start) for _ in range(2))
    assert [a.advice for a in first] == [a.advice for a in second]


def test_a_move_that_was_slower_is_not_pushed_on():
    """threads 256 -> 512 was slower, so neither 512 nor 1024 comes again from 256 (but with another knob it may)."""
    base = {"copy.vector_width": 2, "copy.threads": 256}
    slow = {"copy.vector_width": 2, "copy.threads": 512}
    first = passed(1, copy_world(base), ELEMENTS, base)
    worse = passed(2, [copy(ELEMENTS, 1, 512, registers=128)], ELEMENTS, slow)
    judge = RooflineJudge(H200, COPY_SPACE)
    history: list[PastAttempt] = [first, worse]
    asked = []
    for number in range(3, 12):
        advice = judge.advise(history[-1], tuple(history[:-1]))
        if advice.mode == "stop":
            break
        asked.append(dict(advice.parameters))
        history.append(replace(passed(number, copy_world(base), ELEMENTS, {**base, **advice.parameters}), advice=None))
    assert asked
    assert all(change.get("copy.threads", 0) < 512 for change in asked if len(change) == 1)


def test_a_move_that_helped_is_pushed_on():
    """No forecast for either knob: what was seen decides."""
    space = {"softmax.a": (1, 2, 4), "softmax.z": (1, 2, 4, 8)}
    one, two = {"softmax.a": 1, "softmax.z": 1}, {"softmax.a": 1, "softmax.z": 2}
    slower, faster = [softmax_rows(512, 8192, 32)], [softmax_rows(512, 8192, 64)]
    first, second = passed(1, slower, 512 * 8192, one), passed(2, faster, 512 * 8192, two)
    judge = RooflineJudge(H200, space)
    assert judge.advise(second, (first,)).parameters == {"softmax.z": 4}
    # the other way round the same step hurt, and the other knob is next
    worse = passed(2, slower, 512 * 8192, two)
    assert judge.advise(worse, (passed(1, faster, 512 * 8192, one),)).parameters == {"softmax.a": 2}


def test_two_knobs_move_together_where_no_single_step_is_left():
    """Each single step was evaluated and was slower; both together are forecast to be faster."""
    space = {"copy.threads": (256, 512), "copy.vector_width": (1, 2)}
    base = {"copy.threads": 256, "copy.vector_width": 1}
    first = passed(1, [copy(ELEMENTS, 1)], ELEMENTS, base)
    slow = [copy(ELEMENTS, 1, registers=168)]
    second = passed(2, slow, ELEMENTS, {**base, "copy.threads": 512})
    third = passed(3, slow, ELEMENTS, {**base, "copy.vector_width": 2})
    advice = RooflineJudge(H200, space).advise(third, (first, second))
    assert advice.mode == "improve"
    assert advice.parameters == {"copy.threads": 512, "copy.vector_width": 2}
    assert advice.expected_speedup >= 1.02


def test_refused_advice_is_not_repeated():
    """A coder that could not do what was asked tries something else; the judge goes on to its next idea."""
    base = {"copy.vector_width": 1, "copy.threads": 256}
    judge = RooflineJudge(H200, COPY_SPACE)
    first = passed(1, copy_world(base), ELEMENTS, base)
    advice = judge.advise(first, ())
    other = {**base, "copy.threads": 128}
    again = judge.advise(passed(2, copy_world(other), ELEMENTS, other), (replace(first, advice=advice),))
    assert again.parameters
    assert again.parameters != advice.parameters


TWO_SPACE = {"a.vector_width": (1, 2, 4), "a.unroll": (1, 2), "b.vector_width": (1, 2, 4)}
"""Two copies, `a` the larger one, with what may be changed."""
TWO_START = {"a.vector_width": 1, "a.unroll": 1, "b.vector_width": 1}


def two_copies(number: int, choice: Choice, registers: int = 32, elements: int = ELEMENTS) -> PastAttempt:
    """`registers` and `elements` are those of `a`."""
    launches = [copy(elements, 1, registers=registers, name="a"), copy(ELEMENTS // 2, 1, name="b")]
    return passed(number, launches, ELEMENTS, choice)


def test_a_direction_that_failed_comes_after_the_others():
    """The coder had to set a.unroll too, and it was slower: then b, though a.vector_width is forecast to bring more."""
    judge = RooflineJudge(H200, TWO_SPACE)
    first = two_copies(1, TWO_START)
    advice = judge.advise(first, ())
    assert advice.parameters == {"a.vector_width": 4}
    slower = two_copies(2, {**TWO_START, "a.vector_width": 4, "a.unroll": 2}, registers=168)
    after = judge.advise(slower, (replace(first, advice=advice),))
    assert after.parameters == {"b.vector_width": 4}
    assert after.expected_speedup is not None
    half = find_moves(first, [first], {"a.vector_width": (1, 2)}, H200)[0].forecast
    assert half > after.expected_speedup


def test_a_step_that_brought_far_less_than_forecast_makes_its_direction_the_last():
    """a.vector_width 1 -> 2 was promised 1.3x and brought 4 %; from there 4 is promised much again."""
    judge = RooflineJudge(H200, TWO_SPACE)
    said = Advice(mode="improve", limiter="latency", change="", parameters={"a.vector_width": 2}, expected_speedup=1.3)
    first = replace(two_copies(1, TWO_START), advice=said)
    second = two_copies(2, {**TWO_START, "a.vector_width": 2}, elements=15 * ELEMENTS // 16)
    assert 1.005 < seconds(first) / seconds(second) < 1.1
    advice = judge.advise(second, (first,))
    assert advice.parameters == {"b.vector_width": 4}


def test_a_value_that_was_tried_with_another_change_is_not_asked_for_from_the_same_base():
    """The coder's own idea, without advice: a.vector_width 4 with a.unroll 2, slower."""
    judge = RooflineJudge(H200, {"a.vector_width": (1, 4), "a.unroll": (1, 2)})
    first = two_copies(1, TWO_START)
    assert judge.advise(first, ()).parameters == {"a.vector_width": 4}
    slower = two_copies(2, {**TWO_START, "a.vector_width": 4, "a.unroll": 2}, registers=168)
    assert "a.vector_width" not in judge.advise(slower, (first,)).parameters


def test_it_stops_where_no_forecast_reaches_one_percent():
    """Scattered sectors: no number of threads helps, and the bound is far away."""
    space = {"copy.threads": (64, 128, 256, 512)}
    choice = {"copy.threads": 256}
    first = passed(1, [copy(ELEMENTS, 1, scattered=True)], ELEMENTS, choice)
    judge = RooflineJudge(H200, space)
    opening = judge.advise(first, ())
    assert (opening.mode, opening.parameters) == ("improve", {})  # the coder's usual choice may still do better
    again = passed(2, [copy(ELEMENTS, 1, scattered=True)], ELEMENTS, {"copy.threads": 512})
    advice = judge.advise(again, (replace(first, advice=opening),))
    assert (advice.mode, advice.parameters) == ("stop", {})
    assert "Nothing is left that the model expects to help." in advice.change


def test_another_kind_of_kernel_is_tried_before_it_stops():
    space = {"copy.threads": (64, 128, 256, 512), "copy.strategy": ("loop", "registers")}
    choice = {"copy.threads": 256, "copy.strategy": "loop"}
    attempt = passed(1, [copy(ELEMENTS, 1, scattered=True)], ELEMENTS, choice)
    advice = RooflineJudge(H200, space).advise(attempt, ())
    assert advice.parameters == {"copy.strategy": "registers"}
    assert advice.expected_speedup is None


TILES = {
    f"tiled_matmul.{knob}": value
    for knob, value in {
        "tile_m": 64, "tile_n": 64, "tile_k": 16, "thread_m": 4, "thread_n": 4, "stages": 1, "slices": 1
    }.items()
}  # fmt: skip
TILE_SPACE = {"tiled_matmul.stages": (1, 2), "tiled_matmul.slices": (1, 2, 4, 8)}


def test_a_matrix_with_few_tiles_and_a_long_k_is_sliced():
    advice = RooflineJudge(H200, TILE_SPACE).advise(passed(1, [tiled_matmul(512)], 512 * 512, TILES), ())
    assert list(advice.parameters) == ["tiled_matmul.slices"]
    assert advice.expected_speedup is not None
    assert advice.expected_speedup > 1.2


def test_a_matrix_with_tiles_for_every_sm_is_not_sliced():
    advice = RooflineJudge(H200, TILE_SPACE).advise(passed(1, [tiled_matmul(4096)], 4096 * 4096, TILES), ())
    assert "tiled_matmul.slices" not in advice.parameters


def test_near_the_bound_it_stops():
    choice = {"copy.vector_width": 4, "copy.threads": 256}
    attempt = passed(1, copy_world(choice), ELEMENTS, choice)
    assert attempt.evaluation.timing.roofline_share > 0.97
    advice = RooflineJudge(H200, COPY_SPACE).advise(attempt, ())
    assert (advice.mode, advice.limiter, advice.parameters) == ("stop", "dram", {})
    assert "of the roofline bound" in advice.change


def test_advice_builds_on_the_best_attempt_not_the_last():
    good, bad = {"copy.vector_width": 2, "copy.threads": 256}, {"copy.vector_width": 1, "copy.threads": 64}
    best = passed(1, copy_world(good), ELEMENTS, good)
    last = passed(2, copy_world(bad), ELEMENTS, bad)
    advice = RooflineJudge(H200, COPY_SPACE).advise(last, (best,))
    assert advice.evidence["best_attempt"] == 1
    assert advice.evidence["this_attempt_over_best"] > 1
    (key,) = advice.parameters
    assert f"{key} from {good[key]} to" in advice.change


def test_the_costly_launch_is_the_one_that_is_changed():
    space = {
        "cheap.vector_width": (1, 2, 4),
        "cheap.threads": (128, 256),
        "dear.vector_width": (1, 2, 4),
        "dear.threads": (128, 256),
    }
    choice = {"cheap.vector_width": 1, "cheap.threads": 256, "dear.vector_width": 1, "dear.threads": 256}
    launches = [copy(1 << 18, 1, name="cheap"), copy(ELEMENTS, 1, name="dear")]
    advice = RooflineJudge(H200, space).advise(passed(1, launches, ELEMENTS, choice), ())
    assert advice.parameters == {"dear.vector_width": 4}
    assert advice.evidence["kernel"] == "dear"


@pytest.mark.parametrize(
    ("report", "limiter", "words"),
    [
        (bank_conflicts(32), "shared", "same shared-memory bank"),
        (bank_conflicts(1), "shared", "bandwidth is used up"),
        (busy_copy(), "int", "Instructions of the kind 'int'"),
        (copy(ELEMENTS, 1, scattered=True), "l2", "scattered sectors"),
        (naive_matmul(2048), "l2", "again and again"),
        (copy(ELEMENTS, 1, registers=168), "latency", "registers limit them"),
        (copy(1024, 4), "launch", "more than the work"),
        (softmax_rows(64, 1 << 15, 128), "latency", "of one wave"),
    ],
)
def test_kernels_of_other_authors_get_words(report, limiter, words):
    advice = RooflineJudge(H200, {}).advise(passed(1, [report], 1 << 10), ())
    assert (advice.mode, advice.limiter, advice.parameters) == ("improve", limiter, {})
    assert words in advice.change
    assert advice.expected_speedup is None


def test_many_launches_are_told_to_fuse():
    launches = [copy(1 << 16, 4, name=f"step{i}") for i in range(5)]
    advice = RooflineJudge(H200, {}).advise(passed(1, launches, 1 << 16), ())
    assert advice.limiter == "launch"
    assert advice.evidence["launches"] == 5
    assert "5 launches" in advice.change


def test_what_stays_in_torch_is_named_when_it_dominates():
    advice = RooflineJudge(H200, {}).advise(
        passed(1, [copy(1024, 4)], ELEMENTS, torch_ops=[op(ELEMENTS, "aten.cumsum.default")]), ()
    )
    assert "aten.cumsum.default" in advice.change
    assert "stays in torch" in advice.change


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.PASSED])
def test_every_failure_gets_a_repair(verdict):
    advice = RooflineJudge(H200, {}).advise(failed(1, verdict, "Something is wrong with it."), ())
    assert advice.mode == "repair"
    assert advice.limiter
    assert advice.change.startswith("Something is wrong with it.")
    assert advice.evidence["verdict"] == verdict.value


def test_a_violation_gets_its_own_hint():
    attempt = failed(1, Verdict.UNSAFE, "Thread 3 reads x[1024].", kind="out_of_bounds", line=12)
    advice = RooflineJudge(H200, {}).advise(attempt, ())
    assert "bounds check" in advice.change
    assert (advice.evidence["violation"], advice.evidence["line"]) == ("out_of_bounds", 12)


def test_misaligned_vectors_are_narrowed():
    choice = {"copy.vector_width": 4, "copy.threads": 256}
    attempt = failed(1, Verdict.UNSAFE, "A 16-byte load is misaligned.", choice)
    advice = RooflineJudge(H200, COPY_SPACE).advise(attempt, ())
    assert advice.parameters == {"copy.vector_width": 1}


def test_after_a_failure_it_goes_on_from_the_best_and_avoids_the_failing_value():
    base = {"copy.vector_width": 1, "copy.threads": 256}
    broken = {**base, "copy.vector_width": 4}
    good = passed(1, copy_world(base), ELEMENTS, base)
    advice = RooflineJudge(H200, COPY_SPACE).advise(failed(2, Verdict.WRONG, "Values differ.", broken), (good,))
    assert advice.mode == "repair"
    assert "attempt 1" in advice.change
    assert advice.parameters
    assert advice.parameters.get("copy.vector_width") != 4


def test_advice_is_json():
    history = search(COPY_SPACE, copy_world, ELEMENTS, {"copy.vector_width": 1, "copy.threads": 64})
    for attempt in history:
        assert Advice.model_validate_json(attempt.advice.model_dump_json()) == attempt.advice
