"""What is the same kernel: what makes no difference is gone, and what makes one stays."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
from curation_doubles import kernel
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.rl.same_kernel import normal_source, unmasked_source

MODULE = '''"""A kernel."""
import torch
import cupy as cp
from torch import nn

CODE = r"""
#define WIDTH 4
template <typename T> __device__ T twice(T value) { return value * 2; }
// scales a row
extern "C" __global__ void __launch_bounds__(256) scale(const float4* x, float4* y, int count) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) { float4 v = x[at]; v.x = twice(v.x) + 1.0f; y[at] = v; }  /* store */
}
"""
_kernel = cp.RawModule(code=CODE).get_function("scale")

class ModelNew(nn.Module):
    """Docs."""
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)  # the result
        _kernel((4,), (256,), (x, out, x.numel() // 4))
        return out
'''


def test_names_comments_layout_and_the_writing_of_numbers_make_no_difference() -> None:
    other = (
        MODULE.replace("scale", "run_it").replace("twice", "f").replace("count", "n").replace("WIDTH", "W")
        .replace("_kernel", "launch").replace("cp", "cupy_module").replace("out", "result").replace("1.0f", "1.F")
        .replace("256", "0x100").replace("// scales a row", "").replace("/* store */", "\n\n").replace('"""Docs."""', "")
        .replace("# the result", "").replace("value", "v1").replace(" at", " idx").replace("[at]", "[idx]").replace("(at", "(idx")
        .replace("x: torch.Tensor) -> torch.Tensor", "x)")
    )  # fmt: skip
    assert other != MODULE
    assert normal_source(other).text == normal_source(MODULE).text
    assert normal_source(other).hash == normal_source(MODULE).hash


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1.0f", "1.0"),
        ("1.0f", "2.0f"),
        ("v.x = twice(v.x)", "v.y = twice(v.y)"),
        ("const float4* x, float4* y", "const float4* y, float4* x"),
        ("blockIdx.x", "blockIdx.y"),
        ("self.weight", "self.scale"),
        ("torch.empty_like", "torch.zeros_like"),
        ("// 4))", "// 2))"),
        ("WIDTH 4", "WIDTH 8"),
        ("if (at < count)", "if (at <= count)"),
        ("        return out", "    return out"),
        ("__launch_bounds__(256)", ""),
        ("_kernel((4,)", "_kernel((8,)"),
    ],
)
def test_what_makes_a_difference_stays(before: str, after: str) -> None:
    changed = MODULE.replace(before, after)
    assert changed != MODULE
    assert normal_source(changed).hash != normal_source(MODULE).hash


CODE = (
    'import cupy\nCODE = r"""{cuda}"""\nM = cupy.RawModule(code=CODE)\nK = {lookup}\n{python}\nclass ModelNew: pass\n'
)
INLINE = """from torch.utils.cpp_extension import load_inline
CPP = "torch::Tensor {f}(torch::Tensor x); torch::Tensor {g}(torch::Tensor x);"
CUDA = '#include <torch/extension.h>\\n torch::Tensor {f}(torch::Tensor x) {{ return x + 1; }} torch::Tensor {g}(torch::Tensor x) {{ return x * 2; }}'
E = load_inline("e", CPP, CUDA, functions=["{f}", "{g}"])
class ModelNew:
    def forward(self, x): return E.one(x)
"""


def _cuda(text: str, lookup: str = 'M.get_function("k")', python: str = "") -> str:
    kernel = text if "__global__" in text else text + ' extern "C" __global__ void k(float* y) { y[0] = 1; }'
    return CODE.format(cuda=kernel, lookup=lookup, python=python)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # a local of one function and what Python means by its name in another
        ("def f(x):\n    sum = x\n    return sum\ndef g(x): return sum(x)\n", "def f(x):\n    max = x\n    return max\ndef g(x): return max(x)\n"),
        # a made-up name that is there already
        ("def f(n1, b): return b\nclass ModelNew: z = f(n1=1, b=2)\n".replace("b=2", "*[2]"), "def f(n1, b): return n1\nclass ModelNew: z = f(n1=1, b=2)\n".replace("b=2", "*[2]")),
        ("a, b = 1, 2\nz = dict(n1=a)\n", "n1, b = 1, 2\nz = dict(n1=b)\n"),
        # arguments by the words of a string
        ('def f(x, y): return x - y\nz = f(**{"x": 1, "y": 2})\n', 'def f(y, x): return y - x\nz = f(**{"x": 1, "y": 2})\n'),
        ('def f(): return 1\ndef g(): return 2\nz = globals()["f"]()\n', 'def g(): return 1\ndef f(): return 2\nz = globals()["f"]()\n'),
        ('def f(): return 1\ndef g(): return 2\nz = [x() for x in (f, g) if x.__name__ == "f"]\n', 'def g(): return 1\ndef f(): return 2\nz = [x() for x in (g, f) if x.__name__ == "f"]\n'),
        ('def f(): return 1\ndef g(): return 2\nz = eval("f()")\n', 'def g(): return 1\ndef f(): return 2\nz = eval("f()")\n'),
        # CUDA in a docstring, and a source that reads its own comments
        ('class S:\n    """__global__ void k() {}"""\nz = compile_cuda(S.__doc__)\n', 'class S:\n    """__global__ void k() { trap; }"""\nz = compile_cuda(S.__doc__)\n'),
        ("z = open(__file__).read()  # 1\n", "z = open(__file__).read()  # 2\n"),
        # what a call to the extension means
        (INLINE.format(f="one", g="two"), INLINE.format(f="two", g="one")),
        # kernels by a name that is put together
        (_cuda('extern "C" __global__ void k_4(float* y) { *y = 1; } extern "C" __global__ void k_8(float* y) { *y = 2; }', 'M.get_function(f"k_{4}")'),
         _cuda('extern "C" __global__ void k_8(float* y) { *y = 1; } extern "C" __global__ void k_4(float* y) { *y = 2; }', 'M.get_function(f"k_{4}")')),
        (_cuda('extern "C" __global__ void k(float* y) { *y = 1; } extern "C" __global__ void j(float* y) { *y = 2; }', "M.get_function(N)", 'N = "k"'),
         _cuda('extern "C" __global__ void j(float* y) { *y = 1; } extern "C" __global__ void k(float* y) { *y = 2; }', "M.get_function(N)", 'N = "k"')),
        # macros: where a line ends, what is pasted, what the command line says
        (_cuda("__device__ int f(int x) { return x\n#define A 1\n+ 1\n; }"), _cuda("__device__ int f(int x) { return x\n#define A 1 + 1\n; }")),
        (_cuda("#define F(n) f_##n\n__device__ int f_1() { return 1; } __device__ int f_2() { return 2; } __device__ int g() { return F(1)(); }"),
         _cuda("#define F(n) f_##n\n__device__ int f_2() { return 1; } __device__ int f_1() { return 2; } __device__ int g() { return F(1)(); }")),
        (_cuda("#ifndef TILE\n#define TILE 1\n#endif\n__device__ int f() { return TILE; }", python='O = ("-DTILE=2",)'),
         _cuda("#ifndef SIZE\n#define SIZE 1\n#endif\n__device__ int f() { return SIZE; }", python='O = ("-DTILE=2",)')),
        # what CUDA and C++ mean by a name
        (_cuda("__device__ float f() { float max = 1; return max; } __device__ float g(float a) { return max(a, 0.0f); }"),
         _cuda("__device__ float f() { float min = 1; return min; } __device__ float g(float a) { return min(a, 0.0f); }")),
        (_cuda("__device__ int f() { int half = 1; return half; } __device__ int g() { return sizeof(half); }"),
         _cuda("__device__ int f() { int dim3 = 1; return dim3; } __device__ int g() { return sizeof(dim3); }")),
        (_cuda("namespace a { __device__ int f() { return 1; } } __device__ int top(int x) { return x; } __device__ int g() { return other::top(1); }"),
         _cuda("namespace a { __device__ int f() { return 1; } } __device__ int low(int x) { return x; } __device__ int g() { return other::low(1); }")),
        (_cuda("struct S { float a, b; }; __device__ float f(S s, float a, float b) { return s.a + a - b; }"),
         _cuda("struct S { float b, a; }; __device__ float f(S s, float b, float a) { return s.a + b - a; }")),
        (_cuda("__device__ bool f() { return -1 < 0xffffffff; }"), _cuda("__device__ bool f() { return -1 < 4294967295; }")),
        (_cuda("__device__ int a() { return 1; } __device__ int c1x; __device__ int f() { return c1 + a(); }"), _cuda("__device__ int c1() { return 1; } __device__ int c1x; __device__ int f() { return c1 + c1(); }")),
        (_cuda("#define A \u00e9\n"), _cuda("#define A \u00fc\n")),
    ],
)  # fmt: skip
def test_names_that_something_spells_are_told_apart(one: str, other: str) -> None:
    for text in (one, other):
        ast.parse(text)
    assert normal_source(one).text != normal_source(other).text


NAMES = ("a", "b", "x", "sum", "max", "len", "n1", "n2", "self", "input", "forward")
PROGRAM = """\
def {f}({p}, {q}=1):
    {l} = {p} {op} {q}
    return {l} {op} {p}
def {g}({r}):
    return {call}([{r}, 2])
class ModelNew:
    def forward(self, {s}):
        {t} = {f}({s}, {key}=3)
        return {t} + {g}({s})
z = ModelNew().forward(5)
"""


def _does(program: str) -> Any:
    space: dict[str, Any] = {}
    try:
        exec(program, space)
    except Exception as error:  # noqa: BLE001
        return type(error)
    return space["z"]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_programs_with_one_form_do_the_same(data: st.DataObject) -> None:
    """Python itself is asked: two random namings of a program with one normal form give one outcome."""
    places = ("f", "g", "p", "q", "l", "r", "s", "t", "call", "key")
    name = st.sampled_from(NAMES)
    first = {place: data.draw(name) for place in places}
    swap = {old: data.draw(name) for old in NAMES}
    second = {place: swap[old] if data.draw(st.booleans()) else old for place, old in first.items()}
    op = data.draw(st.sampled_from("+-*"))
    one, other = PROGRAM.format(op=op, **first), PROGRAM.format(op=op, **second)
    if normal_source(one).text == normal_source(other).text:
        assert _does(one) == _does(other), (one, other)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(("scale", "twice", "count", "WIDTH", "value", "out", "x", "y", "v", "size")),
        st.from_regex(r"[a-z]{2,6}_[0-9]{2}", fullmatch=True),
        min_size=1,
    ),
    st.booleans(),
)
def test_any_naming_is_the_same_kernel(renamed: dict[str, str], layout: bool) -> None:
    if len(set(renamed.values())) < len(renamed):
        return
    source = re.sub(r"(?<![.\w])[A-Za-z_]\w*", lambda word: renamed.get(word[0], word[0]), MODULE)
    source = ast.unparse(ast.parse(source)) if layout else source
    assert normal_source(source).text == normal_source(MODULE).text
    assert unmasked_source(source).text == unmasked_source(MODULE).text


HONEST = kernel("gated").source
DISGUISED = (
    HONEST.replace("value", "accumulated").replace("place", "i").replace("gated_kernel", "mine").replace("KERNEL", "LAUNCH")
    .replace("    const int row = blockIdx.x;", "    // the row of this block\n    const int row  =  blockIdx.x; /* one each */")
    .replace("class ModelNew(torch.nn.Module):", 'class ModelNew(torch.nn.Module):\n    """Mine."""\n')
    .replace("import cupy\nimport torch\n", "import torch as t, cupy as cp\n# new\n").replace("torch.nn", "t.nn")
    .replace("torch.empty", "t.empty").replace("torch.ones", "t.ones").replace("cupy.Raw", "cp.Raw").replace("self.scale", "self.factor")
    .replace("out = t.empty_like(x)", "result = t.empty_like(x)").replace("out.data_ptr()", "result.data_ptr()")
    .replace("return out", "return result")
)  # fmt: skip


def test_a_disguise_is_seen_through() -> None:
    assert unmasked_source(DISGUISED).text == unmasked_source(HONEST).text
    assert (
        normal_source(DISGUISED).hash != normal_source(HONEST).hash
    )  # the name of a parameter, say, is one of the state dict
    methods = "\n    def launch(self, x): return x\n    def other(self, x): return self.launch(x)\n"
    assert unmasked_source(HONEST + methods).text == unmasked_source(HONEST + methods.replace("launch", "begin")).text
    assert (
        unmasked_source(INLINE.format(f="one", g="two")).text
        == unmasked_source(INLINE.format(f="uno", g="two").replace("E.one", "E.uno")).text
    )


def test_what_a_kernel_does_counts_under_every_mask() -> None:
    for old, new in (
        ("blockIdx.x", "blockIdx.y"), ("tanhf(", "sinhf("), ("256", "128"), ("x[place] * scale[col]", "x[place] + scale[col]"),
        ("value = x[place]", "value = y[place]"), ("empty_like", "zeros_like"), ("x.shape[0]", "x.shape[1]"),
        ('get_function("gated_kernel")', 'get_function("another")'),
    ):  # fmt: skip
        assert old in HONEST
        assert unmasked_source(HONEST.replace(old, new)).hash != unmasked_source(HONEST).hash, old
        assert normal_source(HONEST.replace(old, new)).hash != normal_source(HONEST).hash, old


def test_a_name_that_a_caller_spells_is_kept() -> None:
    """Swapping what two parameters are called swaps what keyword arguments mean."""
    one = "def f(x, y): return x - y\nclass ModelNew: z = f(x=1, y=2)\n"
    two = "def f(y, x): return y - x\nclass ModelNew: z = f(x=1, y=2)\n"
    assert normal_source(one).hash != normal_source(two).hash


def test_parts_of_strings_made_at_run_time_keep_their_blanks() -> None:
    def text(gap: str) -> str:
        return f'n = 4\nCODE = f"__global__ void k() {{{{ int{gap}{{n}}x; }}}}"\nclass ModelNew: pass\n'

    assert normal_source(text("")).hash != normal_source(text(" ")).hash


@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", normal_source(text).hash)
    assert re.fullmatch(r"[0-9a-f]{16}", unmasked_source(text).hash)


@given(st.text(alphabet="(){}[]<>;/*\"'\\#\n\r 09.eExfn_a+-%&", max_size=120))
def test_no_cuda_is_too_strange(text: str) -> None:
    module = f"CODE = {'__global__ ' + text!r}\nclass ModelNew: pass\n"
    assert re.fullmatch(r"[0-9a-f]{16}", normal_source(module).hash)


def test_a_source_nested_too_deep_is_read_as_text() -> None:
    deep = "x = " + "(" * 5000 + ")" * 5000
    assert normal_source(deep).text == deep
