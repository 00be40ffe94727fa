"""What the NVIDIA driver shows, asked through libcuda: no torch, no context, nothing left behind."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

__all__ = ["LEAST_CAPABILITY", "DriverGpu", "cuda_problem", "gpus", "gpus_of"]

LEAST_CAPABILITY = (7, 5)
"""Oldest compute capability that NVRTC 13 compiles for. Source: CUDA 13.0 release notes."""

# CUdevice_attribute of <cuda.h>
_SM_COUNT, _CLOCK_KHZ, _MEMORY_CLOCK_KHZ, _BUS_BITS, _L2_BYTES, _ECC, _MAJOR, _MINOR = 16, 13, 36, 37, 38, 32, 75, 76
_NAME_BYTES = 256


@dataclass(frozen=True)
class DriverGpu:
    """One GPU as the driver describes it."""

    index: int
    name: str
    """``NVIDIA H200``."""
    uuid: str
    capability: tuple[int, int]
    sms: int
    memory_bytes: int
    l2_bytes: int
    clock_hz: float
    """Highest SM clock."""
    memory_clock_hz: float
    bus_bits: int
    ecc: bool
    driver_cuda: str
    """Newest CUDA version that the driver supports: ``13.0``."""

    @property
    def arch(self) -> str:
        """``sm_90``."""
        return f"sm_{self.capability[0]}{self.capability[1]}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def _open() -> Any:
    """The driver's library, initialised.

    Raises:
        OSError: there is none.
        RuntimeError: it refuses.
    """
    library = ctypes.util.find_library("cuda") or "libcuda.so.1"
    driver = ctypes.CDLL(library)
    if status := driver.cuInit(0):
        raise RuntimeError(_words(driver, status))
    return driver


def _words(driver: Any, status: int) -> str:
    text = ctypes.c_char_p()
    with contextlib.suppress(AttributeError):
        driver.cuGetErrorString(status, ctypes.byref(text))
    said = text.value.decode(errors="replace") if text.value else "unknown"
    return f"the NVIDIA driver answers with error {status} ({said})"


def gpus_of(driver: Any) -> tuple[DriverGpu, ...]:
    """The GPUs that an opened driver library shows.

    Raises:
        RuntimeError: it answers with an error.
    """

    def ask(name: str, *arguments: Any) -> None:
        if status := getattr(driver, name)(*arguments):
            raise RuntimeError(_words(driver, status))

    count, version = ctypes.c_int(), ctypes.c_int()
    ask("cuDeviceGetCount", ctypes.byref(count))
    ask("cuDriverGetVersion", ctypes.byref(version))
    found = []
    for index in range(count.value):
        device, memory = ctypes.c_int(), ctypes.c_size_t()
        name, uuid = ctypes.create_string_buffer(_NAME_BYTES), (ctypes.c_ubyte * 16)()
        ask("cuDeviceGet", ctypes.byref(device), index)
        ask("cuDeviceGetName", name, _NAME_BYTES, device)
        ask("cuDeviceGetUuid_v2", ctypes.byref(uuid), device)
        ask("cuDeviceTotalMem_v2", ctypes.byref(memory), device)

        def attribute(number: int, device: ctypes.c_int = device) -> int:
            value = ctypes.c_int()
            ask("cuDeviceGetAttribute", ctypes.byref(value), number, device)
            return value.value

        digits = bytes(uuid).hex()
        found.append(
            DriverGpu(
                index=index,
                name=name.value.decode(errors="replace"),
                uuid="GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])),
                capability=(attribute(_MAJOR), attribute(_MINOR)),
                sms=attribute(_SM_COUNT),
                memory_bytes=memory.value,
                l2_bytes=attribute(_L2_BYTES),
                clock_hz=1e3 * attribute(_CLOCK_KHZ),
                memory_clock_hz=1e3 * attribute(_MEMORY_CLOCK_KHZ),
                bus_bits=attribute(_BUS_BITS),
                ecc=bool(attribute(_ECC)),
                driver_cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
            )
        )
    return tuple(found)


@cache
def gpus() -> tuple[DriverGpu, ...]:
    """The GPUs of this machine that can be used; empty where there is no driver or it shows none."""
    try:
        return gpus_of(_open())
    except (OSError, RuntimeError, AttributeError):
        return ()


@cache
def cuda_problem() -> str:
    """Why no GPU can be used here; the empty string if the driver answers and shows one that NVRTC compiles for."""
    try:
        found = gpus_of(_open())
    except OSError:
        return "no NVIDIA driver (libcuda.so.1) is installed"
    except (RuntimeError, AttributeError) as error:
        return str(error)
    if not found:
        return "the NVIDIA driver shows no GPU"
    if all(gpu.capability < LEAST_CAPABILITY for gpu in found):
        names = ", ".join(f"{gpu.name} ({gpu.arch})" for gpu in found)
        return f"CUDA 13 compiles for sm_75 and later, and here is {names}"
    return ""
