"""What host code may do beside its kernels: bytes read, outputs written, torch's share."""

from __future__ import annotations

import pytest
import torch

from kernelwright.sandbox.candidate import CallResult
from kernelwright.sandbox.launch import Counters, LaunchReport, OpRecord
from kernelwright.verifier.host_side import all_by_torch, only_moves, reads_back, writes_outputs


def result(
    *, pulled: int = 0, written: tuple[bool, ...] = (True,), outputs: tuple[torch.Tensor, ...] | None = None
) -> CallResult:
    given = (torch.ones(4),) if outputs is None else outputs
    return CallResult(given, (), (), (), (), written, (), pulled_bytes=pulled)


def ops(*names: str) -> list[OpRecord]:
    kinds = {"mm": "matmul", "addmm": "matmul", "bmm": "matmul", "convolution": "convolution", "index": "copy", "embedding": "copy",
             "clone": "copy", "index_select": "copy"}  # fmt: skip
    made = []
    for name in names:
        base = name.split(".")[0].rstrip("_")
        made.append(OpRecord(f"aten.{name}", 8, 8, 1, "float32", kinds.get(base, "pointwise"), ((2,),)))
    return made


@pytest.mark.parametrize(
    ("pulled", "elements", "reference", "refused"),
    [
        (0, 1000, (), False),
        (4, 1, (), False),  # one number of one
        (9, 4, (), True),
        (250, 1000, (), False),  # a sixteenth of 4000 bytes
        (251, 1000, (), True),
        (4096, 1 << 20, (), False),
        (4097, 1 << 20, (), True),
        (1000, 1000, ("_local_scalar_dense.default",), False),
        (1000, 1000, ("nonzero.default",), False),
        (5000, 1000, ("nonzero.default",), True),
    ],
)
def test_bytes_read_back(pulled: int, elements: int, reference: tuple[str, ...], refused: bool) -> None:
    said = reads_back(result(pulled=pulled), [torch.ones(elements)], ops(*reference))
    assert bool(said) is refused
    assert not refused or f"{pulled:,} bytes" in said


@pytest.mark.parametrize(
    ("written", "outputs", "refused"),
    [
        ((True,), (torch.ones(2),), False),
        ((False,), (torch.ones(2),), True),
        ((False, True), (torch.ones(2), torch.ones(2)), False),  # a constant beside what was computed
        ((True,), (torch.ones(0),), False),
        ((False, True), (torch.ones(2), torch.ones(0)), True),  # the empty one says nothing
    ],
)
def test_outputs_that_the_device_did_not_write(
    written: tuple[bool, ...], outputs: tuple[torch.Tensor, ...], refused: bool
) -> None:
    assert bool(writes_outputs(result(written=written, outputs=outputs))) is refused


@pytest.mark.parametrize(
    ("candidate", "reference", "refused"),
    [
        ((), ("_softmax.default",), False),
        (("_softmax.default",), ("_softmax.default",), True),
        (("mm.default", "mul.Tensor"), ("mm.default",), True),
        (("mul.Tensor",), ("mm.default",), False),
        (("mm.default",), ("addmm.default", "relu.default"), False),  # its kernel does the relu
        (("bmm.default", "relu_.default"), ("addmm.default", "relu.default"), True),
        (("add.Tensor",), ("add.Tensor", "add.Tensor"), False),
        (("index_select.default",), ("embedding.default",), True),
        (("clone.default",), ("_softmax.default", "clone.default"), False),
        (("clone.default",), (), False),
    ],
)
def test_torch_that_does_everything(candidate: tuple[str, ...], reference: tuple[str, ...], refused: bool) -> None:
    assert bool(all_by_torch(ops(*candidate), ops(*reference))) is refused


@pytest.mark.parametrize(
    ("executed", "candidate", "reference", "carries"),
    [
        ({"int": 40, "load_store": 9}, ("amax.default", "sub.Tensor", "exp.default"), ("_softmax.default",), True),
        ({"int": 40, "load_store": 9}, ("convolution.default",), ("mm.default",), True),
        ({"int": 40, "fp32": 1}, ("convolution.default",), ("mm.default",), False),  # it computes something itself
        ({"int": 40, "sfu": 1}, ("exp.default",), ("_softmax.default",), False),
        ({"int": 40}, (), ("t.default", "mm.default"), False),  # torch computes nothing
        ({"int": 40}, ("mm.default",), ("embedding.default", "mm.default"), False),  # the kernel gathers
        ({"int": 40}, ("_softmax.default",), ("where.self", "_softmax.default"), False),  # the kernel selects
        ({"int": 40}, ("addmm.default",), ("mm.default", "add.Tensor"), True),
    ],
)
def test_kernels_that_only_carry(
    executed: dict[str, int], candidate: tuple[str, ...], reference: tuple[str, ...], carries: bool
) -> None:
    report = LaunchReport("k", (1, 1, 1), (32, 1, 1), 0, Counters(warp_instructions=executed))
    assert bool(only_moves([report], ops(*candidate), ops(*reference))) is carries


def test_copies_of_the_device_are_no_operations_of_torch() -> None:
    copied = [OpRecord("copy", 8, 8, 0, "uint8", "copy", ((8,),))]
    assert not all_by_torch(copied, [OpRecord("aten.copy_.default", 8, 8, 0, "float32", "copy", ((2,),))])
