"""A kernel that launches through CuPy, written anew as a module that torch builds: `torch.utils.cpp_extension.load_inline`.

The Python of the module stays, and so does every character of its CUDA C++. Only three things change: what CuPy built is built by
`load_inline`, with a launcher in C++ beside each kernel; `get_function` gives those launchers; and CuPy's `ExternalStream` becomes a
stand-in of our own. What can't be changed so without guessing is refused.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernelwright.errors import BuildError, MisuseError
from kernelwright.sandbox.bare_cuda import literal
from kernelwright.sandbox.hostcode.declarations import Declaration, Unit, parse
from kernelwright.sandbox.symbols import plain_name
from kernelwright.verifier.static.module import PythonModule
from kernelwright.verifier.static.sources import Build, Sources, find_sources

__all__ = ["cuda_texts", "inline_module", "kernels_in", "launch_words"]

_MEND = "Take it as a Python file, which needs CuPy besides torch."
_SCALARS = frozenset(
    {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float16", "float32", "float64", "bool_"}
)
"""Types of CuPy that are NumPy's own."""
_FLAGS = re.compile(
    r"-D\w+(=[\w.+-]*)?|--?use_fast_math|--?(fmad|ftz|prec-div|prec-sqrt)=(true|false)|--?maxrregcount=\d+"
)
"""Options that NVRTC and nvcc have alike."""
_DIALECT = re.compile(r"--?std=c\+\+\d\d")
_HALF = ("HALF_OPERATORS", "HALF_CONVERSIONS", "HALF2_OPERATORS", "BFLOAT16_CONVERSIONS")
"""What torch takes from 16-bit types unless it is told not to."""

_HELPERS = '''
class _Launch:
    """A kernel, launched as CuPy launches one."""

    max_dynamic_shared_size_bytes = property(None, lambda self, size: self._allow(size))

    def __init__(self, built, name):
        self._launch, self._allow = getattr(built, f"launch_{name}"), getattr(built, f"allow_{name}")

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        pointer = _STREAMS[-1] if stream is None else stream.ptr
        sizes = [int(n) for given in (grid, block) for n in (*given, 1, 1)[:3]]
        self._launch(*sizes, int(shared_mem), pointer, *(a.item() if hasattr(a, "item") else a for a in args))


class _Kernels:
    """The kernels of an extension by name."""

    def __init__(self, built):
        self._built = built

    def get_function(self, name):
        return _Launch(self._built, name)


_STREAMS = [0]


@contextlib.contextmanager
def _on_stream(pointer, device_id=-1):
    """Launches in this block go to this stream."""
    _STREAMS.append(pointer)
    try:
        yield
    finally:
        _STREAMS.pop()
'''


@dataclass(frozen=True)
class _Edit:
    """Bytes `start` to `end` of the source become `text`."""

    start: int
    end: int
    text: str


def inline_module(source: str) -> str:
    """The module of a kernel as one that `load_inline` builds; one that builds so already stays as it is.

    Raises:
        MisuseError: it can't be put into this form, and why.
    """
    module, sources = _read(source)
    own = [build for build in sources.builds if not build.is_extension]
    if not own:
        if not sources.builds:
            raise MisuseError("nothing in this kernel builds CUDA C++ in a way that is understood here.", mend=_MEND)
        return source
    return _Rewriting(source, module, own).text()


def cuda_texts(source: str) -> list[str]:
    """The CUDA C++ in a kernel's module, each text once, in order.

    Raises:
        MisuseError: a part of it is made at run time, or there is none.
    """
    _, sources = _read(source)
    if sources.unknown:
        raise MisuseError(
            "a part of this kernel's CUDA C++ is made at run time, so it can't be given alone.", mend=_MEND
        )
    found = [parsed.text.value for parsed in sources.parsed]
    if not found:
        raise MisuseError("no CUDA C++ was found in this kernel's module.", mend=_MEND)
    return found


def kernels_in(cuda: str) -> dict[str, list[tuple[str, str]]]:
    """Type and name of each parameter of the kernels in a CUDA source, templates left out.

    Raises:
        BuildError: a bracket is not closed.
    """
    unit = parse(cuda)
    return {
        made.names[0]: _parameters(unit, made)
        for made in unit.all()
        if made.is_global and not made.template and made.names and made.body is not None and not any(made.scope)
    }


def _read(source: str) -> tuple[PythonModule, Sources]:
    try:
        module = PythonModule(source, ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise MisuseError("this kernel's module is not valid Python.", mend="Read its source instead.") from error
    return module, find_sources(module)


class _Rewriting:
    """One module on its way."""

    def __init__(self, source: str, module: PythonModule, builds: Sequence[Build]) -> None:
        self._data = source.encode()
        self._lines = [0]
        for line in self._data.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._module = module
        self._builds = builds
        self._edits: list[_Edit] = []
        self._known: set[str] = set()
        self._numpy = False

    def text(self) -> str:
        """The new module.

        Raises:
            MisuseError: it is not possible.
        """
        imports, names = self._imports()
        for build in self._builds:
            self._built(build)
        self._uses(names)
        self._functions()
        self._edits.append(self._opening(imports))
        self._edits.append(self._helpers())
        data = self._data
        for edit in sorted(self._edits, key=lambda each: -each.start):
            data = data[: edit.start] + edit.text.encode() + data[edit.end :]
        return data.decode()

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        return (
            self._lines[node.lineno - 1] + node.col_offset,
            self._lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0),
        )

    def _own(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._data[start:end].decode()

    def _imports(self) -> tuple[ast.Import, frozenset[str]]:
        found = [
            node
            for node in ast.walk(self._module.tree)
            if (isinstance(node, ast.Import) and any(_is_cupy(each.name) for each in node.names))
            or (isinstance(node, ast.ImportFrom) and _is_cupy(node.module or ""))
        ]
        if len(found) != 1 or not isinstance(found[0], ast.Import) or found[0] not in self._module.tree.body:
            raise _refused("it imports CuPy otherwise than by one plain `import cupy` at its top")
        names = [each.asname or each.name for each in found[0].names if _is_cupy(each.name)]
        if len(names) != 1 or "." in names[0]:
            raise _refused("it imports parts of CuPy")
        return found[0], frozenset(names)

    def _built(self, build: Build) -> None:
        """Puts `load_inline` in the place of one build."""
        call = build.call
        if build.maker not in {"RawModule", "RawKernel"}:
            raise _refused(f"it builds with {build.maker}")
        given = {each.arg: each.value for each in call.keywords}
        code = given.pop("code", call.args[0] if call.args else None)
        name = given.pop("name", call.args[1] if len(call.args) > 1 else None) if build.maker == "RawKernel" else None
        flags = self._flags(given.pop("options", None))
        for other, value in given.items():
            if not (isinstance(value, ast.Constant) and value.value in (False, None, "nvrtc", "nvcc", ())):
                raise _refused(f"it builds with `{other}`")
        if code is None or len(call.args) > (1 if name is None else 2):
            raise _refused("its build has arguments that are not understood here")
        text = self._module.strings.fold(code, build.scope)
        if text is None or text.holes:
            raise _refused("its CUDA C++ is put together at run time")
        kernels = _kernels(text.value)
        launchers, declarations, functions = _host(kernels)
        self._known |= kernels.keys()
        if name is not None:
            self._named(name)
        if "cuda_fp16" in text.value or "cuda_bf16" in text.value:
            flags += [f"-U__CUDA_NO_{what}__" for what in _HALF]
        extension = f"kernelwright_{hashlib.sha256((text.value + repr(flags)).encode()).hexdigest()[:12]}"
        made = (
            f"_Kernels(\n    load_inline(\n        name={extension!r},\n        cpp_sources={literal(declarations)},\n"
            f"        cuda_sources=[{self._own(code)}, {literal(launchers)}],\n"
            f"        functions={functions!r},\n        extra_cuda_cflags={flags!r},\n    )\n)"
        )
        start, end = self._span(call)
        self._edits.append(_Edit(start, end, made if name is None else f"{made}.get_function({self._own(name)})"))

    def _flags(self, node: ast.expr | None) -> list[str]:
        if node is None:
            return []
        try:
            given = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            given = None
        if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
            raise _refused("its compiler options are made at run time")
        for each in given:
            if not _FLAGS.fullmatch(each) and not _DIALECT.fullmatch(each):
                raise _refused(f"nvcc may not know its compiler option {each[:60]!r}")
        return [each for each in given if _FLAGS.fullmatch(each)]

    def _uses(self, names: frozenset[str]) -> None:
        """Every use of CuPy besides the builds."""
        inside = {id(part) for build in self._builds for part in ast.walk(build.call.func)}
        chains: dict[int, str] = {}
        for node in ast.walk(self._module.tree):
            if isinstance(node, ast.Attribute) and id(node) not in inside and (dotted := _dotted(node, names)):
                for part in ast.walk(node):
                    inside.add(id(part))
                chains[id(node)] = dotted
                self._use(node, dotted)
        for node in ast.walk(self._module.tree):
            if isinstance(node, ast.Name) and node.id in names and id(node) not in inside:
                raise _refused("it uses CuPy as a value")

    def _use(self, node: ast.Attribute, dotted: str) -> None:
        start, end = self._span(node)
        if dotted == "cuda.ExternalStream":
            self._edits.append(_Edit(start, end, "_on_stream"))
        elif dotted in _SCALARS:
            self._numpy = True
            self._edits.append(_Edit(start, end, f"numpy.{dotted}"))
        else:
            raise _refused(f"it uses cupy.{dotted[:60]}")

    def _functions(self) -> None:
        """What is asked of the built modules by name."""
        for node in ast.walk(self._module.tree):
            if isinstance(node, ast.Attribute) and node.attr in {
                "get_global",
                "attributes",
                "enable_cooperative_groups",
            }:
                raise _refused(f"it uses .{node.attr} of a kernel")
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute) and node.func.attr == "get_function" and node.args:
                self._named(node.args[0])
            if any(each.arg == "enable_cooperative_groups" for each in node.keywords):
                raise _refused("it launches cooperatively")

    def _named(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and node.value not in self._known:
            raise _refused(f"the kernel {str(node.value)[:60]!r} is a template, or was not found in its CUDA C++")

    def _opening(self, node: ast.Import) -> _Edit:
        """In place of `import cupy`: what the new module imports."""
        others = [each for each in node.names if not _is_cupy(each.name)]
        lines = ["import contextlib", ""]
        if others:
            lines.append("import " + ", ".join(f"{a.name} as {a.asname}" if a.asname else a.name for a in others))
        if self._numpy:
            lines.append("import numpy")
        lines.append("from torch.utils.cpp_extension import load_inline")
        start, end = self._span(node)
        return _Edit(start, end, "\n".join(lines))

    def _helpers(self) -> _Edit:
        """Behind the imports that stand before the first build."""
        first = min(self._span(build.call)[0] for build in self._builds)
        body = self._module.tree.body
        ends = [self._span(node)[1] for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        end = max(end for end in ends if end < first)
        return _Edit(end, end, "\n\n" + _HELPERS.rstrip())


def _refused(why: str) -> MisuseError:
    return MisuseError(f"this kernel can't be given as a load_inline module: {why}.", mend=_MEND)


def _is_cupy(name: str) -> bool:
    return name == "cupy" or name.startswith(("cupy.", "cupyx"))


def _dotted(node: ast.Attribute, names: frozenset[str]) -> str:
    """``cuda.ExternalStream`` of ``cupy.cuda.ExternalStream``; empty if it does not begin with CuPy."""
    parts = [node.attr]
    inner: ast.expr = node.value
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    return ".".join(reversed(parts)) if isinstance(inner, ast.Name) and inner.id in names else ""


def _kernels(cuda: str) -> dict[str, list[tuple[str, str]]]:
    try:
        return kernels_in(cuda)
    except BuildError as error:
        raise _refused("its CUDA C++ was not understood") from error


def _host(found: Mapping[str, Sequence[tuple[str, str]]]) -> tuple[str, str, list[str]]:
    """Launchers in C++, their declarations, and their names.

    Raises:
        MisuseError: a kernel takes what Python has no number for.
    """
    lines, declared, names = ["#include <c10/cuda/CUDAException.h>", "#include <cuda_runtime.h>"], [], []
    for kernel, parameters in found.items():
        heads = [f"int64_t {name}" for name in ("gx", "gy", "gz", "bx", "by", "bz", "shared", "stream")]
        passed = []
        for number, (kind, _) in enumerate(parameters):
            heads.append(f"{'double' if _is_float(kind) else 'int64_t'} a{number}")
            passed.append(_argument(kind, f"a{number}", kernel))
        launch = f"void launch_{kernel}({', '.join(heads)})"
        allow = f"void allow_{kernel}(int64_t bytes)"
        lines += [
            f"\n{launch} {{",
            f"  {kernel}<<<dim3(gx, gy, gz), dim3(bx, by, bz), shared, reinterpret_cast<cudaStream_t>(stream)>>>({', '.join(passed)});",
            "  C10_CUDA_KERNEL_LAUNCH_CHECK();\n}",
            f"{allow} {{",
            f"  C10_CUDA_CHECK(cudaFuncSetAttribute({kernel}, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));\n}}",
        ]
        declared += [f"{launch};", f"{allow};"]
        names += [f"launch_{kernel}", f"allow_{kernel}"]
    return "\n" + "\n".join(lines) + "\n", "\n".join(declared) + "\n", names


_INTEGERS = frozenset({
    "bool", "char", "short", "int", "long", "unsigned", "signed", "size_t", "ptrdiff_t", "int8_t", "int16_t", "int32_t", "int64_t",
    "uint8_t", "uint16_t", "uint32_t", "uint64_t", "uintptr_t", "intptr_t",
})  # fmt: skip
_FLOATS = frozenset({"float", "double", "__half", "half", "__nv_bfloat16", "nv_bfloat16"})


def _is_float(kind: str) -> bool:
    return kind in _FLOATS


def _argument(kind: str, name: str, kernel: str) -> str:
    if kind.endswith("*"):
        return f"reinterpret_cast<{kind}>({name})"
    if set(kind.split()) <= _INTEGERS or _is_float(kind):
        return f"static_cast<{kind}>({name})"
    raise _refused(f"its kernel {kernel[:60]} takes a {kind[:60]} by value")


def _parameters(unit: Unit, made: Declaration) -> list[tuple[str, str]]:
    assert made.params is not None
    words = [unit.token(position).text for position in range(made.params[0] + 1, made.params[1])]
    return [_parameter(part) for part in _split(words) if part and part != ["void"]]


def _split(words: Sequence[str]) -> Iterator[list[str]]:
    """At commas outside of brackets."""
    depth, part = 0, list[str]()
    for word in words:
        depth += {"(": 1, "[": 1, "{": 1, "<": 1, ")": -1, "]": -1, "}": -1, ">": -1, ">>": -2}.get(word, 0)
        if word == "," and depth == 0:
            yield part
            part = []
        else:
            part.append(word)
    yield part


_LEFT_OUT = frozenset({"__restrict__", "__restrict", "restrict", "__grid_constant__", "volatile"})


def _parameter(words: Sequence[str]) -> tuple[str, str]:
    """Its type and its name: ``const float*`` and ``x`` of ``const float* __restrict__ x``."""
    kept = [word for word in words if word not in _LEFT_OUT]
    if "=" in kept:
        kept = kept[: kept.index("=")]
    array = "[" in kept
    if array:
        kept = kept[: kept.index("[")]
    named = len(kept) > 1 and re.fullmatch(r"[A-Za-z_]\w*", kept[-1]) and kept[-1] not in _INTEGERS | {"const"}
    kind, name = (kept[:-1], kept[-1]) if named else (kept, "")
    if not array:  # a constant copy of a number or pointer is passed like any other
        last = max((place for place, word in enumerate(kind) if word == "*"), default=-1)
        kind = [word for place, word in enumerate(kind) if word != "const" or place < last]
    text = re.sub(r"\s*(::|<|>|,)\s*", r"\1", " ".join([*kind, *(["*"] if array else [])]))
    return text.replace(" *", "*"), name


def launch_words(launches: Sequence[Mapping[str, object]], cuda: Sequence[str]) -> list[str]:
    """How each kernel was launched, once for each shape, in the order of the launches, with the types of its arguments.

    Args:
        launches: as a profile has them.
        cuda: the sources, for the arguments.
    """
    known: dict[str, list[tuple[str, str]]] = {}
    for each in cuda:
        with contextlib.suppress(BuildError):
            known |= kernels_in(each)
    found = dict[str, None]()
    for launch in launches:
        grid, block = (_sizes(launch.get(name)) for name in ("grid", "block"))
        name = plain_name(str(launch.get("kernel")))
        given = ", ".join(" ".join(part for part in each if part) for each in known[name]) if name in known else "..."
        found[f"{name}<<<dim3({grid}), dim3({block}), {launch.get('dynamic_shared') or 0}>>>({given});"] = None
    return list(found)


def _sizes(value: object) -> str:
    return ", ".join(str(n) for n in value) if isinstance(value, list | tuple) else "?"
