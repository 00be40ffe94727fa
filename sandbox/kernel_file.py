"""Reads a kernel from a file, a Python module or bare CUDA C++; what it says is judged later (`kernelwright.verifier`)."""

from __future__ import annotations

from pathlib import Path

from kernelwright.errors import KernelError
from kernelwright.sandbox.bare_cuda import module_of
from kernelwright.sandbox.kernel import Kernel

__all__ = ["read_kernel"]

_LARGEST = 4 << 20  # bytes
_WANTED = "Give the path of a Python file that defines ModelNew, or of a .cu file that exports forward."


def read_kernel(path: Path, *, author: str = "file") -> Kernel:
    """A Kernel from a Python file defining `ModelNew`, or from a `.cu` file exporting `forward` (see `bare_cuda`).

    Raises:
        KernelError: the file is missing, unreadable, too large or not text, or a `.cu` file exports no `forward`.
    """
    shown = str(path)
    if not path.is_file():
        what = "this is a directory, not a file." if path.is_dir() else "there is no such file."
        raise KernelError(what, path=shown, mend=_WANTED)
    if path.suffix.lower() in {".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".cuh"}:
        raise KernelError(
            f"a {path.suffix} file is no kernel by itself.",
            path=shown,
            mend=f"{_WANTED} A language model makes one of C or C++: kernelwright translate.",
        )
    try:
        if path.stat().st_size > _LARGEST:
            raise KernelError(f"the file has {path.stat().st_size} bytes, over the limit of {_LARGEST}.", path=shown)
        source = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise KernelError(
            "the file is not UTF-8 text.", path=shown, mend="Give a Python or CUDA source file."
        ) from error
    except OSError as error:
        raise KernelError(f"the file can't be read: {error.strerror}.", path=shown) from error
    if path.suffix.lower() == ".cu":
        source = module_of(source, path=shown)
    return Kernel(source=source, author=author, path=shown)
