"""The op trace: which ATen operations are recorded, with which bytes, FLOPs and kind."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.optrace import trace_ops

X = torch.arange(256 * 512, dtype=torch.float32).reshape(256, 512) / 1000
W, B = torch.ones(128, 512), torch.ones(128)
TARGETS = torch.arange(256)
TABLE = torch.ones(1000, 64)
IMAGE, FILTERS = torch.ones(2, 3, 16, 16), torch.ones(8, 3, 3, 3)
OUTPUT = torch.randn(2, 8, 14, 14)
Q = torch.ones(1, 2, 16, 8)
N, FOUR = 256 * 512, 4

contexts = pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])


def record(fn, context=torch.no_grad) -> list[OpRecord]:
    with context():
        return trace_ops(fn)[1]


@contexts
@pytest.mark.parametrize(
    ("fn", "name", "kind", "read", "written", "flops"),
    [
        (lambda: torch.softmax(X, -1), "aten._softmax.default", "reduction", N * 4, N * 4, N),
        (lambda: F.layer_norm(X, (512,)), "aten.native_layer_norm.default", "reduction", N * 4, N * 4 + 2 * 256 * 4, N),
        (lambda: F.gelu(X), "aten.gelu.default", "pointwise", N * 4, N * 4, N),
        (lambda: F.silu(X), "aten.silu.default", "pointwise", N * 4, N * 4, N),
        (lambda: X.sum(), "aten.sum.default", "reduction", N * 4, 4, N),
        (lambda: X.argmax(-1), "aten.argmax.default", "reduction", N * 4, 256 * 8, N),
        (lambda: X.max(-1), "aten.max.dim", "reduction", N * 4, 256 * 12, N),
        (lambda: torch.max(X, X), "aten.maximum.default", "pointwise", N * 4, N * 4, N),
        (lambda: torch.cat([X, X + 0 * X]), "aten.cat.default", "copy", 2 * N * 4, 2 * N * 4, 0),
        (lambda: X.t().contiguous(), "aten.clone.default", "copy", N * 4, N * 4, 0),
        (lambda: X.half(), "aten._to_copy.default", "copy", N * 4, N * 2, 0),
        (lambda: torch.empty(256, 512).copy_(X), "aten.copy_.default", "copy", N * 4, N * 4, 0),
        (lambda: F.linear(X, W, B), "aten.addmm.default", "matmul", (N + 128 * 512 + 128) * 4, 256 * 128 * 4, 2 * N * 128),
        (lambda: X @ W.t(), "aten.mm.default", "matmul", (N + 128 * 512) * 4, 256 * 128 * 4, 2 * N * 128),
        (lambda: X @ X[0], "aten.mv.default", "matmul", N * 4, 256 * 4, 2 * N),
        (lambda: torch.matmul(Q, Q.mT), "aten.bmm.default", "matmul", 256 * 4, 512 * 4, 2 * 2 * 16 * 16 * 8),
        (
            lambda: F.conv2d(IMAGE, FILTERS),
            "aten.convolution.default",
            "convolution",
            (IMAGE.numel() + FILTERS.numel()) * 4,
            2 * 8 * 14 * 14 * 4,
            2 * 2 * 8 * 14 * 14 * 27,
        ),
        (
            lambda: torch.ops.aten.convolution_backward(
                OUTPUT, IMAGE, FILTERS, [0], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, False]
            ),
            "aten.convolution_backward.default",
            "convolution",
            (OUTPUT.numel() + IMAGE.numel() + FILTERS.numel()) * 4,
            (IMAGE.numel() + FILTERS.numel()) * 4,
            2 * (2 * 2 * 8 * 14 * 14 * 27),  # one product for each gradient
        ),
        (lambda: F.embedding(TARGETS, TABLE), "aten.embedding.default", "copy", 256 * 8 + 256 * 64 * 4, 256 * 64 * 4, 0),
        (lambda: X[TARGETS[:16]], "aten.index.Tensor", "copy", 16 * 8 + 16 * 512 * 4, 16 * 512 * 4, 0),
        (lambda: X + X[0].expand(256, 512), "aten.add.Tensor", "pointwise", N * 4, N * 4, N),
        (lambda: X.cumsum(-1), "aten.cumsum.default", "other", N * 4, N * 4, 0),
        (lambda: X.std(-1), "aten.std.correction", "reduction", N * 4, 256 * 4, N),
    ],
)  # fmt: skip
def test_known_operations(context, fn, name, kind, read, written, flops):
    last = record(fn, context)[-1]
    assert (last.name, last.kind) == (name, kind)
    assert (last.bytes_read, last.bytes_written, last.flops) == (read, written, flops)
    assert last.dtype == "float32"


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
def test_gradients_of_a_convolution_take_what_forward_takes_for_each(transposed, groups):
    x, weight = torch.ones(2, 3, 16, 16, requires_grad=True), torch.ones(3, 6 // groups, 4, 4, requires_grad=True)
    if not transposed:
        weight = torch.ones(6, 3 // groups, 4, 4, requires_grad=True)
    convolve = F.conv_transpose2d if transposed else F.conv2d
    out, (forward,) = trace_ops(lambda: convolve(x, weight, groups=groups))
    *_, backward = trace_ops(lambda: torch.autograd.grad(out, [x, weight], torch.ones_like(out)))[1]
    assert backward.name == "aten.convolution_backward.default"
    assert forward.flops == 2 * 2 * 18 // groups * 16 * (256 if transposed else 169)
    assert backward.flops == 2 * forward.flops


@contexts
def test_cross_entropy_is_two_operations(context):
    ops = record(lambda: F.cross_entropy(X, TARGETS), context)
    assert [op.name for op in ops] == ["aten._log_softmax.default", "aten.nll_loss_forward.default"]
    # the loss picks one element a row
    assert ops[1].bytes_read == 256 * 4 + 256 * 8


@contexts
def test_rms_norm_is_the_one_kernel_it_is_on_a_gpu(context):
    weight = torch.ones(512)
    (op,) = record(lambda: F.rms_norm(X, (512,), weight), context)
    assert (op.name, op.kind) == ("aten._fused_rms_norm.default", "reduction")
    assert op.bytes_read == (N + 512) * 4
    assert op.bytes_written == (N + 256) * 4
    module = torch.nn.RMSNorm(512)
    assert [o.name for o in record(lambda: module(X), context)] == [op.name]


@contexts
def test_attention_has_its_flops(context):
    (op,) = record(lambda: F.scaled_dot_product_attention(Q, Q, Q), context)
    assert op.kind == "matmul"
    assert op.flops == 2 * (2 * 2 * 16 * 16 * 8)  # two products, two heads


@contexts
@pytest.mark.parametrize(("queries", "keys", "pairs"), [(16, 16, 136), (5, 9, 15), (9, 5, 15 + 4 * 5), (7, 1, 7)])
def test_causal_attention_counts_the_keys_that_are_seen(context, queries, keys, pairs):
    q, k = torch.randn(1, 2, queries, 8), torch.randn(1, 2, keys, 8)
    assert int(torch.ones(queries, keys).tril().sum()) == pairs
    (op,) = record(lambda: F.scaled_dot_product_attention(q, k, k, is_causal=True), context)
    assert op.flops == 2 * (2 * 2 * pairs * 8)


@contexts
def test_grouped_heads_count_for_each_query(context):
    q, k = torch.randn(1, 6, 16, 8), torch.randn(1, 2, 16, 8)
    (op,) = record(lambda: F.scaled_dot_product_attention(q, k, k, enable_gqa=True), context)
    assert op.flops == 2 * (2 * 6 * 16 * 16 * 8)


@contexts
def test_views_allocations_and_idle_dropout_are_not_recorded(context):
    def fn():
        y = X.view(-1)[:100].reshape(10, 10).t().unsqueeze(0).expand(3, 10, 10)
        torch.empty(5)
        torch.empty_like(X)
        return F.dropout(y.detach(), 0.5, training=False)

    assert record(fn, context) == []


def test_in_place_operations_read_and_write_their_target():
    (_, op) = record(lambda: X.clone().mul_(2))
    assert (op.name, op.bytes_read, op.bytes_written) == ("aten.mul_.Tensor", N * 4, N * 4)
    (_, op) = record(lambda: X.clone().zero_())
    assert (op.kind, op.bytes_read, op.bytes_written) == ("copy", 0, N * 4)


def test_the_same_tensor_twice_counts_once():
    (op,) = record(lambda: X * X)
    assert op.bytes_read == N * 4


def test_an_expanded_tensor_counts_its_memory():
    (op,) = record(lambda: torch.ones(1).expand(1000) + 1)[-1:]
    assert (op.bytes_read, op.bytes_written) == (4, 4000)


def test_result_is_the_functions_own_and_errors_pass_through():
    result, _ = trace_ops(lambda: torch.softmax(X, -1))
    assert torch.equal(result, torch.softmax(X, -1))

    def fail():
        raise RuntimeError("from the module")

    with pytest.raises(RuntimeError, match="from the module"):
        trace_ops(fail)
    assert trace_ops(lambda: 3) == (3, [])


def test_a_module_with_gradients_is_traced_in_order():
    model = torch.nn.Sequential(torch.nn.Linear(512, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
    ops = record(lambda: model(X), torch.enable_grad)
    assert [op.name for op in ops] == ["aten.addmm.default", "aten.relu.default", "aten.addmm.default"]
    assert ops[0].shapes == ((64,), (256, 512), (512, 64))


def test_double_and_half_name_their_dtype():
    assert record(lambda: X.double().exp())[-1].dtype == "float64"
    assert record(lambda: X.bfloat16().exp())[-1].dtype == "bfloat16"
    assert record(lambda: TARGETS + 1)[-1].dtype == "int64"


def test_round_trip_through_json():
    (op,) = record(lambda: F.gelu(X))
    assert OpRecord.from_json(op.to_json()) == op
