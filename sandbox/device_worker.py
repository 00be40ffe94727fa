"""The device process: it is the candidate's GPU. It compiles and runs the candidate's kernels, and the judge believes it.

Run with ``python -m kernelwright.sandbox.device_worker FD``; `kernelwright.sandbox.device_process` is its end at the judge.
The judge lays out the inputs of a call here and fetches the outputs; the candidate (`emulated.remote`) sends sources,
launches and ATen operations and never sees what the memory holds. Nothing of the candidate's runs in this process but
kernels, translated and checked.
"""

from __future__ import annotations

import base64
import ctypes
import mmap
import secrets
import select
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kernelwright.errors import BuildError, LaunchError, ProtocolError, UnsupportedError
from kernelwright.sandbox import arena
from kernelwright.sandbox.channel import Channel, ChannelClosed, Message, Regions, row_bytes
from kernelwright.sandbox.device_memory import DeviceMemory
from kernelwright.sandbox.emulated.recorder import Session
from kernelwright.sandbox.emulator.module import Module
from kernelwright.sandbox.hostcode.authors import PreludeLines
from kernelwright.sandbox.launch import LaunchOptions, OpRecord
from kernelwright.sandbox.serve import Handler, answer, judge_channel

_REFUSALS_KEPT = 20  # of one call
_OWN = ("compile", "launch", "operation", "pull", "scalar", "label", "wrote", "variable", "write", "read", "copy", "fill")


class _Pointer:
    """A device address among launch arguments: an array, not a number."""

    def __init__(self, address: int) -> None:
        self._address = address

    def data_ptr(self) -> int:
        """The address."""
        return self._address


class DeviceProcess:
    """The state of the emulated GPU, and the handlers of its two channels."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.memory: DeviceMemory | None = None
        self.candidate: Channel | None = None
        self.window: arena.Window | None = None
        self.modules: list[Module] = []
        self.open_for_work = False
        """Whether the judge waits for the candidate: what it sends at other times is refused."""
        self.trace = False
        self.operations: list[OpRecord] = []
        self.refusals: list[str] = []
        self.late = 0

    # -- asked by the judge -----------------------------------------------------------------------------------------

    def open(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Sets the GPU up."""
        body = message.body
        self.session = Session(body["arch"], float(body["call_seconds"]), LaunchOptions(**body["options"]))
        self.memory = DeviceMemory(self.session.memory)
        return {}, None

    def attach_memory(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Takes the memory file that the candidate allocates in."""
        assert message.descriptor is not None
        assert self.memory is not None
        arena.map_private()
        self.memory.window = arena.Window(message.descriptor)
        return {}, None

    def attach_candidate(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Takes this process's end of the channel to the candidate."""
        assert message.descriptor is not None
        self.candidate = Channel(socket.socket(fileno=message.descriptor))
        message.descriptor = None
        return {}, None

    def listen(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Says whether the candidate may work now (it is being loaded or built)."""
        self.open_for_work = bool(message.body["on"])
        return {}, None

    def begin(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Lays out the inputs of a call; returns their addresses."""
        assert self.session is not None
        assert self.memory is not None
        self.session.take_reports()
        self.session.memory.mark()
        self.session.suppressed = bool(message.body["suppressed"])
        self.trace = bool(message.body["trace"])
        self.operations, self.refusals, self.late = [], [], 0
        addresses = self.memory.lay_out(message.rows, message.memory)
        self.open_for_work = True
        return {"addresses": addresses}, None

    def finish(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Ends a call: the outputs (by address, as the candidate names them), the inputs, and all that was seen."""
        assert self.session is not None
        assert self.memory is not None
        memory, self.open_for_work, self.session.suppressed = self.memory, False, False
        rows: list[dict[str, Any]] = message.body["outputs"]
        outside = next((i for i, row in enumerate(rows) if not memory.holds(row["address"], row_bytes(row))), None)
        reports = self.session.take_reports()
        fields = {
            "outside": outside,
            "reports": [report.to_json() for report in reports],
            "ops": [record.to_json() for record in [*memory.take_uploads(), *self.operations]] if self.trace else [],
            "pulled_bytes": memory.take_pulled(),
            "refusals": self.refusals,
            "late": self.late,
            "written": [bool(not row_bytes(row) or memory.is_written(row["address"])) for row in rows],
        }
        if outside is not None:
            rows = []
        given = memory.inputs
        tree = {"d": {"outputs": {"l": [{"t": i} for i in range(len(rows))]},
                      "inputs": {"l": [{"t": len(rows) + i} for i in range(len(given))]}}}  # fmt: skip
        described = [{key: row[key] for key in ("dtype", "shape", "stride")} for row in [*rows, *(r for _, r in given)]]
        regions = Regions(tree, described, [*(int(row["address"]) for row in rows), *(a for a, _ in given)])
        return fields, regions

    def forget(self, _message: Message) -> tuple[dict[str, Any], Any]:
        """Lets go of the inputs of the last call."""
        assert self.memory is not None
        self.memory.drop_inputs()
        return {}, None

    # -- asked by the candidate -------------------------------------------------------------------------------------

    def compile(self, message: Message) -> tuple[dict[str, Any], Any]:
        """CUDA C++ to a module; returns its number."""
        assert self.session is not None
        body = message.body
        module = self.session.compile(str(body["source"]), list(map(str, body["options"])), list(map(str, body["names"])))
        self.modules.append(module)
        return {
            "module": len(self.modules) - 1,
            "kernels": list(module.kernels),
            "lowered_names": dict(module.build.lowered_names),
            "resources": {name: vars(used) for name, used in module.resources.items()},
        }, None

    def launch(self, message: Message) -> tuple[dict[str, Any], Any]:
        """One launch."""
        assert self.session is not None
        assert self.memory is not None
        body = message.body
        arguments = [_argument(each) for each in body["arguments"]]
        self.memory.synchronise(_pointers(arguments))
        if body.get("limits"):
            stack, heap = map(int, body["limits"])
            self.session.set_limits(stack_bytes=stack, heap_bytes=heap)
        lines = PreludeLines.from_json(body["lines"]) if body.get("lines") else None
        x, y, z = map(int, body["grid"])
        u, v, w = map(int, body["block"])
        self.session.launch(
            self.modules[int(body["module"])], str(body["name"]), (x, y, z), (u, v, w), arguments, int(body["shared"]), lines
        )
        self.memory.note_written()
        return {}, None

    def operation(self, message: Message) -> tuple[dict[str, Any], Any]:
        """One ATen operation on tensors of this device."""
        # torch takes a second to import: a kernel that leaves nothing to it does without
        from kernelwright.sandbox.replay import replay

        assert self.memory is not None
        record = replay(message, self.memory)
        if self.trace:
            self.operations += [*self.memory.take_uploads(), record]
        return {}, None

    def pull(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Shows the candidate what these allocations hold; it is counted."""
        assert self.memory is not None
        for address in message.body["addresses"]:
            self.memory.pull(int(address))
        return {}, None

    def scalar(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Shows the candidate a few bytes (`Tensor.item`); it is counted."""
        assert self.memory is not None
        return {"bytes": base64.b64encode(self.memory.peek(int(message.body["address"]), int(message.body["count"]))).decode()}, None

    def label(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Names allocations, for messages."""
        assert self.memory is not None
        for address, name in message.body["names"]:
            self.memory.label(int(address), str(name)[:200])
        return {}, None

    def wrote(self, message: Message) -> tuple[dict[str, Any], Any]:
        """The candidate's host code has written an allocation: its contents are taken over."""
        assert self.memory is not None
        for address in message.body["addresses"]:
            self.memory.take_over(int(address))
        return {}, None

    def variable(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Where a variable of a module lies."""
        assert self.session is not None
        assert self.memory is not None
        address, size = self.modules[int(message.body["module"])].global_pointer(str(message.body["name"]))
        self.memory.add_variable(address, size)
        if message.body.get("expose"):
            self.session.expose(address, size, str(message.body["expose"])[:200])
        return {"address": address, "size": size}, None

    def write(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Host bytes into the device's memory."""
        assert self.memory is not None
        self.memory.write(int(message.body["address"]), base64.b64decode(message.body["bytes"]))
        return {}, None

    def read(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Bytes of the device's memory for the host; counted."""
        assert self.memory is not None
        data = self.memory.peek(int(message.body["address"]), int(message.body["count"]))
        return {"bytes": base64.b64encode(data).decode()}, None

    def copy(self, message: Message) -> tuple[dict[str, Any], Any]:
        """From device memory to device memory."""
        assert self.memory is not None
        self.memory.copy(int(message.body["to"]), int(message.body["from"]), int(message.body["count"]))
        return {}, None

    def fill(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Sets bytes of device memory."""
        assert self.memory is not None
        self.memory.fill(int(message.body["address"]), int(message.body["value"]), int(message.body["count"]))
        return {}, None

    # -- the loop ---------------------------------------------------------------------------------------------------

    def for_candidate(self, name: str) -> Handler:
        """The handler `name`, behind the rule that the candidate works only when it is asked to."""
        handler: Handler = getattr(self, name)

        def handle(message: Message) -> tuple[dict[str, Any], Any]:
            assert self.memory is not None
            self.memory.apply(message.body.get("events", ""))
            if not self.open_for_work:
                self.late += 1
                raise LaunchError("the kernel's code works on the device while nobody has called it.")
            try:
                return handler(message)
            except (BuildError, LaunchError, UnsupportedError) as error:
                if len(self.refusals) < _REFUSALS_KEPT:
                    self.refusals.append(str(error)[:400])
                raise

        return handle

    def serve(self) -> None:
        """Answers both until the judge is gone."""
        judge = judge_channel()
        asked_by_judge = {
            name: getattr(self, name)
            for name in ("open", "attach_memory", "attach_candidate", "listen", "begin", "finish", "forget")
        }
        asked_by_candidate = {name: self.for_candidate(name) for name in _OWN}
        while True:
            every = [judge] if self.candidate is None else [judge, self.candidate]
            ready, _, _ = select.select(every, [], [])
            try:
                if judge in ready:
                    answer(judge, asked_by_judge, judge.receive(raw=True, descriptors=True))
            except (ChannelClosed, KeyboardInterrupt):
                return
            if self.candidate is not None and self.candidate in ready:
                try:
                    answer(self.candidate, asked_by_candidate, self.candidate.receive(raw=True, timeout=_PATIENCE_SECONDS))
                except Exception:  # noqa: BLE001 - whatever the candidate sends, at worst it is not heard any more
                    self.candidate.close()
                    self.candidate = None


_PATIENCE_SECONDS = 30.0  # for the rest of a message that has begun


def _argument(given: Mapping[str, Any]) -> Any:
    """A launch argument as `emulated.remote` wrote it."""
    ((kind, value),) = given.items()
    if kind == "v" and (value is None or isinstance(value, int | float)):
        return value
    if kind == "p":
        return _Pointer(int(value))
    if kind == "b":
        return base64.b64decode(value)
    if kind == "n":
        name, data = value
        dtype = np.dtype(str(name))
        if dtype.hasobject:
            raise ProtocolError("a launch argument is a Python object")
        return np.frombuffer(base64.b64decode(data), dtype)[0]
    raise ProtocolError("a launch argument is none of ours")


def _pointers(arguments: Sequence[Any]) -> set[int]:
    """All addresses that launch arguments may hold, in structures too."""
    found: set[int] = set()
    for each in arguments:
        if isinstance(each, _Pointer):
            found.add(each.data_ptr())
        elif isinstance(each, int) and not isinstance(each, bool):
            found.add(each)
        elif isinstance(each, bytes | np.generic):
            raw = each if isinstance(each, bytes) else each.tobytes()
            whole = len(raw) // 8 * 8
            found.update(np.frombuffer(raw[:whole], np.uint64).tolist())
    return found


def main() -> None:
    """Serves the judge and one candidate."""
    DeviceProcess().serve()


if __name__ == "__main__":
    main()
