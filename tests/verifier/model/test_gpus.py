"""GPU table: data-sheet peaks follow from the per-SM figures, names are found, unknown ones are explained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kernelwright.errors import NotFoundError
from kernelwright.verifier.model.gpus import DEFAULT_GPU, all_gpus, find_gpu

# float32 TFLOP/s as the data sheets state it
DATASHEET_FP32 = {
    "T4": 8.1,
    "A100 40GB": 19.5,
    "A100 80GB": 19.5,
    "RTX 3090": 35.6,
    "RTX 4090": 82.6,
    "L40S": 91.6,
    "RTX 6000 Ada": 91.1,
    "H100 SXM": 67.0,
    "H200": 67.0,
    "B200": 75.0,
    "RTX PRO 6000 Blackwell": 125.0,
}
DATASHEET_FP64 = {"A100 80GB": 9.7, "H100 SXM": 34.0, "H200": 34.0, "B200": 37.0}


@pytest.mark.parametrize("gpu", all_gpus(), ids=lambda gpu: gpu.name)
def test_peak_agrees_with_the_data_sheet(gpu):
    assert gpu.fp32_peak / 1e12 == pytest.approx(DATASHEET_FP32[gpu.name], rel=0.015)
    if gpu.name in DATASHEET_FP64:
        assert gpu.fp64_peak / 1e12 == pytest.approx(DATASHEET_FP64[gpu.name], rel=0.02)


@pytest.mark.parametrize("gpu", all_gpus(), ids=lambda gpu: gpu.name)
def test_figures_are_consistent(gpu):
    assert gpu.arch == "sm_{}{}".format(*gpu.compute_capability)
    assert gpu.max_threads == 32 * gpu.max_warps
    assert gpu.shared_per_block + gpu.shared_reserved <= gpu.shared_per_sm <= gpu.unified_l1
    assert gpu.load_store_lanes * 4 == gpu.shared_bytes_per_clock
    assert gpu.dram_latency > gpu.l2_latency
    assert gpu.l2_bandwidth > gpu.achievable_bandwidth
    assert gpu.source
    assert gpu.arch_source


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("H200", "H200"),
        ("nvidia h200", "H200"),
        ("h100", "H100 SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("a100", "A100 80GB"),
        ("rtx_4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 3090", "RTX 3090"),
        ("rtx pro 6000", "RTX PRO 6000 Blackwell"),
        ("NVIDIA T4", "T4"),
    ],
)
def test_names_and_aliases(spelling, name):
    assert find_gpu(spelling).name == name


def test_every_spelling_is_of_one_card():
    seen: dict[str, str] = {}
    for gpu in all_gpus():
        for spelling in (gpu.name, *gpu.aliases):
            assert seen.setdefault(spelling.lower(), gpu.name) == gpu.name
            assert find_gpu(spelling) is gpu


def test_unknown_gpu_suggests_the_nearest_and_lists_all():
    with pytest.raises(NotFoundError) as caught:
        find_gpu("RTX 4080")
    assert "Did you mean RTX 4090?" in str(caught.value)
    for gpu in all_gpus():
        assert gpu.name in str(caught.value)


def test_default_is_in_the_table():
    assert find_gpu(DEFAULT_GPU).name == DEFAULT_GPU


def test_a_gpu_cannot_be_changed():
    with pytest.raises(ValidationError):
        find_gpu("H200").sms = 1


def test_float32_matmul_never_counts_on_tensor_cores():
    gpu = find_gpu("H200")
    assert gpu.matmul_peak("float32") == gpu.fp32_peak
    assert gpu.matmul_peak("bfloat16") == 989.4e12
    assert find_gpu("T4").matmul_peak("bfloat16") == find_gpu("T4").fp32_peak
