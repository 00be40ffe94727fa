"""The Python API: `optimize` and `verify` on live modules or files.

result = kernelwright.optimize(module, example_inputs)
fast = result.module        # call it in place of `module`
result.save("fast.kernel.py")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kernelwright import jobs
from kernelwright.bench_tasks.task import Task
from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.errors import KernelError, KernelwrightError, MisuseError
from kernelwright.events import Observer, ignore
from kernelwright.evidence import Recheck, check_bundle_target, recheck_bundle, write_bundle
from kernelwright.export import kernel_file, write_kernel_file
from kernelwright.rl.run import Attempt
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation

if TYPE_CHECKING:
    import torch

__all__ = ["OptimizeResult", "Recheck", "optimize", "recheck", "verify"]


@dataclass(frozen=True)
class OptimizeResult:
    """What a search found. Its `best` is None when no attempt passed; then `source`, `module` and `save` raise."""

    run_id: str
    task: Task = field(repr=False)
    attempts: tuple[Attempt, ...] = field(repr=False)
    best: Attempt | None = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether some attempt passed."""
        return self.best is not None

    @property
    def source(self) -> str:
        """Source of the fastest kernel that passed: a Python module defining `ModelNew`.

        Raises:
            KernelwrightError: none passed; the message holds the last reason.
        """
        return self._chosen.kernel.source

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation of that kernel.

        Raises:
            KernelwrightError: none passed.
        """
        return self._chosen.evaluation

    @cached_property
    def module(self) -> torch.nn.Module:
        """The kernel as a module with the original's weights: takes and returns tensors as the original does.

        For inference: no gradients, and the weights are those at the time of `optimize`.

        It runs in a process of its own on the emulator, with the same checks as in the evaluation: right, not fast.
        On a CUDA machine `save` it and import the file instead. The process ends with the module.

        Raises:
            KernelwrightError: none passed.
        """
        return jobs.emulated_module(self.task, self._chosen, load_settings())

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Writes the kernel with a header saying how it was verified, and returns the path.

        Raises:
            KernelwrightError: none passed.
            MisuseError: a file that is not ours is at `path` (`force` overwrites it), or it can't be written.
        """
        chosen = self._chosen
        target = Path(path)
        text = kernel_file(self.task, chosen.kernel, chosen.evaluation, jobs.utc_now())
        write_kernel_file(target, text, force=force)
        return target

    @property
    def _chosen(self) -> Attempt:
        if self.best is None:
            last = f" The last attempt: {self.attempts[-1].evaluation.reason}" if self.attempts else ""
            raise KernelwrightError(
                f"no attempt of run {self.run_id} passed.{last}", mend="Look at `attempts`, or raise `rounds`."
            )
        return self.best


def optimize(
    module: torch.nn.Module,
    example_inputs: Sequence[object] | torch.Tensor,
    *,
    gpu: str | None = None,
    device: str | None = None,
    rounds: int | None = None,
    name: str | None = None,
    store: Store | None = None,
    observer: Observer | None = None,
) -> OptimizeResult:
    """Writes, judges and improves CUDA kernels for `module`, and returns the best.

    Args:
        module: any module; its present weights and mode (`eval` or `train`) are what kernels are checked against.
        example_inputs: the positional arguments of one call (a tensor alone counts as one); they fix shapes and dtypes.
        gpu: GPU to write for, a name from `kernelwright gpus` (configured default: H200).
        device: `auto`, `cuda` or `emulator` (configured default: `auto`).
        rounds: attempts to make at most (configured default: 6).
        name: what to call the task; the module's class name in lower case by default.
        store: where attempts are kept; the configured database by default.
        observer: called with each `kernelwright.events` event.

    Raises:
        TaskError: the module does not run on `example_inputs`, is not deterministic, or returns no tensors.
        LoweringError: the built-in coder can write no part of it.
        NotFoundError, ConfigError: a GPU, device or setting that can't be used.
    """
    from kernelwright.bench_tasks.live import task_from_module

    settings = load_settings(gpu=gpu, device=device, rounds=rounds)
    task = task_from_module(module, example_inputs, name)
    if store is not None:
        outcome = jobs.optimize_task(task, settings, store=store, observer=observer or ignore)
    else:
        with jobs.open_store(settings) as opened:
            outcome = jobs.optimize_task(task, settings, store=opened, observer=observer or ignore)
    return OptimizeResult(outcome.run.id, task, outcome.attempts, outcome.best)


def verify(
    task: str | Path | torch.nn.Module,
    kernel: str | Path | Kernel,
    example_inputs: Sequence[object] | torch.Tensor | None = None,
    *,
    gpu: str | None = None,
    device: str | None = None,
    store: Store | None = None,
    observer: Observer | None = None,
    bundle: str | Path | None = None,
    force: bool = False,
) -> Evaluation:
    """Judges a kernel from any author against a reference.

    Args:
        task: path of a file with `Model`, `get_inputs`, `get_init_inputs`; or a live module, with `example_inputs`.
        kernel: source text with `ModelNew` (anything with a line break), a path of such a file, or a `Kernel`.
        example_inputs: the positional arguments of one call, for a live module only.
        gpu, device: as for `optimize`.
        store: where the evaluation is kept; nowhere by default.
        observer: called with each event.
        bundle: where to write all evidence as one file, for `recheck`; nowhere by default.
        force: overwrite what is there.

    Raises:
        TaskError, KernelError: a file is missing or is not what it should be.
        NotFoundError, ConfigError: a GPU, device or setting that can't be used.
        MisuseError: a file is at `bundle` already, or it can't be written.
    """
    settings = load_settings(gpu=gpu, device=device)
    the_task = _task(task, example_inputs)
    the_kernel = _kernel(kernel, the_task)
    if bundle is not None:
        check_bundle_target(Path(bundle), force=force)
    found = jobs.verify_task(the_task, the_kernel, settings, store=store, observer=observer or ignore)
    if bundle is not None:
        write_bundle(Path(bundle), the_task, the_kernel, found, settings, force=force)
    return found


def recheck(path: str | Path, *, fresh: bool = False, observer: Observer | None = None) -> Recheck:
    """Checks the hashes of an evidence bundle and judges what is in it again, with its own seeds.

    Args:
        path: a file that `verify(..., bundle=path)` wrote, here or elsewhere. Its code is fenced in as a kernel's is.
        fresh: judge once more with new secret seeds.
        observer: called with each event.

    Returns:
        What was changed in the file, what came out the same, what differs, and whether the verdict `holds`.

    Raises:
        BundleError: it is no bundle, a part of one, or of a version that this program does not know.
        TaskError: the task in it does not run here.
        NotFoundError, ConfigError: a GPU, device or setting that can't be used.
    """
    return recheck_bundle(Path(path), load_settings(), fresh=fresh, observer=observer or ignore)


def _task(task: str | Path | torch.nn.Module, example_inputs: Sequence[object] | torch.Tensor | None) -> Task:
    if isinstance(task, str | Path):
        from kernelwright.bench_tasks.reading import read_any_task

        if example_inputs is not None:
            raise MisuseError("example_inputs go with a live module; a file has get_inputs().", mend="Leave them out.")
        return read_any_task(Path(task))
    from kernelwright.bench_tasks.live import task_from_module

    if example_inputs is None:
        raise MisuseError("a live module needs example_inputs.", mend="Pass the positional arguments of one call.")
    return task_from_module(task, example_inputs)


def _kernel(kernel: str | Path | Kernel, task: Task) -> Kernel:
    if isinstance(kernel, Kernel):
        return kernel
    if isinstance(kernel, str) and "\n" in kernel:
        return Kernel(source=kernel, author="user")
    if not str(kernel):
        raise KernelError("the kernel is empty.", mend="Pass its source text or the path of its file.")
    from kernelwright.sandbox.kernel_file import read_kernel

    return read_kernel(Path(kernel), task=task)
