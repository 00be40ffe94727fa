"""Operations of products that torch's registry leaves out, against counts of the same arithmetic written another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.optrace import trace_ops
from kernelwright.verifier.model.eager import op_time
from kernelwright.verifier.model.gpus import find_gpu

A, B = torch.randn(3, 16, 24), torch.randn(3, 24, 8)
LEFT, RIGHT = torch.randn(64, 96), torch.randn(96, 32)
STEPS = torch.randn(5, 2, 16)
LAYER = torch.nn.TransformerEncoderLayer(32, 4, 48, batch_first=True).eval()
LSTM = torch.nn.LSTM(16, 24)
WORDS = torch.randn(2, 10, 32)


def traced(call: Callable[[], Any]) -> list[OpRecord]:
    with torch.no_grad():
        return trace_ops(call)[1]


def counted(call: Callable[[], Any]) -> int:
    """What torch's own counter says."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def slowly(layer: torch.nn.TransformerEncoderLayer) -> torch.Tensor:
    """The layer's arithmetic by its parts, without the fused operation."""
    attention = layer.self_attn
    query, key, value = torch.nn.functional.linear(WORDS, attention.in_proj_weight).chunk(3, -1)
    heads = [each.unflatten(-1, (4, 8)).transpose(1, 2) for each in (query, key, value)]
    mixed = torch.softmax(heads[0] @ heads[1].mT, -1) @ heads[2]
    projected = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    found: torch.Tensor = layer.linear2(layer.linear1(projected))
    return found


def fused(layer: torch.nn.TransformerEncoderLayer) -> Any:
    """What the layer runs outside of any mode."""
    attention, first, second = layer.self_attn, layer.norm1, layer.norm2
    return torch._transformer_encoder_layer_fwd(
        WORDS, 32, 4, attention.in_proj_weight, attention.in_proj_bias, attention.out_proj.weight, attention.out_proj.bias,
        False, False, 1e-5, first.weight, first.bias, second.weight, second.bias,
        layer.linear1.weight, layer.linear1.bias, layer.linear2.weight, layer.linear2.bias,
    )  # fmt: skip


def steps() -> None:
    for step in STEPS:
        torch.mm(step, LSTM.weight_ih_l0.t())
        torch.mm(torch.zeros(2, 24), LSTM.weight_hh_l0.t())


@pytest.mark.parametrize(
    ("name", "call", "plainly"),
    [
        ("addbmm", lambda: torch.addbmm(torch.zeros(16, 8), A, B), lambda: torch.bmm(A, B)),
        ("_addmm_activation", lambda: torch._addmm_activation(torch.zeros(32), LEFT, RIGHT), lambda: LEFT @ RIGHT),
        ("_int_mm", lambda: torch._int_mm(LEFT.to(torch.int8), RIGHT.to(torch.int8)), lambda: LEFT @ RIGHT),
        ("_euclidean_dist", lambda: torch.cdist(LEFT, torch.ones(40, 96)), lambda: LEFT @ torch.ones(96, 40)),
        ("_transformer_encoder_layer_fwd", lambda: fused(LAYER), lambda: slowly(LAYER)),
        ("mkldnn_rnn_layer", lambda: LSTM(STEPS), steps),
    ],
)  # fmt: skip
def test_products_count_as_the_same_arithmetic_in_parts(
    name: str, call: Callable[[], Any], plainly: Callable[[], Any]
) -> None:
    (record,) = [op for op in traced(call) if op.name.split(".")[1] == name]
    assert record.kind == "matmul"
    assert record.flops == counted(plainly) > 0


def test_a_product_of_three_counts_every_element_of_the_sum() -> None:
    weight, left, right = torch.randn(6, 4, 5), torch.randn(3, 4), torch.randn(3, 5)
    (record,) = traced(lambda: torch.nn.functional.bilinear(left, right, weight))
    assert (record.name, record.kind) == ("aten._trilinear.default", "matmul")
    assert record.flops == 3 * (3 * 6 * 4 * 5)  # two multiplications and an addition


def test_what_solves_or_transforms_counts_too() -> None:
    upper, right = torch.eye(20).triu(), torch.randn(20, 7)
    transformed = torch.randn(4, 64, dtype=torch.complex64)
    for name, call, least in (
        ("linalg_solve_triangular", lambda: torch.linalg.solve_triangular(upper, right, upper=True), 20 * 20 * 7),
        ("_linalg_solve_ex", lambda: torch.linalg.solve(upper, right), 2 * 20 * 20 * 7 + 20**3 * 2 // 3),
        ("linalg_inv_ex", lambda: torch.linalg.inv(upper), 2 * 20**3),
        ("linalg_cholesky_ex", lambda: torch.linalg.cholesky(torch.eye(20)), 20**3 // 3),
        ("_fft_c2c", lambda: torch.fft.fft(transformed), 5 * 4 * 64 * 6),
    ):
        (record,) = [op for op in traced(call) if op.name.split(".")[1] == name]
        assert least <= record.flops <= least + 1, name


def test_the_fused_product_takes_no_less_than_the_plain_one() -> None:
    """It was priced by its bytes alone, so that a linear layer took less than its roofline bound."""
    gpu, x, w, bias = find_gpu("H200"), torch.randn(768, 768), torch.randn(768, 768), torch.zeros(768)
    (activated,) = traced(lambda: torch._addmm_activation(bias, x, w))
    (plain,) = traced(lambda: torch.addmm(bias, x, w))
    assert op_time(activated, gpu).seconds == pytest.approx(op_time(plain, gpu).seconds)


def test_sizes_that_say_less_than_the_operations_do_not_price_them() -> None:
    """The second and third operand look like a thin product; the work is that of the first two."""
    gpu, shapes = find_gpu("H200"), ((512, 512), (512, 512), (512, 1))
    three = OpRecord("aten._trilinear.default", 0, 0, 2 * 512**3, "float32", "matmul", shapes)
    assert op_time(three, gpu).terms["fp32"] >= three.flops / gpu.fp32_peak
