"""A Task from a module that lives in the caller's process (the Python API)."""

from __future__ import annotations

import copy
import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import Task
from kernelwright.errors import TaskError

if TYPE_CHECKING:
    import torch

__all__ = ["task_from_module"]

_SOURCE = '''"""Reference: the live module {name}, handed in from Python with its weights; attached as a pickle of its owner's."""

import copy

import cloudpickle
import torch

_module, _inputs = cloudpickle.loads(ATTACHMENTS["module.pkl"])


def Model():
    return copy.deepcopy(_module)


def get_init_inputs():
    return []


def _fresh(value):
    """The first call of a process gives the example itself; floats are redrawn with its mean and deviation."""
    if isinstance(value, torch.Tensor) and value.dtype.is_floating_point and value.numel() > 1:
        noise = torch.randn(value.shape, dtype=torch.float64)
        return (noise * value.double().std().nan_to_num(1.0) + value.double().mean()).to(value.dtype)
    return value.clone() if isinstance(value, torch.Tensor) else value


def get_inputs():
    return [_fresh(value) for value in _inputs]

{listing}'''


def task_from_module(
    module: torch.nn.Module, example_inputs: Sequence[Any] | torch.Tensor, name: str | None = None
) -> Task:
    """A task whose reference is `module` as it is: its weights, its mode (call `.eval()` first if it has dropout).

    Args:
        example_inputs: the positional arguments of one forward call; a single tensor counts as one argument. Random
            inputs are drawn with the same shapes, dtypes, mean and deviation.

    Raises:
        TaskError: the module or its inputs can't be handed to another process.
    """
    import cloudpickle
    import torch

    if not isinstance(module, torch.nn.Module):
        raise TaskError(
            f"optimize was given {type(module).__name__}, not a torch.nn.Module.",
            mend="Pass the module, not its class.",
        )
    inputs = [example_inputs] if isinstance(example_inputs, torch.Tensor) else list(example_inputs)
    if not any(isinstance(value, torch.Tensor) for value in inputs):
        raise TaskError("the example inputs hold no tensor.", mend="Pass the tensors that forward takes, as a tuple.")
    module_name = name or type(module).__name__
    try:
        blob = cloudpickle.dumps(
            (copy.deepcopy(module).cpu(), [v.detach().cpu() if isinstance(v, torch.Tensor) else v for v in inputs])
        )
    except Exception as error:  # pickling runs the module's own hooks, which may raise anything
        raise TaskError(
            f"the module can't be handed to another process: {type(error).__name__}: {error}",
            mend="Put the module in a KernelBench-style file and use its path.",
        ) from error
    return Task(
        name=re.sub(r"\W+", "_", module_name).strip("_").lower() or "module",
        source=_SOURCE.format(name=module_name, listing=_listing(module)),
        attachments={"module.pkl": blob},
    )


def _listing(module: torch.nn.Module) -> str:
    """The class's own source as a comment, for people who read the stored task."""
    try:
        text = textwrap.dedent(inspect.getsource(type(module)))
    except (OSError, TypeError):
        return ""
    return "\n# " + "\n# ".join(text.rstrip().splitlines()) + "\n"
