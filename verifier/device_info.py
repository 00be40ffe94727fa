"""Where a kernel ran, with the versions that a verdict depends on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

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
    return DeviceInfo(
        kind=device.kind,
        name=device.name,
        gpu=device.gpu,
        arch=device.arch,
        isolation=device.isolation,
        versions=versions,
    )
