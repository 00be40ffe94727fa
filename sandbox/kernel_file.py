"""Reads a kernel module from a file; what it says is judged later (`kernelwright.verifier`)."""

from __future__ import annotations

from pathlib import Path

from kernelwright.errors import KernelError
from kernelwright.sandbox.kernel import Kernel

__all__ = ["read_kernel"]

_LARGEST = 4 << 20  # bytes


def read_kernel(path: Path, *, author: str = "file") -> Kernel:
    """A Kernel from a Python file defining `ModelNew`.

    Raises:
        KernelError: the file is missing, unreadable, too large or not text.
    """
    shown = str(path)
    if not path.is_file():
        what = "this is a directory, not a file." if path.is_dir() else "there is no such file."
        raise KernelError(what, path=shown, mend="Give the path of a Python file that defines ModelNew.")
    try:
        if path.stat().st_size > _LARGEST:
            raise KernelError(f"the file has {path.stat().st_size} bytes, over the limit of {_LARGEST}.", path=shown)
        source = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise KernelError("the file is not UTF-8 text.", path=shown, mend="Give a Python source file.") from error
    except OSError as error:
        raise KernelError(f"the file can't be read: {error.strerror}.", path=shown) from error
    return Kernel(source=source, author=author, path=shown)
