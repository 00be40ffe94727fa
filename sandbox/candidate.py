"""The judge's end of a candidate: the process with the kernel's module, and the emulated GPU that it works on.

What the module's process says is a claim. Outputs, inputs after the call, launches and operations come from the device
process (`device_process`), which runs none of the candidate's code but its kernels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from kernelwright.errors import EmulatorError, ProtocolError, UnsupportedError, WorkerCrashed, WorkerTimeout
from kernelwright.sandbox.channel import decode_tree
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.gradients import Wanted
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import LaunchOptions, LaunchReport, OpRecord
from kernelwright.sandbox.places import Place
from kernelwright.sandbox.prepare import prepare_cache
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import InitState
from kernelwright.sandbox.spares import Processes, start_processes
from kernelwright.sandbox.tensor_memory import row_bytes

if TYPE_CHECKING:
    import torch

__all__ = ["CallResult", "Candidate", "CandidateFailure", "failure_of"]

_KINDS = frozenset({"build", "unsupported", "launch", "memory"})  # of failures that the worker names

_GRACE_SECONDS = (
    5.0  # the emulator ends a launch at call_seconds by itself and says where; only then is the process killed
)
_ANSWER_SECONDS = 30.0  # for handing outputs over, when a launch that goes on has ended
_SLACK_BYTES = 1 << 26  # what a reply may hold beyond the expected outputs before it is refused


class CandidateFailure(Exception):
    """The candidate did not do what it was asked.

    `kind` is one of `build` (CUDA does not compile), `unsupported`, `launch` (a GPU would refuse it), `python` (its code
    raised), `memory`, `crashed` (the process died), `timeout`, `protocol` (it answered nonsense), `unsafe` (a GPU stopped a
    kernel for a bad access).
    """

    def __init__(
        self, kind: str, message: str, *, line: int | None = None, mend: str = "", log: str = "", detail: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.line = line
        self.mend = mend
        self.log = log
        self.detail = detail
        """A traceback, or the end of standard error."""


@dataclass(frozen=True)
class CallResult:
    """What one call gave. All but the tree of `outputs` and the kinds in `places` is what the device process saw."""

    outputs: Any
    """With gradients ``[outputs, [gradient or None, ...]]``."""
    inputs_after: tuple[torch.Tensor, ...]
    """The inputs as they lie in the device's memory after the call."""
    reports: tuple[LaunchReport, ...]
    ops: tuple[OpRecord, ...]
    aliases: tuple[tuple[int, int], ...]
    """(output, input) pairs that share memory."""
    written: tuple[bool, ...]
    """For each output tensor: whether the device wrote into its memory during the call."""
    places: tuple[Place, ...] = ()
    """Where each output tensor lay on the device."""
    pulled_bytes: int = 0
    """Device data that host code asked to see, in bytes."""
    refusals: tuple[str, ...] = ()
    """What the device refused to do, whatever host code made of that."""


class Candidate:
    """A Kernel, loaded in a process of its own, with an emulated GPU in another.

    Args:
        options: how its launches are run and what is recorded of them.
        wanted: the gradients that every call gives beside its outputs; its inputs end with the list of cotangents then.
        processes: what it runs in, unused and its own from here on; new ones by default.

    Raises:
        CandidateFailure: from every method.
    """

    def __init__(
        self, kernel: Kernel, device: Device, *, limits: Limits | None = None, options: LaunchOptions | None = None,
        wanted: Wanted | None = None, processes: Processes | None = None,
    ) -> None:  # fmt: skip
        self.kernel = kernel
        self.limits = limits or Limits()
        self._processes = processes or start_processes(device, self.limits)
        self._gpu, self._worker = self._processes.gpu, self._processes.worker
        self._device = device
        self._options = options or LaunchOptions()
        self._wanted = wanted

    @property
    def pid(self) -> int:
        """The process id."""
        return self._worker.pid

    def load(self) -> None:
        """Starts the emulated device and runs the kernel's module.

        Raises:
            EmulatorError: the emulated device does not start, which is no fault of the kernel.
        """
        prepare_cache(self.kernel.source)
        try:
            self._gpu.open(self._options, self._worker)
            self._request("open", self.limits.load_seconds, arch=self._device.arch)
        except (CandidateFailure, WorkerCrashed, WorkerTimeout, ProtocolError) as failure:
            detail = failure.detail if isinstance(failure, CandidateFailure) else getattr(failure, "stderr", "")
            last = detail.strip().splitlines()[-1:] or [""]
            raise EmulatorError(
                f"the emulated device does not start: {failure} {last[0]}".rstrip(),
                mend=getattr(failure, "mend", "") or "Run `kernelwright doctor`.",
            ) from failure
        with self._listening():
            self._request("load", self.limits.load_seconds, source=self.kernel.source)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        with self._faults():
            self._gpu.listen(True)
            yield
            self._gpu.listen(False)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """A device process that ends under a candidate's kernels is that candidate's fault."""
        try:
            yield
        except UnsupportedError as error:
            raise CandidateFailure("unsupported", error.message, mend=error.mend) from error
        except EmulatorError as error:
            self.close()
            raise CandidateFailure("crashed", error.message, mend=error.mend) from error

    def build(self, init: InitState, *, seed: int, update: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Constructs `ModelNew`; returns the weights given by name, and those it has no counterpart for.

        Args:
            update: keep the module that is there and write the weights into it, as a training step would.
        """
        with self._listening():
            body = self._request(
                "build",
                self.limits.load_seconds,
                values={"arguments": init.arguments if init.arguments is not None else [], "state": init.state},
                seed=seed,
                update=update,
            ).body
        return tuple(map(str, body["matched"])), tuple(map(str, body["unmatched"]))

    def call(
        self,
        inputs: Sequence[Any],
        *,
        expected_bytes: int,
        compiling: bool = False,
        trace: bool = False,
        suppressed: bool = False,
    ) -> CallResult:
        """One call: forward, and backward if gradients are wanted.

        Args:
            expected_bytes: size of the reference's outputs; far larger replies are refused.
            compiling: the first call, which compiles: it may take `build_seconds` more.
            trace: record the ATen operations that it runs.
            suppressed: let its launches do nothing (the integrity stage asks what the outputs are without them).
        """
        if not self._worker.alive:
            raise CandidateFailure("crashed", "the candidate has ended.", detail=self._worker.stderr())
        with self._faults():
            return self._call(inputs, expected_bytes, compiling, trace, suppressed)

    def _call(
        self, inputs: Sequence[Any], expected_bytes: int, compiling: bool, trace: bool, suppressed: bool
    ) -> CallResult:
        begun = self._gpu.begin(inputs, suppressed=suppressed, trace=trace)
        if begun.late:
            self.close()
            raise CandidateFailure("protocol", "its code went on working on the device after its call had ended.")
        try:
            body = self._request(
                "call",
                self.limits.call_seconds + (self.limits.build_seconds if compiling else _GRACE_SECONDS),
                tree=begun.tree,
                rows=begun.rows,
                gradients=None if self._wanted is None else self._wanted.to_json(),
            ).body
            rows = self._rows(body, 2 * expected_bytes + _SLACK_BYTES)
            places = _places(body.get("places"), rows)
            done = self._gpu.finish(rows, seconds=self.limits.call_seconds + _ANSWER_SECONDS)
            if done.outside is not None:
                raise CandidateFailure("protocol", f"output {done.outside} is not in the device's memory.")
            outputs = decode_tree(body.get("tree"), done.outputs)
            self._check_gradients(outputs)
        except ProtocolError as error:
            self.close()
            raise CandidateFailure("protocol", error.message) from error
        except CandidateFailure as failure:
            if failure.kind in {"crashed", "timeout", "protocol"}:
                self.close()
            else:
                self._gpu.finish(())
                self._gpu.forget()
            raise
        self._gpu.forget()
        return CallResult(
            outputs=outputs,
            inputs_after=done.inputs_after,
            reports=done.reports,
            ops=done.ops,
            aliases=tuple(
                (i, j) for i, out in enumerate(rows) for j, given in enumerate(begun.rows) if _overlap(out, given)
            ),
            written=done.written,
            places=places,
            pulled_bytes=done.pulled_bytes,
            refusals=done.refusals,
        )

    def _check_gradients(self, outputs: Any) -> None:
        """That the answer of a call with gradients has their form."""
        import torch

        if self._wanted is None:
            return
        count = len(self._wanted.inputs) + len(self._wanted.parameters)
        if not isinstance(outputs, list) or len(outputs) != 2 or not isinstance(outputs[1], list):
            raise ProtocolError("the candidate answered outside the schema.")
        if len(outputs[1]) != count or not all(g is None or isinstance(g, torch.Tensor) for g in outputs[1]):
            raise ProtocolError("the candidate answered outside the schema.")

    def _rows(self, body: Mapping[str, Any], most_bytes: int) -> list[dict[str, Any]]:
        """Where the candidate says its outputs lie."""
        rows = body.get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ProtocolError("the candidate answered outside the schema.")
        if sum(map(row_bytes, rows)) > most_bytes:
            raise ProtocolError("a worker sent more data than its outputs can be")
        if not all(isinstance(row.get("address"), int) and 0 <= row["address"] < 1 << 63 for row in rows):
            raise ProtocolError("the candidate answered outside the schema.")
        return [{key: row[key] for key in ("address", "dtype", "shape", "stride")} for row in rows]

    def _request(self, op: str, timeout: float, **fields: Any) -> Any:
        try:
            message = self._worker.request(op, timeout=timeout, **fields)
        except WorkerTimeout as error:
            raise CandidateFailure("timeout", f"the kernel did not finish within {timeout:g} s.") from error
        except WorkerCrashed as error:
            raise CandidateFailure("crashed", error.message, detail=error.stderr) from error
        except ProtocolError as error:
            raise CandidateFailure("protocol", error.message) from error
        if message.body.get("ok") is True:
            return message
        found = message.body.get("error")
        if not isinstance(found, dict):
            raise CandidateFailure("protocol", "the candidate answered outside the schema.")
        raise failure_of(found, _KINDS)

    def close(self) -> None:
        """Ends the processes."""
        self._processes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def failure_of(found: Mapping[str, Any], kinds: Collection[str]) -> CandidateFailure:
    """A worker's error object (`serve.describe_error`) as a failure; what is of none of `kinds` is an error of its Python."""
    text, kind, line = str(found.get("message", "")), str(found.get("kind", "python")), found.get("line")
    return CandidateFailure(
        kind if kind in kinds else "python",
        text if kind != "python" else f"{found.get('type')}: {text}",
        line=line if isinstance(line, int) else None,
        mend=str(found.get("mend", "")),
        log=str(found.get("log", "")),
        detail=str(found.get("detail", "") or found.get("traceback", "")),
    )


def _places(claims: Any, rows: Sequence[Mapping[str, Any]]) -> tuple[Place, ...]:
    """Each output's place: its address is the one that it was fetched from, the rest is as claimed."""
    try:
        return tuple(
            Place.from_json({**claim, "address": row["address"] if row_bytes(row) else 0})
            for claim, row in zip(claims, rows, strict=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError("the candidate answered outside the schema.") from error


def _overlap(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    first, second = row_bytes(one), row_bytes(two)
    return bool(
        first and second and one["address"] < two["address"] + second and two["address"] < one["address"] + first
    )
