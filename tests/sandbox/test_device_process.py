"""The emulated GPU as a process of its own, against a peer that plays the candidate and does what no honest one would."""

from __future__ import annotations

import base64
import mmap
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from kernelwright.sandbox import arena
from kernelwright.sandbox.channel import Channel, ChannelClosed, Message
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.device_process import DeviceProcess
from kernelwright.sandbox.launch import LaunchOptions
from kernelwright.sandbox.process import Limits

ADD = 'extern "C" __global__ void add(const float* x, float* y, float a) { y[threadIdx.x] = x[threadIdx.x] + a; }'
COUNT = 32
NBYTES = 4 * COUNT
OUT = arena.HEAP_BASE + 4096


class Peer:
    """The candidate's side: the memory file and the socket, and no other code of ours."""

    def __init__(self) -> None:
        self.memory: mmap.mmap | None = None
        self.sock: socket.socket | None = None

    def hand_over(self, op: str, descriptor: int, *, timeout: float) -> Message:
        """As `Worker.hand_over`."""
        if op == "attach_memory":
            self.memory = mmap.mmap(descriptor, arena.SIZE)
        else:
            self.sock = socket.socket(fileno=os.dup(descriptor))
        return Message({"ok": True}, None, None)

    def close(self) -> None:
        """Hangs up."""
        if self.sock is not None:
            self.sock.close()

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """One request in the protocol."""
        assert self.sock is not None
        channel = Channel(self.sock)
        channel.send({"op": op, **fields})
        return channel.receive(timeout=60).body

    def at(self, address: int, count: int) -> bytes:
        """What the candidate would read at an address."""
        assert self.memory is not None
        return self.memory[address - arena.BASE : address - arena.BASE + count]

    def put(self, address: int, data: bytes) -> None:
        """What the candidate writes there."""
        assert self.memory is not None
        self.memory[address - arena.BASE : address - arena.BASE + len(data)] = data


def events(*pairs: tuple[int, int]) -> list[Any]:
    return ["events", base64.b64encode(np.array(pairs, np.uint64).tobytes()).decode()]


def row(address: int, count: int = COUNT) -> dict[str, Any]:
    return {"address": address, "dtype": "float32", "shape": [count], "stride": [1]}


@contextmanager
def joined() -> Iterator[tuple[DeviceProcess, Peer]]:
    gpu, peer = DeviceProcess(Device("emulator", "H200", "sm_90", "process"), Limits(call_seconds=20)), Peer()
    try:
        gpu.open(LaunchOptions(), peer)  # type: ignore[arg-type]
        yield gpu, peer
    finally:
        peer.close()
        gpu.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[DeviceProcess, Peer]]:
    with joined() as made:
        yield made


@pytest.fixture
def gpu(pair: tuple[DeviceProcess, Peer]) -> DeviceProcess:
    return pair[0]


@pytest.fixture
def peer(pair: tuple[DeviceProcess, Peer]) -> Peer:
    return pair[1]


def launch(peer: Peer, x: int, y: int, a: float = 1.0, ahead: list[Any] | None = None) -> dict[str, Any]:
    compiled = peer.ask("compile", source=ADD, options=[], names=[])
    assert compiled["ok"], compiled
    number = np.float32(a)
    return peer.ask(
        "launch", ahead=ahead or [], module=compiled["module"], name="add", grid=[1, 1, 1], block=[COUNT, 1, 1],
        arguments=[{"p": x}, {"p": y}, {"n": [number.dtype.str, base64.b64encode(number.tobytes()).decode()]}], shared=0,
    )  # fmt: skip


def test_a_kernel_runs_on_inputs_that_its_host_code_can_not_see(gpu: DeviceProcess, peer: Peer) -> None:
    given = torch.randn(COUNT)
    begun = gpu.begin([given], suppressed=False, trace=False)
    at = begun.rows[0]["address"]
    assert launch(peer, at, OUT, 2.0, [events((OUT, NBYTES))])["ok"]
    assert peer.at(at, NBYTES) == bytes(NBYTES)
    assert peer.at(OUT, NBYTES) == bytes(NBYTES)
    done = gpu.finish([row(OUT)])
    assert torch.equal(done.outputs[0], given + 2.0)
    assert torch.equal(done.inputs_after[0], given)
    assert done.written == (True,)
    assert [r.kernel for r in done.reports] == ["add"]
    assert done.pulled_bytes == 0


def test_memory_that_the_device_wrote_can_not_be_changed_by_the_host(gpu: DeviceProcess, peer: Peer) -> None:
    begun = gpu.begin([torch.zeros(COUNT)], suppressed=False, trace=False)
    at = begun.rows[0]["address"]
    assert launch(peer, at, OUT, 3.0, [events((OUT, NBYTES))])["ok"]
    for address in (at, OUT):
        peer.put(address, np.full(COUNT, 9.0, np.float32).tobytes())
    assert torch.equal(gpu.finish([row(OUT)]).outputs[0], torch.full((COUNT,), 3.0))


def test_what_the_host_writes_reaches_a_kernel_and_is_priced(gpu: DeviceProcess, peer: Peer) -> None:
    gpu.begin([torch.zeros(COUNT)], suppressed=False, trace=True)
    table = OUT + 8192
    peer.put(table, np.arange(COUNT, dtype=np.float32).tobytes())
    assert launch(peer, table, OUT, 1.0, [events((OUT, NBYTES), (table, NBYTES))])["ok"]
    done = gpu.finish([row(OUT), row(table)])
    assert torch.equal(done.outputs[0], torch.arange(COUNT) + 1.0)
    assert done.written == (True, False)
    assert [(op.name, op.bytes_written) for op in done.ops][:1] == [("host to device", NBYTES)]


def test_pulled_bytes_are_counted_and_gone_after_the_call(gpu: DeviceProcess, peer: Peer) -> None:
    given = torch.randn(COUNT)
    at = gpu.begin([given], suppressed=False, trace=False).rows[0]["address"]
    assert peer.ask("pull", ranges=[[at, 8]])["ok"]
    assert peer.at(at, NBYTES) == given.numpy().tobytes()[:8] + bytes(NBYTES - 8)
    assert len(base64.b64decode(peer.ask("scalar", address=at + 8, count=4)["bytes"])) == 4
    assert gpu.finish([]).pulled_bytes == 12
    gpu.forget()
    assert peer.at(at, 8) == bytes(8)


def test_suppressed_launches_do_nothing_and_say_nothing(gpu: DeviceProcess, peer: Peer) -> None:
    begun = gpu.begin([torch.zeros(COUNT)], suppressed=True, trace=False)
    peer.put(OUT, b"\xff" * NBYTES)  # as the candidate's allocator leaves it
    assert launch(peer, begun.rows[0]["address"], OUT, 2.0, [events((OUT, NBYTES))])["ok"]
    done = gpu.finish([row(OUT)])
    assert not done.outputs[0].isfinite().any()
    assert (done.reports, done.written) == ((), (False,))


def test_work_after_the_call_is_refused_and_reported(gpu: DeviceProcess, peer: Peer) -> None:
    at = gpu.begin([torch.zeros(COUNT)], suppressed=False, trace=False).rows[0]["address"]
    gpu.finish([])
    gpu.forget()
    late = peer.ask("pull", ranges=[[at, 4]])
    assert not late["ok"]
    assert "nobody has called it" in late["error"]["message"]
    assert gpu.begin([torch.zeros(COUNT)], suppressed=False, trace=False).late == 1


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("no_such_thing", {}),
        ("open", {"arch": "sm_90", "call_seconds": 1e9, "options": {}}),
        ("finish", {"outputs": []}),
        ("launch", {"module": 99, "name": "add", "grid": [1, 1, 1], "block": [1, 1, 1], "arguments": [], "shared": 0}),
        ("pull", {"ranges": [[0x400000, 64]]}),
        ("pull", {"ranges": [[arena.BASE, 1 << 40]]}),
        ("scalar", {"address": OUT, "count": -4}),
        ("write", {"address": 0x400000, "bytes": "AAAA"}),
        ("copy", {"to": OUT, "from": 0x400000, "count": 64}),
        ("fill", {"address": OUT, "count": 1 << 40, "pattern": "AA=="}),
        ("variable", {"module": -1, "name": "x"}),
        ("compile", {"source": "no C++ at all", "options": [], "names": []}),
        ("flush", {"ahead": [["events", base64.b64encode(np.array([64, 64], np.uint64).tobytes()).decode()]]}),
        ("flush", {"ahead": [["unknown", 1]]}),
        ("flush", {"ahead": 7}),
        *(
            ("operation", {"name": name, "overload": "default", "args": [], "keywords": {}, "tensors": []})
            for name in ("aten::from_file", "aten::_cholesky_helper", "prim::device", "aten::__init__", "x")
        ),
        ("operation", {"name": "aten::relu", "overload": "default", "args": [{"t": 0}], "keywords": {},
                       "tensors": [row(0x400000)]}),
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_the_device_goes_on(
    gpu: DeviceProcess, peer: Peer, op: str, fields: dict[str, Any]
) -> None:
    given = torch.randn(COUNT)
    at = gpu.begin([given], suppressed=False, trace=False).rows[0]["address"]
    assert not peer.ask(op, **fields)["ok"]
    assert launch(peer, at, OUT, 1.0, [events((OUT, NBYTES))])["ok"]
    assert torch.equal(gpu.finish([row(OUT)]).outputs[0], given + 1.0)


@pytest.mark.parametrize(
    "raw", [b"\x07\x00\x00\x00\x00garbage", struct.pack("<IB", 1 << 31, 0), struct.pack("<IB", 2, 0) + b"{}", b"\x01"]
)
def test_a_peer_that_speaks_no_protocol_or_dies_is_not_heard_any_more(raw: bytes) -> None:
    given = torch.randn(COUNT)
    with joined() as (gpu, peer):
        gpu.begin([given], suppressed=False, trace=False)
        assert peer.sock is not None
        peer.sock.sendall(raw)
        peer.sock.shutdown(socket.SHUT_WR)
        with pytest.raises((ChannelClosed, OSError)):
            Channel(peer.sock).receive(timeout=60)
        assert torch.equal(gpu.finish([]).inputs_after[0], given)


def test_an_output_outside_the_devices_memory_is_told(gpu: DeviceProcess, peer: Peer) -> None:
    gpu.begin([torch.zeros(COUNT)], suppressed=False, trace=False)
    assert gpu.finish([row(arena.HEAP_BASE + 64)]).outside == 0
