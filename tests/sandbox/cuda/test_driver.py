"""The driver's answers, from an object that stands for libcuda and fills its pointers as the C functions do."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from kernelwright.sandbox.cuda import driver

# CUdevice_attribute numbers of <cuda.h>, with an H200's values
ATTRIBUTES = {16: 132, 13: 1_980_000, 36: 3_201_000, 37: 6144, 38: 62_914_560, 32: 1, 75: 9, 76: 0}


class Libcuda:
    """libcuda with one H200, or with the error that `fails` names."""

    def __init__(self, count: int = 1, fails: dict[str, int] | None = None) -> None:
        self.count, self.fails = count, fails or {}

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name in self.fails:
                return self.fails[name]
            getattr(self, f"_{name}")(*arguments)
            return 0

        return call

    def _cuDeviceGetCount(self, out: Any) -> None:
        out._obj.value = self.count

    def _cuDriverGetVersion(self, out: Any) -> None:
        out._obj.value = 13000

    def _cuDeviceGet(self, out: Any, index: int) -> None:
        out._obj.value = index

    def _cuDeviceGetName(self, buffer: Any, size: int, device: Any) -> None:
        assert size == 256
        buffer.value = b"NVIDIA H200"

    def _cuDeviceGetUuid_v2(self, out: Any, device: Any) -> None:
        ctypes.memmove(out._obj, bytes(range(16)), 16)

    def _cuDeviceTotalMem_v2(self, out: Any, device: Any) -> None:
        out._obj.value = 150_754_820_096

    def _cuDeviceGetAttribute(self, out: Any, number: int, device: Any) -> None:
        out._obj.value = ATTRIBUTES[number]

    def _cuGetErrorString(self, status: int, out: Any) -> None:
        out._obj.value = b"system has unsupported display driver / cuda driver combination"


def test_a_gpu_is_described() -> None:
    (found,) = driver.gpus_of(Libcuda())
    assert found.name == "NVIDIA H200"
    assert found.uuid == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert (found.arch, found.sms, found.memory_bytes, found.l2_bytes) == ("sm_90", 132, 150_754_820_096, 62_914_560)
    assert (found.clock_hz, found.memory_clock_hz, found.bus_bits, found.ecc) == (1.98e9, 3.201e9, 6144, True)
    assert found.driver_cuda == "13.0"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.03  Release Build  (dvs)\nGCC version:",
            "580.159.03",
        ),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54  Tue Jun 6\n", "535.54"),
        ("nothing of use", ""),
        (None, ""),
    ],
)
def test_the_drivers_version_is_read(tmp_path: Path, text: str | None, version: str) -> None:
    file = tmp_path / "version"
    if text is not None:
        file.write_text(text)
    assert driver.driver_version(file) == version


def test_several_gpus_have_their_indices() -> None:
    assert [gpu.index for gpu in driver.gpus_of(Libcuda(3))] == [0, 1, 2]
    assert driver.gpus_of(Libcuda(0)) == ()


def test_an_error_of_the_driver_is_said_in_its_words() -> None:
    with pytest.raises(RuntimeError, match=r"error 803 \(system has unsupported display driver"):
        driver.gpus_of(Libcuda(fails={"cuDeviceGetCount": 803}))


@pytest.mark.parametrize(
    ("library", "capability", "said"),
    [(Libcuda(0), (9, 0), "shows no GPU"), (Libcuda(), (7, 0), "sm_75 and later"), (Libcuda(), (9, 0), "")],
)
def test_what_can_not_be_used_is_explained(
    monkeypatch: pytest.MonkeyPatch, library: Libcuda, capability: tuple[int, int], said: str
) -> None:
    monkeypatch.setitem(ATTRIBUTES, 75, capability[0])
    monkeypatch.setattr(driver, "_open", lambda: library)
    driver.cuda_problem.cache_clear()
    try:
        problem = driver.cuda_problem()
    finally:
        driver.cuda_problem.cache_clear()
    assert said in problem
    assert bool(problem) == bool(said)
