"""Words in comments, strings and names never hurt an honest kernel."""

from __future__ import annotations

import pytest
from static_modules import HOST, KERNEL, Severity, cupy_module, extension_module, report

WORDS = (
    "pass", "//", "#", "/* */", "torch.matmul(a, b)", "try: except: pass", "import subprocess", "os.system('rm')",
    "cublasSgemm(handle)", "__global__", "<<<1, 1>>>", "exec(code)", "class ModelNew(Model):", "gc.get_objects()",
    "cudaStreamCreate(&s)", "fork()", "torch.allclose = None", "time.time()", "lru_cache", "static int n;", "asm(trap)",
)  # fmt: skip


def noisy(source: str) -> list[str]:
    """The rules that a source falls under, notes apart."""
    return [f.rule for f in report(source).findings if f.severity is not Severity.NOTE]


@pytest.mark.parametrize("word", WORDS)
def test_in_a_python_comment_a_docstring_and_a_message(word: str) -> None:
    source = cupy_module(
        f"# {word}\nassert x.ndim, {word!r}\nreturn run(x)  # {word}", top=f'NOTE = {{"about": {word!r}}}\n# {word}'
    )
    source = source.replace("    def __init__", f"    {('About: ' + word)!r}\n    def __init__")
    assert noisy(source) == []


@pytest.mark.parametrize("word", WORDS)
def test_in_a_cuda_comment_and_a_cuda_string(word: str) -> None:
    comment = word.replace("*/", "* /")
    kernel = KERNEL.replace("    int i", f"    /* {comment} */ // {word}\n    int i")
    assert noisy(cupy_module(cuda=kernel)) == []
    text = word.replace("\\", "").replace('"', "'")
    host = HOST.replace("    auto y", f'    TORCH_CHECK(x.is_contiguous(), "{text}"); // {word}\n    auto y')
    assert noisy(extension_module(host)) == []


@pytest.mark.parametrize(
    "name",
    [
        "pass_through",
        "torch_matmul",
        "fork_join",
        "system_size",
        "try_except",
        "static_sum",
        "trap_rule",
        "cublas_like",
    ],
)
def test_in_names(name: str) -> None:
    kernel = KERNEL.replace("scale", name)
    source = (
        cupy_module(cuda=kernel)
        .replace('"scale"', f'"{name}"')
        .replace("def run(", f"def {name}(")
        .replace("run(x)", f"{name}(x)")
    )
    assert noisy(source) == []
    assert report(source).kernels == (name,)


def test_dispatch_tables_of_kernels_and_functions_named_like_ops() -> None:
    forward = "return TABLE['softmax'](x)"
    top = "def softmax(x):\n    return run(x)\ndef matmul(x):\n    return run(x)\nTABLE = {'softmax': softmax, 'matmul': matmul}"
    assert noisy(cupy_module(forward, top=top)) == []


@pytest.mark.parametrize(
    "forward",
    [
        "if x.dtype == torch.float16:\n    x = x.float()\nreturn run(x)",
        "n, c = x.shape\nreturn run(x.view(n * c).contiguous()).reshape(n, c).transpose(0, 1)",
        "with torch.no_grad():\n    return run(x.detach())",
        "if not x.is_contiguous():\n    raise ValueError('not contiguous')\nreturn run(x)",
        "out = torch.empty((x.shape[0], 2 * x.shape[1]), dtype=x.dtype, device=x.device)\nreturn run(out)",
        "sizes = [int(s) for s in x.shape]\ntotal = max(sizes) + sum(sizes)\nreturn run(x)",
        "return run(x.to(torch.float32)).to(x.dtype)",
        "return run(torch.as_strided(x, (2, 2), (1, 1)))",
    ],
)
def test_what_may_stay_in_torch(forward: str) -> None:
    assert noisy(cupy_module(forward)) == []


def test_an_autograd_function_whose_kernels_are_launched() -> None:
    top = """
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return run(x)
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return run(g.contiguous())
    """
    assert noisy(cupy_module("return Scale.apply(x)", top=top)) == []


@pytest.mark.parametrize(
    ("forward", "top"),
    [
        (
            "return TABLE['softmax'].exp(x)",
            "class Wrap:\n    def exp(self, x):\n        return run(x)\nTABLE = {'softmax': Wrap()}",
        ),
        ("return OPS.apply(x)", "OPS = [cupy][0]"),
        (
            "with Launcher(x) as y:\n    return y",
            "class Launcher:\n    def __init__(self, x):\n        self.y = run(x)\n",
        ),
        ("return list(map(run, [x]))[0]", ""),
        ("return (lambda v: run(v))(x)", ""),
        ("return self.helper(x)", ""),
        ("return self.lazy(x)", ""),
        ("return make()(x)", "def make():\n    return [cupy][0].kernel"),
        ("k = make()\nreturn k(x)", "def make():\n    return [cupy][0].kernel"),
        ("return made(x)", "@cupy.fuse\ndef made(x):\n    return x"),
    ],
)
def test_a_launch_that_names_do_not_show_is_not_denied(forward: str, top: str) -> None:
    helper = "def helper(self, x):\n    return run(x)\n\n@property\ndef lazy(self):\n    return MODULE.get_function('scale')\n"
    assert "no_kernel_launched" not in {f.rule for f in report(cupy_module(forward, top=top, extra=helper)).findings}
