"""Tensors between the judge and a GPU's process: through segments that stay, whatever the process makes of them."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from kernelwright.errors import ProtocolError
from kernelwright.sandbox.candidate import CandidateFailure
from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.cuda.gpu_process import GpuProcess, Program
from kernelwright.sandbox.cuda.runtime import HostPins
from kernelwright.sandbox.cuda.shared_memory import ATTACH, JudgeMemory, WorkerMemory
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.reference import InitState
from kernelwright.sandbox.trees import same_bits, tensors_of

TREES: list[Any] = [
    [torch.arange(6.0).reshape(2, 3)],
    [torch.arange(12.0).reshape(3, 4).t(), {"mask": torch.tensor([True, False]), "n": 3}, (None, "text")],
    [torch.ones(1, 1).expand(3, 5), torch.empty(0, 4), torch.tensor(2.5, dtype=torch.float64)],
    [torch.randn(5, dtype=torch.complex64).conj(), torch.full((3,), float("nan"), dtype=torch.bfloat16)],
    [torch.arange(20, dtype=torch.int64)[3::4]],
]


class Process:
    """A worker without a process: what `Worker` does for a judge, on a worker's end in this one."""

    def __init__(self, answer: Callable[[Any], Any] | None = None) -> None:
        self.pins: list[tuple[str, int, int]] = []
        self.worker = WorkerMemory(self.pin, lambda address: self.pins.append(("unpin", address, 0)))
        self.change, self.closed, self.sent_otherwise = answer or (lambda values: values), False, 0
        self.forged: dict[str, Any] | None = None

    def pin(self, address: int, nbytes: int) -> str:
        self.pins.append(("pin", address, nbytes))
        return ""

    def hand_over(self, op: str, descriptor: int, *, timeout: float) -> Message:
        which = {ATTACH[each]: each for each in ATTACH}[op]
        return Message({"ok": True, "problem": self.worker.attach(which, os.dup(descriptor))}, None, None)

    def request(self, op: str, *, timeout: float, values: Any, max_bytes: int, **fields: Any) -> Message:
        self.sent_otherwise += values is not None
        given = self.worker.given(Message({"op": op, **fields}, values, None))
        answer = self.change(given)
        laid = self.worker.lay(answer)
        if self.forged is not None and laid is not None:
            laid = {"tree": laid["tree"], "rows": [{**laid["rows"][0], **self.forged}]}
        return Message({"ok": True} if laid is None else {"ok": True, "laid": laid}, answer, None)

    def close(self) -> None:
        self.closed = True


def memory_of(process: Process) -> JudgeMemory:
    return JudgeMemory(process)  # type: ignore[arg-type]


def same(one: Any, two: Any) -> bool:
    """Same structure, values to the bit, strides."""
    ours, theirs = tensors_of(one), tensors_of(two)
    return len(ours) == len(theirs) and all(
        same_bits(a.resolve_conj(), b) and (a.stride() == b.stride() or not a.numel())
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("tree", TREES)
def test_values_come_back_as_they_went(tree: Any) -> None:
    process = Process()
    found = memory_of(process).request("call", timeout=1.0, values=tree, reply_bytes=1 << 16).values
    assert same(tree, found)
    assert process.sent_otherwise == 0
    assert [type(each) for each in found] == [type(each) for each in tree]


def test_what_is_changed_afterwards_changes_nothing() -> None:
    process = Process()
    memory = memory_of(process)
    given = torch.arange(64.0)
    first = memory.request("call", timeout=1.0, values=[given], reply_bytes=1 << 16).values
    for segment in process.worker._segments.values():
        (ctypes.c_char * len(segment)).from_buffer(segment).raw = b"\xff" * len(segment)
    assert given.tolist() == first[0].tolist() == list(range(64))
    again = memory.request("call", timeout=1.0, values=[given], reply_bytes=1 << 16).values
    assert again[0].tolist() == list(range(64))  # written anew
    assert first[0].data_ptr() != again[0].data_ptr()


def test_segments_stay_and_grow_when_they_must() -> None:
    process = Process()
    memory = memory_of(process)
    for elements in (10, 1000, 1 << 18, 1 << 19, 10):
        memory.request("call", timeout=1.0, values=[torch.ones(elements)], reply_bytes=4 * elements)
    pinned = {address: nbytes for what, address, nbytes in process.pins if what == "pin"}
    sizes = sorted(nbytes for what, _, nbytes in process.pins if what == "pin")
    assert sizes == [
        1 << 20,
        1 << 20,
        1 << 21,
        1 << 21,
        1 << 22,
    ]  # three times for inputs, which have gaps, twice for outputs
    unpinned = [address for what, address, _ in process.pins if what == "unpin"]
    assert len(unpinned) == 3
    assert set(unpinned) <= set(pinned)


def test_what_is_too_large_for_a_segment_goes_in_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernelwright.sandbox.cuda.shared_memory._MOST_BYTES", 1 << 20)
    process = Process()
    tree = [torch.ones(1 << 19)]
    found = memory_of(process).request("call", timeout=1.0, values=tree, reply_bytes=1 << 22)
    assert process.sent_otherwise == 1
    assert "laid" not in found.body
    assert same(tree, found.values)


@pytest.mark.parametrize(
    "forged",
    [
        {"offset": 1 << 40}, {"offset": -4}, {"nbytes": 1 << 40}, {"shape": [1 << 40]}, {"shape": [2**70, 0]}, {"dtype": "object"},
        {"shape": ["a"]}, {"stride": [-1]}, {"shape": [1.5, float("inf")]}, {"shape": [1] * 65, "stride": [1] * 65}, {"offset": None},
    ],
)  # fmt: skip
def test_rows_that_lie_are_refused_and_end_the_process(forged: dict[str, Any]) -> None:
    process = Process()
    process.forged = forged
    with pytest.raises(ProtocolError):
        memory_of(process).request("call", timeout=1.0, values=[torch.ones(8)], reply_bytes=1 << 16)
    assert process.closed


def test_more_than_was_asked_for_is_refused() -> None:
    process = Process(lambda values: [torch.ones(1 << 16)])
    with pytest.raises(ProtocolError, match="more data"):
        memory_of(process).request("call", timeout=1.0, values=[torch.ones(8)], reply_bytes=1 << 20, max_bytes=1 << 10)
    assert process.closed


@pytest.mark.parametrize("laid", [7, {}, {"rows": 3}, {"rows": [], "tree": {"t": 0}}, {"rows": [[]], "tree": {"v": 1}}])
def test_answers_outside_the_schema_are_refused(laid: Any) -> None:
    class Forger(Process):
        def request(self, op: str, *, timeout: float, values: Any, max_bytes: int, **fields: Any) -> Message:
            return Message({"ok": True, "laid": laid}, None, None)

    process = Forger()
    with pytest.raises(ProtocolError):
        memory_of(process).request("call", timeout=1.0, values=[torch.ones(8)], reply_bytes=1 << 16)
    assert process.closed


class Cudart:
    """CUDA's runtime as `torch.cuda.cudart()` gives it: functions that return a status."""

    def __init__(self, status: int = 0) -> None:
        self.status, self.asked = status, list[tuple[int, ...]]()

    def cudaHostRegister(self, address: int, nbytes: int, flags: int) -> int:
        self.asked.append((address, nbytes, flags))
        return self.status

    def cudaHostUnregister(self, address: int) -> int:
        self.asked.append((address,))
        return self.status


def test_a_segment_is_registered_with_the_driver_where_it_is_mapped() -> None:
    cudart = Cudart()
    pins = HostPins(cudart)
    worker = WorkerMemory(pins.pin, pins.unpin)
    descriptor = os.memfd_create("test")
    os.ftruncate(descriptor, 3 * mmap.PAGESIZE)
    assert worker.attach("inputs", descriptor) == ""
    ((address, nbytes, flags),) = cudart.asked
    os.pwrite(descriptor, b"here", mmap.PAGESIZE)
    assert (ctypes.string_at(address + mmap.PAGESIZE, 4), nbytes, flags) == (b"here", 3 * mmap.PAGESIZE, 0)
    assert worker.attach("inputs", descriptor) == ""
    assert cudart.asked[1] == (address,)
    os.close(descriptor)


def test_a_driver_that_refuses_is_said_and_nothing_is_undone() -> None:
    cudart = Cudart(2)
    pins = HostPins(cudart)
    worker = WorkerMemory(pins.pin, pins.unpin)
    descriptor = os.memfd_create("test")
    os.ftruncate(descriptor, mmap.PAGESIZE)
    assert worker.attach("inputs", descriptor) == "cudaHostRegister answers with error 2"
    worker.attach("inputs", descriptor)
    assert [len(each) for each in cudart.asked] == [3, 3]
    os.close(descriptor)


MODULE = """
import torch
class ModelNew(torch.nn.Module):
    def forward(self, x, y):
        return [x.t(), y + 1, x[:1].expand(4, x.shape[1])]
"""


@pytest.fixture
def process() -> Iterator[GpuProcess]:
    with GpuProcess(Program(MODULE), Device("cuda", "H200", "sm_90", "process"), runtime="emulated") as opened:
        opened.open()
        opened.load()
        opened.build(InitState([], {}), seed=1)
        yield opened


def test_a_real_process_is_asked_through_them(process: GpuProcess) -> None:
    x, y = torch.randn(3, 5), torch.arange(4)
    for _ in range(2):
        result, _ = process.call([x, y], expected=[x.nbytes, y.nbytes, x.nbytes])
        one, two, three = result.outputs
        assert same([x.t(), y + 1, x[:1].expand(4, 5)], [one, two, three])
        assert same([x, y], list(result.inputs_after))
    assert process.pinned == {"inputs": "there is no driver to pin it", "outputs": "there is no driver to pin it"}
    process.stage([[x, y], [x + 1, y]])
    process.repeat([1, 0], cold=False)
    first, second = process.fetch([0, 1], expected_bytes=x.nbytes * 2 + y.nbytes)
    assert same([x.t() + 1], first[:1])
    assert same([x.t()], second[:1])


def test_outputs_far_larger_than_expected_come_too(process: GpuProcess) -> None:
    x = torch.ones(1 << 10, 1 << 10)
    result, _ = process.call([x, torch.arange(4)], expected=[4])
    assert same([x.t()], result.outputs[:1])


def test_a_candidate_that_forges_an_answer_is_refused(process: GpuProcess) -> None:
    forger = MODULE.replace(
        "        return",
        "        import kernelwright.sandbox.cuda.worker as w, sys\n"
        "        main = sys.modules['__main__']\n"
        "        main.WorkerMemory.lay = lambda self, values: {'tree': {'t': 0}, 'rows': [{'dtype': 'float32', 'shape': [9],"
        " 'stride': [1], 'offset': 1 << 50, 'nbytes': 36}]}\n"
        "        return",
    )
    with GpuProcess(Program(forger), Device("cuda", "H200", "sm_90", "process"), runtime="emulated") as hostile:
        hostile.open()
        hostile.load()
        hostile.build(InitState([], {}), seed=1)
        with pytest.raises(CandidateFailure) as caught:
            hostile.call([torch.ones(2, 2), torch.ones(1)], expected=[16])
    assert caught.value.kind == "protocol"
    assert not hostile.alive
