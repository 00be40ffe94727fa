"""The device process: it is the candidate's GPU. It compiles and runs the candidate's kernels, and the judge believes it.

Run with ``python -m kernelwright.sandbox.device_worker FD``; `kernelwright.sandbox.device_process` is its end at the judge.
The judge lays out the inputs of a call here and fetches the outputs; the candidate (`emulated.remote`) sends sources,
launches and ATen operations and never sees what the memory holds. Nothing of the candidate's runs in this process but
kernels, translated and checked.
"""

from __future__ import annotations

import base64
import select
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelwright.errors import BuildError, LaunchError, ProtocolError, UnsupportedError
from kernelwright.sandbox import arena
from kernelwright.sandbox.channel import Channel, ChannelClosed, ChannelTimeout, Message, Regions
from kernelwright.sandbox.device_memory import DeviceMemory
from kernelwright.sandbox.emulated.session import Session
from kernelwright.sandbox.emulator.module import Module
from kernelwright.sandbox.hostcode.authors import PreludeLines
from kernelwright.sandbox.launch import LaunchOptions, OpRecord
from kernelwright.sandbox.serve import Handler, answer, judge_channel
from kernelwright.sandbox.tensor_memory import row_bytes

if TYPE_CHECKING:
    from kernelwright.sandbox.replay import Replayer

_REFUSALS_KEPT = 20  # of one call
_NAME_KEPT = 200  # characters of a name that the candidate gives
_PATTERN_BYTES = 16  # the largest element: complex128
_OF_JUDGE = ("open", "attach_memory", "attach_candidate", "listen", "begin", "finish", "forget")
_OF_CANDIDATE = (
    "flush",
    "compile",
    "launch",
    "operation",
    "pull",
    "scalar",
    "wrote",
    "variable",
    "write",
    "copy",
    "fill",
)
_MOST_MODULES = 4096  # of one candidate
_PATIENCE_SECONDS = 10.0  # for the rest of a message that has begun


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
        self.modules: list[Module] = []
        self.open_for_work = False
        """Whether the judge waits for the candidate: what it sends at other times is refused."""
        self.trace = False
        self.operations: list[OpRecord] = []
        self.replayer: Replayer | None = None
        self.refusals: list[str] = []
        self.late = 0
        """Requests of the candidate that came while nobody had called it, since they were last reported."""

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
        message.descriptor = None
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
        self.operations, self.refusals = [], []
        addresses = self.memory.lay_out(message.rows, message.memory)
        self.open_for_work = True
        return {"addresses": addresses, "late": self._take_late()}, None

    def _take_late(self) -> int:
        taken, self.late = self.late, 0
        return taken

    def finish(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Ends a call: the outputs (by address, as the candidate names them), the inputs, and all that was seen."""
        assert self.session is not None
        assert self.memory is not None
        memory, self.open_for_work, self.session.suppressed = self.memory, False, False
        rows: list[dict[str, Any]] = message.body["outputs"]
        outside = next((i for i, row in enumerate(rows) if not memory.holds(row["address"], row_bytes(row))), None)
        if outside is not None:
            rows = []
        memory.synchronise([row["address"] for row in rows if row_bytes(row)])
        reports = self.session.take_reports()
        fields = {
            "outside": outside,
            "reports": [report.to_json() for report in reports],
            "ops": [record.to_json() for record in [*self.operations, *memory.take_uploads()]] if self.trace else [],
            "pulled_bytes": memory.take_pulled(),
            "refusals": self.refusals,
            "written": [bool(not row_bytes(row) or memory.is_written(row["address"])) for row in rows],
        }
        if self.replayer is not None:
            self.replayer.drop()
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

    def flush(self, _message: Message) -> tuple[dict[str, Any], Any]:
        """Nothing but what travels ahead of every request."""
        return {}, None

    def compile(self, message: Message) -> tuple[dict[str, Any], Any]:
        """CUDA C++ to a module; returns its number."""
        assert self.session is not None
        body = message.body
        if len(self.modules) >= _MOST_MODULES:
            raise LaunchError("the kernel compiles too many modules.")
        module = self.session.compile(
            str(body["source"]), list(map(str, body["options"])), list(map(str, body["names"]))
        )
        self.modules.append(module)
        return {
            "module": len(self.modules) - 1,
            "kernels": list(module.kernels),
            "lowered_names": dict(module.build.lowered_names),
            "resources": {name: asdict(used) for name, used in module.resources.items()},
        }, None

    def _module(self, number: int) -> Module:
        if not 0 <= number < len(self.modules):
            raise LaunchError("there is no such module.")
        return self.modules[number]

    def launch(self, message: Message) -> tuple[dict[str, Any], Any]:
        """One launch."""
        assert self.session is not None
        assert self.memory is not None
        body = message.body
        arguments = [_argument(each) for each in body["arguments"]]
        self.memory.synchronise(_pointers(arguments))
        self._keep_uploads()
        if body.get("limits"):
            stack, heap = map(int, body["limits"])
            self.session.set_limits(stack_bytes=stack, heap_bytes=heap)
        lines = PreludeLines.from_json(body["lines"]) if body.get("lines") else None
        x, y, z = map(int, body["grid"])
        u, v, w = map(int, body["block"])
        module, name = self._module(int(body["module"])), str(body["name"])
        self.session.launch(module, name, (x, y, z), (u, v, w), arguments, int(body["shared"]), lines)
        self.memory.note_written()
        return {}, None

    def operation(self, message: Message) -> tuple[dict[str, Any], Any]:
        """One ATen operation on tensors of this device; its results wait for `place`."""
        # torch takes a second to import: a kernel that leaves nothing to it does without
        from kernelwright.sandbox.replay import Replayer

        assert self.memory is not None
        if self.replayer is None:
            self.replayer = Replayer(self.memory)
        fields, records = self.replayer.run(message, trace=self.trace)
        self._keep_uploads()
        self.operations += records
        return fields, None

    def _keep_uploads(self) -> None:
        assert self.memory is not None
        uploads = self.memory.take_uploads()
        if self.trace:
            self.operations += uploads

    def pull(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Shows the candidate what these ranges hold; it is counted."""
        assert self.memory is not None
        for address, count in message.body["ranges"]:
            self.memory.pull(int(address), int(count))
        return {}, None

    def scalar(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Shows the candidate bytes (`Tensor.item`, a copy to host memory); it is counted."""
        assert self.memory is not None
        data = self.memory.peek(int(message.body["address"]), int(message.body["count"]))
        return {"bytes": base64.b64encode(data).decode()}, None

    def wrote(self, message: Message) -> tuple[dict[str, Any], Any]:
        """The candidate's host code has written allocations: their contents are taken over."""
        assert self.memory is not None
        for address in message.body["addresses"]:
            self.memory.take_over(int(address))
        return {}, None

    def variable(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Where a variable of a module lies; `expose` lets kernels of other modules reach it, under that name."""
        assert self.session is not None
        assert self.memory is not None
        address, size = self._module(int(message.body["module"])).global_pointer(str(message.body["name"]))
        self.memory.add_variable(address, size)
        if message.body.get("expose"):
            self.session.expose(address, size, str(message.body["expose"])[:_NAME_KEPT])
        return {"address": address, "size": size}, None

    def write(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Host bytes into the device's memory."""
        assert self.memory is not None
        self.memory.write(int(message.body["address"]), base64.b64decode(message.body["bytes"]))
        self._keep_uploads()
        return {}, None

    def copy(self, message: Message) -> tuple[dict[str, Any], Any]:
        """From device memory to device memory."""
        assert self.memory is not None
        count = int(message.body["count"])
        self.memory.copy(int(message.body["to"]), int(message.body["from"]), count)
        self._moved("copy", count, count)
        return {}, None

    def fill(self, message: Message) -> tuple[dict[str, Any], Any]:
        """Repeats a few bytes over a range of device memory."""
        assert self.memory is not None
        count = int(message.body["count"])
        pattern = base64.b64decode(message.body["pattern"])
        if not 0 < len(pattern) <= _PATTERN_BYTES or count % len(pattern):
            raise LaunchError("that is no pattern to fill memory with.")
        self.memory.fill(int(message.body["address"]), pattern, count)
        self._moved("fill", 0, count)
        return {}, None

    def _moved(self, name: str, read: int, written: int) -> None:
        self._keep_uploads()
        if self.trace:
            self.operations.append(OpRecord(name, read, written, 0, "uint8", "copy", ((written,),)))

    def _ahead(self, given: Sequence[Any]) -> None:
        """What happened at the candidate before its request, in order: allocations, room for results, names."""
        assert self.memory is not None
        for kind, value in given:
            if kind == "events":
                self.memory.apply(str(value))
            elif kind == "place" and self.replayer is not None:
                self.replayer.place([int(address) for address in value])
            elif kind == "label":
                for address, name in value:
                    self.memory.label(int(address), str(name)[:_NAME_KEPT])
            else:
                raise ProtocolError("the candidate sent a message that is no request of ours")

    # -- the loop ---------------------------------------------------------------------------------------------------

    def for_candidate(self, name: str) -> Handler:
        """The handler `name`, behind the rule that the candidate works only when it is asked to."""
        handler: Handler = getattr(self, name)

        def handle(message: Message) -> tuple[dict[str, Any], Any]:
            if not self.open_for_work:
                self.late += 1
                raise LaunchError("the kernel's code works on the device while nobody has called it.")
            self._ahead(message.body.get("ahead", ()))
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
        asked_by_judge = {name: getattr(self, name) for name in _OF_JUDGE}
        asked_by_candidate = {name: self.for_candidate(name) for name in _OF_CANDIDATE}
        while True:
            every = [judge] if self.candidate is None else [judge, self.candidate]
            ready, _, _ = select.select(every, [], [])
            if judge in ready:
                try:
                    answer(judge, asked_by_judge, judge.receive(raw=True, descriptors=True))
                except (ChannelClosed, KeyboardInterrupt):
                    return
            elif self.candidate is not None:
                try:
                    asked = self.candidate.receive(raw=True, timeout=_PATIENCE_SECONDS)
                    answer(self.candidate, asked_by_candidate, asked)
                except (ChannelClosed, ChannelTimeout, ProtocolError, OSError, ValueError):
                    # it is gone, or sends what is no message: it is not heard any more
                    self.candidate.close()
                    self.candidate = None


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
