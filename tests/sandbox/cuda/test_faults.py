"""CUDA's errors as torch, CuPy and the driver word them, told apart."""

from __future__ import annotations

import pytest

from kernelwright.sandbox.cuda.faults import fault_of

TORCH = (
    "torch.AcceleratorError: CUDA error: {}\nCUDA kernel errors might be asynchronously reported at some other API call"
)


@pytest.mark.parametrize(
    ("text", "kind", "sticky"),
    [
        (TORCH.format("an illegal memory access was encountered"), "unsafe", True),
        (TORCH.format("misaligned address"), "unsafe", True),
        (TORCH.format("device-side assert triggered"), "crashed", True),
        (TORCH.format("unspecified launch failure"), "crashed", True),
        (TORCH.format("the launch timed out and was terminated"), "timeout", True),
        (TORCH.format("too many resources requested for launch"), "launch", False),
        (TORCH.format("invalid configuration argument"), "launch", False),
        (TORCH.format("no kernel image is available for execution on the device"), "unsupported", False),
        (TORCH.format("uncorrectable ECC error encountered"), "device", True),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 200.00 GiB.", "memory", False),
        ("cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 1,024 bytes", "memory", False),
        (
            "cupy_backends.cuda.api.driver.CUDADriverError: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered",
            "unsafe",
            True,
        ),
        (
            "cupy_backends.cuda.api.driver.CUDADriverError: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested",
            "launch",
            False,
        ),
        (
            "cupy_backends.cuda.api.runtime.CUDARuntimeError: cudaErrorInsufficientDriver: CUDA driver version is insufficient",
            "device",
            True,
        ),
        ("builtins.RuntimeError: No CUDA GPUs are available", "device", True),
        (
            "cupy_backends.cuda.api.driver.CUDADriverError: CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled",
            "unsupported",
            False,
        ),
    ],
)
def test_each_error_is_told_by_what_it_means(text: str, kind: str, sticky: bool) -> None:
    found = fault_of(text)
    assert found is not None
    assert (found.kind, found.sticky) == (kind, sticky)
    assert found.message.endswith(".")
    assert found.mend.endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "builtins.ValueError: the assert in your head failed",
        "builtins.MemoryError: out of memory",
        "builtins.RuntimeError: CUDA graphs must be captured",
    ],
)
def test_other_errors_are_none_of_cudas(text: str) -> None:
    assert fault_of(text) is None
