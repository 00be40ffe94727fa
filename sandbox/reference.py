"""The judge's end of the reference process: a Task opened for use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kernelwright.bench_tasks.graph import Graph
from kernelwright.bench_tasks.task import Distribution, Task, TaskSignature, TensorSpec
from kernelwright.errors import LoweringError, TaskError, WorkerCrashed, WorkerTimeout
from kernelwright.sandbox.gradients import Wanted
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.places import Place
from kernelwright.sandbox.process import Limits, Worker
from kernelwright.sandbox.sampling import DRAWS, SampledOutput

if TYPE_CHECKING:
    import torch

__all__ = ["InitState", "Reference", "ReferenceResult"]

_ASKED = re.compile(r"can't allocate memory: you tried to allocate (\d{1,18}) bytes")
"""How torch says on a CPU that the limit of a process's memory was reached."""


@dataclass(frozen=True)
class InitState:
    """How the module was built under one seed."""

    arguments: list[Any] | None
    """Constructor arguments; None when they hold something that can't be sent."""
    state: dict[str, torch.Tensor]


@dataclass(frozen=True)
class ReferenceResult:
    """What the reference computes on one set of inputs."""

    native: Any
    """Outputs in the task's own dtypes: a tree of tensors."""
    exact: Any | None
    """The same computed in float64; None when the module can't run in float64."""
    moved: Any | None
    """In float64, on inputs and weights moved by one unit of round-off."""
    changed: tuple[int, ...]
    """Numbers of the input tensors that the reference itself changes."""
    aliases: tuple[tuple[int, int], ...]
    """(output, input) pairs that share storage in the reference."""
    exact_error: str = ""
    places: tuple[Place, ...] = ()
    """Where the native outputs lay in the reference's process."""
    samples: tuple[SampledOutput, ...] | None = None
    """For a module that draws random numbers: each output tensor over many runs, instead of `exact` and `moved`."""
    after: ReferenceResult | None = None
    """The changed inputs as it leaves them, in the place of outputs; None for a module that draws random numbers."""


class Reference:
    """A Task, loaded in a process of its own.

    Args:
        fence: the isolation to put around it (as `choose_isolation` gave it), for a task that a stranger may have written;
            None for one of the person who runs us.

    Raises (on entering or creation):
        TaskError: the task can't be used; names the line and the mend.
    """

    _worker_module = "kernelwright.sandbox.reference_worker"

    def __init__(self, task: Task, *, limits: Limits | None = None, fence: str | None = None) -> None:
        self.task = task
        self.limits = limits or Limits()
        self._fence = fence
        self._graph: Graph | None = None
        self._ops: tuple[OpRecord, ...] | None = None
        self._start()

    def _new_worker(self) -> Worker:
        return Worker(
            self._worker_module,
            name=f"the reference of {self.task.name}",
            limits=self.limits,
            isolation=self._fence or "process",
            trusted=self._fence is None,
        )

    def _start(self) -> None:
        import torch

        self._worker = self._new_worker()
        attachments = {
            key: torch.frombuffer(bytearray(value), dtype=torch.uint8) for key, value in self.task.attachments.items()
        }
        try:
            found = self._request(
                "load",
                timeout=self.limits.load_seconds + 3 * self.limits.call_seconds,
                values=attachments or None,
                source=self.task.source,
                path=self.task.path,
                name=self.task.name,
                backward=self.task.backward,
                import_paths=[str(Path(self.task.path).resolve().parent)] if self.task.path else [],
            ).body
        except BaseException:
            self._worker.close()
            raise
        self.hidden_tensors = bool(found["hidden_tensors"])
        """Whether the module holds random tensors outside its state: then it is always built under seed 0."""
        self.samples = bool(found["samples"])
        """Whether the module draws random numbers, anew in each call."""
        self.signature = TaskSignature(
            inputs=tuple(map(TensorSpec.from_json, found["inputs"])),
            outputs=tuple(map(TensorSpec.from_json, found["outputs"])),
            parameters=tuple(map(TensorSpec.from_json, found["parameters"])),
            cotangents=tuple(map(TensorSpec.from_json, found.get("cotangents", ()))),
            gradients=tuple(map(TensorSpec.from_json, found.get("gradients", ()))),
        )
        self.wanted = Wanted.from_json(found["wanted"]) if self.task.backward else None
        """The gradients that the task has, if it asks for them."""

    def _request(self, op: str, *, timeout: float | None = None, values: Any = None, **fields: Any) -> Any:
        try:
            message = self._worker.request(op, timeout=timeout or 3 * self.limits.call_seconds, values=values, **fields)
        except WorkerTimeout as error:
            raise TaskError(
                f"the reference did not finish {op!r} within its time limit.",
                path=self.task.path,
                mend="Make the task smaller, or raise call_seconds in the settings.",
            ) from error
        except WorkerCrashed as error:
            raise TaskError(
                f"the reference process died: {error.message} {error.stderr.strip()[-300:]}".rstrip(),
                path=self.task.path,
                mend="Make the task smaller, or raise memory_bytes in the settings, if it ran out of memory.",
            ) from error
        if message.body.get("ok"):
            return message
        found = message.body["error"]
        if found["kind"] == "lowering":
            raise LoweringError(found["message"], mend=found["mend"])
        if too_much := _ASKED.search(found["message"]):
            raise TaskError(
                f"the task asks for {int(too_much[1]) / 2**30:.2f} GiB at once, which does not fit beside the rest into the "
                f"{self.limits.memory_bytes / 2**30:.2f} GiB that its process may have (setting memory_bytes).",
                mend="Take smaller sizes: --scale twin. Or allow more, if this machine has it: KERNELWRIGHT_MEMORY_BYTES="
                f"{2 * self.limits.memory_bytes}.",
                path=self.task.path or self.task.name,
                line=found["line"],
            )
        raise TaskError(found["message"], mend=found["mend"], path=self.task.path or self.task.name, line=found["line"])

    def inputs(self, distribution: Distribution, seed: int, *, strided: bool = False) -> list[Any]:
        """Arguments of forward, drawn from `distribution` under `seed`; the same in tensors that are not contiguous if asked.

        After them, for a task with gradients, the list of cotangents."""
        values: list[Any] = self._request("inputs", distribution=distribution.value, seed=seed, strided=strided).values
        return values

    def resize(self, sizes: Mapping[str, int]) -> None:
        """Lets names of the task's file stand for other numbers until the next call of this; the signature stays.

        Raises:
            TaskError: the file has no such number.
        """
        self._request("resize", sizes=dict(sizes))

    def init(self, seed: int, *, moved: bool = False) -> InitState:
        """Constructor arguments and weights under `seed`; moved away from their initial values if asked."""
        message = self._request("init", seed=seed, moved=moved)
        sendable = bool(message.body["sendable"])
        return InitState(message.values["arguments"] if sendable else None, message.values["state"])

    def run(
        self, inputs: Sequence[Any], *, weights_seed: int, moved: bool = False, samples_seed: int = 0
    ) -> ReferenceResult:
        """The module's outputs on `inputs`, with the weights that `init` gives for the same arguments.

        For a task with gradients each tree is ``[outputs, [gradient, ...]]``.

        Args:
            samples_seed: for a module that draws random numbers, the first seed of its runs.
        """
        timeout = DRAWS * self.limits.call_seconds if self.samples else None
        message = self._request(
            "run", timeout=timeout, values=list(inputs), seed=weights_seed, moved=moved, samples_seed=samples_seed
        )
        values, body, after = message.values, message.body, None
        if (left := values["after"]) is not None:
            after = ReferenceResult(left["native"], left["exact"], left["moved"], (), ())
        return ReferenceResult(
            native=values["native"],
            exact=values["exact"],
            moved=values["moved"],
            changed=tuple(map(int, body["changed"])),
            aliases=tuple((int(a), int(b)) for a, b in body["aliases"]),
            exact_error=str(body["exact_error"]),
            places=tuple(map(Place.from_json, body["places"])),
            samples=None if values["samples"] is None else tuple(map(SampledOutput.from_tree, values["samples"])),
            after=after,
        )

    def capture(self) -> Graph:
        """The module's ATen graph.

        Raises:
            LoweringError: it can't be traced.
        """
        if self._graph is None:
            self._graph = Graph.from_json(self._request("capture", timeout=self.limits.load_seconds).body["graph"])
        return self._graph

    def ops(self) -> tuple[OpRecord, ...]:
        """The ATen operations that eager PyTorch runs in one call on the task's own inputs, backward too if the task has it."""
        if self._ops is None:
            self._ops = tuple(map(OpRecord.from_json, self._request("trace").body["ops"]))
        return self._ops

    def close(self) -> None:
        """Ends the process."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
