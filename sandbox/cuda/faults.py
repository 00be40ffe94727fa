"""Errors of CUDA, told apart by what they mean for the kernel, its process and the GPU.

After a sticky error every later call in that process fails, whatever it is: nothing it says is worth anything any more.
Standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Fault", "fault_of"]


@dataclass(frozen=True)
class Fault:
    """One kind of error."""

    kind: str
    """As `CandidateFailure` has it (`launch`, `memory`, `unsupported`, `crashed`, `timeout`), `unsafe` for a bad access, or
    `device` where the GPU itself is at fault."""
    message: str
    mend: str
    sticky: bool
    """Whether the process is spoilt by it."""


# CUresult and cudaError names, and what cuGetErrorString says of them. Source: CUDA driver API, "Data types used by CUDA driver".
_FAULTS: tuple[tuple[str, Fault], ...] = (
    (
        r"ILLEGAL_ADDRESS|cudaErrorIllegalAddress|illegal memory access",
        Fault("unsafe", "a kernel accessed memory that is not its own.", "Check its bounds: kernelwright sanitize.", True),
    ),
    (
        r"MISALIGNED_ADDRESS|cudaErrorMisalignedAddress|misaligned address",
        Fault("unsafe", "a kernel accessed memory at an address that is no multiple of the access's size.",
              "Check the alignment of vector loads: kernelwright sanitize.", True),
    ),
    (
        r"CUDA_ERROR_ASSERT|cudaErrorAssert|device-side assert",
        Fault("crashed", "an assertion in a kernel failed.", "Look at what it asserts.", True),
    ),
    (
        r"ILLEGAL_INSTRUCTION|cudaErrorIllegalInstruction|illegal instruction",
        Fault("crashed", "a kernel executed an instruction that this GPU does not have.", "Compile for this GPU.", True),
    ),
    (
        r"HARDWARE_STACK|cudaErrorHardwareStackError|hardware stack error",
        Fault("crashed", "a kernel's call stack overflowed.", "Recurse less, or not at all.", True),
    ),
    (
        r"INVALID_(ADDRESS_SPACE|PC)|cudaErrorInvalid(AddressSpace|Pc)|invalid program counter|operation not supported on global/shared",
        Fault("unsafe", "a kernel used an address in the wrong memory space.", "Check its pointers: kernelwright sanitize.", True),
    ),
    (
        r"LAUNCH_TIMEOUT|cudaErrorLaunchTimeout|launch timed out",
        Fault("timeout", "the driver ended a kernel that ran too long.", "Look for an endless loop.", True),
    ),
    (
        r"LAUNCH_FAILED|cudaErrorLaunchFailure|unspecified launch failure",
        Fault("crashed", "a kernel failed for a reason that the driver does not name.", "Try kernelwright sanitize.", True),
    ),
    (
        r"OUT_OF_RESOURCES|cudaErrorLaunchOutOfResources|too many resources requested",
        Fault("launch", "a launch asks for more registers or shared memory than a block may have.",
              "Use fewer threads a block, fewer registers or less shared memory.", False),
    ),
    (
        r"cudaErrorInvalidConfiguration|invalid configuration argument",
        Fault("launch", "a launch has a grid or block of a size that is not allowed.", "Check grid and block.", False),
    ),
    (
        r"NO_BINARY_FOR_GPU|cudaErrorNoKernelImageForDevice|no kernel image",
        Fault("unsupported", "the kernel was compiled for another architecture.", "Compile for this GPU, or embed PTX.", False),
    ),
    (
        r"UNSUPPORTED_PTX_VERSION|INVALID_PTX|cudaErrorUnsupportedPtxVersion|PTX was compiled with an unsupported toolchain",
        Fault("unsupported", "the driver is older than the compiler that made the kernel's PTX.", "Update the driver.", False),
    ),
    (
        r"OUT_OF_MEMORY|cudaErrorMemoryAllocation|out of memory",
        Fault("memory", "the GPU has not enough free memory.", "Use smaller workloads, or end what else uses the GPU.", False),
    ),
    (
        r"ECC_UNCORRECTABLE|cudaErrorECCUncorrectable|uncorrectable ECC",
        Fault("device", "the GPU reports an uncorrectable memory error.", "Reset or replace the GPU.", True),
    ),
    (
        r"DEVICE_UNAVAILABLE|cudaErrorDevicesUnavailable|busy or unavailable",
        Fault("device", "the GPU is busy or unavailable.", "Wait, or end what holds it: nvidia-smi.", True),
    ),
    (
        r"(SYSTEM_DRIVER_MISMATCH|INSUFFICIENT_DRIVER|cudaErrorInsufficientDriver|driver version is insufficient)",
        Fault("device", "the NVIDIA driver is too old for this torch or CuPy.", "Update the driver.", True),
    ),
    (
        r"NO_DEVICE|cudaErrorNoDevice|no CUDA-capable device|No CUDA GPUs are available",
        Fault("device", "no GPU is visible to the process.", "Check CUDA_VISIBLE_DEVICES and the isolation.", True),
    ),
    (
        r"CONTEXT_IS_DESTROYED|device lost|GPU is lost|fallen off the bus|cudaErrorUnknown|CUDA_ERROR_UNKNOWN",
        Fault("device", "the driver has lost the GPU.", "Look at the kernel log for an Xid, and reset the GPU.", True),
    ),
)  # fmt: skip
_KNOWN = tuple((re.compile(pattern, re.IGNORECASE), fault) for pattern, fault in _FAULTS)


def fault_of(text: str) -> Fault | None:
    """The fault that an error's text names; None if it is none of CUDA's.

    Args:
        text: type and message, as torch, CuPy or the driver word it.
    """
    if not re.search(r"cuda|gpu|cupy", text, re.IGNORECASE):
        return None
    return next((fault for pattern, fault in _KNOWN if pattern.search(text)), None)
