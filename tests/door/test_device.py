"""Which device and GPU a command takes: by what the machine has and what was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwright.config import load_settings
from kernelwright.errors import ConfigError, NotFoundError
from kernelwright.jobs import resolve_target
from kernelwright.sandbox import device as devices
from kernelwright.sandbox.cuda.driver import DriverGpu


def driver_gpu(name: str, capability: tuple[int, int]) -> DriverGpu:
    return DriverGpu(0, name, "GPU-1", capability, 132, 1 << 37, 50 << 20, 1.98e9, 3.2e9, 6144, True, "13.0")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, home: Path):
    """Makes the driver show a GPU, or none, and torch be a build with CUDA, or not."""

    def made(name: str = "", capability: tuple[int, int] = (9, 0), torch: str = "2.13.0+cu130") -> None:
        problem = "" if name else "no NVIDIA driver (libcuda.so.1) is installed"
        monkeypatch.setattr(devices, "cuda_problem", lambda: problem)
        monkeypatch.setattr(devices, "gpus", lambda: (driver_gpu(name, capability),) if name else ())
        monkeypatch.setattr(devices, "version", lambda package: torch)

    return made


@pytest.mark.parametrize(
    ("name", "torch", "flags", "kind", "gpu"),
    [
        ("", "2.13.0+cpu", {}, "emulator", "H200"),
        ("", "2.13.0+cpu", {"gpu": "A100 40GB"}, "emulator", "A100 40GB"),
        ("NVIDIA H200", "2.13.0+cu130", {}, "cuda", "H200"),
        ("NVIDIA H200", "2.13.0+cu130", {"gpu": "h200"}, "cuda", "H200"),
        ("NVIDIA H200", "2.13.0+cu130", {"gpu": "A100 40GB"}, "emulator", "A100 40GB"),
        ("NVIDIA H200", "2.13.0+cu130", {"device": "emulator"}, "emulator", "H200"),
        ("NVIDIA H200", "2.13.0+cpu", {}, "emulator", "H200"),
        ("NVIDIA Strange 9", "2.13.0+cu130", {}, "emulator", "H200"),
        ("NVIDIA Strange 9", "2.13.0+cu130", {"device": "cuda", "gpu": "H200"}, "cuda", "H200"),
    ],
)
def test_the_device_follows_the_machine(
    machine, name: str, torch: str, flags: dict[str, str], kind: str, gpu: str
) -> None:
    machine(name, torch=torch)
    target = resolve_target(load_settings(isolation="process", **flags))
    assert (target.device.kind, target.gpu.name, target.device.gpu) == (kind, gpu, gpu)


@pytest.mark.parametrize(
    ("name", "capability", "torch", "flags", "said"),
    [
        ("", (9, 0), "2.13.0+cpu", {"device": "cuda"}, "no NVIDIA driver"),
        ("NVIDIA H200", (9, 0), "2.13.0+cpu", {"device": "cuda"}, "torch 2.13.0+cpu is a build without CUDA"),
        ("NVIDIA H200", (9, 0), "2.13.0+cu130", {"device": "cuda", "gpu": "A100 40GB"}, "is a NVIDIA H200 (sm_90)"),
        (
            "NVIDIA Strange 9",
            (9, 0),
            "2.13.0+cu130",
            {"device": "cuda"},
            "called 'NVIDIA Strange 9', which is not in the table",
        ),
    ],
)
def test_what_can_not_be_is_said(
    machine, name: str, capability: tuple[int, int], torch: str, flags: dict[str, str], said: str
) -> None:
    machine(name, capability, torch)
    with pytest.raises(ConfigError) as caught:
        resolve_target(load_settings(isolation="process", **flags))
    assert said in caught.value.message
    assert caught.value.mend


def test_a_gpu_that_nobody_knows_is_said(machine) -> None:
    machine("NVIDIA H200")
    with pytest.raises(NotFoundError):
        resolve_target(load_settings(isolation="process", gpu="H2000X"))
