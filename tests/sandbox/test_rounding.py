"""Honest rounding: without an epsilon it changes nothing; with one, sums err as a sequential float32 sum does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernelwright.sandbox.rounding import HonestRounding

F = torch.nn.functional
EPS = 2.0**-23


def drawn(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def disturbed(function, *inputs, eps=EPS, seed=0):
    with HonestRounding(eps, torch.Generator().manual_seed(seed)):
        return function(*inputs)


X, Y = drawn(6, 40), drawn(40, 7)
IMAGE = drawn(2, 8, 9, 10)
TARGET = torch.tensor([1, 3, -100, 0, 2, 2])
CALLS = {
    "sum": lambda: X.sum(),
    "sum over two": lambda: IMAGE.sum((1, 3), keepdim=True),
    "mean": lambda: X.mean(0),
    "prod": lambda: X.prod(-1),
    "cumsum": lambda: X.cumsum(1),
    "cumsum over rows": lambda: X.cumsum(0),
    "matmul": lambda: X @ Y,
    "vector": lambda: X @ X[0],
    "batched": lambda: X.reshape(2, 3, 40) @ Y,
    "addmm": lambda: torch.addmm(X[:, :7], X, Y, beta=0.5, alpha=2),
    "linear": lambda: F.linear(X.reshape(2, 3, 40), Y.t(), Y[0]),
    "conv": lambda: F.conv2d(IMAGE, drawn(4, 8, 3, 3), drawn(4), padding=1, stride=2),
    "conv in groups": lambda: F.conv2d(IMAGE, drawn(8, 1, 3, 3), groups=8),
    "transposed conv": lambda: F.conv_transpose2d(IMAGE, drawn(8, 4, 3, 3), stride=2, output_padding=1),
    "conv over one dimension": lambda: F.conv1d(drawn(2, 5, 30), drawn(3, 5, 4), dilation=2),
    "softmax": lambda: X.softmax(0),
    "log softmax": lambda: X.log_softmax(-1),
    "logsumexp": lambda: X.logsumexp((0, 1)),
    "logsumexp of rows": lambda: X.logsumexp(-1, keepdim=True),
    "variance": lambda: X.var(1),
    "variance and mean": lambda: torch.stack(torch.var_mean(X, (0, 1), correction=0)),
    "deviation": lambda: X.std(0, keepdim=True),
    "layer norm": lambda: F.layer_norm(X, (40,), drawn(40), drawn(40), 0.1),
    "group norm": lambda: F.group_norm(IMAGE, 4, drawn(8), drawn(8), 0.1),
    "batch norm": lambda: F.batch_norm(IMAGE, drawn(8), drawn(8).abs(), drawn(8), drawn(8), training=True),
    "batch norm without": lambda: F.batch_norm(IMAGE, None, None, training=True),
    "batch norm in use": lambda: F.batch_norm(IMAGE, drawn(8), drawn(8).abs(), drawn(8), drawn(8)),
    "instance norm": lambda: F.instance_norm(IMAGE, eps=0.1),
    "norm": lambda: torch.linalg.vector_norm(X, dim=1),
    "norm of order 1": lambda: torch.linalg.vector_norm(X, 1, dim=1),
    "normalize": lambda: F.normalize(X),
    "attention": lambda: F.scaled_dot_product_attention(*drawn(3, 2, 4, 10, 8)),
    "causal attention": lambda: F.scaled_dot_product_attention(*drawn(3, 2, 4, 10, 8), is_causal=True),
    "masked attention": lambda: F.scaled_dot_product_attention(*drawn(3, 2, 4, 10, 8), attn_mask=drawn(10, 10) > 0),
    "grouped attention": lambda: F.scaled_dot_product_attention(
        drawn(2, 6, 10, 8), *drawn(2, 2, 3, 10, 8), enable_gqa=True
    ),
    "attention that sees nothing": lambda: F.scaled_dot_product_attention(
        *drawn(3, 2, 4, 10, 8), attn_mask=torch.arange(10)[:, None] > torch.arange(10)
    ),
    "mse": lambda: F.mse_loss(X, X.flip(0)),
    "huber": lambda: F.smooth_l1_loss(X, X.flip(0), beta=0.7),
    "huber, summed": lambda: F.huber_loss(X, X.flip(0), reduction="sum", delta=0.3),
    "huber by element": lambda: F.huber_loss(X, X.flip(0), reduction="none"),
    "l1": lambda: F.l1_loss(X, X.flip(0)),
    "cross entropy": lambda: F.cross_entropy(X, TARGET),
    "cross entropy with weights": lambda: F.cross_entropy(X, TARGET, drawn(40).abs()),
    "divergence": lambda: F.kl_div(X.log_softmax(-1), X.flip(0).softmax(-1), reduction="batchmean"),
    "pooling": lambda: F.avg_pool2d(IMAGE, 3, padding=1),
    "in place": lambda: X.clone().mul_(2).add_(1).sigmoid_(),
    "embedding": lambda: F.embedding(TARGET.clamp(0), Y),
    "lstm": lambda: torch.nn.LSTM(40, 5, dtype=torch.float64).requires_grad_(False)(X)[0] * 0,
}


@pytest.mark.parametrize("name", CALLS)
def test_without_an_epsilon_every_operation_gives_what_torch_gives(name):
    torch.testing.assert_close(disturbed(CALLS[name], eps=0.0), CALLS[name](), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in CALLS if n not in {"embedding", "lstm"}])
def test_with_an_epsilon_every_operation_errs_by_little(name):
    exact = CALLS[name]()
    moved = torch.stack([disturbed(CALLS[name], seed=seed) for seed in range(3)])
    distance = float((moved - exact).abs().max() / exact.abs().max())
    assert 0.05 * EPS < distance < 200 * EPS


@pytest.mark.parametrize("scale", ["of both signs", "positive", "equal", "one after zeros", "sorted"])
def test_sums_err_as_much_as_the_worst_honest_order(scale):
    rng = np.random.default_rng(5)
    x = {
        "of both signs": lambda: rng.standard_normal((200, 4000)),
        "positive": lambda: rng.random((200, 4000)),
        "equal": lambda: np.repeat(rng.random((200, 1)) + 0.5, 4000, 1),
        "one after zeros": lambda: np.eye(200, 4000) * rng.standard_normal((200, 1)),
        "sorted": lambda: np.sort(rng.standard_normal((200, 4000)), 1),
    }[scale]().astype(np.float32)
    exact = torch.from_numpy(x).double().sum(1)
    honest = torch.from_numpy(np.add.accumulate(x, axis=1, dtype=np.float32)[:, -1]).double() - exact
    modelled = disturbed(lambda t: t.sum(1), torch.from_numpy(x).double()) - exact
    if scale == "one after zeros":
        assert float(modelled.abs().max()) == 0.0
    else:
        assert 0.4 < float(honest.square().mean().sqrt() / modelled.square().mean().sqrt()) < 2.5


def test_views_and_results_of_choices_do_not_err():
    x = X.clone()
    chosen = disturbed(lambda t: torch.relu(t.t()[3:]).max(0).values, x)
    torch.testing.assert_close(chosen, torch.relu(X.t()[3:]).max(0).values, rtol=0, atol=0)
    torch.testing.assert_close(x, X, rtol=0, atol=0)


def test_half_precision_sums_are_added_in_float32():
    rows = drawn(500, 1000).abs()
    eps = 2.0**-10
    moved = disturbed(lambda t: t.sum(1), rows, eps=eps)
    assert float(((moved - rows.sum(1)) / rows.sum(1)).abs().max()) < 1.01 * eps


@pytest.mark.parametrize("small", [2e-8, 4e-8, 9e-8])
def test_what_a_sum_beside_one_large_term_loses_counts(small):
    """Each small term is less than half a step of the running sum, or rounds up to a whole one: all err to one side."""
    terms = torch.full((1001,), small, dtype=torch.float64) * torch.linspace(0.9, 1.1, 1001, dtype=torch.float64)
    terms[0] = 1
    added = float(np.add.accumulate(terms.numpy().astype(np.float32))[-1])
    erred = abs(float(disturbed(lambda: terms.sum(0, keepdim=True))[0]) - float(terms.sum()))
    assert 0.3 < erred / abs(added - float(terms.sum())) < 3
