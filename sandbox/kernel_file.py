"""Reads a kernel from a file, a Python module or bare CUDA C++; what it says is judged later (`kernelwright.verifier`)."""

from __future__ import annotations

import re
from pathlib import Path

from kernelwright.bench_tasks.task import Task
from kernelwright.errors import KernelError
from kernelwright.sandbox.bare_cuda import module_of
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.submissions import adapter_for

__all__ = ["read_kernel"]

_LARGEST = 4 << 20  # bytes
_WANTED = "Give the path of a Python file that defines ModelNew, or of a .cu file that exports forward."


_OURS = re.compile(r"^class\s+ModelNew\b", re.MULTILINE)


def read_kernel(path: Path, *, author: str = "file", task: Task | None = None) -> Kernel:
    """A Kernel from a Python file defining `ModelNew`, from a `.cu` file exporting `forward` (see `bare_cuda`), or from a
    submission in the format of the task's own system (see `submissions`).

    Args:
        task: what it is a kernel for, where that is known.

    Raises:
        KernelError: the file is missing, unreadable, too large or not text, a `.cu` file exports no `forward`, or a
            submission is none for this task.
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
    adapter = adapter_for(task.format, path.suffix) if task is not None else None
    if adapter is not None and task is not None and not (path.suffix == ".py" and _OURS.search(source)):
        source = adapter.kernel_of(task, source, shown)
    elif path.suffix.lower() == ".cu":
        source = module_of(source, path=shown)
    return Kernel(source=source, author=author, path=shown)
