"""Records the ATen operations that torch runs, with the bytes and FLOPs that the performance model prices.

Runs in worker processes: standard library and torch only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
import torch.nn.functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from kernelwright.sandbox.dispatch import DispatchMode
from kernelwright.sandbox.launch import OpRecord
from kernelwright.sandbox.op_flops import PRODUCTS, product_flops, visible_share
from kernelwright.sandbox.trees import tensors_of

__all__ = ["decomposed", "is_free", "is_idle_dropout", "named", "record_of", "trace_ops", "written_arguments"]

Result = TypeVar("Result")

_MATMULS = frozenset({"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot", "_scaled_mm"})
_CONVOLUTIONS = frozenset(
    {"convolution", "_convolution", "convolution_backward", "cudnn_convolution", "mkldnn_convolution", "slow_conv3d"}
)
_REDUCTIONS = frozenset(
    {
        "sum", "nansum", "mean", "amax", "amin", "aminmax", "argmax", "argmin", "max", "min", "median", "mode",
        "var", "std", "var_mean", "std_mean", "prod", "any", "all", "norm", "linalg_vector_norm", "count_nonzero",
        "logsumexp", "_softmax", "_log_softmax", "_safe_softmax", "native_layer_norm", "native_group_norm",
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "batch_norm_elemt",
        "cudnn_batch_norm", "_fused_rms_norm", "mse_loss", "l1_loss",
        "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "avg_pool2d", "max_pool2d_with_indices",
        "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "avg_pool3d", "max_pool3d_with_indices",
    }
)  # fmt: skip
_COPIES = frozenset(
    {
        "copy_", "clone", "_to_copy", "cat", "nll_loss_forward", "nll_loss2d_forward",
        "stack", "constant_pad_nd", "roll", "flip", "repeat", "fill_", "zero_",
        "index", "index_select", "gather", "embedding", "take", "index_put", "index_put_", "scatter", "scatter_",
        "masked_select", "zeros", "zeros_like", "ones", "ones_like", "full", "full_like", "new_zeros",
        "new_full", "new_ones",
        "_local_scalar_dense", "reflection_pad1d", "reflection_pad2d", "replication_pad2d", "tril", "triu",
        "upsample_nearest2d", "pixel_shuffle", "select_scatter", "slice_scatter", "diag_embed",
    }
)  # fmt: skip
"""Operations that move data without arithmetic; half of them have no output-sized input."""
_GATHERS = frozenset({"index", "index_select", "gather", "embedding", "take"})
"""Read as much of their source as they write, not all of it."""
_PICKS = frozenset({"nll_loss_forward", "nll_loss2d_forward"})
"""Read one element of their source for each element of their second tensor (the targets)."""
_FREE = frozenset(
    {
        "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "detach", "alias",
        "lift_fresh", "lift", "_unsafe_view", "_reshape_alias", "resize_", "set_", "is_same_size", "detach_",
        "_assert_async", "_assert_scalar", "_assert_tensor_metadata", "sym_size", "sym_stride", "sym_numel",
        "sym_storage_offset", "requires_grad_", "_version", "is_pinned", "scalar_tensor", "squeeze_", "unsqueeze_",
        "transpose_", "t_",
    }
)  # fmt: skip
"""Views, allocations, questions about metadata, and scalars that travel as kernel arguments: nothing moves."""
_OVERWRITES = frozenset({"copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_"})
"""In-place operations that do not read what they write."""
_UNTAGGED_POINTWISE = frozenset(
    {"native_dropout", "bernoulli", "rand_like", "randn_like", "rand", "randn", "arange", "linspace", "prelu",
     "_prelu_kernel", "rrelu_with_noise", "glu", "normal_functional", "addcmul", "addcdiv", "lerp", "where"}
)  # fmt: skip
_SDPA = "_scaled_dot_product"


def _size(tensor: torch.Tensor) -> int:
    """Bytes of distinct memory: an expanded dimension counts once."""
    if tensor.layout is not torch.strided:
        return tensor.numel() * tensor.element_size()
    count = tensor.element_size()
    for extent, stride in zip(tensor.shape, tensor.stride(), strict=True):
        if extent == 0:
            return 0
        count *= extent if stride != 0 else 1
    return count


def _total(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the distinct tensors among these; of several that begin at one address the largest counts."""
    distinct: dict[object, int] = {}
    for tensor in tensors:
        known = tensor.layout is torch.strided and not hasattr(tensor, "fake_mode")  # a fake one has no memory
        address = tensor.data_ptr() if known else 0
        key = address or (id(tensor),)
        distinct[key] = max(distinct.get(key, 0), _size(tensor))
    return sum(distinct.values())


def _dtype(tensors: Iterable[torch.Tensor]) -> str:
    every = list(tensors)
    chosen = next((t for t in every if t.is_floating_point()), every[0] if every else None)
    return "" if chosen is None else str(chosen.dtype).removeprefix("torch.")


def _base_name(func: Any) -> str:
    return str(func.overloadpacket.__name__)


def is_free(func: Any) -> bool:
    """Whether it moves no data: a view, an allocation, a question about metadata."""
    if not isinstance(func, torch._ops.OpOverload) or func.namespace == "prim":
        return True
    if func.is_view or _base_name(func) in _FREE:
        return True
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _kind(name: str, func: Any) -> str:
    if name in _MATMULS or name in PRODUCTS or name.startswith(_SDPA):
        return "matmul"
    if name in _CONVOLUTIONS:
        return "convolution"
    if name in ("max", "min") and func._overloadname == "other":
        return "pointwise"
    if name in _REDUCTIONS:
        return "reduction"
    if name in _COPIES:
        return "copy"
    if torch.Tag.pointwise in func.tags or name in _UNTAGGED_POINTWISE or name.rstrip("_") in _UNTAGGED_POINTWISE:
        return "pointwise"
    return "other"


def _flops(
    name: str, kind: str, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any],
    inputs: list[torch.Tensor], outputs: list[torch.Tensor], out: object,
) -> int:  # fmt: skip
    packet = func.overloadpacket
    if (counted := product_flops(name.rstrip("_"), named(func, args, kwargs))) is not None:
        return counted
    if packet in flop_registry and not name.startswith(_SDPA):
        return int(flop_registry[packet](*args, **kwargs, out_val=out))
    if name.startswith(_SDPA):
        given = named(func, args, kwargs)
        query, key, value = (given[each].shape for each in ("query", "key", "value"))
        share = visible_share(query[-2], key[-2], bool(given.get("is_causal")))
        if name.endswith("backward"):
            return round(share * sdpa_backward_flop_count(inputs[0].shape, query, key, value))
        return round(share * sdpa_flop_count(query, key, value))
    if kind == "matmul":  # mv, dot and the like: every element of the largest operand is used once
        return 2 * max((t.numel() for t in inputs), default=0)
    if kind == "pointwise":
        return sum(t.numel() for t in outputs)
    if kind == "reduction":
        return max((t.numel() for t in inputs), default=0)
    return 0


def named(func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by the names of the schema, with defaults."""
    found: dict[str, Any] = {}
    for position, argument in enumerate(func._schema.arguments):
        if position < len(args):
            found[argument.name] = args[position]
        else:
            given = argument.default_value if argument.has_default_value() else None
            found[argument.name] = kwargs.get(argument.name, given)
    return found


def written_arguments(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    """Arguments that the operation writes to (in-place and out= forms)."""
    given = named(func, args, kwargs)
    writes = [each.name for each in func._schema.arguments if each.alias_info is not None and each.alias_info.is_write]
    return [tensor for name in writes for tensor in tensors_of(given[name])]


def record_of(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: object) -> OpRecord:
    """What one operation moved and computed, given its arguments and what it returned."""
    name = _base_name(func)
    inputs, outputs = tensors_of((args, dict(kwargs))), tensors_of(out)
    written = written_arguments(func, args, kwargs)
    kind = _kind(name, func)
    target = outputs or written
    read = inputs
    only_written = {id(t) for t in written} if name in _OVERWRITES or func._overloadname.endswith("out") else set()
    if only_written:
        read = [t for t in inputs if id(t) not in only_written]
    bytes_written = _total(target)
    bytes_read = _total(read)
    if (name in _GATHERS or name in _PICKS) and inputs:
        source, *others = inputs
        taken = bytes_written if name in _GATHERS else others[0].numel() * source.element_size()
        bytes_read = min(_size(source), taken) + _total(others)
    return OpRecord(
        name=str(func),
        bytes_read=bytes_read,
        bytes_written=bytes_written,
        flops=_flops(name, kind, func, args, kwargs, inputs, target, out),
        dtype=_dtype([*inputs, *outputs]),
        kind=kind,
        shapes=tuple(tuple(t.shape) for t in inputs),
    )


_DROPOUTS = frozenset({"dropout", "feature_dropout", "alpha_dropout"})


def is_idle_dropout(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Dropout in evaluation hands its input on; torch's own decomposition of it would copy."""
    if not isinstance(func, torch._ops.OpOverload) or _base_name(func) not in _DROPOUTS:
        return False
    return not (args[2] if len(args) > 2 else kwargs.get("train"))


def decomposed(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The result of a composite operation, taken apart as eager would; NotImplemented if it is none.

    Without autograd (inference mode) such operations arrive whole.
    """
    if isinstance(func, torch._ops.OpOverload) and func.overloadpacket not in flop_registry:
        return func.decompose(*args, **kwargs)
    return NotImplemented


class _Recorder(DispatchMode):
    """Appends an OpRecord for every operation that moves data."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[OpRecord] = []

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_idle_dropout(func, args, kwargs):
            return args[0]
        with self:
            parts = decomposed(func, args, kwargs)
        if parts is not NotImplemented:
            return parts
        out = func(*args, **kwargs)
        if not is_free(func):
            self.records.append(record_of(func, args, kwargs, out))
        return out


class _FusedOnGpu(TorchFunctionMode):
    """Operations that are several on the CPU but one kernel on a GPU: recorded as that one."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func not in (torch.nn.functional.rms_norm, torch.rms_norm):
            return func(*args, **kwargs)
        before = len(self.recorder.records)
        out = func(*args, **kwargs)
        inputs = tensors_of((args, kwargs))
        rows = out.numel() // max(1, math.prod(args[1] if len(args) > 1 else kwargs["normalized_shape"]))
        del self.recorder.records[before:]
        self.recorder.records.append(
            OpRecord(
                name="aten._fused_rms_norm.default",
                bytes_read=_total(inputs),
                bytes_written=_size(out) + 4 * rows,  # and the reciprocal root of each row, float32
                flops=out.numel(),
                dtype=_dtype(inputs),
                kind="reduction",
                shapes=tuple(tuple(t.shape) for t in inputs),
            )
        )
        return out


def trace_ops(fn: Callable[[], Result]) -> tuple[Result, list[OpRecord]]:
    """Runs `fn` and returns its result with one OpRecord per ATen operation that moves data, in order.

    Views, allocations and metadata operations are not recorded. An indexed read (embedding, gather, index) counts the
    bytes it takes from its source, not the whole source. `fn` may raise anything; it passes through.
    """
    recorder = _Recorder()
    with _FusedOnGpu(recorder), recorder:
        result = fn()
    return result, recorder.records
