"""Why the judge lets a mutant pass that is not equivalent, one by one."""

from __future__ import annotations

EXPLAINED: dict[str, str] = {
    "scaled_add_bf16-float/constant_1_percent/0": (
        "1 % of the smaller of two terms is about half a rounding of bfloat16 in the sum: no more than what keeping the constant in "
        "bfloat16 would make, which is honest"
    ),
    "attention-block/missing_warp_barrier/0": (
        "CUDA does not call a shuffle a memory barrier; the emulator takes one by the whole warp for one"
    ),
    "matmul_half-mma_async/missing_warp_barrier/1": (
        "no lane leaves ldmatrix.sync before all are there, and the buffer is written again only behind it; PTX says so of execution, "
        "though not of memory"
    ),
    "softmax-warp_fast/wrong_step/0": (
        "two columns of 70 are left out of the maximum, which is only a shift; it shows where one of them exceeds the others by 88, "
        "which the one-hot workload makes in some rows by chance"
    ),
}
"""Mutant name: the explanation."""
