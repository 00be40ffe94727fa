"""What kind of kernel a task asks for, and how many samples of one kind a data set may have."""

from __future__ import annotations

from collections.abc import Sequence

from kernelwright.bench_tasks.constants import constants_of
from kernelwright.bench_tasks.traits import traits_of

__all__ = ["family_cap", "family_of"]

_BY_OPERATION = (
    ("attention", {"scaleddotproductattention", "multiheadattention"}),
    ("convolution", {f"conv{t}{n}d" for t in ("", "transpose") for n in "123"}),
    ("recurrent", {"lstm", "gru", "rnn"}),
    ("matmul", {"matmul", "linear", "einsum", "baddbmm", "addmm", "bilinear", "outer", "dot"}),
    ("scan", {"cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"}),
    ("sort", {"sort", "argsort", "topk", "kthvalue", "msort"}),
    ("index", {"gather", "scatter", "scatteradd", "indexselect", "indexadd", "embedding", "embeddingbag", "take"}),
    (
        "pooling",
        {f"{a}{k}pool{n}d" for a in ("", "adaptive") for k in ("max", "avg") for n in "123"} | {"unfold", "interpolate"},
    ),
    (
        "loss",
        {"crossentropy", "crossentropyloss", "nllloss", "mseloss", "l1loss", "smoothl1loss", "huberloss", "kldiv", "kldivloss"},
    ),
    (
        "norm",
        {"layernorm", "batchnorm", "batchnorm1d", "batchnorm2d", "batchnorm3d", "groupnorm", "instancenorm2d", "rmsnorm", "norm", "normalize"},
    ),
    ("softmax", {"softmax", "logsoftmax", "softmin", "logsumexp"}),
    ("reduction", {"sum", "mean", "max", "min", "amax", "amin", "prod", "var", "std", "argmax", "argmin", "all", "any"}),
)  # fmt: skip
"""The first that a task has an operation of; in `bench_tasks.traits`' spelling."""


def family_of(source: str) -> str:
    """What the file says in `FAMILY`, else what its operations are: `attention`, `convolution`, ... `pointwise`; `other` where it does
    none that can be told."""
    said = constants_of(source).get("FAMILY")
    if isinstance(said, str) and said.isidentifier():
        return said
    operations = traits_of(source).operations
    if not operations:
        return "other"
    if {"softmax", "matmul"} <= operations:
        return "attention"
    return next((family for family, names in _BY_OPERATION if names & operations), "pointwise")


def family_cap(counts: Sequence[int], balance: float, least: int) -> int | None:
    """The most samples that one family may have: `balance` times what the middle one has, and never fewer than `least`.

    Args:
        counts: samples of each family.
        balance: 0 for no limit.
    """
    if not balance or not counts:
        return None
    return max(least, int(balance * sorted(counts)[(len(counts) - 1) // 2]))
