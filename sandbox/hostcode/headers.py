"""Which of the system's headers each half of a source gets."""

from __future__ import annotations

import re

from kernelwright.errors import UnsupportedError

__all__ = ["device_includes", "host_include"]

# What the prelude and the precompiled header of the host half stand for already.
_COVERED_ON_HOST = re.compile(
    r"(torch/(extension|types|all|torch|cuda)\.h|torch/csrc/api/include/torch/types\.h|ATen/ATen\.h|ATen/Tensor\.h|"
    r"(ATen|c10)/(cuda|native/cuda|cudnn)/.*|THC/.*|pybind11/.*|"
    r"cuda\.h|cuda_runtime(_api)?\.h|cuda_fp16\.hp?p?|cuda_bf16\.hp?p?|cuda_device_runtime_api\.h|"
    r"device_(launch_parameters|functions|atomic_functions|types)\.h|driver_(types|functions)\.h|vector_(types|functions)\.hp?p?|"
    r"math_(constants|functions)\.h|host_defines\.h|cooperative_groups(\.h|/.*)|mma\.h|cuda_pipeline.*\.h|cuda_awbarrier.*\.h|"
    r"cuda/.*|cub/.*|nv/.*|sm_\d+.*|crt/.*)"
)
_MISSING = {
    "cublas": "cuBLAS",
    "cudnn": "cuDNN",
    "cusparse": "cuSPARSE",
    "cusolver": "cuSOLVER",
    "cufft": "cuFFT",
    "curand": "cuRAND",
    "nccl": "NCCL",
    "nvml": "NVML",
    "nvtx": "NVTX",
    "npp": "NPP",
    "cutensor": "cuTENSOR",
    "optix": "OptiX",
}
# Headers that NVRTC reads.
_ON_DEVICE = re.compile(
    r"(cuda_fp(16|8|6|4)\.hp?p?|cuda_bf16\.hp?p?|cooperative_groups(\.h|/.*)|mma\.h|cuda_pipeline.*\.h|cuda_awbarrier.*\.h|"
    r"cuda/.*|cub/(block|warp|thread)/.*|nv/.*|math_constants\.h|cuComplex\.h)"
)
# <cub/cub.cuh> does not compile under NVRTC; the header of each primitive does.
_CUB = {
    "BlockReduce": "block/block_reduce.cuh",
    "BlockScan": "block/block_scan.cuh",
    "BlockLoad": "block/block_load.cuh",
    "BlockStore": "block/block_store.cuh",
    "BlockRadixSort": "block/block_radix_sort.cuh",
    "BlockExchange": "block/block_exchange.cuh",
    "BlockDiscontinuity": "block/block_discontinuity.cuh",
    "BlockHistogram": "block/block_histogram.cuh",
    "BlockMergeSort": "block/block_merge_sort.cuh",
    "BlockShuffle": "block/block_shuffle.cuh",
    "WarpReduce": "warp/warp_reduce.cuh",
    "WarpScan": "warp/warp_scan.cuh",
    "WarpMergeSort": "warp/warp_merge_sort.cuh",
    "WarpExchange": "warp/warp_exchange.cuh",
}


def _name(include: str) -> str:
    return include.strip().strip('<>"').strip()


def host_include(include: str, *, light: bool) -> str:
    """The include line of the host half for the author's `<header>`; empty if what it gives is there already.

    Args:
        light: our own binding stands for pybind11; otherwise pybind11's headers are kept.

    Raises:
        UnsupportedError: the header of a library that the emulator does not have.
    """
    name = _name(include)
    stem = name.split("/")[-1].lower()
    for prefix, library in _MISSING.items():
        if stem.startswith(prefix) and not (stem.startswith("curand") and "philox" in stem):
            raise UnsupportedError(
                f"<{name}> needs {library}, which the emulator does not have.",
                mend="Write that part as a kernel of your own (an extension may also call torch for it).",
            )
    if name.startswith("thrust/"):
        raise UnsupportedError(
            f"<{name}> needs Thrust, which launches kernels of its own; the emulator does not have it.",
            mend="Write that part as a kernel of your own; cub's block and warp primitives are there.",
        )
    if not light and name.startswith("pybind11/"):
        return f"#include {include}"
    return "" if _COVERED_ON_HOST.fullmatch(name) else f"#include {include}"


def device_includes(include: str, words: frozenset[str]) -> str:
    """The include lines (all on one text line apart) of the device half for the author's `<header>`.

    Args:
        words: the words of the device text; they decide which of cub's headers are needed.
    """
    name = _name(include)
    if name in ("cub/cub.cuh", "cub/cub.h", "ATen/cuda/cub.cuh"):
        return "\n".join(f"#include <cub/{header}>" for word, header in _CUB.items() if word in words)
    return f"#include {include}" if _ON_DEVICE.fullmatch(name) else ""
