"""What arguments of an operation must satisfy where torch's CPU kernels believe them without a look (see `replayable`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from kernelwright.errors import LaunchError, UnsupportedError
from kernelwright.sandbox.optrace import named

__all__ = ["check"]

_Named = Mapping[str, Any]
_Check = Callable[[_Named], bool]
_LARGEST = 1 << 40  # of a size, a stride, a count or a position: kernels multiply them in 64 bits
_TO_THE_END = (1 << 63) - 1  # of a slice
_INTEGERS = ("int", "SymInt", "List[int]", "List[SymInt]", "Optional[int]", "Optional[List[int]]")


def check(function: torch._ops.OpOverload, args: tuple[Any, ...], keywords: _Named) -> None:
    """Nothing, if the operation may run on these arguments.

    Raises:
        UnsupportedError: a layout that is not strided.
        LaunchError: they do not belong together, or an index is out of range.
    """
    given = named(function, args, keywords)
    for argument in function._schema.arguments:
        value = given[argument.name]
        if isinstance(value, torch.layout) and value is not torch.strided:
            raise UnsupportedError(f"{function.name()} gives a tensor of layout {value}.")
        if str(argument.type) in _INTEGERS:
            for number in value if isinstance(value, list | tuple) else (value,):
                if isinstance(number, int) and abs(number) > _LARGEST and number != _TO_THE_END:
                    raise LaunchError(f"{argument.name}={number} is out of range for {function.name()}.")
    rule = _RULES.get(function.overloadpacket.__name__.removesuffix("_"))
    try:
        holds = rule is None or rule(given)
    except (RuntimeError, IndexError, TypeError, ValueError, AttributeError, NotImplementedError):
        holds = False
    if not holds:
        raise LaunchError(f"the arguments of {function.name()} do not belong together, or an index is out of range.")


def _meta(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    return value


def _within(indices: torch.Tensor, end: int) -> bool:
    if indices.numel() == 0:
        return True
    return (
        not indices.is_floating_point()
        and not indices.is_complex()
        and bool(indices.min() >= 0)
        and bool(indices.max() < end)
    )


def _of_forward(name: str) -> _Check:
    """The gradient has the shape that the forward operation gives for these arguments."""
    forward = getattr(torch.ops.aten, name).default

    def rule(given: _Named) -> bool:
        made = forward(*(_meta(given[each.name]) for each in forward._schema.arguments))
        first = made[0] if isinstance(made, tuple) else made
        return bool(first.shape == given["grad_output"].shape and first.dtype == given["grad_output"].dtype)

    return rule


def _adaptive(plane: int) -> _Check:
    """Gradient and input differ in the last dimensions only."""

    def rule(given: _Named) -> bool:
        gradient, source = given["grad_output"], given["self"]
        together = gradient.dim() == source.dim() and gradient.dtype == source.dtype
        return bool(
            together and gradient.shape[:-plane] == source.shape[:-plane] and (source.numel() or not gradient.numel())
        )

    return rule


def _picked(plane: int, shapes: _Check) -> _Check:
    """Each index lies in the plane of its input."""

    def rule(given: _Named) -> bool:
        indices, source = given["indices"], given["self"]
        same = indices.shape == given["grad_output"].shape and source.dim() > plane
        return bool(same and shapes(given) and _within(indices, math.prod(source.shape[-plane:])))

    return rule


def _same(*names: str) -> _Check:
    """Tensors of one shape and type."""

    def rule(given: _Named) -> bool:
        first = given[names[0]]
        return all(given[each].shape == first.shape and given[each].dtype == first.dtype for each in names)

    return rule


def _batch_norm(given: _Named) -> bool:
    source = given["input"]
    if source.dim() < 2 or ("grad_out" in given and not _same("grad_out", "input")(given)):
        return False
    for name in ("weight", "bias", "running_mean", "running_var", "save_mean", "save_invstd"):
        each = given.get(name)
        unused = name.startswith("save") and not given.get("train")
        if each is not None and each.shape != source.shape[1:2] and not (unused and each.numel() == 0):
            return False
    if given.get("train", given.get("training", True)):
        needed: tuple[str, ...] = ("save_mean", "save_invstd") if "save_mean" in given else ()
    else:
        needed = ("running_mean", "running_var")
    # `_native_batch_norm_legit.no_stats` has none, and trains always or takes those of the batch
    return all(given[name] is not None for name in needed if name in given)


def _layer_norm_backward(given: _Named) -> bool:
    source, shape = given["input"], list(given["normalized_shape"])
    split = source.dim() - len(shape)
    rows = math.prod(source.shape[:split])
    return (
        split >= 0
        and list(source.shape[split:]) == shape
        and _same("grad_out", "input")(given)
        and given["mean"].numel() == given["rstd"].numel() == rows
        and all(given[name] is None or list(given[name].shape) == shape for name in ("weight", "bias"))
    )


def _fourier(given: _Named) -> bool:
    source, axes = given["self"], list(given["dim"])
    return bool(axes) and len(set(axes)) == len(axes) and all(0 <= axis < source.dim() for axis in axes)


def _fourier_back(given: _Named) -> bool:
    return _fourier(given) and given["self"].shape[given["dim"][-1]] == given["last_dim_size"] // 2 + 1


def _grid_sampler(given: _Named) -> bool:
    gradient, source, grid = given["grad_output"], given["input"], given["grid"]
    return bool(
        source.dim() == grid.dim() == gradient.dim()
        and grid.shape[0] == source.shape[0]
        and grid.shape[-1] == source.dim() - 2
        and list(gradient.shape) == [*source.shape[:2], *grid.shape[1:-1]]
        and source.dtype == grid.dtype == gradient.dtype
    )


def _unfold(given: _Named) -> bool:
    whole = torch.empty(given["input_sizes"], device="meta")
    return whole.unfold(given["dim"], given["size"], given["step"]).shape == given["grad_in"].shape


def _pairs(given: _Named) -> bool:
    source, rows = given["self"], given["self"].shape[0]
    wide = (rows * (rows - 1) // 2,)
    return bool(source.dim() == 2 and given["grad"].shape == given["pdist"].shape == wide)


def _margin(given: _Named) -> bool:
    source, gradient = given["self"], given["grad_output"]
    rows = 1 if source.dim() < 2 else source.shape[0]
    return bool(gradient.numel() == (rows if given["reduction"] == 0 else 1))


def _targets(given: _Named) -> bool:
    source, target, ignored = given["self"], given["target"], given["ignore_index"]
    classes = source.shape[0 if source.dim() == 1 else 1]
    counted = target[target != ignored]
    weight = given["weight"]
    return _within(counted, classes) and (weight is None or weight.numel() == classes)


def _attention(given: _Named) -> bool:
    query, key, value, mask = (given[name] for name in ("query", "key", "value", "attn_mask"))
    if not query.dim() == key.dim() == value.dim() == 4 or not query.dtype == key.dtype == value.dtype:
        return False
    if key.shape != value.shape or key.shape[:2] != query.shape[:2] or key.shape[3] != query.shape[3]:
        return False
    wide = (*query.shape[:3], key.shape[2])
    if mask is not None and (mask.dim() not in (2, 4) or torch.broadcast_shapes(mask.shape, wide) != wide):
        return False
    if "out" not in given:
        return True
    together = _same("grad_out", "query")(given) and _same("out", "query")(given)
    return together and sorted(given["logsumexp"].shape) == sorted(query.shape[:3])


def _weight_norm(given: _Named) -> bool:
    backward = "saved_v" in given
    source, scale, axis = given["saved_v" if backward else "v"], given["saved_g" if backward else "g"], given["dim"]
    if not source.numel() or axis not in (0, source.dim() - 1) or scale.numel() != source.shape[axis]:
        return False
    if not backward:
        return True
    return _same("grad_w", "saved_v")(given) and given["saved_norms"].numel() == scale.numel()


_RULES: dict[str, _Check] = {
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "native_batch_norm_backward"),
        _batch_norm,
    ),
    **{f"{name}_backward": _of_forward(name) for name in (
        "avg_pool2d", "avg_pool3d", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
        "replication_pad1d", "replication_pad2d", "replication_pad3d",
    )},
    "_adaptive_avg_pool2d_backward": _adaptive(2),
    "_adaptive_avg_pool3d_backward": _adaptive(3),
    "adaptive_max_pool2d_backward": _picked(2, _adaptive(2)),
    "adaptive_max_pool3d_backward": _picked(3, _adaptive(3)),
    "max_pool2d_with_indices_backward": _picked(2, _of_forward("max_pool2d_with_indices")),
    "max_pool3d_with_indices_backward": _picked(3, _of_forward("max_pool3d_with_indices")),
    "_softmax_backward_data": _same("grad_output", "output"),
    "_log_softmax_backward_data": _same("grad_output", "output"),
    "native_layer_norm_backward": _layer_norm_backward,
    "_fft_c2c": _fourier,
    "_fft_r2c": _fourier,
    "_fft_c2r": _fourier_back,
    "grid_sampler_2d_backward": _grid_sampler,
    "grid_sampler_3d_backward": _grid_sampler,
    "unfold_backward": _unfold,
    "_pdist_backward": _pairs,
    "multi_margin_loss_backward": _margin,
    "multilabel_margin_loss_backward": _margin,
    "nll_loss_backward": _targets,
    "nll_loss2d_backward": _targets,
    "embedding_dense_backward": lambda given: _within(given["indices"], given["num_weights"]),
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention,
    "_weight_norm_interface": _weight_norm,
    "_weight_norm_interface_backward": _weight_norm,
}  # fmt: skip
