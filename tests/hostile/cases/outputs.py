"""Outputs of another type, shape, dtype or size than the reference's, with rows left out or NaN in them."""

from __future__ import annotations

from hostile.pair import HONEST_SOFTMAX, REFUSED, Pair, changed, module, softmax

PAIRS = (
    Pair(
        "lazy_output",
        "A subclass of Tensor that computes when somebody looks at it, after the clock has stopped.",
        "softmax",
        hostile=softmax(
            "softmax(x)\nreturn torch.empty_like(x).as_subclass(Later)._with(x)",
            top="""
            class Later(torch.Tensor):
                def _with(self, x):
                    self.given = x.clone()
                    return self
                @classmethod
                def __torch_function__(cls, func, types, args=(), kwargs=None):
                    if args and isinstance(args[0], Later) and "given" in args[0].__dict__:
                        given = args[0].__dict__.pop("given")
                        with torch._C.DisableTorchFunctionSubclass():
                            args[0].copy_(torch.softmax(given, 1))
                    return super().__torch_function__(func, types, args, kwargs or {})
            """,
        ),
        twin=softmax("return softmax(x).as_subclass(torch.Tensor)"),
        expect=(*REFUSED, "wrong", "crashed"),
        reason="subclass|Later|never written|something else|decoy",
    ),
    Pair(
        "parameter_that_requires_grad",
        "The output is a leaf that requires a gradient: a training step would go wrong behind the user's back.",
        "softmax",
        hostile=softmax("return nn.Parameter(softmax(x))"),
        twin=softmax("return softmax(x).detach()"),
        expect=("wrong", "cheating", "crashed"),
        reason="grad|Parameter|subclass",
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
