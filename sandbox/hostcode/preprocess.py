"""The author's own macros, conditionals and headers resolved, with every line kept; the system's headers left alone.

`g++ -E` runs over the source with each `#include` of a header that is not the author's hidden behind a pragma. What
comes out has no macro of the author's left in it (kernels written by macros are kernels again) and every conditional
decided, once as device code (`__CUDA_ARCH__` defined) and once as host code.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kernelwright.errors import BuildError, EmulatorError
from kernelwright.sandbox.hostcode.tokens import tokenize

__all__ = ["HIDDEN_INCLUDE", "MACROS", "Source", "preprocess"]

HIDDEN_INCLUDE = "#pragma kernelwright_include "
"""Stands for `#include `; what follows it is the header as the author named it, with its brackets or quotes."""

_CUDA_RELEASE = (13, 0)  # that of the header wheels in pyproject.toml

MACROS: Mapping[str, str] = {
    "__CUDACC__": "1",
    "__NVCC__": "1",
    "__CUDACC_VER_MAJOR__": str(_CUDA_RELEASE[0]),
    "__CUDACC_VER_MINOR__": str(_CUDA_RELEASE[1]),
    "CUDA_VERSION": str(1000 * _CUDA_RELEASE[0] + 10 * _CUDA_RELEASE[1]),
    "CUDART_VERSION": str(1000 * _CUDA_RELEASE[0] + 10 * _CUDA_RELEASE[1]),
}
"""What sources ask for in conditionals and hidden headers would have defined."""

_INCLUDE = re.compile(r"#\s*include\s*([<\"])([^>\"]+)[>\"]")
_MARKER = re.compile(r'#\s+(\d+)\s+"((?:\\.|[^"\\])*)"')
_DEEPEST = 64  # nested headers; a header that includes itself without a guard ends here
_SECONDS = 60.0  # wall limit of one run of the preprocessor; it takes about 0.02


@dataclass(frozen=True)
class Source:
    """One translation unit as its author wrote it."""

    text: str
    name: str
    """The name that goes into messages, `kernel.cu` for instance."""
    folder: Path | None = None
    """Where it lies, if it is a file: its quoted includes are looked for there first."""
    include_dirs: tuple[Path, ...] = ()
    macros: tuple[str, ...] = ()
    """`-D` and `-U` options."""
    dialect: str = "c++17"
    versions: Mapping[str, str] = field(default_factory=dict)
    """Further macros of hidden headers, `TORCH_VERSION_MAJOR` for instance."""


def preprocess(source: Source, compiler: str, *, cuda_arch: int | None) -> str:
    """The source with the author's macros expanded; its line n is the author's line n unless a `#line` says otherwise.

    Args:
        compiler: a g++ or clang++.
        cuda_arch: the value of `__CUDA_ARCH__` (900), or None for host code.

    Raises:
        BuildError: an unbalanced conditional, an `#error`, a broken macro, with the author's line.
    """
    text = "".join(_inline(source, source.text, source.name, source.folder, set(), 0))
    macros = dict(MACROS) | dict(source.versions)
    if cuda_arch is not None:
        macros["__CUDA_ARCH__"] = str(cuda_arch)
    command = [
        compiler, "-E", "-w", "-x", "c++", f"-std={source.dialect}",
        *(f"-D{name}={value}" for name, value in macros.items()), *source.macros, "-",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            input=f'#line 1 "{source.name}"\n{text}',
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"the preprocessor did not finish {source.name} within {_SECONDS:g} s") from None
    except OSError as error:
        raise EmulatorError(f"the C++ compiler {compiler} does not start: {error}") from error
    if done.returncode != 0:
        found = re.search(r"^([^:\n]+):(\d+):(?:\d+:)? (?:fatal )?error: (.*)", done.stderr, re.MULTILINE)
        where = "" if found is None or found[1] == source.name else f" ({found[1]})"
        raise BuildError(
            f"the source does not preprocess{where}: {found[3] if found else done.stderr.strip()[:400]}",
            log=done.stderr,
            line=int(found[2]) if found else None,
        )
    return _restore_lines(done.stdout, source.name)


def _inline(source: Source, text: str, name: str, folder: Path | None, once: set[Path], depth: int) -> Iterator[str]:
    """The text with the author's headers in place and all others hidden."""
    if depth > _DEEPEST:
        raise BuildError(f"{name} is included more than {_DEEPEST} deep", mend="Give it an include guard.")
    for token in tokenize(text):
        found = _INCLUDE.match(token.text) if token.kind == "directive" else None
        if found is None:
            if token.kind == "directive" and re.match(r"#\s*pragma\s+once\b", token.text):
                continue
            yield token.text
            continue
        path = _find(source, found[1] == '"', found[2], folder)
        if path is None:
            yield HIDDEN_INCLUDE + token.text[found.start(1) :]
            continue
        if path in once:
            continue
        try:
            inner = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BuildError(f"the header {found[2]} can't be read: {error}", line=token.line) from error
        if re.search(r"^\s*#\s*pragma\s+once\b", inner, re.MULTILINE):
            once.add(path)
        yield f'#line 1 "{found[2]}"\n'
        yield from _inline(source, inner, found[2], path.parent, once, depth + 1)
        yield f'\n#line {token.line + token.newlines} "{name}"\n'


def _find(source: Source, quoted: bool, name: str, folder: Path | None) -> Path | None:
    """The author's header of that name."""
    folders = ([folder] if quoted and folder is not None else []) + list(source.include_dirs)
    for candidate in folders:
        path = (candidate / name).resolve()
        if path.is_file():
            return path
    return None


def _restore_lines(output: str, main: str) -> str:
    """Line markers of the preprocessor as blank lines where that is enough, else as `#line`."""
    out: list[str] = []
    at_file, at_line = main, 1  # where the next line written would be, for a compiler that reads the result
    file, line = main, 1
    for text in output.split("\n"):
        if found := _MARKER.match(text):
            line, file = int(found[1]), found[2].replace('\\"', '"').replace("\\\\", "\\")
            continue
        if text.strip() and not file.startswith("<"):
            # a header's gaps may be long: it begins anywhere
            if file == at_file and line >= at_line and (file == main or line - at_line <= 200):
                out.append("\n" * (line - at_line))
            else:
                out.append(f'#line {line} "{file}"\n')
            out.append(text + "\n")
            at_file, at_line = file, line + 1
        line += 1
    return "".join(out)
