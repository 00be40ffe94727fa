"""Bundles of real verdicts: whole after a round trip, the same when judged again, different when somebody lied in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from evidence_kernels import DEVICE, H200, LIMITS, TASK, kernel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelwright.bench_tasks.task import Distribution, Task, Workload
from kernelwright.errors import BundleError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier import bundle as bundles
from kernelwright.verifier.archive import seal, unseal
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, Verdict
from kernelwright.verifier.exact_json import from_json, to_json
from kernelwright.verifier.recheck import compare, environment_differences, limits_here, replay

SHORT = replace(TASK, workloads=(Workload("as-given", Distribution.AS_GIVEN, 2), Workload("large", Distribution.LARGE)))
KERNELS = {
    "passed": kernel(),
    "wrong": kernel("y[i] = i / cols == 3 ? __int_as_float(0x7fffffff) : 3.0f * tanhf(x[i]);"),
    "unsafe": kernel("y[i + 1] = 3.0f * tanhf(x[i]);"),
    "compile_error": kernel("y[i] = 3.0f * tanhf(z[i]);"),
    "rejected": Kernel("class ModelNew:\n    pass\n", "test"),
}


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    with Reference(SHORT) as opened:
        yield opened


@pytest.fixture(scope="module")
def judged(reference: Reference) -> dict[str, Evaluation]:
    return {
        name: evaluate(SHORT, each, device=DEVICE, reference=reference, gpu=H200, limits=LIMITS)
        for name, each in KERNELS.items()
    }


def packed(judged: dict[str, Evaluation], name: str) -> bytes:
    return bundles.pack(SHORT, KERNELS[name], judged[name], gpu=H200, limits=LIMITS)


@pytest.mark.parametrize("name", KERNELS)
def test_a_bundle_gives_back_what_went_in(judged: dict[str, Evaluation], name: str) -> None:
    assert judged[name].verdict.value == name, judged[name].reason
    data = packed(judged, name)
    assert data == packed(judged, name)
    read = bundles.read(data)
    assert read.changes == ()
    assert read.bundle is not None
    assert read.bundle.kernel == KERNELS[name]
    assert read.bundle.task == replace(SHORT, path=None)
    assert read.bundle.limits == LIMITS
    assert to_json(read.bundle.evaluation.model_dump()) == to_json(judged[name].model_dump())
    assert list(read.bundle.evaluation.seeds.items()) == list(judged[name].seeds.items())


def test_the_raw_samples_are_in_it(judged: dict[str, Evaluation]) -> None:
    members = unseal(packed(judged, "passed")).members
    samples = from_json(members["samples.json"].decode())
    assert [call["workload"] for call in samples["calls"]] == ["as-given", "as-given", "large"]
    assert all(0 <= call["share_of_allowed"] <= 1 for call in samples["calls"])
    (launch,) = samples["profile"]["launches"]
    assert launch["counters"]["global_store_bytes"] == 4 * 12 * 33
    assert samples["timing"]["seconds"] > 0
    around = from_json(members["environment.json"].decode())
    assert around["gpu"]["name"] == "H200"
    assert set(around["device"]["versions"]) >= {"kernelwright", "torch"}


@pytest.mark.parametrize("name", KERNELS)
def test_a_verdict_holds_when_it_is_judged_again(
    reference: Reference, judged: dict[str, Evaluation], name: str
) -> None:
    bundle = bundles.read(packed(judged, name)).bundle
    assert bundle is not None
    now = replay(bundle, device=DEVICE, reference=reference, gpu=H200, limits=LIMITS)
    assert now.seeds == judged[name].seeds
    found = compare(bundle.evaluation, now)
    assert [each for each in found if not each.same] == []
    assert environment_differences(bundle, now, gpu=H200, limits=LIMITS) == []
    if name == "passed":
        assert {"error shares", "counters", "times"} <= {each.what for each in found}
        lied(bundle.evaluation, now)


def lied(then: Evaluation, now: Evaluation) -> None:
    """What somebody may have written into a bundle with new hashes shows against what came out."""
    assert then.timing is not None
    assert then.profile is not None
    faster = then.timing.model_copy(update={"seconds": then.timing.seconds / 2})
    (launch,) = then.profile.launches
    fewer = {**launch, "counters": {**launch["counters"], "global_store_bytes": 4}}
    stages = [stage.model_copy(deep=True) for stage in then.stages]
    next(stage for stage in stages if stage.name == "correctness").evidence["calls"][1]["share_of_allowed"] = 0.0
    for lie, seen in [
        ({"timing": faster}, "times"),
        ({"profile": then.profile.model_copy(update={"launches": [fewer]})}, "counters"),
        ({"stages": stages}, "error shares"),
        ({"verdict": Verdict.CHEATING, "timing": None}, "verdict"),
    ]:
        differing = [each.what for each in compare(then.model_copy(update=lie), now) if not each.same]
        assert differing == [seen]


def test_fresh_seeds_are_other_ones(reference: Reference, judged: dict[str, Evaluation]) -> None:
    bundle = bundles.read(packed(judged, "wrong")).bundle
    assert bundle is not None
    now = replay(bundle, device=DEVICE, reference=reference, gpu=H200, limits=LIMITS, fresh=True)
    assert now.verdict is Verdict.WRONG
    assert set(now.seeds.values()).isdisjoint(judged["wrong"].seeds.values())


def test_another_environment_is_told(judged: dict[str, Evaluation]) -> None:
    bundle = bundles.read(packed(judged, "passed")).bundle
    assert bundle is not None
    device = judged["passed"].device.model_copy(
        update={"versions": {**judged["passed"].device.versions, "torch": "1.0"}}
    )
    now = judged["passed"].model_copy(update={"device": device})
    (found,) = environment_differences(bundle, now, gpu=H200, limits=LIMITS)
    assert (found.what, found.now) == ("device.versions.torch", "1.0")


def test_a_bundle_can_not_ask_for_more_than_is_allowed_here(judged: dict[str, Evaluation]) -> None:
    bundle = bundles.read(packed(judged, "passed")).bundle
    assert bundle is not None
    greedy = replace(bundle, limits=Limits(call_seconds=7, memory_bytes=1 << 60, processes=1 << 30))
    assert limits_here(greedy, Limits()) == Limits(call_seconds=7)


@pytest.mark.parametrize(
    ("member", "content", "says"),
    [
        ("kernel.py", b"class ModelNew:\n    other = 1\n", "kernel has the id"),
        ("task.py", b"class Model: pass\n", "task has the id"),
        ("seeds.json", b"{}x", "can't be read"),
        ("seeds.json", b"[[1]]", "can't be read"),
        ("stages.json", b"7", "can't be read"),
        ("stages.json", b'[{"name":"static"}]', "can't be read"),
        ("evaluation.json", b"[" * 100_000, "can't be read"),
        ("kernel.py", b"\xff\xfe", "can't be read"),
        ("environment.json", b'{"limits":{"call_seconds":{"float":"nan"}}}', "a call may take"),
        ("task.json", None, "can't be read"),
    ],
)
def test_contents_that_make_no_sense_are_told(
    judged: dict[str, Evaluation], member: str, content: bytes | None, says: str
) -> None:
    members = dict(unseal(packed(judged, "passed")).members)
    if content is None:
        del members[member]
    else:
        members[member] = content
    with pytest.raises(BundleError, match=says):
        bundles.read(seal(members, {"kernelwright": "0.1"}))


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_changes_of_a_real_bundle_are_noticed(judged: dict[str, Evaluation], data: st.DataObject) -> None:
    whole = packed(judged, "passed")
    spoilt = bytearray(whole)
    for place in data.draw(st.sets(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        spoilt[place] ^= data.draw(st.integers(1, 255))
    try:
        read = bundles.read(bytes(spoilt))
    except BundleError:
        return  # the beginning and the end are spoilt: it does not look like a bundle any more
    assert read.changes
    assert read.bundle is None


def test_weights_that_no_seed_decides_are_replayed() -> None:
    source = TASK.source.replace(
        "    def forward",
        "    def __init__(self):\n        super().__init__()\n        self.scale = torch.rand(1)\n    def forward",
    )
    task = replace(SHORT, source=source.replace("* 3.0", "* (3.0 + 0.0 * self.scale)"))
    with Reference(task) as hidden:
        assert hidden.hidden_tensors
        found = evaluate(task, KERNELS["wrong"], device=DEVICE, reference=hidden, gpu=H200, limits=LIMITS)
        bundle = bundles.read(bundles.pack(task, KERNELS["wrong"], found, gpu=H200, limits=LIMITS)).bundle
        assert bundle is not None
        now = replay(bundle, device=DEVICE, reference=hidden, gpu=H200, limits=LIMITS)
    assert found.seeds["weights/0"] == 0
    assert now.seeds == found.seeds


def test_attachments_travel(judged: dict[str, Evaluation]) -> None:
    task = Task("with", TASK.source, attachments={"module.pkl": b"\0\1", "../a": b"two"})
    found = judged["wrong"].model_copy(update={"task_id": task.id})
    read = bundles.read(bundles.pack(task, KERNELS["wrong"], found, gpu=H200, limits=LIMITS))
    assert read.bundle is not None
    assert read.bundle.task == task


def test_an_evaluation_of_something_else_is_not_packed(judged: dict[str, Evaluation]) -> None:
    with pytest.raises(ValueError, match="another task or kernel"):
        bundles.pack(SHORT, KERNELS["passed"], judged["wrong"], gpu=H200, limits=LIMITS)


def test_numbers_that_json_has_no_word_for_come_back() -> None:
    value = {
        "a": [math.inf, -math.inf, 0.1, {"float": "other"}, {"float": ["nan"]}],
        "b": math.nan,
        "c": (1, None, True),
    }
    back = from_json(to_json(value))
    assert math.isnan(back.pop("b"))
    assert back == {"a": value["a"], "c": [1, None, True]}
    for text in ("NaN", '{"a": Infinity}', "1" * 5000):
        with pytest.raises(ValueError, match=r"no JSON|digits"):
            from_json(text)
