"""A finding about CUDA C++ names the line and column of the Python module, however the source string is written."""

from __future__ import annotations

import pytest
from static_modules import MARK, cupy_module, marked_line, report

SOURCES = {
    "triple quotes": 'CUDA = r"""\n__global__ void k() {\n  __trap(); // HERE\n}\n"""',
    "triple quotes without r": 'CUDA = """\n__global__ void k() {\n  char c = \'\\n\'; // \\t\n  __trap(); // HERE\n}\n"""',
    "single quotes": "CUDA = '''\n\n__global__ void k() {\n  __trap(); // HERE\n}\n'''",
    "adjacent literals": 'CUDA = ("__global__ void k() {"\n    "  float x;"\n    "  __trap();"  # HERE\n    "}")',
    "sums": 'HEAD = "__global__ "\nCUDA = HEAD + """void k() {\n  __trap(); // HERE\n}"""',
    "escapes before it": 'CUDA = "\\x41\\u00e9\\N{BULLET}\\101\\\n;" """__global__ void k() {\n__trap(); // HERE\n}"""',
    "other letters before it": 'CUDA = """\n// größer als früher ≤ ∑ 😀\n__global__ void k() { /* ü */ __trap(); // HERE\n}"""',
    "an f-string": 'N = 4\nCUDA = f"""__global__ void k() {{\n  int n = {N};\n  __trap(); // HERE\n}}"""',
    "an f-string with a call": 'N = 4\nCUDA = f"""__global__ void k() {{\n  int n = {max(N, 2):>4d};\n  __trap(); // HERE\n}}"""',
    "raw f-string": "N = 4\nCUDA = rf'''__global__ void k() {{\n  int n = {N}; char c = '\\n';\n  __trap(); // HERE\n}}'''",
    "replaced": 'CUDA = """__global__ void k() {\n  int n = SIZE;\n  __trap(); // HERE\n}""".replace("SIZE", "4096")',
    "joined": 'CUDA = "\\n".join(["__global__ void k() {",\n  "__trap();",  # HERE\n  "}"])',
    "dedented": 'import textwrap\nCUDA = textwrap.dedent("""\n    __global__ void k() {\n      __trap(); // HERE\n    }""")',
    "percent": 'CUDA = """__global__ void k() {\n  int n = %d;\n  __trap(); // HERE\n}""" % 4',
    "format": 'CUDA = """__global__ void k() {{\n  int n = {};\n  __trap(); // HERE\n}}""".format(4)',
    "in a class": 'class Box:\n    CUDA = """__global__ void k() {\n      __trap(); // HERE\n    }"""\nCUDA = Box.CUDA',
    "in a function": 'def source():\n    return """__global__ void k() {\n      __trap(); // HERE\n    }"""\nCUDA = source()',
    "carriage returns": 'CUDA = """\r\n__global__ void k() {\r\n  __trap(); // HERE\r\n}"""',
}


@pytest.mark.parametrize("name", SOURCES)
def test_line_and_column_are_those_of_the_module(name: str) -> None:
    source = f"import cupy\n{SOURCES[name]}\nMODULE = cupy.RawModule(code=CUDA)\n"
    compile(source, "module", "exec")
    traps = [f for f in report(source).findings if f.rule == "trap"]
    line = marked_line(source)
    assert line is not None
    text = source.replace("\r\n", "\n").split("\n")[line - 1]
    assert [(f.line, f.column) for f in traps] == [(line, text.index("__trap") + 1)]


def test_a_text_that_stands_in_two_places_is_reported_once() -> None:
    source = cupy_module(cuda="__global__ void k() { __trap(); }", top="SPARE = cupy.RawModule(code=CUDA)")
    assert sum(f.rule == "trap" for f in report(source).findings) == 1


def test_python_columns_count_characters() -> None:
    source = cupy_module(top="text = 'ü😀'; torch.equal = None")
    finding = report(source).findings[0]
    line = source.split("\n")[(finding.line or 1) - 1]
    assert finding.rule == "patches_library"
    assert finding.column == line.index("torch.equal") + 1
    assert MARK not in source
