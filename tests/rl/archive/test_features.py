"""Features: from counters first, from the source where no counter tells."""

from __future__ import annotations

from typing import Any

import pytest
from archive_doubles import attempt, profile, source

from kernelwright.rl.archive.features import TAGS, Features, features
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Profile, Verdict


def found(body: str = "", made: Profile | None = None, **counters: Any) -> Features:
    one = attempt(1, 1e-5, text=source(1, body), **counters)
    judged = one.evaluation if made is None else one.evaluation.model_copy(update={"profile": made})
    result = features(one.kernel, judged)
    assert result is not None
    return result


def test_numbers_come_from_the_costliest_launch_and_the_share_of_dram_from_all() -> None:
    small, large = profile(registers=20, dram=1.0), profile(registers=90, static_shared=4096, occupancy=0.25, dram=0.5)
    large.metrics[0]["kernelwright__modelled_seconds"] = 3e-5
    large.launches[0]["dynamic_shared"] = 1024
    both = Profile(launches=[*small.launches, *large.launches], metrics=[*small.metrics, *large.metrics])
    assert found(made=both) == Features(90, 5120, 0.25, pytest.approx(0.625), 2, ("several_launches",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tag", "body", "counters"),
    [
        ("vectorised", "", {"global_load_bytes": 1281}),
        ("vectorised", "half2 h;", {}),
        ("shared_tiling", "", {"shared_load_bytes": 640}),
        ("tensor_cores", "", {"warp_instructions": {"tensor": 1}}),
        ("cp_async", 'asm volatile("cp.async.ca.shared.global [%0], [%1], 16;");', {}),
        ("cp_async", "__pipeline_memcpy_async(a, b, 16);", {}),
        ("warp_shuffles", "", {"warp_instructions": {"shuffle": 3}}),
        ("atomics", "", {"global_atomic_requests": 1}),
        ("atomics", "", {"shared_atomic_requests": 1}),
    ],
)
def test_each_technique_is_told(tag: str, body: str, counters: dict[str, Any]) -> None:
    assert tag not in found().tags
    assert found(body, **counters).tags == (tag,)
    assert tag in TAGS


@pytest.mark.parametrize(
    ("body", "counters"),
    [
        ("// half2 __pipeline_memcpy_async cp.async gridDim", {}),
        ("/* float4 */", {}),
        ("", {"global_load_bytes": 2560, "flops": {"fp64": 10}}),
        ("", {"shared_load_bytes": 639}),
        ("", {"shared_load_bytes": 0, "global_load_bytes": 0}),
    ],
)
def test_what_only_looks_like_one_is_none(body: str, counters: dict[str, Any]) -> None:
    assert found(body, **counters).tags == ()


def test_a_persistent_grid_is_one_wave_that_knows_its_size() -> None:
    loop = "for (int j = i; j < n; j += gridDim.x * blockDim.x) y[j] = 0;"
    assert found(loop).tags == ()  # two waves
    one_wave = profile()
    one_wave.metrics[0]["launch__waves_per_multiprocessor"] = 1.0
    assert found(loop, one_wave).tags == ("persistent_grid",)
    assert found("", one_wave).tags == ()


def test_what_failed_or_was_not_counted_has_none() -> None:
    failed = attempt(1, Verdict.WRONG)
    assert features(failed.kernel, failed.evaluation) is None
    passed = attempt(1, 1e-5).evaluation.model_copy(update={"profile": None})
    assert features(Kernel(source(1), "x"), passed) is None
    bare = attempt(1, 1e-5).evaluation.model_copy(update={"profile": Profile(launches=[{}], metrics=[])})
    assert features(Kernel(source(1), "x"), bare) == Features(0, 0, 0.0, 0.0, 1, ())
