"""Which function writes the C++ of which opcode."""

from __future__ import annotations

from collections.abc import Callable

from kernelwright.errors import UnsupportedError
from kernelwright.sandbox.emulator.alu import AluEmitter, refuse
from kernelwright.sandbox.emulator.convert import convert
from kernelwright.sandbox.emulator.ops_arithmetic import (
    absolute_difference,
    add_with_carry,
    arithmetic,
    copy_sign,
    divide,
    extreme,
    math_function,
    multiply,
    multiply_24,
    multiply_add,
    sign,
)
from kernelwright.sandbox.emulator.ops_bits import (
    bit_count,
    bit_field,
    bit_reverse,
    extend_field,
    logic,
    lop3,
    permute,
    shift,
    signed_flag,
    simple32,
)
from kernelwright.sandbox.emulator.ops_move import active_mask, cache_policy, convert_address, move, nothing
from kernelwright.sandbox.emulator.ops_select import (
    is_space,
    select,
    select_by_sign,
    set_predicate,
    set_value,
    test_class,
)
from kernelwright.sandbox.emulator.ops_video import (
    SCALAR_VIDEO,
    SIMD_VIDEO,
    multiply_add_video,
    scalar_video,
    simd_video,
)
from kernelwright.sandbox.emulator.ptx import Instr, has_register_address

__all__ = ["emit_alu", "is_alu"]


def is_alu(instr: Instr) -> bool:
    """Whether the instruction computes lane by lane, so that `emit_alu` takes it."""
    return instr.op in _EMITTERS or (instr.op == "ld" and "param" in instr.mods and not has_register_address(instr))


def emit_alu(e: AluEmitter, instr: Instr) -> None:
    """Appends the statements of one instruction.

    Raises:
        UnsupportedError: a form that is not known.
    """
    e.begin(instr)
    try:
        if instr.op == "ld":
            e.load_param(instr)
        else:
            _EMITTERS[instr.op](e, instr)
    except (KeyError, ValueError, IndexError):
        refuse(instr, "has a form that is not supported by the emulator")
    except UnsupportedError as error:
        if error.line is None:
            error.line = instr.where.line
        raise


_EMITTERS: dict[str, Callable[[AluEmitter, Instr], None]] = {
    "add": arithmetic("add"),
    "sub": arithmetic("sub"),
    "addc": add_with_carry,
    "subc": add_with_carry,
    "mul": multiply,
    "mad": multiply_add,
    "madc": multiply_add,
    "fma": multiply_add,
    "mul24": multiply_24,
    "mad24": multiply_24,
    "div": divide,
    "rem": divide,
    "min": extreme,
    "max": extreme,
    "neg": sign,
    "abs": sign,
    "and": logic,
    "or": logic,
    "xor": logic,
    "not": logic,
    "cnot": logic,
    "shl": shift,
    "shr": shift,
    "lop3": lop3,
    "setp": set_predicate,
    "set": set_value,
    "selp": select,
    "slct": select_by_sign,
    "testp": test_class,
    "mov": move,
    "cvt": convert,
    "cvta": convert_address,
    "isspacep": is_space,
    "ex2": math_function,
    "lg2": math_function,
    "sin": math_function,
    "cos": math_function,
    "tanh": math_function,
    "rcp": math_function,
    "sqrt": math_function,
    "rsqrt": math_function,
    "copysign": copy_sign,
    "popc": bit_count,
    "clz": bit_count,
    "bfind": bit_count,
    "brev": bit_reverse,
    "bfe": bit_field,
    "bfi": bit_field,
    "fns": simple32(lambda i: "fns_b32"),
    "bmsk": simple32(lambda i: f"bmsk_{i.mods[0]}"),
    "szext": extend_field,
    "sad": absolute_difference,
    "prmt": permute,
    "shf": simple32(lambda i: f"shf_{i.mods[0]}_{i.mods[1]}"),
    "dp4a": simple32(lambda i: f"dp4a<{signed_flag(i.mods[0])}, {signed_flag(i.mods[1])}>"),
    "dp2a": simple32(
        lambda i: (
            f"dp2a<{signed_flag(i.mods[1])}, {signed_flag(i.mods[2])}, {'true' if i.mods[0] == 'hi' else 'false'}>"
        )
    ),
    **dict.fromkeys(SIMD_VIDEO, simd_video),
    **dict.fromkeys(SCALAR_VIDEO, scalar_video),
    "vmad": multiply_add_video,
    "activemask": active_mask,
    "nanosleep": nothing,
    "prefetch": nothing,
    "prefetchu": nothing,
    "discard": nothing,
    "applypriority": nothing,
    "pmevent": nothing,
    "griddepcontrol": nothing,
    "createpolicy": cache_policy,
}
