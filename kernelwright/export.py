"""The files that a person takes away: the kernel's source, or another form of it, under a header that says how it was verified."""

from __future__ import annotations

import contextlib
import os
import secrets
from datetime import datetime
from pathlib import Path

import kernelwright
from kernelwright.bench_tasks.task import Task
from kernelwright.bench_tasks.twin import scaled_words
from kernelwright.errors import MisuseError
from kernelwright.inline_form import cuda_texts, inline_module, launch_words
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, TimingKind
from kernelwright.words import between, counted, duration, one_line, ratio, share, time_kind

__all__ = [
    "MARKER", "check_target", "cuda_file", "default_target", "inline_file", "kernel_file", "write_file", "write_kernel_file",
]  # fmt: skip

MARKER = "# kernelwright-kernel-file: 1"
"""First line of every file written here: a file without it is somebody else's and is not overwritten."""


def kernel_file(task: Task, kernel: Kernel, evaluation: Evaluation, when: datetime) -> str:
    """The whole text of ``NAME.kernel.py``; it imports with torch, cupy and numpy only."""
    lines = [*_head(task, kernel, evaluation, when), "#", *_usage(kernel), "", ""]
    return "\n".join(lines) + kernel.source.rstrip() + "\n"


def inline_file(task: Task, kernel: Kernel, evaluation: Evaluation, when: datetime) -> str:
    """The same kernels as a module that torch builds: it imports with torch, NVIDIA's compiler and a C++ compiler.

    Raises:
        MisuseError: the kernel can't be put into this form, and why.
    """
    text = inline_module(kernel.source)
    changed = text != kernel.source
    lines = [
        *_head(task, kernel, evaluation, when),
        "#",
        *(["# What is above was found with CuPy as the builder. These are the same kernels, built by torch: verify this file too."]
          if changed else []),
        "# Use, on a CUDA GPU with torch, nvcc and a C++ compiler; the first import builds, which takes a minute:",
        *_usage(kernel)[1:],
        "",
        "",
    ]  # fmt: skip
    return "\n".join(lines) + text.rstrip() + "\n"


def cuda_file(task: Task, kernel: Kernel, evaluation: Evaluation, when: datetime) -> str:
    """The CUDA C++ of the kernel alone, with how it was launched.

    Raises:
        MisuseError: it is made at run time.
    """
    texts = cuda_texts(kernel.source)
    launches = () if evaluation.profile is None else evaluation.profile.launches
    said = launch_words(launches, texts)
    how = [
        "",
        "Launches of one call on the task's own inputs:" if said else "No launch of it is stored.",
        *map(one_line, said),
    ]
    head = [line.removeprefix("#").strip() for line in _head(task, kernel, evaluation, when)[2:]]
    # a backslash at its end would take the next line into a comment
    comment = "\n".join(f"// {line}".rstrip().rstrip("\\").rstrip() for line in [*head, *how])
    return comment + "\n\n" + "\n\n".join(text.strip("\n") for text in texts) + "\n"


def _head(task: Task, kernel: Kernel, evaluation: Evaluation, when: datetime) -> list[str]:
    return [
        MARKER,
        "#",
        f"# A CUDA kernel for {one_line(task.name)}, in place of its PyTorch module. Written by kernelwright "
        f"{kernelwright.__version__} on {when:%Y-%m-%d}.",
        "#",
        *_verification(task, kernel, evaluation),
    ]


def default_target(task: Task) -> Path:
    """``NAME.kernel.py`` in the working directory."""
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in task.name).strip(".") or "module"
    return Path(f"{stem}.kernel.py")


def check_target(path: Path, *, force: bool = False) -> None:
    """Makes sure, before any work is done, that a kernel file can be written at `path`.

    Raises:
        MisuseError: the folder is missing or not writable, or a file that is not ours is in the way.
    """
    where = str(path)
    if path.is_dir():
        raise MisuseError("this is a folder, not a file to write to.", mend="Name a file in it.", path=where)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise MisuseError(
            "the folder of the file to write does not exist.", mend=f"Make it: mkdir -p {folder}", path=where
        )
    if not os.access(folder, os.W_OK):
        raise MisuseError(
            "the folder of the file to write is not writable.", mend="Choose another with --out.", path=where
        )
    if not force and path.is_file() and not _is_ours(path):
        raise MisuseError(
            "a file that kernelwright did not write is in the way.",
            mend="Choose another name with --out, or add --force to overwrite it.",
            path=where,
        )


def write_kernel_file(path: Path, text: str, *, force: bool = False) -> None:
    """Writes `text` at `path`, whole or not at all.

    Raises:
        MisuseError: as `check_target`, or the file can't be written.
    """
    check_target(path, force=force)
    write_file(path, text)


def write_file(path: Path, content: str | bytes) -> None:
    """Writes beside `path` and renames, so that `path` never holds half a file; into what is no file (`/dev/stdout`, a pipe) it writes.

    Raises:
        MisuseError: the disk is full, or the folder is not writable.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
        place = Path(os.path.realpath(path))  # of a link, the file that it stands for
        beside = place.with_name(f".kernelwright-{secrets.token_hex(8)}")
        try:
            with open(beside, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, place)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise MisuseError(f"the file can't be written: {error.strerror or error}.", path=str(path)) from error


def _is_ours(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MARKER)) == MARKER.encode()


def _verification(task: Task, kernel: Kernel, evaluation: Evaluation) -> list[str]:
    device = evaluation.device
    tried = dict.fromkeys(key.rpartition("/")[0] for key in evaluation.seeds if not key.startswith("weights/"))
    workloads = ", ".join(map(one_line, tried))
    lines = [
        f"# Task        {task.id}",
        *([f"# Sizes       scaled down: {one_line(scaled)}"] if (scaled := scaled_words(task)) else []),
        f"# Kernel      {kernel.id}, by {one_line(kernel.author)}",
        f"# Verdict     {evaluation.verdict.value}, on {one_line(device.name)} ({device.arch}, {device.isolation})",
    ]
    if not evaluation.passed:
        return [*lines, f"#             NOT VERIFIED. {one_line(evaluation.reason)}"]
    draws = sum(not key.startswith("weights/") for key in evaluation.seeds)
    lines.append(f"# Checked on  {counted(draws, 'secret draw')} over {counted(len(tried), 'workload')} ({workloads}),")
    lines.append("#             against the module in float64")
    timing = evaluation.timing
    if timing is not None:
        lines.append(
            f"# Time        {duration(timing.seconds)}{between(timing.seconds_low, timing.seconds_high)} {time_kind(timing)}; {one_line(timing.baseline)} PyTorch "
            f"{duration(timing.baseline_seconds)} {time_kind(timing)}: {ratio(timing.speedup)}"
        )
        if timing.speedup < 1:
            lines.append(
                f"#             Slower than {one_line(timing.baseline)} PyTorch: keep the original on this GPU."
            )
        lines.append(
            f"# Roofline    {share(timing.roofline_share)} of the bound ({one_line(timing.bound_by) or 'roofline'})"
        )
        if timing.kind is TimingKind.MODELLED:
            if timing.interval_source:
                lines.append(f"#             In brackets: {one_line(timing.interval_source)}.")
            lines.append("#             Modelled times come from counted work and GPU data; they are no measurement.")
    return lines


def _usage(kernel: Kernel) -> list[str]:
    strict = kernel.author == "builtin"  # which writes that check into every module
    return [
        "# Use, on a CUDA GPU with torch, numpy and cupy (pip install cupy-cuda13x or cupy-cuda12x):",
        "#     fast = ModelNew(*get_init_inputs()).cuda()",
        "#     fast.load_state_dict(model.state_dict())",
        "#     y = fast(*inputs)",
        "# It is built for the shapes and dtypes of its task and raises ValueError on others."
        if strict
        else "# It was judged on the shapes and dtypes of its task only: on others it may be wrong, or read where it must not.",
    ]
