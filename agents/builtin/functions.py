"""Pointwise functions as C++ expressions, and the device functions they call.

float uses the single-precision functions of the CUDA math library (within 1 to 2 ulp), never the fast intrinsics: __expf and its like
lose several digits for large arguments, which the verifier would rightly refuse. NaN goes through maximum, minimum and clamp
as in torch, where fmaxf would drop it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.agents.builtin.dtypes import C_TYPE, category
from kernelwright.agents.builtin.errors import NotLowered

__all__ = ["KNOWN", "bare", "call", "helper_source"]

_MATH = {
    "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "floor", "ceil", "trunc", "rint", "atan2", "hypot",
    "fmod", "pow", "erfinv", "lgamma",
}  # fmt: skip
_INFIX = {"add": "+", "sub": "-", "mul": "*"}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_BITS = {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"}
_LOGIC = {"logical_and": "&&", "logical_or": "||", "logical_xor": "!="}
_CALLED = {"sigmoid", "maximum", "minimum", "relu", "sign", "remainder", "floor_divide"}
"""Written as a call whatever the dtype, so that arguments need no parentheses of their own."""
_HELPED = {"maximum", "minimum", "remainder", "sigmoid", "relu", "sign", "floor_divide", "trunc_divide", "reciprocal"}

KNOWN = frozenset(
    _MATH
    | set(_INFIX) | set(_COMPARE) | set(_BITS) | set(_LOGIC) | _HELPED
    | {"div", "neg", "abs", "where", "cast", "isnan", "isinf", "not", "square", "cube", "round_float16", "round_bfloat16", "bitwise_not",
       "lshift", "rshift"}
)  # fmt: skip

_HELPERS = {
    "maximum": """// torch.maximum: a NaN on either side wins.
template <typename T>
__device__ __forceinline__ T maximum(T a, T b) {
    return (a > b || a != a) ? a : b;
}
""",
    "minimum": """// torch.minimum: a NaN on either side wins.
template <typename T>
__device__ __forceinline__ T minimum(T a, T b) {
    return (a < b || a != a) ? a : b;
}
""",
    "relu": """// Keeps NaN, as torch.relu does.
template <typename T>
__device__ __forceinline__ T relu(T x) {
    return x < T(0) ? T(0) : x;
}
""",
    "sign": """template <typename T>
__device__ __forceinline__ T sign(T x) {
    return T((x > T(0)) - (x < T(0)));
}
""",
    "sigmoid": """__device__ __forceinline__ float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}
__device__ __forceinline__ double sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}
""",
    "remainder": """// Python's modulo: the result has the divisor's sign.
__device__ __forceinline__ float remainder_of(float a, float b) {
    const float r = fmodf(a, b);
    return (r != 0.0f && (r < 0.0f) != (b < 0.0f)) ? r + b : r;
}
__device__ __forceinline__ double remainder_of(double a, double b) {
    const double r = fmod(a, b);
    return (r != 0.0 && (r < 0.0) != (b < 0.0)) ? r + b : r;
}
__device__ __forceinline__ long long remainder_of(long long a, long long b) {
    const long long r = a % b;
    return (r != 0 && (r < 0) != (b < 0)) ? r + b : r;
}
__device__ __forceinline__ int remainder_of(int a, int b) {
    const int r = a % b;
    return (r != 0 && (r < 0) != (b < 0)) ? r + b : r;
}
""",
    "floor_divide": """// Division rounded down, as Python's //.
__device__ __forceinline__ long long floor_divide(long long a, long long b) {
    const long long q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}
__device__ __forceinline__ int floor_divide(int a, int b) {
    const int q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}
__device__ __forceinline__ float floor_divide(float a, float b) {
    return floorf(a / b);
}
__device__ __forceinline__ double floor_divide(double a, double b) {
    return floor(a / b);
}
""",
}


def helper_source(names: Sequence[str]) -> str:
    """The device functions these pointwise functions call, each once."""
    return "\n".join(_HELPERS[name] for name in sorted(set(names)) if name in _HELPERS)


def call(fn: str, dtype: str, args: Sequence[str], operand: str) -> str:
    """The C++ expression of a function.

    Args:
        dtype: of the result, a value dtype.
        args: C++ expressions of the arguments.
        operand: value dtype of the last argument (of the compared values, for a comparison).
    """
    kind = C_TYPE[dtype]
    text = _expression(fn, dtype, args, operand)
    # C++ computes narrow integers as int: bring the result back, so that it wraps as torch's does.
    narrow = dtype in ("int16", "int8", "uint8") and fn not in ("cast", "where")
    return f"static_cast<{kind}>({text})" if narrow else text


def _expression(fn: str, dtype: str, args: Sequence[str], operand: str) -> str:
    kind = C_TYPE[dtype]
    real = category(operand) == 2
    if (fn in _MATH and real) or fn == "cast" or (fn in _CALLED and dtype != "bool"):
        args = [bare(x) for x in args]
    a = args[0]
    b = args[1] if len(args) > 1 else ""
    if fn == "cast":
        return f"(({a}) != 0)" if dtype == "bool" and operand != "bool" else f"static_cast<{kind}>({a})"
    if fn == "round_float16":
        return f"__half2float(__float2half_rn({a}))"
    if fn == "round_bfloat16":
        return f"__bfloat162float(__float2bfloat16_rn({a}))"
    if fn in _COMPARE:
        return f"({a} {_COMPARE[fn]} {b})"
    if fn in _LOGIC:
        return f"({a} {_LOGIC[fn]} {b})"
    if fn == "not":
        return f"!{a}"
    if fn == "where":
        return f"({a} ? {b} : {args[2]})"
    if fn == "isnan":
        return f"({a} != {a})" if real else "false"
    if fn == "isinf":
        return f"isinf({a})" if real else "false"
    if dtype == "bool":
        if fn in ("mul", "bitwise_and", "minimum"):
            return f"({a} && {b})"
        if fn in ("add", "bitwise_or", "maximum"):
            return f"({a} || {b})"
        if fn == "bitwise_xor":
            return f"({a} != {b})"
        if fn == "bitwise_not":
            return f"!{a}"
        raise NotLowered(f"{fn} of bool")
    if fn in _INFIX:
        return f"({a} {_INFIX[fn]} {b})"
    if fn in _BITS:
        return f"({a} {_BITS[fn]} {b})"
    if fn == "bitwise_not":
        return f"(~{a})"
    if fn in ("lshift", "rshift"):
        return f"({a} {'<<' if fn == 'lshift' else '>>'} {b})"
    if fn == "div":
        return f"({a} / {b})"
    if fn == "neg":
        return f"(-{a})"
    if fn == "square":
        return f"({a} * {a})"
    if fn == "cube":
        return f"({a} * {a} * {a})"
    if fn == "reciprocal":
        return f"({'1.0f' if dtype == 'float32' else '1.0'} / {a})"
    if fn == "abs":
        if real:
            return f"fabs{'f' if dtype == 'float32' else ''}({a})"
        return a if dtype == "uint8" else f"({a} < 0 ? -{a} : {a})"
    if fn in ("maximum", "minimum", "relu", "sign"):
        return f"{fn}<{kind}>({', '.join(args)})"
    if fn == "remainder":
        return f"remainder_of({a}, {b})"
    if fn == "floor_divide":
        return f"floor_divide({a}, {b})"
    if fn == "trunc_divide":
        return f"trunc{'f' if dtype == 'float32' else ''}({a} / {b})" if real else f"({a} / {b})"
    if fn == "sigmoid":
        return f"sigmoid({a})"
    if fn in _MATH and real:
        return f"{fn}{'f' if dtype == 'float32' else ''}({', '.join(args)})"
    if fn in ("floor", "ceil", "trunc", "rint"):
        return a
    if fn == "fmod":
        return f"({a} % {b})"
    raise NotLowered(f"{fn} of {dtype}")


def bare(text: str) -> str:
    """Without the parentheses around the whole."""
    if text.startswith("(") and text.endswith(")"):
        depth = 0
        for at, char in enumerate(text):
            depth += (char == "(") - (char == ")")
            if depth == 0 and at < len(text) - 1:
                return text
        return text[1:-1]
    return text
