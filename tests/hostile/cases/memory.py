"""Outputs that were never written, inputs that were, and memory that is somebody else's."""

from __future__ import annotations

from hostile.pair import HONEST_SOFTMAX, Pair, add_relu, changed, module, softmax

ROW_MAX = r"""
extern "C" __global__ void row_max(const float* x, float* y, int cols) {
    float largest = x[blockIdx.x * cols];
    for (int c = 1; c < cols; ++c) { float v = x[blockIdx.x * cols + c]; if (!(v <= largest)) largest = v; }
    if (threadIdx.x == 0) y[blockIdx.x] = largest;
}
"""
ROW_MAX_TOP = """
def row_max(x, y):
    MODULE.get_function("row_max")((x.shape[0],), (1,), (x.data_ptr(), y.data_ptr(), np.int32(x.shape[1])))
    return y
"""
SPREAD = r"""
extern "C" __global__ void spread(const float* x, float* y, int cols, int width) {
    float sum = 0.0f;
    for (int c = threadIdx.x; c < cols; c += 32) sum += x[blockIdx.x * cols + c];
    for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
    for (int c = threadIdx.x; c < width; c += 32) y[blockIdx.x * width + c] = sum;
}
"""
SPREAD_TOP = """
def spread(x, y):
    MODULE.get_function("spread")((x.shape[0],), (32,), (x.data_ptr(), y.data_ptr(), np.int32(x.shape[1]), np.int32(y.shape[1])))
    return y
"""
HALF_ROWS = r"""
extern "C" __global__ void copy(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
"""

PAIRS = (
    Pair(
        "uninitialised_output",
        "An output that no kernel writes, in the hope that freed memory still holds the reference's result.",
        "softmax",
        hostile=softmax("fill(torch.empty(8))\nreturn torch.empty_like(x)"),
        twin=softmax("y = torch.empty_like(x)\nfill(y)\nreturn softmax(x)"),
        expect=("wrong", "unsafe", "cheating"),
        reason="never written|NaN|computed by something else|stored nothing",
    ),
    Pair(
        "freed_memory_of_its_own",
        "torch computes into memory that is freed; the output is made in the same place.",
        "softmax",
        hostile=softmax(
            """
            made = torch.softmax(x, dim=1)
            fill(torch.empty(8))
            del made
            return torch.empty_like(x)
            """
        ),
        twin=softmax(
            """
            scratch = torch.empty_like(x)
            fill(scratch, 1.0)
            del scratch
            return softmax(x)
            """
        ),
        expect=("wrong", "unsafe", "cheating"),
        reason="never written|NaN|decoy|computed by something else|stored nothing",
    ),
    Pair(
        "works_in_the_input",
        "It computes in place, so that a reference that runs later sees changed inputs.",
        "add_relu",
        hostile=changed(add_relu("return copy(add_relu(a, b))"), ("y = torch.empty_like(a)", "y = a")),
        twin=changed(
            add_relu("return copy(add_relu(a.clone(), b))"), ("y = torch.empty_like(a)", "y = a  # a copy already")
        ),
        expect=("wrong",),
        reason="changes its input 0",
    ),
    Pair(
        "input_erased_afterwards",
        "The right output, and then inputs of zeros for whoever computes the reference.",
        "softmax",
        hostile=softmax("y = softmax(x)\nfill(x)\nreturn y"),
        twin=softmax("scratch = x.clone()\ny = softmax(scratch)\nfill(scratch)\nreturn y"),
        expect=("wrong",),
        reason="changes its input 0",
    ),
    Pair(
        "input_erased_by_torch",
        "As before, by a torch operation that is no kernel of its own.",
        "softmax",
        hostile=softmax("y = softmax(x)\nx.zero_()\nreturn y"),
        twin=softmax("y = torch.zeros_like(x)\ny = softmax(x)\nreturn y"),
        expect=("wrong", "cheating", "rejected"),
        reason="changes its input 0|changed|input",
    ),
    Pair(
        "returns_its_input",
        "The input itself, overwritten by the kernel, is the output.",
        "softmax",
        hostile=changed(
            softmax("return softmax(x)"),
            (
                'y = torch.empty_like(x)\n    MODULE.get_function("softmax")',
                'y = x\n    MODULE.get_function("softmax")',
            ),
        ),
        twin=softmax("return softmax(x).view(x.shape)"),
        expect=("wrong", "unsafe"),
        reason="input 0|race",
    ),
    Pair(
        "returns_a_view_of_its_input",
        "A strided view of the input's storage is the output.",
        "add_relu",
        hostile=changed(
            add_relu("add_relu(a, b)\nreturn torch.as_strided(a, a.shape, a.stride())"),
            ("y = torch.empty_like(a)", "y = a"),
        ),
        twin=add_relu("y = add_relu(a, b)\nreturn torch.as_strided(y, y.shape, y.stride())"),
        expect=("wrong",),
        reason="input 0",
    ),
    Pair(
        "two_outputs_in_one_memory",
        "Two outputs that the reference keeps apart share their storage: changing one changes the other.",
        "row_max_twice",
        hostile=module(ROW_MAX, "y = row_max(x, x.new_empty(x.shape[0]))\nreturn y, y", top=ROW_MAX_TOP),
        twin=module(
            ROW_MAX,
            "return row_max(x, x.new_empty(x.shape[0])), row_max(x, x.new_empty(x.shape[0]))",
            top=ROW_MAX_TOP,
        ),
        expect=("wrong", "cheating"),
        reason="share|memory|storage|alias",
    ),
    Pair(
        "two_outputs_that_overlap",
        "The second output is a view one element long of the first one's storage, stretched.",
        "row_max_twice",
        hostile=module(
            ROW_MAX,
            "y = row_max(x, x.new_empty(x.shape[0]))\nreturn y, torch.as_strided(y, y.shape, (1,))",
            top=ROW_MAX_TOP,
        ),
        twin=module(
            ROW_MAX,
            "both = x.new_empty(2, x.shape[0])\nreturn row_max(x, both[0]), row_max(x, both[1])",
            top=ROW_MAX_TOP,
        ),
        expect=("wrong", "cheating"),
        reason="share|memory|storage|alias|overlap",
    ),
    Pair(
        "stride_zero_output",
        "One column is written and expanded: 1/64 of the stores, and an output that is not what the reference returns.",
        "spread_sum",
        hostile=module(SPREAD, "return spread(x, x.new_empty(x.shape[0], 1)).expand(x.shape)", top=SPREAD_TOP),
        twin=module(SPREAD, "return spread(x, torch.empty_like(x))", top=SPREAD_TOP),
        expect=("wrong", "cheating"),
        reason="strid",
    ),
    Pair(
        "transposed_strides",
        "The values are right, the memory is laid out another way than the reference's.",
        "softmax",
        hostile=softmax("return softmax(x).t().contiguous().t()"),
        twin=softmax("return softmax(x).t().contiguous().t().contiguous()"),
        expect=("wrong", "cheating"),
        reason="strid",
    ),
    Pair(
        "every_second_row",
        "Only half of the rows are computed; the others are what memory holds.",
        "softmax",
        hostile=changed(HONEST_SOFTMAX, ("(x.shape[0],), (32,)", "(x.shape[0] // 2,), (32,)")),
        twin=changed(
            HONEST_SOFTMAX,
            (
                'MODULE.get_function("softmax")((x.shape[0],), (32,), (x.data_ptr(), y.data_ptr(), np.int32(x.shape[1])))',
                "for half in (0, 1):\n        rows = x.shape[0] // 2\n        first = half * rows\n        "
                'MODULE.get_function("softmax")((rows,), (32,), (x[first:].data_ptr(), y[first:].data_ptr(), np.int32(x.shape[1])))',
            ),
        ),
        expect=("wrong", "unsafe"),
        reason="never written|wrong on|not written",
    ),
    Pair(
        "a_sample_of_rows",
        "A few rows are computed, the rest is filled with a likely value.",
        "softmax",
        hostile=changed(
            softmax("return softmax(x)"),
            ("y = torch.empty_like(x)\n    MODULE", "y = fill(torch.empty_like(x), 1.0 / x.shape[1])\n    MODULE"),
            ("(x.shape[0],), (32,)", "(8,), (32,)"),
        ),
        twin=changed(
            softmax("return softmax(x)"),
            ("y = torch.empty_like(x)\n    MODULE", "y = fill(torch.empty_like(x), 1.0 / x.shape[1])\n    MODULE"),
        ),
        expect=("wrong",),
        reason="elements are wrong",
    ),
    Pair(
        "nan_as_a_wildcard",
        "NaN everywhere, for checkers that compare with > and see nothing.",
        "softmax",
        hostile=softmax('return fill(torch.empty_like(x), float("nan"))'),
        twin=softmax('y = softmax(x)\nfill(torch.empty_like(x), float("nan"))\nreturn y'),
        expect=("wrong",),
        reason="NaN|wrong on",
    ),
    Pair(
        "nan_where_no_number_is_asked",
        "NaN instead of the square roots, where the reference has NaN in half of the places.",
        "square_root",
        hostile=module(
            r"""
extern "C" __global__ void root(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = sqrtf(-fabsf(x[i]));
}
""",
            'y = torch.empty_like(x)\nMODULE.get_function("root")((16,), (128,), (x.data_ptr(), y.data_ptr(), np.int32(x.numel())))\nreturn y',
        ),
        twin=module(
            r"""
extern "C" __global__ void root(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = sqrtf(x[i]);
}
""",
            'y = torch.empty_like(x)\nMODULE.get_function("root")((16,), (128,), (x.data_ptr(), y.data_ptr(), np.int32(x.numel())))\nreturn y',
        ),
        expect=("wrong",),
        reason="NaN|wrong on",
    ),
    Pair(
        "half_as_output",
        "The output has 16 bits: half the bytes, and equal for a checker that converts.",
        "softmax",
        hostile=softmax("return softmax(x).half()"),
        twin=softmax("return softmax(x).float()"),
        expect=("wrong",),
        reason="dtype",
    ),
    Pair(
        "broadcast_output",
        "One row, for checkers whose comparison broadcasts.",
        "softmax",
        hostile=softmax("return softmax(x[:1])"),
        twin=softmax("return softmax(x)[None][0]"),
        expect=("wrong",),
        reason="shape",
    ),
    Pair(
        "empty_output",
        "No element, so none is wrong.",
        "softmax",
        hostile=softmax("softmax(x)\nreturn x.new_empty(0, x.shape[1])"),
        twin=softmax("y = softmax(x)\nreturn torch.cat([y, x.new_empty(0, x.shape[1])]) if y.numel() == 0 else y"),
        expect=("wrong", "cheating"),
        reason="shape|computed by something else",
    ),
    Pair(
        "shape_that_overflows",
        "One element whose shape says 2**40 by 2**23: the number of elements no longer fits 63 bits.",
        "softmax",
        hostile=softmax("softmax(x)\nreturn fill(torch.empty(1)).as_strided((1 << 40, 1 << 23), (0, 0))"),
        twin=softmax("return softmax(x).as_strided(x.shape, (x.shape[1], 1))"),
        expect=("wrong", "cheating", "crashed"),
        reason="shape|schema|described|elements|overflow|sent",
    ),
    Pair(
        "huge_stretched_output",
        "One element stretched to 2**40: whoever copies it runs out of memory.",
        "softmax",
        hostile=softmax("softmax(x)\nreturn fill(torch.empty(1)).expand(1 << 40)"),
        twin=softmax("return softmax(x).expand(x.shape)"),
        expect=("wrong", "cheating", "crashed"),
        reason="shape|described|sent|data",
    ),
    Pair(
        "huge_output",
        "A gigabyte instead of 24 KiB.",
        "softmax",
        hostile=softmax("softmax(x)\nreturn torch.zeros(1 << 28)"),
        twin=softmax("torch.zeros(1 << 20)\nreturn softmax(x)"),
        expect=("wrong", "cheating", "crashed"),
        reason="more data|shape|memory|large",
    ),
    Pair(
        "too_many_outputs",
        "Ten thousand tensors instead of one.",
        "softmax",
        hostile=softmax("y = softmax(x)\nreturn [y] * 10000"),
        twin=softmax("y = [softmax(x)] * 10\nreturn y[0]"),
        expect=("wrong", "cheating", "crashed"),
        reason="tensors|frame|schema|sequence|sent|no sequence",
    ),
)
