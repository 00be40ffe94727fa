"""What an instruction costs in the terms of `sandbox.launch.Counters`: its issue class and its floating-point operations."""

from __future__ import annotations

from kernelwright.sandbox.emulator.ptx import TYPE_BYTES, Instr
from kernelwright.sandbox.emulator.tensor import TENSOR_OPS, factor_type, multiply_adds

__all__ = ["flops", "issue_class", "tensor_type"]

_SFU = frozenset(("ex2", "lg2", "sin", "cos", "tanh", "rsqrt"))
_CONTROL = frozenset(
    ("bra", "brx", "ret", "exit", "call", "trap", "printf", "assert", "brkpt", "nanosleep", "callf", "malloc", "free")
)
_ARITHMETIC = frozenset(("add", "sub", "mul", "fma", "mad", "div", "min", "max", "rcp", "sqrt", "neg", "abs"))
_HALF_TYPES = frozenset(("f16", "bf16", "f16x2", "bf16x2"))
_LANES = 32
_TENSOR_TYPES = {
    "f16": "fp16", "bf16": "bf16", "tf32": "tf32", "e4m3": "fp8", "e5m2": "fp8", "s8": "int8", "u8": "int8",
    "s4": "int4", "u4": "int4", "b1": "int1", "f64": "fp64",
}  # fmt: skip
"""PTX type of a matrix product's factors to one of `TENSOR_TYPES`."""
_FREE = frozenset(("barresult", "jump", "frame", "restore", "retf"))
"""Parts of instructions that were counted already, and what the translator adds."""


def _type(instr: Instr) -> str:
    return next((m for m in reversed(instr.mods) if m in TYPE_BYTES or m == "pred"), "b32")


def issue_class(instr: Instr) -> str | None:
    """One of `INSTRUCTION_CLASSES`, or None for what is not issued."""
    op, type_ = instr.op, _type(instr)
    if op in _FREE:
        return None
    if op in ("ld", "st", "prefetch", "prefetchu", "discard", "applypriority") or (
        op == "cp" and "async" in instr.mods
    ):
        # A parameter is an operand from the constant bank for most instructions.
        return "int" if "param" in instr.mods else "load_store"
    if op in ("atom", "red"):
        return "atomic"
    if op in ("shfl", "vote", "match", "redux", "elect", "activemask"):
        return "shuffle"
    if op in ("bar", "barrier", "barred", "membar", "fence", "griddepcontrol", "mbarrier"):
        return "shuffle" if "warp" in instr.mods else "barrier"
    if op in _CONTROL:
        return "control"
    if op in TENSOR_OPS:
        return "tensor" if multiply_adds(instr) else "shuffle" if op == "movmatrix" else "load_store"
    if op == "cvt":
        return "convert"
    if op in _SFU or (op in ("rcp", "sqrt", "div") and type_ == "f32"):
        return "sfu"
    source = type_ if op != "set" else instr.mods[-1]
    if op in ("mov", "selp", "slct", "copysign", "testp"):
        return "int"
    if source == "f32":
        return "fp32"
    if source == "f64":
        return "fp64"
    if source in _HALF_TYPES:
        return "fp16"
    return "int"


def flops(instr: Instr) -> tuple[str, int] | None:
    """The kind (`fp32`, `fp16`, `fp64`, `tensor`) and number of floating-point operations of one lane; None for none.

    Additions, multiplications, divisions, roots and transcendental functions count 1, a fused multiply-add 2; minima,
    comparisons, sign changes and conversions count 0, as in Nsight Compute.
    """
    if instr.op in TENSOR_OPS:
        return ("tensor", 2 * multiply_adds(instr) // _LANES) if multiply_adds(instr) else None
    type_ = _type(instr)
    kind = {"f32": "fp32", "f64": "fp64"}.get(type_, "fp16" if type_ in _HALF_TYPES else None)
    if kind is None or instr.op in ("neg", "abs", "min", "max"):
        return None
    if instr.op in ("atom", "red"):
        return (kind, 1) if "add" in instr.mods else None
    if instr.op not in _ARITHMETIC and instr.op not in _SFU:
        return None
    each = 2 if instr.op in ("fma", "mad") else 1
    return kind, each * (2 if type_.endswith("x2") else 1)


def tensor_type(instr: Instr) -> str | None:
    """One of `TENSOR_TYPES` for a matrix product on tensor cores, None for every other instruction."""
    if instr.op not in TENSOR_OPS or not multiply_adds(instr):
        return None
    return _TENSOR_TYPES[factor_type(instr)]
