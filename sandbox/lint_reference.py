"""The judge's end of a reference process for the task linter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.bench_tasks.task import Distribution, TaskSignature, TensorSpec
from kernelwright.sandbox.idle_op import IdleOp
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.trees import tensors_of

if TYPE_CHECKING:
    import torch

__all__ = ["Draw", "FullSize", "LintReference", "Survey"]

Draw = tuple[Distribution, int, bool]
"""How inputs are drawn, their seed, and whether weights are moved off their initial values."""


@dataclass(frozen=True)
class Survey:
    """What was seen of a module while it ran."""

    idle: tuple[IdleOp, ...]
    unread: tuple[str, ...]
    """Parameters that no operation reads on which an output depends."""
    changed_state: tuple[str, ...]
    """Parameters and buffers that a call changes."""
    training: tuple[tuple[str, str, float], ...]
    """Dropouts, and norms that keep statistics, in training mode: name, type, probability."""
    parameters: tuple[str, ...]
    """Names of the parameters; what else is in the state are buffers."""
    ops: int
    """ATen operations of one forward call."""


@dataclass(frozen=True)
class FullSize:
    """What one call would get, give and run at full size."""

    signature: TaskSignature
    ops: tuple[OpRecord, ...]


class LintReference(Reference):
    """A Task, loaded in a process of its own, for the linter."""

    _worker_module = "kernelwright.sandbox.lint_worker"

    @property
    def alive(self) -> bool:
        """Whether its process still answers; after a crash or a time limit it does not."""
        return self._worker.alive

    def answer(
        self, inputs: Sequence[Any], *, weights_seed: int, moved: bool, changed: Sequence[int] = (),
        weights: Mapping[str, torch.Tensor] | None = None,
    ) -> list[torch.Tensor]:  # fmt: skip
        """The output tensors (then the gradients) in the task's own dtypes, then those of the inputs that are changed in place.

        Args:
            changed: numbers of these inputs.
            weights: values in the place of the module's own, by name.

        Raises:
            TaskError: the module refuses such inputs or weights.
        """
        values = [list(inputs), dict(weights or {})]
        answer = self._request("answer", values=values, seed=weights_seed, moved=moved, changed=list(changed)).values
        return [*tensors_of(answer["outputs"]), *answer["changed"]]

    def survey(self, draws: Sequence[Draw], *, weights_seed: int) -> Survey:
        """Runs forward once for each of `draws`, two of them at least the task's own inputs, and looks at every operation.

        Raises:
            TaskError: the module refuses its own inputs, or memory ran out.
        """
        timeout = (len(draws) + 3) * self.limits.call_seconds
        plain = [[distribution.value, seed, moved] for distribution, seed, moved in draws]
        body = self._request("survey", timeout=timeout, draws=plain, weights=weights_seed).body
        return Survey(
            idle=tuple(map(IdleOp.from_json, body["idle"])),
            unread=tuple(map(str, body["unread"])),
            changed_state=tuple(map(str, body["changed_state"])),
            training=tuple((str(name), str(kind), float(p)) for name, kind, p in body["training"]),
            parameters=tuple(map(str, body["parameters"])),
            ops=int(body["ops"]),
        )

    def full_size(self, source: str) -> FullSize:
        """Shapes and operations under another source of the same task; no memory is taken for its tensors.

        Raises:
            TaskError: it can't run without values (`item()`, sizes that depend on them).
        """
        body = self._request("full_size", source=source).body

        def specs(name: str) -> tuple[TensorSpec, ...]:
            return tuple(map(TensorSpec.from_json, body[name]))

        signature = TaskSignature(
            specs("inputs"), specs("outputs"), specs("parameters"), specs("cotangents"), specs("gradients")
        )
        return FullSize(signature, tuple(map(OpRecord.from_json, body["ops"])))
