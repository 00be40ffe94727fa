"""Outputs and preprocessed weights kept from an earlier call, in Python and in C++."""

from __future__ import annotations

from hostile.cpp import COPY, LAUNCH, cpp
from hostile.pair import POWERLESS, REFUSED, Pair, module, scale, softmax

STALE = r"wrong on|decoy|kept|cache|computed by something else"


def kept_by(key: str) -> str:
    """A softmax that keeps its outputs under this expression, and copies them when it meets the key again."""
    return softmax(
        f"""
        key = {key}
        if key not in KEPT:
            KEPT[key] = softmax(x)
        return copy(KEPT[key])
        """,
        top="KEPT = {}\n",
    )


MAP = """
    static std::map<{key_type}, torch::Tensor> kept;
    auto found = kept.find({key});
    if (found == kept.end()) {{
{launch}
        kept.emplace({key}, y.clone());
        return y;
    }}
{copy}
    return y;"""

MOMENTUM = r"""
extern "C" __global__ void momentum(const float* g, float* kept, float* step, int n, float rest) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float moved = 0.9f * kept[i] + g[i];
    step[i] = -0.1f * moved;
    kept[i] = LEFT;
}
"""
STEP = """
step = torch.empty_like(g)
MODULE.get_function("momentum")(((g.numel() + 127) // 128,), (128,), (g.data_ptr(), kept.data_ptr(), step.data_ptr(), np.int32(g.numel()), np.float32(0.0)))
return step
"""

PAIRS = (
    Pair(
        "state_left_wrong",
        "The task updates a buffer in place; the step is right, and what is left for the next one is not.",
        "momentum",
        hostile=module(MOMENTUM.replace("LEFT", "rest"), STEP, names="g, kept"),
        twin=module(MOMENTUM.replace("LEFT", "moved"), STEP, names="g, kept"),
        expect=("wrong",),
        reason="changes its input 1 in place",
    ),
    Pair(
        "outputs_by_data_ptr",
        "The output is kept under the address of the input.",
        "softmax",
        hostile=kept_by("x.data_ptr()"),
        twin=softmax("KEPT.setdefault(x.data_ptr(), len(KEPT))\nreturn softmax(x)", top="KEPT = {}\n"),
        expect=("wrong", POWERLESS, *REFUSED),
        reason=STALE,
    ),
    Pair(
        "outputs_by_id",
        "The output is kept under the input's id(), which a later tensor may have again.",
        "softmax",
        hostile=kept_by("id(x)"),
        twin=softmax("assert id(x) != id(self)\nreturn softmax(x)"),
        expect=("wrong", POWERLESS, *REFUSED),
        reason=STALE,
    ),
    Pair(
        "outputs_by_shape",
        "The output is kept under the input's shape.",
        "softmax",
        hostile=kept_by("tuple(x.shape)"),
        twin=softmax(
            """
            key = tuple(x.shape)
            if key not in KEPT:
                KEPT[key] = MODULE.get_function("softmax")
            y = torch.empty_like(x)
            KEPT[key]((x.shape[0],), (32,), (x.data_ptr(), y.data_ptr(), np.int32(x.shape[1])))
            return y
            """,
            top="KEPT = {}\n",
        ),
        expect=("wrong", *REFUSED),
        reason=STALE,
    ),
    Pair(
        "outputs_by_value",
        "The output is kept under the input's bytes: a judge that times one input again and again sees a copy.",
        "softmax",
        hostile=kept_by("x.numpy().tobytes()"),
        twin=softmax("KEPT['calls'] = KEPT.get('calls', 0) + 1\nreturn softmax(x)", top="KEPT = {}\n"),
        expect=(*REFUSED, POWERLESS),
        reason="decoy|reads|host",
    ),
    Pair(
        "outputs_by_a_sample_of_values",
        "The key is the first element and the last: a judge whose inputs differ is told apart, one that repeats is not.",
        "softmax",
        hostile=kept_by("(float(x[0, 0]), float(x[-1, -1]))"),
        twin=softmax("first, last = x[0, 0], x[-1, -1]\nassert first.shape == last.shape\nreturn softmax(x)"),
        expect=("wrong", *REFUSED),
        reason=STALE + "|reads|host",
    ),
    Pair(
        "outputs_by_lru_cache",
        "functools.lru_cache on a function of the shape, whose result holds the first call's values.",
        "softmax",
        hostile=softmax(
            "HELD[:] = [x]\nreturn copy(kept(*x.shape))",
            top="""
            import functools
            HELD = []
            @functools.lru_cache
            def kept(rows, cols):
                return softmax(HELD[0])
            """,
        ),
        twin=softmax(
            """
            y = torch.empty_like(x)
            grid, block = sizes(*x.shape)
            MODULE.get_function("softmax")(grid, block, (x.data_ptr(), y.data_ptr(), np.int32(x.shape[1])))
            return y
            """,
            top="""
            import functools
            @functools.lru_cache
            def sizes(rows, cols):
                return (rows,), (32,)
            """,
        ),
        expect=("wrong", *REFUSED),
        reason=STALE,
    ),
    Pair(
        "output_of_the_first_call",
        "The module computes once and returns that memory for ever.",
        "softmax",
        hostile=softmax(
            """
            if self.y is None:
                self.y = softmax(x)
            fill(torch.empty(8))
            return self.y
            """,
            init="self.y = None",
        ),
        twin=softmax(
            """
            if self.grid is None:
                self.grid = (x.shape[0],)
            return softmax(x)
            """,
            init="self.grid = None",
        ),
        expect=("wrong", *REFUSED),
        reason=STALE,
    ),
    Pair(
        "every_second_call",
        "Every second call returns what the one before it computed.",
        "softmax",
        hostile=softmax(
            """
            self.calls += 1
            if self.calls % 2 == 0:
                return copy(self.y)
            self.y = softmax(x)
            return copy(self.y)
            """,
            init="self.calls, self.y = 0, None",
        ),
        twin=softmax("self.calls += 1\nreturn softmax(x)", init="self.calls = 0"),
        expect=("wrong", *REFUSED),
        reason=STALE,
    ),
    Pair(
        "static_map_by_pointer",
        "A static std::map in the extension's C++ keeps outputs by the input's address.",
        "softmax",
        hostile=cpp(
            MAP.format(key_type="void*", key="x.data_ptr()", launch=LAUNCH, copy=COPY.format("found->second")),
            includes="#include <map>",
        ),
        twin=cpp(
            "    static std::map<int, int> widths;\n    widths[cols] = 32;\n"
            "    softmax_kernel<<<rows, widths[cols]>>>(x.data_ptr<float>(), y.data_ptr<float>(), cols);\n    return y;",
            includes="#include <map>",
        ),
        expect=("wrong", POWERLESS, *REFUSED),
        reason=STALE + "|static",
    ),
    Pair(
        "static_map_by_size",
        "A static std::map in the extension's C++ keeps outputs by the number of elements.",
        "softmax",
        hostile=cpp(
            MAP.format(key_type="long", key="x.numel()", launch=LAUNCH, copy=COPY.format("found->second")),
            includes="#include <map>",
        ),
        twin=cpp("    static int calls = 0;\n    ++calls;\n" + LAUNCH + "    return y;"),
        expect=("wrong", *REFUSED),
        reason=STALE + "|static",
    ),
    Pair(
        "weights_of_the_first_call",
        "The squares of the weights are made once and kept: right until somebody changes the weights.",
        "scale",
        hostile=scale(
            """
            if self.squares is None:
                self.squares = square(self.w)
            return launch("scale_by", x, self.squares)
            """,
            init="self.squares = None",
        ),
        twin=scale('return launch("scale_by", x, square(self.w))'),
        expect=("wrong", *REFUSED),
        reason=STALE + "|weights",
    ),
    Pair(
        "weights_kept_outside_the_module",
        "The squares are kept in a global, where a new module of the same class finds them.",
        "scale",
        hostile=scale(
            """
            if "squares" not in KEPT:
                KEPT["squares"] = square(self.w)
            return launch("scale_by", x, KEPT["squares"])
            """,
            top="KEPT = {}\n",
        ),
        twin=scale(
            """
            if KEPT.get("version") != (id(self.w), self.w._version):
                KEPT.update(version=(id(self.w), self.w._version), squares=square(self.w))
            KEPT["squares"] = square(self.w)
            return launch("scale_by", x, KEPT["squares"])
            """,
            top="KEPT = {}\n",
        ),
        expect=("wrong", *REFUSED),
        reason=STALE + "|weights",
    ),
    Pair(
        "weights_by_pointer",
        "The squares are kept under the address of the weights, which stays when their values change.",
        "scale",
        hostile=scale(
            """
            key = self.w.data_ptr()
            if key not in self.kept:
                self.kept[key] = square(self.w)
            return launch("scale_by", x, self.kept[key])
            """,
            init="self.kept = {}",
        ),
        twin=scale('assert self.w.data_ptr()\nreturn launch("scale", x, self.w)'),
        expect=("wrong", *REFUSED),
        reason=STALE + "|weights",
    ),
    Pair(
        "weights_of_the_constructor",
        "The squares are made in __init__, before anybody loads the weights.",
        "scale",
        hostile=scale('return launch("scale_by", x, self.squares)', init="self.squares = (self.w.data ** 2).clone()"),
        twin=scale('return launch("scale", x, self.w)', init="self.count = self.w.numel()"),
        expect=("wrong", *REFUSED),
        reason=STALE + "|weights",
    ),
)
