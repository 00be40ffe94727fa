"""The judge's end of the device process, which is the emulated GPU of one candidate (`device_worker`)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelwright.errors import EmulatorError, ProtocolError, UnsupportedError, WorkerCrashed, WorkerTimeout
from kernelwright.sandbox import arena
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.launch import LaunchOptions, LaunchReport, OpRecord
from kernelwright.sandbox.process import Limits, Worker

if TYPE_CHECKING:
    import torch

__all__ = ["Begun", "DeviceProcess", "Finished"]

_WORKER = "kernelwright.sandbox.device_worker"
_ANSWER_SECONDS = 60.0  # for what takes no time of the candidate's: laying out inputs, handing over outputs
_VIEWS = 2  # of the arena in the device process: its own memory, and the window onto the candidate's


@dataclass(frozen=True)
class Begun:
    """A call whose inputs lie on the device."""

    tree: Any
    rows: list[dict[str, Any]]
    """What the candidate is told of them: `dtype`, `shape` and `stride`, and where each lies as `address`."""
    late: int
    """Requests that the candidate sent since the last call, while nobody had called it."""


@dataclass(frozen=True)
class Finished:
    """What the device says of a call."""

    outputs: list[torch.Tensor]
    inputs_after: tuple[torch.Tensor, ...]
    outside: int | None
    """The first output that is not in the device's memory; then there are no outputs."""
    reports: tuple[LaunchReport, ...]
    ops: tuple[OpRecord, ...]
    pulled_bytes: int
    """Device data that the host code of the candidate asked to see."""
    refusals: tuple[str, ...]
    """Why requests of the candidate were refused, whatever it made of that."""
    written: tuple[bool, ...]
    """For each output: whether a kernel, an operation or a copy on the device wrote into its memory during the call."""


class DeviceProcess:
    """One emulated GPU, for one candidate.

    Raises (from every method):
        UnsupportedError: it can't do what is asked (inputs that do not fit into its memory).
        EmulatorError: it has ended, or does not answer.
    """

    def __init__(self, device: Device, limits: Limits) -> None:
        self.limits = limits
        self._device = device
        self._worker = Worker(
            _WORKER,
            name="the emulated GPU",
            limits=limits,
            isolation=device.isolation,
            environment={"KERNELWRIGHT_MEMORY_BYTES": str(limits.memory_bytes + _VIEWS * arena.SIZE)},
            trusted=True,
        )

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._worker.alive

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self._worker.running

    @property
    def pid(self) -> int:
        """The process id."""
        return self._worker.pid

    def open(self, options: LaunchOptions, candidate: Worker) -> None:
        """Sets the GPU up and joins it with a candidate, which is told by `attach_memory` and `attach_device`.

        Raises:
            WorkerCrashed: the candidate has ended.
        """
        self._request(
            "open",
            self.limits.load_seconds,
            arch=self._device.arch,
            call_seconds=self.limits.call_seconds,
            options=options.to_json(),
        )
        memory = arena.create()
        try:
            self._hand_over("attach_memory", memory)
            candidate.hand_over("attach_memory", memory, timeout=self.limits.load_seconds)
        finally:
            os.close(memory)
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with here, there:
            self._hand_over("attach_candidate", here.fileno())
            candidate.hand_over("attach_device", there.fileno(), timeout=self.limits.load_seconds)

    def listen(self, on: bool) -> None:
        """Lets the candidate work, or no more, outside of calls."""
        self._request("listen", _ANSWER_SECONDS, on=on)

    def begin(self, inputs: Sequence[Any], *, suppressed: bool, trace: bool) -> Begun:
        """Lays out the inputs of a call, and lets the candidate work until `finish`."""
        shared = self._worker.channel.share(list(inputs))
        tree, layout, descriptor = shared
        try:
            body = self._request("begin", _ANSWER_SECONDS, shared=shared, suppressed=suppressed, trace=trace).body
        finally:
            if descriptor is not None:
                os.close(descriptor)
        rows = [
            {"dtype": row["dtype"], "shape": row["shape"], "stride": row["stride"], "address": address}
            for row, address in zip(layout, body["addresses"], strict=True)
        ]
        return Begun(tree, rows, int(body["late"]))

    def finish(self, outputs: Sequence[Mapping[str, Any]], *, seconds: float = _ANSWER_SECONDS) -> Finished:
        """Ends a call.

        Args:
            outputs: `address`, `dtype`, `shape` and `stride` of each, as the candidate names them.
            seconds: how long it may take; a launch in progress ends first.
        """
        message = self._request("finish", seconds, outputs=list(outputs))
        body, values = message.body, message.values
        return Finished(
            outputs=values["outputs"],
            inputs_after=tuple(values["inputs"]),
            outside=body["outside"],
            reports=tuple(map(LaunchReport.from_json, body["reports"])),
            ops=tuple(map(OpRecord.from_json, body["ops"])),
            pulled_bytes=int(body["pulled_bytes"]),
            refusals=tuple(map(str, body["refusals"])),
            written=tuple(map(bool, body["written"])),
        )

    def forget(self) -> None:
        """Lets go of the inputs of the last call."""
        self._request("forget", _ANSWER_SECONDS)

    def _hand_over(self, op: str, descriptor: int) -> None:
        try:
            self._worker.hand_over(op, descriptor, timeout=_ANSWER_SECONDS)
        except (WorkerTimeout, WorkerCrashed, ProtocolError) as error:
            raise self._broken(error) from error

    def _request(self, op: str, timeout: float, **fields: Any) -> Any:
        try:
            message = self._worker.request(op, timeout=timeout, **fields)
        except (WorkerTimeout, WorkerCrashed, ProtocolError) as error:
            raise self._broken(error) from error
        if message.body.get("ok") is not True:
            found = message.body["error"]
            raise UnsupportedError(f"the emulated GPU can't {op}: {found['message']}", mend=found["mend"])
        return message

    def _broken(self, error: Exception) -> EmulatorError:
        last = getattr(error, "stderr", "").strip().splitlines()[-1:] or [""]
        return EmulatorError(f"the emulated GPU failed: {error} {last[0]}".rstrip())

    def close(self) -> None:
        """Ends the process."""
        self._worker.close()
