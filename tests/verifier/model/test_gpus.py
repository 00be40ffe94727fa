"""GPU table: data-sheet peaks follow from the per-SM figures, names are found, unknown ones are explained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kernelwright.errors import NotFoundError
from kernelwright.sandbox.launch import TENSOR_TYPES
from kernelwright.verifier.model.constants import FITTED
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


# dense TFLOP/s as NVIDIA states them (data sheets; for H100 its white paper): fp16, bf16, tf32, fp8, int8, fp64
DATASHEET_TENSOR = {
    "T4": (65, None, None, None, 130, None),
    "A100 80GB": (312, 312, 156, None, 624, 19.5),
    "RTX 3090": (71, 71, 35.6, None, 284, None),
    "RTX 4090": (165.2, 165.2, 82.6, 330.3, 660.6, None),
    "L40S": (362, 362, 183, 733, 733, None),
    "RTX 6000 Ada": (364, 364, 182, 728, 728, None),
    "H100 SXM": (989.4, 989.4, 494.7, 1978.9, 1978.9, 66.9),
    "H200": (989.4, 989.4, 494.7, 1978.9, 1978.9, 66.9),
    "B200": (2250, 2250, 1125, 4500, 4500, 37),
}


@pytest.mark.parametrize("name", DATASHEET_TENSOR)
def test_tensor_peaks_by_type(name):
    gpu = find_gpu(name)
    stated = dict(zip(("fp16", "bf16", "tf32", "fp8", "int8", "fp64"), DATASHEET_TENSOR[name], strict=True))
    for kind, peak in stated.items():
        assert getattr(gpu, f"tensor_{kind}") == pytest.approx((peak or 0) * 1e12)
    # what tensor cores do not have runs elsewhere, or as a wider type
    elsewhere = {"fp8": gpu.tensor_fp16, "bf16": gpu.tensor_fp16, "tf32": gpu.fp32_peak, "fp64": gpu.fp64_peak}
    for kind in TENSOR_TYPES:
        wanted = stated.get("int8" if kind in ("int4", "int1") else kind)
        assert gpu.tensor_peak(kind) == pytest.approx(wanted * 1e12 if wanted else elsewhere[kind])


def test_an_unknown_tensor_type():
    with pytest.raises(KeyError):
        find_gpu("H200").tensor_peak("fp4")


def test_fitted_constants_are_set_by_name_within_bounds():
    gpu = find_gpu("H200")
    moved = gpu.with_fitted({"dram_share": 0.8, "overlap": 2.0})
    assert (moved.fitted("dram_share"), moved.fitted("overlap")) == (0.8, 2.0)
    assert moved.achievable_bandwidth == pytest.approx(0.8 * gpu.dram_bandwidth)
    assert (gpu.dram_share, gpu.constants.overlap) == (0.90, 3.0)
    for name, value in (("dram_share", 1.2), ("overlap", float("nan")), ("overlap", 0.0)):
        with pytest.raises(ValueError, match=f"{name} can't be"):
            gpu.with_fitted({name: value})
    with pytest.raises(ValueError, match="'sms' is no constant"):
        gpu.with_fitted({"sms": 1})


@pytest.mark.parametrize("gpu", all_gpus(), ids=lambda gpu: gpu.name)
def test_every_prior_lies_within_its_bounds(gpu):
    assert gpu.with_fitted({each.name: gpu.fitted(each.name) for each in FITTED}) == gpu


def test_float32_matmul_never_counts_on_tensor_cores():
    gpu = find_gpu("H200")
    assert gpu.matmul_peak("float32") == gpu.fp32_peak
    assert gpu.matmul_peak("bfloat16") == 989.4e12
    assert find_gpu("T4").matmul_peak("bfloat16") == find_gpu("T4").fp32_peak


def test_a_calibration_is_named_by_what_it_changes() -> None:
    card = find_gpu("H200")
    moved = card.with_fitted({"dram_share": 0.8})
    assert card.calibration_digest == ""
    assert card.with_fitted({"dram_share": card.dram_share}).calibration_digest == ""
    assert moved.calibration_digest == card.with_fitted({"dram_share": 0.8}).calibration_digest
    others = [moved, card.with_fitted({"dram_share": 0.81}), card.with_fitted({"l2_share": 0.8})]
    assert len({one.calibration_digest for one in others}) == 3
    assert all(len(one.calibration_digest) == 16 for one in others)
