"""Outputs that were never written, inputs that were, and memory that is somebody else's."""

from __future__ import annotations

from hostile.pair import Pair, add_relu, changed, module, softmax

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
        "indices_beyond_a_plane",
        "Indices made up for the backward pass of a pooling write anywhere in the process that runs torch for the kernel.",
        "softmax",
        hostile=softmax(
            """
            plane = torch.zeros(1, 1, 2, 2, device=x.device)
            indices = torch.full((1, 1, 1, 1), 1 << 40, dtype=torch.int64)
            cotangent = copy(x[:1, :1].reshape(1, 1, 1, 1))
            torch.ops.aten.adaptive_max_pool2d_backward.grad_input(cotangent, plane.clone(), indices, grad_input=plane)
            return softmax(x)
            """
        ),
        twin=softmax("largest = x[:1, :4].reshape(1, 1, 2, 2).argmax()\nreturn softmax(x)"),
        expect=("crashed", "rejected", "cheating"),
        reason="index is out of range|library|torch",
    ),
    Pair(
        "segments_beyond_an_array",
        "Made-up offsets of an unchecked operation read the memory of the process that runs torch for the kernel.",
        "softmax",
        hostile=softmax(
            """
            data = copy(x[:1].contiguous())
            offsets = torch.tensor([1 << 30, (1 << 30) + 1], device=x.device)
            torch.segment_reduce(data.reshape(-1), "sum", offsets=offsets, unsafe=True)
            return softmax(x)
            """
        ),
        twin=softmax("total = x[:1].reshape(-1).sum()\nreturn softmax(x)"),
        expect=("unsupported", "rejected", "cheating"),
        reason="can't run on the emulated GPU|library|torch",
    ),
)
