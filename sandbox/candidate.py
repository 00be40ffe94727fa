"""The judge's end of the candidate process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from kernelwright.errors import EmulatorError, ProtocolError, WorkerCrashed, WorkerTimeout
from kernelwright.sandbox.channel import read_back
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.launch import LaunchOptions, LaunchReport, OpRecord
from kernelwright.sandbox.places import Place
from kernelwright.sandbox.prepare import prepare_cache
from kernelwright.sandbox.process import Limits, Worker
from kernelwright.sandbox.reference import InitState

if TYPE_CHECKING:
    import torch

__all__ = ["CallResult", "Candidate", "CandidateFailure"]

_WORKER = "kernelwright.sandbox.candidate_worker"
_GRACE_SECONDS = (
    5.0  # the emulator ends a launch at call_seconds by itself and says where; only then is the process killed
)
_SLACK_BYTES = 1 << 26  # what a reply may hold beyond the expected outputs before it is refused


class CandidateFailure(Exception):
    """The candidate did not do what it was asked.

    `kind` is one of `build` (CUDA does not compile), `unsupported`, `launch` (a GPU would refuse it), `python` (its code
    raised), `memory`, `crashed` (the process died), `timeout`, `protocol` (it answered nonsense).
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
    """What one forward call gave; claims of the candidate except `inputs_after`, which the judge read itself."""

    outputs: Any
    inputs_after: tuple[torch.Tensor, ...]
    """The inputs as they lie in shared memory after the call."""
    reports: tuple[LaunchReport, ...]
    ops: tuple[OpRecord, ...]
    aliases: tuple[tuple[int, int], ...]
    written: tuple[bool, ...]
    """For each output tensor: whether a kernel stored into its memory."""
    lazy: tuple[str, ...]
    """Types of outputs that are subclasses of Tensor."""
    places: tuple[Place, ...]
    """Where each output tensor lay in the candidate's process."""


class Candidate:
    """A Kernel, loaded in a process of its own.

    Args:
        options: how its launches are run and what is recorded of them.

    Raises:
        CandidateFailure: from every method.
    """

    def __init__(
        self, kernel: Kernel, device: Device, *, limits: Limits | None = None, options: LaunchOptions | None = None
    ) -> None:
        self.kernel = kernel
        self.limits = limits or Limits()
        self._worker = Worker(_WORKER, name="the candidate", limits=self.limits, isolation=device.isolation)
        self._device = device
        self._options = options or LaunchOptions()

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
            self._request(
                "open",
                self.limits.load_seconds,
                arch=self._device.arch,
                call_seconds=self.limits.call_seconds,
                options=self._options.to_json(),
            )
        except CandidateFailure as failure:
            last = failure.detail.strip().splitlines()[-1:] or [""]
            raise EmulatorError(
                f"the emulated device does not start: {failure.message} {last[0]}".rstrip(),
                mend=failure.mend or "Run `kernelwright doctor`.",
            ) from failure
        self._request("load", self.limits.load_seconds, source=self.kernel.source)

    def build(self, init: InitState, *, seed: int, update: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Constructs `ModelNew`; returns the weights given by name, and those it has no counterpart for.

        Args:
            update: keep the module that is there and write the weights into it, as a training step would.
        """
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
        """One forward call.

        Args:
            expected_bytes: size of the reference's outputs; far larger replies are refused.
            compiling: the first call, which compiles: it may take `build_seconds` more.
            trace: record the ATen operations that it runs.
            suppressed: let its launches do nothing (the integrity stage asks what the outputs are without them).
        """
        import os

        shared = self._worker.channel.share(list(inputs)) if self._worker.alive else None
        if shared is None:
            raise CandidateFailure("crashed", "the candidate has ended.", detail=self._worker.stderr())
        try:
            message = self._request(
                "call",
                self.limits.call_seconds + (self.limits.build_seconds if compiling else _GRACE_SECONDS),
                shared=shared,
                max_bytes=2 * expected_bytes + _SLACK_BYTES,
                trace=trace,
                suppressed=suppressed,
            )
            after = tuple(read_back(shared[1], shared[2])) if shared[2] is not None else ()
        finally:
            if shared[2] is not None:
                os.close(shared[2])
        body = message.body
        try:
            return CallResult(
                outputs=message.values,
                inputs_after=after,
                reports=tuple(map(LaunchReport.from_json, body["reports"])),
                ops=tuple(map(OpRecord.from_json, body["ops"])),
                aliases=tuple((int(a), int(b)) for a, b in body["aliases"]),
                written=tuple(map(bool, body["written"])),
                lazy=tuple(map(str, body["lazy"])),
                places=tuple(map(Place.from_json, body["places"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            self.close()
            raise CandidateFailure("protocol", "the candidate answered outside the schema.") from error

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
        text = str(found.get("message", ""))
        kind = str(found.get("kind", "python"))
        line = found.get("line")
        raise CandidateFailure(
            kind if kind in {"build", "unsupported", "launch", "memory"} else "python",
            text if kind != "python" else f"{found.get('type')}: {text}",
            line=line if isinstance(line, int) else None,
            mend=str(found.get("mend", "")),
            log=str(found.get("log", "")),
            detail=str(found.get("traceback", "")),
        )

    def close(self) -> None:
        """Ends the process."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
