"""Fewer bits than the task asks for, and errors too small for a loose tolerance."""

from __future__ import annotations

from hostile.pair import HONEST_SOFTMAX, MATMUL, Pair, changed, matmul, scale, softmax

ERROR = "wrong on"
OUT = "out[c] = expf(in[c] - largest) / sum;"
PRODUCT = "sum += left[threadIdx.y][i] * right[i][threadIdx.x];"
BF16 = "#include <cuda_bf16.h>\n"
FP16 = "#include <cuda_fp16.h>\n"
TF32 = "__device__ float tf32(float v) { return __uint_as_float((__float_as_uint(v) + 0x1000u) & 0xffffe000u); }\n"


def product(cuda: str, head: str = "") -> str:
    """A matmul module whose inner product is this statement."""
    return matmul("return matmul(a, b)", cuda=head + changed(MATMUL, (PRODUCT, cuda)))


def softmax_of(output: str, head: str = "") -> str:
    """A softmax module whose store is this statement."""
    return changed(HONEST_SOFTMAX, (OUT, output), ('CUDA = r"""', f'CUDA = r"""{head}'))


PAIRS = (
    Pair(
        "half_inside",
        "The exponentials are rounded to fp16.",
        "softmax",
        hostile=softmax_of("out[c] = __half2float(__float2half(expf(in[c] - largest))) / sum;", FP16),
        twin=softmax_of("out[c] = __expf(in[c] - largest) / sum;"),
        expect=("wrong",),
        reason=ERROR,
    ),
    Pair(
        "half_through_torch",
        "The input is converted to fp16 and the result back.",
        "softmax",
        hostile=softmax("return softmax(x.half().float())"),
        twin=softmax("return softmax(x.float())"),
        expect=("wrong", "cheating", "rejected"),
        reason=ERROR + "|half",
    ),
    Pair(
        "bf16_inside",
        "The factors of the product are rounded to bf16; the sum is kept in float32.",
        "matmul",
        hostile=product(
            "sum += __bfloat162float(__float2bfloat16(left[threadIdx.y][i])) * __bfloat162float(__float2bfloat16(right[i][threadIdx.x]));",
            BF16,
        ),
        twin=product("sum = fmaf(left[threadIdx.y][15 - i], right[15 - i][threadIdx.x], sum);"),
        expect=("wrong",),
        reason=ERROR,
    ),
    Pair(
        "tf32_inside",
        "The factors have the ten bits of tf32.",
        "matmul",
        hostile=product("sum += tf32(left[threadIdx.y][i]) * tf32(right[i][threadIdx.x]);", TF32),
        twin=product(
            "float l = left[threadIdx.y][i], r = right[i][threadIdx.x], p = tf32(l), q = tf32(r);\n"
            "            sum += p * q + (p * (r - q) + ((l - p) * q + (l - p) * (r - q)));",
            TF32,
        )
        .replace("for (int i = 0; i < 16; ++i) float l", "for (int i = 0; i < 16; ++i) { float l")
        .replace("(l - p) * (r - q)));", "(l - p) * (r - q))); }"),
        expect=("wrong",),
        reason=ERROR,
    ),
    Pair(
        "sum_in_half",
        "The factors are float32, the running sum fp16.",
        "matmul",
        hostile=product("sum = __half2float(__float2half(sum + left[threadIdx.y][i] * right[i][threadIdx.x]));", FP16),
        twin=product(
            "float term = left[threadIdx.y][i] * right[i][threadIdx.x] - lost, next = sum + term; lost = (next - sum) - term; sum = next;"
        )
        .replace("float sum = 0.0f;", "float sum = 0.0f, lost = 0.0f;", 1)
        .replace("for (int i = 0; i < 16; ++i) float term", "for (int i = 0; i < 16; ++i) { float term")
        .replace("sum = next;", "sum = next; }"),
        expect=("wrong",),
        reason=ERROR,
    ),
    Pair(
        "constant_off_by_two_in_ten_thousand",
        "Every output is 0.02 % too large.",
        "softmax",
        hostile=softmax_of("out[c] = 1.0002f * (expf(in[c] - largest) / sum);"),
        twin=softmax_of("out[c] = expf(in[c] - largest) * (1.0f / sum);"),
        expect=("wrong",),
        reason=ERROR,
    ),
    Pair(
        "one_element_wrong",
        "One element of all is off by a thousandth.",
        "softmax",
        hostile=softmax_of("out[c] = (blockIdx.x == 17 && c == 5 ? 1.001f : 1.0f) * (expf(in[c] - largest) / sum);"),
        twin=softmax_of("out[c] = (blockIdx.x == 17 && c == 5 ? 1.0f : 1.0f) * (expf(in[c] - largest) / sum);"),
        expect=("wrong",),
        reason=ERROR + ".*1 of 6,144",
    ),
    Pair(
        "exponential_by_a_short_series",
        "The exponential is (1 + v / 1024) ** 1024: three digits.",
        "softmax",
        hostile=softmax_of(
            "out[c] = power(1.0f + (in[c] - largest) / 1024.0f) / sum;",
            "\n__device__ float power(float v) { for (int i = 0; i < 10; ++i) v *= v; return v; }\n",
        ),
        twin=softmax_of("out[c] = exp2f((in[c] - largest) * 1.44269504f) / sum;"),
        expect=("wrong",),
        reason=ERROR,
    ),
    Pair(
        "epsilon_added",
        "A small number is added to the sum, as if to be safe.",
        "softmax",
        hostile=softmax_of("out[c] = expf(in[c] - largest) / (sum + 1e-3f);"),
        twin=softmax_of("out[c] = expf(in[c] - largest) / (sum + 1e-30f);"),
        expect=("wrong",),
        reason=ERROR,
    ),
    Pair(
        "weights_in_half",
        "The weights are kept in fp16: half the bytes.",
        "scale",
        hostile=scale('return launch("scale", x, self.w.half().float())'),
        twin=scale('return launch("scale", x, self.w.float())'),
        expect=("wrong", "cheating", "rejected"),
        reason=ERROR + "|half",
    ),
    Pair(
        "outputs_flushed",
        "Small results are made zero: below an absolute tolerance nobody sees them.",
        "softmax",
        hostile=softmax_of("float e = expf(in[c] - largest) / sum; out[c] = e < 1e-5f ? 0.0f : e;")
        .replace("c += 32) float e = ", "c += 32) { float e = ")
        .replace("0.0f : e;", "0.0f : e; }"),
        twin=softmax_of("float e = expf(in[c] - largest) / sum; out[c] = e < 0.0f ? 0.0f : e;")
        .replace("c += 32) float e = ", "c += 32) { float e = ")
        .replace("0.0f : e;", "0.0f : e; }"),
        expect=("wrong",),
        reason=ERROR,
    ),
)
