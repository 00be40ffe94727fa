"""Operations of autograd that hold sums or several roundings, taken apart, so that `kernelwright.sandbox.rounding` sees each.

The parts of most are torch's own decompositions. Otherwise what is allowed for a sum in such an operation (the gradient of
a normalisation's weight is one over all rows) would rest on how torch's own kernel happens to err in one run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["backward_in_parts", "convolution_terms"]

_NAMES = (
    "_softmax_backward_data _log_softmax_backward_data native_layer_norm_backward native_batch_norm_backward "
    "native_group_norm_backward _fused_rms_norm_backward silu_backward gelu_backward tanh_backward sigmoid_backward "
    "mish_backward elu_backward glu_backward softplus_backward log_sigmoid_backward hardswish_backward logit_backward "
    "smooth_l1_loss_backward huber_loss_backward mse_loss_backward binary_cross_entropy_backward "
    "soft_margin_loss_backward"
)
_IN_PARTS = frozenset(_NAMES.split())


def backward_in_parts(func: Any, name: str) -> Callable[..., Any] | None:
    """What computes the same as an operation of a backward pass in smaller ones; None if it is none of those known.

    Args:
        name: that of the operation without its overload, as in ``silu_backward``.
    """
    if name == "_scaled_dot_product_flash_attention_for_cpu_backward":
        return _attention_backward
    if name not in _IN_PARTS:
        return None
    from torch._decomp import decomposition_table

    found: Callable[..., Any] | None = decomposition_table.get(func)
    return found


def _attention_backward(
    grad: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, out: torch.Tensor, _logsumexp: torch.Tensor,
    dropout: float, causal: bool, *, attn_mask: torch.Tensor | None = None, scale: float | None = None
) -> Any:  # fmt: skip
    if dropout:
        return NotImplemented
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (q @ k.transpose(-2, -1)) * factor
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    share = torch.softmax(scores, -1)
    to_share = grad @ v.transpose(-2, -1)
    to_scores = share * (to_share - (grad * out).sum(-1, keepdim=True)) * factor
    return to_scores @ k, to_scores.transpose(-2, -1) @ q, share.transpose(-2, -1) @ grad


def convolution_terms(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, groups: int) -> tuple[int, int, int]:
    """How many terms one element of each gradient of a convolution sums up: for the input, the weight and the bias."""
    places = grad.numel() // max(1, grad.shape[1])
    return grad.shape[1] // groups * math.prod(weight.shape[2:]), max(1, min(places, x.numel() // x.shape[1])), places
