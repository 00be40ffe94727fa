"""A call at full size gives shapes and operations, and takes no memory."""

from __future__ import annotations

import torch

from kernelwright.sandbox.full_size import fake_tensors, fake_trace


def test_a_call_of_a_terabyte_has_shapes_bytes_and_flops() -> None:
    with fake_tensors(), torch.no_grad():
        x, w = torch.randn(1 << 20, 1 << 18), torch.nn.Parameter(torch.randn(1 << 18, 256))
        out, records = fake_trace(lambda: torch.relu(x @ w))
    assert tuple(out.shape) == (1 << 20, 256)
    assert [record.name for record in records] == ["aten.mm.default", "aten.relu.default"]
    product, relu = records
    assert product.flops == 2 * (1 << 20) * (1 << 18) * 256
    assert product.bytes_read == 4 * ((1 << 38) + (1 << 26))
    assert (relu.bytes_read, relu.bytes_written, relu.dtype) == (1 << 30, 1 << 30, "float32")
