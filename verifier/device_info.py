"""Where a kernel ran, with the versions that a verdict depends on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from kernelwright.sandbox.cuda.driver import driver_version, gpus
from kernelwright.sandbox.device import Device
from kernelwright.verifier.evaluation import DeviceInfo

__all__ = ["device_info"]


def device_info(device: Device) -> DeviceInfo:
    """The device with the versions that a verdict depends on."""
    versions = {}
    for package in ("kernelwright", "torch", "nvidia-cuda-nvrtc"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    name = device.name
    if device.kind == "cuda":
        here = gpus()
        name = here[device.index].name if device.index < len(here) else name
        versions["driver"] = driver_version() or "unknown"
    return DeviceInfo(
        kind=device.kind,
        name=name,
        gpu=device.gpu,
        arch=device.arch,
        isolation=device.isolation,
        versions=versions,
    )
