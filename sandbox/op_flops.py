"""Floating-point operations of products, convolutions and decompositions that torch's own registry leaves out.

Counts are of the textbook method, a multiply-add as two; where methods differ, of the leanest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

__all__ = ["LINEAR_ALGEBRA", "PRODUCTS", "product_flops", "visible_share"]

_Named = Mapping[str, Any]


def _mm(left: str, right: str) -> Callable[[_Named], int]:
    """Rows of `left` by columns of `right`, over what they share."""
    return lambda given: 2 * given[left].numel() * given[right].shape[-1]


def _trilinear(given: _Named) -> int:
    """Two multiplications and an addition for each element of what the three become together."""
    expanded = []
    for number in ("1", "2", "3"):
        each = given[f"i{number}"]
        for dimension in sorted(given[f"expand{number}"]):
            each = each.unsqueeze(dimension)
        expanded.append(each.shape)
    return 3 * math.prod(torch.broadcast_shapes(*expanded))


def _distances(given: _Named) -> int:
    left, right = given["x1"], given["x2"]
    batch = math.prod(torch.broadcast_shapes(left.shape[:-2], right.shape[:-2]))
    return 2 * batch * left.shape[-2] * right.shape[-2] * left.shape[-1]


def _attention(query: torch.Tensor, key: torch.Tensor, width: int) -> int:
    """Two products a head, of queries with keys and of their weights with values; four projections."""
    batch, rows, columns = query.shape[0], query.shape[1], key.shape[1]
    return 2 * batch * (2 * rows * columns * width + 2 * (rows + columns) * width * width)


def visible_share(queries: int, keys: int, causal: bool) -> float:
    """Share of the pairs of a query and a key that attention multiplies: a causal kernel leaves out keys after the query."""
    if not causal or not queries or not keys:
        return 1.0
    full = min(queries, keys)
    return (full * (full + 1) / 2 + (queries - full) * keys) / (queries * keys)


def _encoder_layer(given: _Named) -> int:
    source, width = given["src"], given["embed_dim"]
    source = source if source.dim() == 3 else source[None]
    rows = source.shape[0] * source.shape[1]
    return _attention(source, source, width) + 2 * rows * (
        given["ffn_weight_1"].numel() + given["ffn_weight_2"].numel()
    )


def _recurrent(given: _Named) -> int:
    """Each step multiplies its input and the state by their weights."""
    source = given["input"]
    steps = source.numel() // max(1, source.shape[-1])
    return 2 * steps * (given["weight0"].numel() + given["weight1"].numel())


def _fourier(given: _Named) -> int:
    source = given["self"]
    length = math.prod(source.shape[axis] for axis in given["dim"])
    return round(5 * source.numel() * math.log2(max(2, length)))


def _sizes(matrix: torch.Tensor) -> tuple[int, int, int]:
    return math.prod(matrix.shape[:-2]), matrix.shape[-2], matrix.shape[-1]


def _decomposed(factor: float) -> Callable[[_Named], int]:
    """`factor` times the longer side and the square of the shorter one."""

    def count(given: _Named) -> int:
        batch, rows, columns = _sizes(given["A"] if "A" in given else given["self"])
        return round(batch * factor * max(rows, columns) * min(rows, columns) ** 2)

    return count


def _solved(matrix: str, right: str, *, factor: float = 0.0, each: float = 2.0) -> Callable[[_Named], int]:
    """Factors of a matrix, then `each` operations per element of it and column of the right side."""

    def count(given: _Named) -> int:
        batch, rows, _ = _sizes(given[matrix])
        sides = given[right]
        columns = sides.numel() / max(1, rows * batch)
        return round(batch * (factor * rows**3 + each * rows**2 * columns))

    return count


def _convolved_back(given: _Named) -> int:
    """As many as forward for each gradient of the input and of the weight; torch's counter forgets the groups."""
    each = given["input"] if given["transposed"] else given["grad_output"]
    wanted = sum(map(bool, given["output_mask"][:2]))
    return 2 * wanted * each.numel() * math.prod(given["weight"].shape[1:])


PRODUCTS: dict[str, Callable[[_Named], int]] = {
    "addbmm": _mm("batch1", "batch2"),
    "_addmm_activation": _mm("mat1", "mat2"),
    "_int_mm": _mm("self", "mat2"),
    "_weight_int8pack_mm": lambda given: 2 * given["self"].numel() * given["mat2"].shape[0],
    "_trilinear": _trilinear,
    "_cdist_forward": _distances,
    "_euclidean_dist": _distances,
    "_transformer_encoder_layer_fwd": _encoder_layer,
    "_native_multi_head_attention": lambda given: _attention(given["query"], given["key"], given["embed_dim"]),
    "mkldnn_rnn_layer": _recurrent,
}
"""Matrix products in one way or another."""
_CONVOLUTIONS: dict[str, Callable[[_Named], int]] = {"convolution_backward": _convolved_back}
LINEAR_ALGEBRA: dict[str, Callable[[_Named], int]] = {
    "cholesky": _decomposed(1 / 3),
    "linalg_cholesky_ex": _decomposed(1 / 3),
    "cholesky_inverse": _decomposed(2 / 3),
    "linalg_lu": _decomposed(2 / 3),
    "linalg_lu_factor_ex": _decomposed(2 / 3),
    "_linalg_det": _decomposed(2 / 3),
    "_linalg_slogdet": _decomposed(2 / 3),
    "linalg_inv_ex": _decomposed(2),
    "linalg_qr": _decomposed(2),
    "geqrf": _decomposed(4 / 3),
    "linalg_matrix_exp": _decomposed(2),
    "linalg_pinv": _decomposed(4),
    "linalg_lstsq": _decomposed(2),
    "_linalg_svd": _decomposed(8 / 3),
    "_linalg_eigh": _decomposed(4 / 3),
    "linalg_eig": _decomposed(10),
    "cholesky_solve": _solved("input2", "self"),
    "linalg_solve_triangular": _solved("self", "B", each=1.0),
    "triangular_solve": _solved("A", "self", each=1.0),
    "linalg_lu_solve": _solved("LU", "B"),
    "_linalg_solve_ex": _solved("A", "B", factor=2 / 3),
    "_fft_c2c": _fourier,
    "_fft_r2c": _fourier,
    "_fft_c2r": _fourier,
    "_pdist_forward": lambda given: given["self"].shape[0] ** 2 * given["self"].shape[-1],
}
"""What can stand in for a product, or for a convolution: solving with it, transforming by it."""


def product_flops(name: str, given: _Named) -> int | None:
    """The operations of `name` on arguments by their names in the schema; None if it is none of these."""
    count = PRODUCTS.get(name) or LINEAR_ALGEBRA.get(name) or _CONVOLUTIONS.get(name)
    return None if count is None else count(given)
