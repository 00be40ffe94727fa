"""Why the judge lets a mutant pass that is not equivalent, one by one."""

from __future__ import annotations

_HALF_TASK = (
    "the task is in a 16-bit type: 12 times the honest error there is some per cent of the value, so that a constant 1 % off is "
    "within it"
)

EXPLAINED: dict[str, str] = {
    **dict.fromkeys(("scaled_add_bf16-float/constant_1_percent/0", "silu_half-naive/constant_1_percent/0"), _HALF_TASK),
    "attention-block/missing_warp_barrier/0": (
        "CUDA does not call a shuffle a memory barrier; the emulator takes one by the whole warp for one"
    ),
    "log_softmax-thread/half_operand/0": (
        "the maximum is only a shift that cancels; results differ only where an input is over 65,504, and no workload has one"
    ),
    "softmax-warp_fast/wrong_step/0": (
        "two columns of 70 are left out of the maximum, which is only a shift; it shows where one of them exceeds the others by 88"
    ),
}
"""Mutant name: the explanation."""
