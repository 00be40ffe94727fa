"""A Solution of FlashInfer-Bench: JSON with sources in Python, or in CUDA C++ with a torch binding.

ModelNew gives the entry point the inputs in the order of the definition and, where it wants a place for its results, new tensors
of the outputs' shapes after them. Headers of the solution are written into the files that include them.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.task import Task
from kernelwright.errors import KernelError
from kernelwright.sandbox.bare_cuda import exported_as, literal
from kernelwright.sandbox.submissions.gpu_mode import refuse_other_languages

__all__ = ["SUFFIXES", "kernel_of"]

SUFFIXES = frozenset({".json"})
_SHAPE = (
    'A solution is a JSON object with definition, spec ({"language": "cuda", "binding": "torch", "entry_point": "kernel.cu::run"}) '
    "and sources."
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"[^\n]*$', re.MULTILINE)
_MOST_TEXT = 4 << 20  # characters of a file with its headers in it
_DEEPEST = 16  # headers that include headers
_FLOAT8 = ("float8_e4m3fn", "float8_e5m2")


@dataclass(frozen=True)
class _Solution:
    language: str
    binding: str
    file: str
    function: str
    returns: bool
    """Whether it returns its outputs; else it is given places for them."""
    sources: Mapping[str, str]


def kernel_of(task: Task, text: str, path: str | None = None) -> str:
    """The kernel module around a solution.

    Raises:
        KernelError: it is none for this task, or in a language or with a binding that can't be judged here.
    """
    solution = _solution(task, text, path)
    constants = constants_of(task.source)
    inputs, outputs = constants.get("INPUTS"), constants.get("OUTPUTS")
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        raise KernelError(
            "the task is no definition of FlashInfer-Bench.", path=path, mend="Give its own kind of kernel."
        )
    code = solution.sources[solution.file]
    if solution.language == "python":
        head, call = _python(solution, code, path), solution.function
    else:
        head, call = _extension(solution, path), f"EXTENSION.{solution.function}"
    return head.rstrip("\n") + "\n\n\n" + _model(call, solution.returns, inputs, outputs, constants, path)


def _solution(task: Task, text: str, path: str | None) -> _Solution:
    def fail(why: str, mend: str = _SHAPE) -> KernelError:
        return KernelError(why, path=path, mend=mend)

    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise fail(f"the solution is not JSON: {str(error)[:120]}.") from error
    spec: Any = data.get("spec") if isinstance(data, dict) else None
    rows: Any = data.get("sources") if isinstance(data, dict) else None
    if not isinstance(spec, dict) or not isinstance(rows, list) or not rows:
        raise fail("the file holds no solution with spec and sources.")
    named = re.sub(r"\W+", "_", str(data.get("definition"))).strip("_")
    if named != task.name:
        raise fail(f"the solution is for the definition {named[:80]!r}, not for {task.name!r}.", "Give its definition.")
    sources: dict[str, str] = {}
    for row in rows:
        name, content = (row.get("path"), row.get("content")) if isinstance(row, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(content, str):
            raise fail("a source has no path and content.")
        sources[posixpath.normpath(name)] = content.replace("\r\n", "\n")
    language, binding = str(spec.get("language")), str(spec.get("binding") or "tvm-ffi")
    file, _, function = str(spec.get("entry_point")).partition("::")
    file = posixpath.normpath(file)
    if file not in sources or not function.isidentifier():
        raise fail(f"the entry point {str(spec.get('entry_point'))[:80]!r} is no function of one of its sources.")
    if language not in {"python", "cuda", "cpp"}:
        raise fail(
            f"the solution is written in {language[:20]}, which can't be judged here: the emulator and the rules read CUDA C++.",
            "Write it in CUDA C++ with the binding torch, or in Python that uses cupy or load_inline.",
        )
    if language != "python" and binding != "torch":
        raise fail(
            f"the solution has the binding {binding[:20]}, which can't be judged here: the emulator's runtime has torch's tensors only.",
            'Export the entry point by PYBIND11_MODULE with torch::Tensor arguments and write "binding": "torch".',
        )
    libraries = spec.get("dependencies") or []
    if isinstance(libraries, list) and (others := [str(each) for each in libraries if each not in {"torch", "cupy"}]):
        raise fail(f"the solution depends on {others[0][:40]}, which is not there.", "Leave the dependency out.")
    return _Solution(language, binding, file, function, spec.get("destination_passing_style") is False, sources)


def _python(solution: _Solution, code: str, path: str | None) -> str:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise KernelError(f"{solution.file} is not valid Python: {error}.", path=path, line=line) from error
    refuse_other_languages(tree, path)
    own = {posixpath.splitext(posixpath.basename(name))[0] for name in solution.sources if name.endswith(".py")}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        relative = isinstance(node, ast.ImportFrom) and node.level
        if relative or own & {part for name in names for part in name.split(".")}:
            raise KernelError(
                f"{solution.file} imports another file of the solution; a kernel is one module here.",
                path=path,
                line=getattr(node, "lineno", None),
                mend="Put its Python sources into one.",
            )
    return code if re.search(r"^import torch\b", code, re.MULTILINE) else f"{code.rstrip()}\n\nimport torch\n"


def _extension(solution: _Solution, path: str | None) -> str:
    texts = {
        name: _with_headers(solution.sources, name, path)
        for name in solution.sources
        if name.endswith((".cu", ".cpp", ".cc", ".cxx"))
    }
    exporting = [name for name, text in texts.items() if "PYBIND11_MODULE" in text]
    if len(exporting) != 1:
        raise KernelError(
            f"{len(exporting) or 'none'} of the solution's sources exports its function by PYBIND11_MODULE; one does.", path=path,
            mend=f'Write PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{ m.def("{solution.function}", &{solution.function}); }}',
        )  # fmt: skip
    name = exported_as(texts[exporting[0]], solution.function, path=path)
    lines = ["import torch", "from torch.utils.cpp_extension import load_inline", ""]
    groups: dict[bool, list[str]] = {True: [], False: []}
    for number, (file, text) in enumerate(texts.items()):
        lines += [f"SOURCE_{number} = {literal(text)}  # {file}", ""]
        groups[file.endswith(".cu")].append(f"SOURCE_{number}")
    cuda, cpp = ", ".join(groups[True]), ", ".join(groups[False])
    lines.append(f'EXTENSION = load_inline(name="{name}", cpp_sources=[{cpp}], cuda_sources=[{cuda}])')
    return "\n".join(lines)


def _with_headers(sources: Mapping[str, str], name: str, path: str | None) -> str:
    """A file with the text of the solution's own headers in the place of their includes, each once."""
    seen: set[str] = set()

    def text_of(file: str, depth: int) -> str:
        def include(found: re.Match[str]) -> str:
            wanted = found[1]
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(file), wanted))
            target = next((each for each in (beside, posixpath.normpath(wanted)) if each in sources), None)
            if target is None:
                return found[0]
            if target in seen or depth >= _DEEPEST:
                return ""
            seen.add(target)
            body = text_of(target, depth + 1)
            return re.sub(r"^[ \t]*#[ \t]*pragma[ \t]+once[ \t]*$", "", body, flags=re.MULTILINE)

        return _INCLUDE.sub(include, sources[file])

    seen.add(name)
    text = text_of(name, 0)
    if len(text) > _MOST_TEXT:
        raise KernelError(f"{name} has more than {_MOST_TEXT} characters with its headers.", path=path)
    return text


def _model(
    call: str,
    returns: bool,
    inputs: Mapping[str, tuple[tuple[str, ...] | None, str]],
    outputs: Mapping[str, tuple[tuple[str, ...], str]],
    constants: Mapping[str, Any],
    path: str | None,
) -> str:
    names = list(inputs)
    lines = ["class ModelNew(torch.nn.Module):", f"    def forward(self, {', '.join(names)}):"]
    lines += [
        f"        {name} = {name}.view(torch.{dtype})"
        for name, (shape, dtype) in inputs.items()
        if shape and dtype in _FLOAT8
    ]
    if returns:
        return "\n".join([*lines, f"        return {call}({', '.join(names)})", ""])
    axes = {
        axis: f"{name}.shape[{place}]"
        for name, (shape, _dtype) in reversed(list(inputs.items()))
        for place, axis in enumerate(shape or ())
    }
    device = next((f"{name}.device" for name, (shape, _dtype) in inputs.items() if shape), '"cuda"')
    for name, (shape, dtype) in outputs.items():
        unknown = [axis for axis in shape if axis not in axes and type(constants.get(axis)) is not int]
        if unknown:
            raise KernelError(
                f"the size {unknown[0]!r} of the output {name!r} can't be told from the inputs.", path=path,
                mend='Return the outputs: "destination_passing_style": false.',
            )  # fmt: skip
        extents = ", ".join(axes.get(axis) or str(constants[axis]) for axis in shape)
        lines.append(f"        {name} = torch.empty(({extents},), dtype=torch.{dtype}, device={device})")
    lines.append(f"        {call}({', '.join([*names, *outputs])})")
    return "\n".join([*lines, f"        return {', '.join(outputs)}", ""])
