"""Whatever a source holds, analysis ends with a report: no exception, no endless work."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from static_modules import HOST, KERNEL, cupy_module, extension_module, rejected, report, rules

from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.static import check

BROKEN_CUDA = (
    "__global__ void k( {", "}}}}}", "((((((", "__global__", "template <", "#define", "#define X", "#if", "\"unclosed",
    "/* unclosed", "'", "extern \"C\" {", "\x00\x01", "\ufeff", "\ud800", "🦆" * 50, "a<b<c<d<e", "<<<>>>", "asm(", "static",
    "__device__", "__device__ int", "using namespace", "namespace a =", "::::", "&", "R\"(unclosed", "\\", "#define F(", "at::",
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f(:\n", 1),
        ("x = (\n", 1),
        ("\n  x = 1\n", 2),
        ("x = '\0'", None),
        ("x = '\ud800'\ny = '\ud800", None),
        ("(" * 300, None),
    ],
)
def test_what_is_not_python_is_a_compile_error(source: str, line: int | None) -> None:
    finding = check(Kernel(source, "t"))
    assert finding is not None
    assert (finding.rule, finding.verdict) == ("not_python", Verdict.COMPILE_ERROR)
    assert line is None or finding.line == line


@pytest.mark.parametrize("text", BROKEN_CUDA)
def test_broken_cuda_is_left_to_the_compiler(text: str) -> None:
    source = "import cupy\nMODULE = cupy.RawModule(code=CUDA)\n" + cupy_module().replace(
        "MODULE =", f"CUDA += {text!r}\nMODULE ="
    )
    assert not rejected(source)
    assert not rejected(extension_module(HOST + text.replace("\\", "").replace("\x00", "").replace("\ud800", "")))


def test_half_of_a_source_at_any_place_ends_in_a_report() -> None:
    whole = extension_module(HOST)
    draw = random.Random(4)
    for _ in range(60):
        start, end = sorted(draw.sample(range(len(HOST)), 2))
        report(whole.replace(HOST, HOST[start:end]))


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "+".join(["'a'"] * 3000),
        "x = " + "[" * 90 + "]" * 90,
        "x = " + "-" * 900 + "1",
        "x" + ".a" * 900,
        "x" + "()" * 400,
        "\n".join(f"{' ' * n}if x:" for n in range(90)) + "\n" + " " * 90 + "pass",
        "lambda: " * 80 + "0",
        "f'" + "{x}" * 2000 + "'",
    ],
)
def test_deep_nesting_ends_in_a_report(source: str) -> None:
    assert "no_model_new" in rules(source) or "not_python" in rules(source)


def test_deep_nesting_of_cuda_ends_in_a_report() -> None:
    deep = "{" * 5000 + "}" * 5000 + "(" * 5000 + "1" + ")" * 5000
    assert report(cupy_module(cuda=KERNEL + f"void f() {deep}")).kernels == ("scale",)


def test_aliases_in_circles_and_doublings_take_no_time() -> None:
    circles = "a = b\nb = c\nc = a\na()\na.b.c()\n"
    doubled = "\n".join(f"n{i} = n{i + 1} if n{i + 1} else n{i + 1}" for i in range(200)) + "\nn0()\n"
    texts = "t0 = '__global__ void k() {}' * 1\n" + "\n".join(f"t{i + 1} = t{i} + t{i}" for i in range(60)) + "\n"
    functions = "\n".join(f"def f{i}(x):\n    return f{i + 1}(x) or f{i + 1}(x)" for i in range(3000)) + "\n"
    found = report(
        circles
        + doubled
        + texts
        + "s0 = 'ab'\n"
        + texts.replace("t", "s")
        + functions
        + "import cupy\ncupy.RawModule(code=t60 + s60)\n"
    )
    assert {f.rule for f in found.findings} >= {"no_model_new", "source_not_analysed"}


def test_a_megabyte_of_source_is_analysed_whole() -> None:
    kernels = "".join(KERNEL.replace("scale", f"scale_{i}") for i in range(2500))
    python = "".join(f"def helper_{i}(x):\n    y = run(x)\n    return y.view(-1)\n" for i in range(12000))
    source = cupy_module("import socket\nsocket.socket()\nreturn helper_7(x)", cuda=KERNEL + kernels, top=python)
    assert len(source) > 900_000
    found = report(source)
    assert len(found.kernels) == 2501
    assert "network" in {f.rule for f in found.findings}


def test_a_byte_order_mark_and_other_line_ends_change_nothing() -> None:
    source = cupy_module(top="torch.equal = None")
    lines = [(f.rule, f.line) for f in report(source).findings]
    assert [(f.rule, f.line) for f in report("\ufeff" + source).findings] == lines
    assert [(f.rule, f.line) for f in report(source.replace("\n", "\r\n")).findings] == lines
    assert [(f.rule, f.line) for f in report(source.replace("\n", "\r")).findings] == lines


def test_a_rule_met_everywhere_is_told_some_times_only() -> None:
    found = report(cupy_module(top="torch.equal = None\n" * 5000))
    assert 1 < sum(f.rule == "patches_library" for f in found.findings) < 100


@pytest.mark.long
def test_thousands_of_handlers_and_a_huge_attribute_take_no_time() -> None:
    tries = "try:\n    run(x)\nexcept Exception:\n    pass\n" * 2000
    layers = "self.layers = [" + "nn.Linear(4, 4)," * 5000 + "]"
    calls = "self.layers[0](x)\n" * 2000
    found = report(cupy_module(tries + calls + "return run(x)", init=layers))
    assert "left_to_torch" in {f.rule for f in found.findings}


_SHORT = repr("__global__ void k() {}" + "a" * 100)
_LONGER = repr("__global__ void k() {}" + "a" * 10_000)  # what is put together is read: few kernels are read sooner
_MILLION = "s0 = '" + "a" * 1_000_000 + "'\n"
_HUGE = {
    "f-strings in f-strings": (f"s0 = {_LONGER}\n", "s{next} = f'{{s{i}}}{{s{i}}}{{s{i}}}'", 40),
    "sums": (f"s0 = {_SHORT}\n", "s{next} = s{i} + s{i} + s{i}", 40),
    "join": (f"s0 = {_SHORT}\n", "s{next} = s{i}.join([s{i}, s{i}])", 40),
    "join of f-strings": (f"s0 = {_LONGER}\n", "s{next} = ''.join([f'{{s{i}}}', f'{{s{i}}}'])", 40),
    "replace by two": (f"s0 = {_SHORT}\n", "s{next} = s{i}.replace('a', 'aa')", 40),
    "replace by itself": (f"s0 = {_SHORT}\n", "s{next} = s{i}.replace('a', s{i})", 40),
    "one replace": (_MILLION, "s{next} = s{i}.replace('a', s{i})", 1),
    "fields": (_MILLION + "s1 = f'" + "{s0}" * 5000 + "'\n", "s{next} = s1", 2),
    "fields of sums": (_MILLION + "s1 = f'" + "{s0+s0}" * 5000 + "'\n", "s{next} = s1", 2),
    "many large ones": (_MILLION + "t = s0 + s0 + s0 + s0\n" + "".join(f"t{i} = t + '{i}'\nt{i} % 1\n" for i in range(400)) + "".join(
        f"MODULE{i} = cupy.RawModule(code=t{i}.format(1))\n" for i in range(400)), "s{next} = t", 1),
    "widths": ("s0 = 'a'\nt = f'{s0:>{10**12}}' + '%1000000000000s' % s0 + s0 * 10**12\n", "s{next} = t + '{{:>1000000000000}}'.format(s{i})", 1),
    "an integer": ("n = 0x" + "f" * 20_000 + "\ns0 = f'{n}'\n", "s{next} = s{i} + ''", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", _HUGE)
def test_a_huge_string_is_not_made(name: str) -> None:
    """Each of these is gigabytes, or fails, when it is put together as Python would."""
    first, step, count = _HUGE[name]
    lines = [step.format(i=i, next=i + 1) for i in range(count)]
    found, most = _memory_of("import cupy\n" + first + "\n".join(lines) + f"\nMODULE = cupy.RawModule(code=s{count})\n")
    assert "source_not_analysed" in found
    assert most < 400 << 20


def _memory_of(source: str) -> tuple[set[str], int]:
    """The rules found, and the most bytes that Python held at once."""
    tracemalloc.start()
    try:
        return rules(source), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_doubled_string_that_is_small_is_still_read() -> None:
    top = "A = 'k'\nB = f'{A}{A}'\nC = f'{B}{B}'\n"
    found = report(cupy_module(top=top, cuda=KERNEL) + "\nMORE = cupy.RawModule(code=f'__global__ void {C}() {{}}')\n")
    assert found.kernels == ("scale", "kkkk")


@pytest.mark.parametrize(
    "step", ["s{i} = f'{{s{next}}}x'", "s{i} = f'{{n{i}}}'\nn{i} = m{i} + 'x'\nm{i} = o{i} + 'x'\no{i} = s{next}"]
)
def test_f_strings_in_f_strings_a_thousand_deep_end_in_a_report(step: str) -> None:
    lines = [step.format(i=i, next=i + 1) for i in range(1000)]
    source = "import cupy\nMODULE = cupy.RawModule(code=s0)\n" + "\n".join(lines) + "\ns1000 = 'a'\n"
    assert "source_not_analysed" in rules(source)
