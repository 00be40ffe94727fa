"""What the emulated device says of itself to host code, by architecture."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

from kernelwright.errors import UnsupportedError

__all__ = ["DeviceStruct", "device_struct"]


class DeviceStruct(ctypes.Structure):
    """`kernelwright_device` of runtime/abi.hpp."""

    _fields_ = (
        ("name", ctypes.c_char * 256),
        *(
            (name, ctypes.c_int32)
            for name in (
                "major", "minor", "processors", "threads_per_processor", "blocks_per_processor",
                "registers_per_processor", "shared_per_block", "shared_optin", "shared_per_processor", "l2_bytes",
                "clock_khz", "memory_clock_khz", "bus_bits",
            )
        ),
        ("memory_bytes", ctypes.c_uint64),
    )  # fmt: skip


@dataclass(frozen=True)
class _Model:
    """One GPU of an architecture; sizes in KiB, MiB and GiB, clocks in MHz."""

    processors: int
    threads: int
    blocks: int
    optin_kib: int
    shared_kib: int
    l2_mib: float
    clock: int
    memory_clock: int
    bus: int
    memory_gib: int


# Threads, blocks and shared memory: CUDA C++ Programming Guide, technical specifications per compute capability.
# The rest: NVIDIA's data sheets of T4, A100 40 GB SXM, RTX 3090, L4, H200 SXM, B200, RTX 5090.
_MODELS = {
    75: _Model(40, 1024, 16, 64, 64, 4, 1590, 5001, 256, 16),
    80: _Model(108, 2048, 32, 163, 164, 40, 1410, 1215, 5120, 40),
    86: _Model(82, 1536, 16, 99, 100, 6, 1695, 9751, 384, 24),
    89: _Model(58, 1536, 24, 99, 100, 48, 2040, 6251, 192, 24),
    90: _Model(132, 2048, 32, 227, 228, 50, 1980, 3201, 6144, 141),
    100: _Model(148, 2048, 32, 227, 228, 126, 1965, 3996, 8192, 180),
    120: _Model(170, 1536, 24, 99, 100, 96, 2407, 14001, 512, 32),
}


def device_struct(arch: str) -> DeviceStruct:
    """The device for `sm_90` and the like; an architecture without an entry takes the nearest one below.

    Raises:
        UnsupportedError: the name is not of that form, or older than sm_75.
    """
    found = re.fullmatch(r"sm_(\d+)[af]?", arch)
    known = [c for c in _MODELS if found and c <= int(found[1])]
    if found is None or not known:
        raise UnsupportedError(f"the emulator has no device of architecture {arch!r}")
    capability, model = int(found[1]), _MODELS[max(known)]
    return DeviceStruct(
        f"Kernelwright emulator ({arch})".encode(),
        capability // 10,
        capability % 10,
        model.processors,
        model.threads,
        model.blocks,
        65536,
        48 << 10,
        model.optin_kib << 10,
        model.shared_kib << 10,
        int(model.l2_mib * 2**20),
        model.clock * 1000,
        model.memory_clock * 1000,
        model.bus,
        model.memory_gib << 30,
    )
