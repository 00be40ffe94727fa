"""Operations of torch that hold a sum, written out in smaller ones, so that `kernelwright.sandbox.rounding` sees the sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["WHOLE", "dims_of"]


def dims_of(x: torch.Tensor, dim: Any) -> list[int]:
    """The dimensions that `dim` names: None or an empty list is all of them."""
    if dim is None or (isinstance(dim, list | tuple) and not dim):
        return list(range(x.dim()))
    return [d % max(x.dim(), 1) for d in (dim if isinstance(dim, list | tuple) else [dim])]


def _softmax(x: torch.Tensor, dim: int, half_to_float: bool = False) -> Any:
    if not x.dim():
        return NotImplemented
    e = torch.exp(x - x.amax(dim, keepdim=True))
    return e / e.sum(dim, keepdim=True)


def _log_softmax(x: torch.Tensor, dim: int, half_to_float: bool = False) -> Any:
    if not x.dim():
        return NotImplemented
    shifted = x - x.amax(dim, keepdim=True)
    return shifted - torch.log(torch.exp(shifted).sum(dim, keepdim=True))


def _logsumexp(x: torch.Tensor, dim: Any, keepdim: bool = False) -> Any:
    if not x.dim() or bool(torch.isinf(x).any()):
        return NotImplemented
    largest = x.amax(dim, keepdim=True)
    total = torch.log(torch.exp(x - largest).sum(dim, keepdim=True)) + largest
    return total if keepdim else total.reshape(x.sum(dim).shape)


def _variance(x: torch.Tensor, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> Any:
    return _variance_mean(x, dim, correction=correction, keepdim=keepdim)[0]


def _variance_mean(x: torch.Tensor, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> Any:
    dims = dims_of(x, dim)
    if x.is_complex() or not dims or not x.numel():
        return NotImplemented, NotImplemented
    mean = x.mean(dims, keepdim=True)
    count = math.prod(x.shape[d] for d in dims)
    spread = count - (1 if correction is None else correction)
    variance = (x - mean).square().sum(dims, keepdim=keepdim) / (spread if spread > 0 else 0.0)
    return variance, mean if keepdim else mean.reshape(variance.shape)


def _var_mean(x: torch.Tensor, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> Any:
    found = _variance_mean(x, dim, correction=correction, keepdim=keepdim)
    return NotImplemented if found[0] is NotImplemented else found


def _deviation(x: torch.Tensor, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> Any:
    variance = _variance(x, dim, correction=correction, keepdim=keepdim)
    return NotImplemented if variance is NotImplemented else variance.sqrt()


def _layer_norm(x: torch.Tensor, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    dims = list(range(x.dim() - len(shape), x.dim()))
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    rstd = torch.rsqrt(centred.square().mean(dims, keepdim=True) + eps)
    out = centred * rstd
    if weight is not None:
        out = out * weight
    return (out if bias is None else out + bias), mean, rstd


def _group_norm(
    x: torch.Tensor, weight: Any, bias: Any, n: int, channels: int, inner: int, groups: int, eps: float
) -> Any:
    if not x.numel():
        return NotImplemented
    rows = x.reshape(n, groups, -1)
    out, mean, rstd = _layer_norm(rows, rows.shape[2:], None, None, eps)
    out = out.reshape(x.shape)
    per_channel = [1, channels] + [1] * (x.dim() - 2)
    if weight is not None:
        out = out * weight.reshape(per_channel)
    if bias is not None:
        out = out + bias.reshape(per_channel)
    return out, mean.reshape(n, groups), rstd.reshape(n, groups)


def _vector_norm(x: torch.Tensor, order: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    if order != 2 or dtype is not None or x.is_complex() or not x.dim():
        return NotImplemented
    return x.square().sum(dims_of(x, dim), keepdim=keepdim).sqrt()


def _attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, dropout: float = 0.0, causal: bool = False, *,
    attn_mask: torch.Tensor | None = None, scale: float | None = None
) -> Any:  # fmt: skip
    if dropout:
        return NotImplemented
    if k.shape[-3] != q.shape[-3]:  # each head of keys serves several of queries
        k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    shares = torch.softmax(scores, -1)
    if attn_mask is not None:  # torch gives zeros to a query that sees no key
        shares = shares.masked_fill((scores == -math.inf).all(-1, keepdim=True), 0.0)
    return shares @ v, torch.logsumexp(scores.masked_fill(scores == -math.inf, -1e300), -1)


def _reduced(values: torch.Tensor, reduction: int) -> torch.Tensor:
    """A loss as torch's `reduction` asks for: 0 none, 1 mean, 2 sum."""
    return (values, values.mean(), values.sum())[reduction] if values.dim() or not reduction else values


def _mse_loss(x: torch.Tensor, y: torch.Tensor, reduction: int = 1) -> Any:
    return _reduced((x - y).square(), reduction)


def _elementwise_loss(name: str) -> Callable[..., Any]:
    """A loss of (input, target, reduction, one more number) that torch computes in one operation."""

    def loss(x: torch.Tensor, y: torch.Tensor, reduction: int = 1, *more: float) -> Any:
        if not reduction:
            return NotImplemented
        return _reduced(getattr(torch.ops.aten, name)(x, y, 0, *more), reduction)

    return loss


def _nll_loss(x: torch.Tensor, target: torch.Tensor, weight: Any, reduction: int, ignore: int) -> Any:
    if weight is not None or not reduction or x.dim() != 2 or not x.numel():
        return NotImplemented
    used = target != ignore
    picked = -x.gather(1, torch.where(used, target, 0)[:, None])[:, 0]
    total = torch.where(used, picked, 0.0).sum()
    count = used.sum().double()
    return (total / count if reduction == 1 else total), count


def _batch_norm(
    x: torch.Tensor, weight: Any, bias: Any, _mean: Any, _variance: Any, training: bool, _momentum: float, eps: float
) -> Any:
    """With the statistics of the batch. The running statistics are left as they are: nothing reads them afterwards."""
    if not training or not x.numel() or x.dim() < 2:
        return NotImplemented
    rows = x.transpose(0, 1).reshape(x.shape[1], -1)
    out, mean, rstd = _layer_norm(rows, rows.shape[1:], None, None, eps)
    out = out.reshape(x.shape[1], x.shape[0], *x.shape[2:]).transpose(0, 1)
    per_channel = [1, x.shape[1]] + [1] * (x.dim() - 2)
    if weight is not None:
        out = out * weight.reshape(per_channel)
    if bias is not None:
        out = out + bias.reshape(per_channel)
    return out.contiguous(), mean[:, 0], rstd[:, 0]


def _batch_norm_without(x: torch.Tensor, weight: Any, bias: Any, training: bool, momentum: float, eps: float) -> Any:
    return _batch_norm(x, weight, bias, None, None, training, momentum, eps)


WHOLE: dict[str, Callable[..., Any]] = {
    "_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
    "var": _variance,
    "var_mean": _var_mean,
    "std": _deviation,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "linalg_vector_norm": _vector_norm,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "mse_loss": _mse_loss,
    "smooth_l1_loss": _elementwise_loss("smooth_l1_loss"),
    "huber_loss": _elementwise_loss("huber_loss"),
    "nll_loss_forward": _nll_loss,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit.no_stats": _batch_norm_without,
}
"""By name, with the overload where only that one is meant. Each takes what the operation takes, and answers
`NotImplemented` where it does not know the form of the call."""
