"""Why the judge lets a mutant pass that is not equivalent, one by one."""

from __future__ import annotations

_INSTANCE = (
    "the judge gives new weights to a new `ModelNew`, never to the one that has already run; weights that a module keeps from "
    "its first call are therefore never seen to be stale"
)
_HALF_TASK = (
    "the task is in a 16-bit type: 32 times the honest error there is some per cent of the value, so that a constant 1 % off is "
    "within it"
)
_TANH = (
    "the emulator's `tanh.approx` is nearer to the true value than the hardware's, which has about 11 good bits: what a GPU would "
    "show does not show here"
)
_BATCH_VARIANCE = "running variances are near one in every workload; the epsilon is 1e-5 of them, and a relative error of 5e-6 is allowed"

EXPLAINED: dict[str, str] = {
    **dict.fromkeys(
        (
            "bias_relu-columns/stale_weight/0",
            "conv1d-shared/stale_weight/0",
            "depthwise-grid_stride/stale_weight/0",
            "layer_norm-welford/stale_weight/0",
            "linear-shared_row/stale_weight/0",
            "rms_norm-warp/stale_weight/0",
        ),
        _INSTANCE,
    ),
    **dict.fromkeys(("scaled_add_bf16-float/constant_1_percent/0", "silu_half-naive/constant_1_percent/0"), _HALF_TASK),
    **dict.fromkeys(
        (
            "gelu_tanh-staged/approximate_tanh/0",
            "row_prod-warp/approximate_tanh/0",
            "tanh-template/approximate_tanh/0",
            "tanh-unrolled/approximate_tanh/0",
        ),
        _TANH,
    ),
    **dict.fromkeys(
        ("batch_norm-grid_stride/wrong_epsilon/0", "batch_norm-grid_stride/wrong_epsilon/1"), _BATCH_VARIANCE
    ),
    "attention-block/missing_warp_barrier/0": (
        "CUDA does not call a shuffle a memory barrier; the emulator takes one by the whole warp for one"
    ),
    "histogram-shared_atomic/missing_barrier/1": (
        "the block is one warp, and the emulator does not report lanes that read what other lanes added by atomics without a "
        "`__syncwarp()`; the lanes run in step, so the values are right"
    ),
    "cross_entropy-atomic/half_function/0": (
        "the errors of 37 exponentials in fp16 average out in a sum, a logarithm and a mean; what is left is within the allowance"
    ),
    "gelu_tanh-ldg/constant_0.02_percent/1": (
        "0.044715 is the small factor of a cubic term: 0.02 % of it is at most 3e-6 of the output, within the allowance"
    ),
    "log_softmax-thread/half_operand/0": (
        "the maximum is only a shift that cancels; results differ only where an input is over 65,504, and no workload has one"
    ),
    "matmul_half-wmma/missing_warp_barrier/0": (
        "the emulator does not report lanes that read what other lanes stored by `wmma.store` without a `__syncwarp()`; the lanes "
        "run in step, so the values are right"
    ),
    "row_min-sequential/bound_short/1": (
        "the minimum of a row of 77 lies in its last column once in 77 rows, and a verdict sees about 80 different rows: "
        "one mutant in three slips through by chance"
    ),
    "softmax-warp_fast/wrong_step/0": (
        "two columns of 70 are left out of the maximum, which is only a shift; it shows where one of them exceeds the others by 88"
    ),
}
"""Mutant name: the explanation."""
