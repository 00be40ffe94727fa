"""Device code shared by the kernels of one source: vectors, conversions, reductions over a row."""

from __future__ import annotations

from collections.abc import Set

from kernelwright.agents.builtin.prelude_cores import cores_prelude, needed
from kernelwright.agents.builtin.prelude_tensor import tensor_prelude

__all__ = ["prelude"]

_VECTOR = """// N neighbours that one instruction loads or stores (16 bytes at most).
template <typename T, int N>
struct alignas(sizeof(T) * N) Vector {
    T at[N];
};

template <int N, typename T>
__device__ __forceinline__ Vector<T, N> load_vector(const T* __restrict__ from) {
    return *reinterpret_cast<const Vector<T, N>*>(from);
}

template <int N, typename T>
__device__ __forceinline__ void store_vector(T* __restrict__ to, const Vector<T, N>& value) {
    *reinterpret_cast<Vector<T, N>*>(to) = value;
}
"""

_OPS = {
    "sum": """struct Sum {
    template <typename T>
    static __device__ __forceinline__ T combine(T a, T b) { return a + b; }
};
""",
    "prod": """struct Product {
    template <typename T>
    static __device__ __forceinline__ T combine(T a, T b) { return a * b; }
};
""",
    "max": """struct Maximum {  // a NaN on either side wins, as in torch
    template <typename T>
    static __device__ __forceinline__ T combine(T a, T b) { return (a > b || a != a) ? a : b; }
};
""",
    "min": """struct Minimum {  // a NaN on either side wins, as in torch
    template <typename T>
    static __device__ __forceinline__ T combine(T a, T b) { return (a < b || a != a) ? a : b; }
};
""",
    "any": """struct Any {
    static __device__ __forceinline__ int combine(int a, int b) { return a | b; }
};
""",
    "all": """struct All {
    static __device__ __forceinline__ int combine(int a, int b) { return a & b; }
};
""",
    "argmax": """struct ArgMaximum {  // the first of equals; NaN counts as largest
    template <typename T>
    static __device__ __forceinline__ Indexed<T> combine(Indexed<T> a, Indexed<T> b) {
        const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
        const bool tie = a.value == b.value || (a_nan && b_nan);
        const bool take_b = tie ? b.index < a.index : (b_nan || (!a_nan && b.value > a.value));
        return take_b ? b : a;
    }
};
""",
    "argmin": """struct ArgMinimum {  // the first of equals; NaN counts as smallest
    template <typename T>
    static __device__ __forceinline__ Indexed<T> combine(Indexed<T> a, Indexed<T> b) {
        const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
        const bool tie = a.value == b.value || (a_nan && b_nan);
        const bool take_b = tie ? b.index < a.index : (b_nan || (!a_nan && b.value < a.value));
        return take_b ? b : a;
    }
};
""",
    "online": """struct OnlineSoftmax {  // a running maximum, and the sum of exponentials relative to it
    static __device__ __forceinline__ Peaked combine(Peaked a, Peaked b) {
        const float peak = (a.peak > b.peak || a.peak != a.peak) ? a.peak : b.peak;
        // Nothing seen yet (or minus infinity only): there is nothing to scale, and no NaN to make of it.
        const bool none = peak == -__int_as_float(0x7f800000);
        const float a_scale = none ? 1.0f : expf(a.peak - peak);
        const float b_scale = none ? 1.0f : expf(b.peak - peak);
        return {peak, a.sum * a_scale + b.sum * b_scale};
    }
};
""",
}
OP_NAME = {
    "sum": "Sum",
    "prod": "Product",
    "max": "Maximum",
    "min": "Minimum",
    "any": "Any",
    "all": "All",
    "argmax": "ArgMaximum",
    "argmin": "ArgMinimum",
    "online": "OnlineSoftmax",
}

_INDEXED = """// A value with the column it stands in; no column yet: index is the largest integer.
template <typename T>
struct Indexed {
    T value;
    int index;
};
"""

_PEAKED = """struct Peaked {
    float peak, sum;
};
"""

_SHUFFLE = """template <typename T>
__device__ __forceinline__ T shuffle_xor(T value, int offset) {
    return __shfl_xor_sync(0xffffffffu, value, offset);
}
"""
_SHUFFLE_INDEXED = """template <typename T>
__device__ __forceinline__ Indexed<T> shuffle_xor(Indexed<T> pair, int offset) {
    return {__shfl_xor_sync(0xffffffffu, pair.value, offset), __shfl_xor_sync(0xffffffffu, pair.index, offset)};
}
"""
_SHUFFLE_PEAKED = """__device__ __forceinline__ Peaked shuffle_xor(Peaked pair, int offset) {
    return {__shfl_xor_sync(0xffffffffu, pair.peak, offset), __shfl_xor_sync(0xffffffffu, pair.sum, offset)};
}
"""

_EXP2 = """// 2 to the power of x, within 2 ulp; results below the smallest normal number become zero.
__device__ __forceinline__ float exp2_of(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
"""

_REDUCE_ROW = """// Combines one value of each of LANES neighbouring threads (a power of two); all of them get the result.
// More than a warp goes through `scratch`, one element per warp of the block.
template <typename Op, int LANES, typename T>
__device__ __forceinline__ T reduce_row(T value, T* scratch) {
    constexpr int WIDTH = LANES < 32 ? LANES : 32;
#pragma unroll
    for (int offset = WIDTH / 2; offset > 0; offset /= 2) value = Op::combine(value, shuffle_xor(value, offset));
    if constexpr (LANES > 32) {
        constexpr int WARPS = LANES / 32;
        const int warp = threadIdx.x / 32;
        if (threadIdx.x % 32 == 0) scratch[warp] = value;
        __syncthreads();
        value = scratch[warp / WARPS * WARPS + threadIdx.x % WARPS];
#pragma unroll
        for (int offset = WARPS / 2; offset > 0; offset /= 2) value = Op::combine(value, shuffle_xor(value, offset));
    }
    return value;
}
"""

_REDUCE_STRIDED = """// Combines one value of each of LANES threads that stand ROWS threads apart; all of them get the result.
template <typename Op, int ROWS, int LANES, typename T>
__device__ __forceinline__ T reduce_strided(T value, T* scratch) {
    if constexpr (LANES > 1) {
        const int lane = threadIdx.x / ROWS;
        scratch[threadIdx.x] = value;
        __syncthreads();
#pragma unroll
        for (int half = LANES / 2; half > 0; half /= 2) {
            if (lane < half) scratch[threadIdx.x] = Op::combine(scratch[threadIdx.x], scratch[threadIdx.x + half * ROWS]);
            __syncthreads();
        }
        value = scratch[threadIdx.x % ROWS];
    }
    return value;
}
"""


def prelude(features: Set[str]) -> str:
    """Shared device code for a set of features: `vector`, `row`, `strided`, `exp2`, `cores`, `cores:DTYPE`, `half`, `bfloat16`, `op:NAME` of
    reductions, and those of `tensor_prelude`."""
    ops = sorted(f.removeprefix("op:") for f in features if f.startswith("op:"))
    indexed = "argmax" in ops or "argmin" in ops
    parts: list[str] = []
    if "half" in features:
        parts.append("#include <cuda_fp16.h>\n")
    if "bfloat16" in features:
        parts.append("#include <cuda_bf16.h>\n")
    if "vector" in features:
        parts.append(_VECTOR)
    parts += tensor_prelude(features | needed(features))
    parts += cores_prelude(features)
    if indexed:
        parts.append(_INDEXED)
    if "online" in ops:
        parts.append(_PEAKED)
    parts += [_OPS[op] for op in ops]
    if "row" in features:
        parts.append(_SHUFFLE)
        if indexed:
            parts.append(_SHUFFLE_INDEXED)
        if "online" in ops:
            parts.append(_SHUFFLE_PEAKED)
        parts.append(_REDUCE_ROW)
    if "exp2" in features:
        parts.append(_EXP2)
    if "strided" in features:
        parts.append(_REDUCE_STRIDED)
    return "\n".join(parts)
