"""Which ATen operations the device process runs, and that none of them reaches beyond its arguments' memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kernelwright.errors import LaunchError, UnsupportedError
from kernelwright.sandbox.optrace import is_free
from kernelwright.sandbox.replay import _apart, _into
from kernelwright.sandbox.replay_checks import check
from kernelwright.sandbox.replayable import operation, without_out
from kernelwright.sandbox.trees import tensors_of

ATEN = torch.ops.aten
FAR = torch.tensor([1 << 40])
PLANE, IMAGE = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 2, 2)
ROW = torch.zeros(4)


@pytest.mark.parametrize(
    "name",
    [
        "segment_reduce", "_ctc_loss", "_ctc_loss_backward", "_embedding_bag", "_embedding_bag_dense_backward", "max_unpool2d",
        "fractional_max_pool2d_backward", "lu_unpack", "linalg_ldl_solve", "_unsafe_index", "_unsafe_masked_index", "set_", "resize_",
        "resize_as_", "as_strided_", "as_strided_copy", "from_file", "_to_sparse", "sparse_coo_tensor", "quantize_per_tensor",
        "mkldnn_rnn_layer", "_mkldnn_reshape", "fbgemm_linear_int8_weight", "_nested_tensor_from_mask", "_cummax_helper",
        "_addmm_activation", "_transformer_encoder_layer_fwd", "record_stream", "__init__", "_", "", "relu__", "_cholesky_helper",
    ],
)  # fmt: skip
def test_an_operation_that_trusts_its_caller_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match="can't run on the emulated GPU"):
        operation(f"aten::{name}", "default")


@pytest.mark.parametrize(
    ("name", "overload"),
    [
        ("aten::relu", "default"), ("aten::relu_", "default"), ("aten::add", "Tensor"), ("aten::mm", "out"),
        ("aten::_softmax", "default"), ("aten::_to_copy", "default"), ("aten::__lshift__", "Scalar"), ("aten::index_put_", "default"),
        ("aten::convolution_backward", "default"), ("aten::_foreach_mul_", "Scalar"), ("aten::max_pool2d_with_indices_backward", "default"),
    ],
)  # fmt: skip
def test_what_public_functions_end_in_runs(name: str, overload: str) -> None:
    assert operation(name, overload).name().split(".")[0] == name


@pytest.mark.parametrize("name", ["prim::device", "x", "quantized::add", "aten::relu.x"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedError):
        operation(name, "default")


def test_an_unknown_overload_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="there is no operation"):
        operation("aten::relu", "no_such_form")


def pooled(indices: torch.Tensor) -> tuple[Any, ...]:
    return (PLANE, IMAGE, [2, 2], [2, 2], [0, 0], [1, 1], False, indices)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (ATEN.max_pool2d_with_indices_backward.default, pooled(FAR.view(1, 1, 1, 1))),
        (ATEN.max_pool2d_with_indices_backward.default, pooled(torch.full((1, 1, 1, 1), 4))),
        (ATEN.max_pool2d_with_indices_backward.default, pooled(torch.full((1, 1, 1, 1), -1))),
        (ATEN.max_pool2d_with_indices_backward.default, pooled(torch.zeros(1, 1, 2, 1, dtype=torch.int64))),
        (ATEN.adaptive_max_pool2d_backward.default, (PLANE, IMAGE, FAR.view(1, 1, 1, 1))),
        (ATEN.adaptive_max_pool2d_backward.default, (PLANE.expand(1, 5, 1, 1), IMAGE, torch.zeros(1, 5, 1, 1, dtype=torch.int64))),
        (ATEN.adaptive_max_pool3d_backward.default, (PLANE[None], IMAGE[None], FAR.view(1, 1, 1, 1, 1))),
        (ATEN._adaptive_avg_pool2d_backward.default, (PLANE.expand(1, 5, 1, 1), IMAGE)),
        (ATEN.avg_pool2d_backward.default, (torch.zeros(4, 1, 1, 1), IMAGE, [2, 2], [2, 2], [0, 0], False, True, None)),
        (ATEN.replication_pad1d_backward.default, (torch.zeros(1, 1, 6), torch.zeros(1, 4, 4), [1, 1])),
        (ATEN._log_softmax_backward_data.default, (torch.zeros(4, 4), torch.zeros(1, 4), 1, torch.float32)),
        (ATEN._fft_c2c.default, (torch.zeros(4, dtype=torch.complex64), [1 << 30], 0, True)),
        (ATEN._fft_c2r.default, (torch.zeros(4, dtype=torch.complex64), [0], 0, 1 << 30)),
        (ATEN.native_batch_norm.default, (torch.zeros(2, 9), ROW, ROW, ROW, ROW, True, 0.1, 1e-5)),
        (ATEN.native_batch_norm_backward.default,
         (torch.zeros(2, 4), torch.zeros(2, 4), ROW, ROW, ROW, ROW[:1], ROW[:1], True, 1e-5, [True] * 3)),
        (ATEN.native_layer_norm_backward.default,
         (torch.zeros(64, 4), torch.zeros(64, 4), [4], ROW[:1], ROW[:1], ROW, ROW, [True] * 3)),
        (ATEN.grid_sampler_2d_backward.default, (IMAGE, IMAGE, torch.zeros(1, 9, 9, 2), 0, 0, False, [True, True])),
        (ATEN.unfold_backward.default, (torch.zeros(1, 2), [1000], 0, 2, 1)),
        (ATEN.embedding_dense_backward.default, (torch.zeros(1, 4), FAR, 4, -1, False)),
        (ATEN.nll_loss_backward.default, (torch.zeros(1), torch.zeros(1, 4), FAR, None, 0, -100, torch.tensor(1.0))),
        (ATEN._scaled_dot_product_flash_attention_for_cpu.default,
         (torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 1, 8))),
        (ATEN._weight_norm_interface.default, (torch.zeros(64, 4), torch.zeros(1, 1), 0)),
        (ATEN.convolution_backward.default,
         (IMAGE, IMAGE, PLANE, [0], [1, 1], [0, 0], [1, 1], False, [0, 0], (1 << 62) + 1, [True] * 3)),
    ],
)  # fmt: skip
def test_arguments_that_torch_does_not_check_are_checked(
    function: torch._ops.OpOverload, args: tuple[Any, ...]
) -> None:
    with pytest.raises(LaunchError, match=r"do not belong together|out of range") as caught:
        check(function, args, {})
    assert function.name() in str(caught.value)


HONEST: dict[str, Callable[[], Any]] = {
    "max_pool2d": lambda: torch.nn.functional.max_pool2d(torch.randn(2, 3, 6, 6, requires_grad=True), 3, 2, 1),
    "adaptive_max_pool2d": lambda: torch.nn.functional.adaptive_max_pool2d(
        torch.randn(2, 3, 6, 6, requires_grad=True), 2
    ),
    "max_pool3d": lambda: torch.nn.functional.max_pool3d(torch.randn(2, 3, 4, 4, 4, requires_grad=True), 2),
    "avg_pool2d": lambda: torch.nn.functional.avg_pool2d(torch.randn(2, 3, 7, 7, requires_grad=True), 3, 2, 1, True),
    "adaptive_avg_pool2d": lambda: torch.nn.functional.adaptive_avg_pool2d(
        torch.randn(2, 3, 6, 6, requires_grad=True), 2
    ),
    "batch_norm": lambda: torch.nn.BatchNorm2d(3)(torch.randn(2, 3, 4, 4)),
    "batch_norm_evaluated": lambda: torch.nn.BatchNorm1d(3).eval()(torch.randn(2, 3, requires_grad=True)),
    "layer_norm": lambda: torch.nn.LayerNorm([3, 4])(torch.randn(5, 3, 4)),
    "group_norm": lambda: torch.nn.GroupNorm(2, 4)(torch.randn(5, 4, 4)),
    "log_softmax": lambda: torch.log_softmax(torch.randn(4, 5, requires_grad=True), 1),
    "cross_entropy": lambda: torch.nn.functional.cross_entropy(
        torch.randn(4, 5, requires_grad=True), torch.tensor([0, -100, 4, 2])
    ),
    "cross_entropy_of_planes": lambda: torch.nn.functional.cross_entropy(
        torch.randn(2, 5, 3, 3, requires_grad=True), torch.ones(2, 3, 3, dtype=torch.int64)
    ),
    "embedding": lambda: torch.nn.Embedding(5, 4, padding_idx=0)(torch.tensor([0, 4, 4])),
    "attention": lambda: torch.nn.functional.scaled_dot_product_attention(
        *(torch.randn(2, 3, 5, 8, requires_grad=True) for _ in range(3)), is_causal=True
    ),
    "fft": lambda: torch.fft.irfft(torch.fft.rfft(torch.randn(4, 9, requires_grad=True)), n=9),
    "weight_norm": lambda: torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(4, 3))(torch.randn(2, 4)),
    "grid_sample": lambda: torch.nn.functional.grid_sample(
        torch.randn(2, 3, 4, 4, requires_grad=True), torch.rand(2, 5, 6, 2), align_corners=False
    ),
    "unfold": lambda: torch.randn(3, 9, requires_grad=True).unfold(1, 3, 2) * 2,
    "pad": lambda: torch.nn.functional.pad(torch.randn(1, 2, 4, 4, requires_grad=True), (1, 1, 1, 1), mode="reflect"),
    "convolution": lambda: torch.nn.Conv2d(4, 4, 3, padding=1, groups=2)(torch.randn(1, 4, 6, 6)),
    "margin_ranking_loss": lambda: torch.nn.functional.margin_ranking_loss(
        *(torch.randn(4, requires_grad=True) for _ in range(3))
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_modules_with_gradients_pass_the_rule_and_the_checks(name: str) -> None:
    seen = []

    class Checked(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if not is_free(func) and tensors_of((args, kwargs)):  # what only makes tensors runs at the candidate
                plain, overload = func.name().split(".")[0], func._overloadname
                check(operation(plain, overload), args, kwargs)
                seen.append(plain)
            return func(*args, **kwargs)

    with Checked():
        HONEST[name]().sum().backward()
    assert seen


def rows(*given: int) -> torch.Tensor:
    return torch.tensor(given)


@pytest.mark.parametrize("far", [1 << 40, -(1 << 40), 1000, -1000])
@pytest.mark.parametrize(
    "call",
    [
        lambda i: ATEN.gather.default(ROW, 0, rows(i)),
        lambda i: ATEN.index_select.default(ROW, 0, rows(i)),
        lambda i: ATEN.take.default(ROW, rows(i)),
        lambda i: ATEN.embedding.default(ROW[:, None], rows(i)),
        lambda i: ATEN.index.Tensor(ROW, [rows(i)]),
        lambda i: ATEN.index_put_.default(ROW.clone(), [rows(i)], ROW[:1]),
        lambda i: ATEN.index_add_.default(ROW.clone(), 0, rows(i), ROW[:1]),
        lambda i: ATEN.index_copy_.default(ROW.clone(), 0, rows(i), ROW[:1]),
        lambda i: ATEN.index_fill_.int_Scalar(ROW.clone(), 0, rows(i), 1.0),
        lambda i: ATEN.scatter_.src(ROW.clone(), 0, rows(i), ROW[:1]),
        lambda i: ATEN.scatter_add_.default(ROW.clone(), 0, rows(i), ROW[:1]),
        lambda i: ATEN.scatter_reduce_.two(ROW.clone(), 0, rows(i), ROW[:1], "amax"),
        lambda i: ATEN.put_.default(ROW.clone(), rows(i), ROW[:1]),
        lambda i: ATEN.nll_loss_forward.default(ROW[None], rows(i), None, 0, -100),
    ],
)  # fmt: skip
def test_torch_itself_checks_the_indices_of_what_has_no_check_of_ours(call: Callable[[int], Any], far: int) -> None:
    with pytest.raises((IndexError, RuntimeError), match=r"(?i)out of (range|bounds)|index"):
        call(far)


def test_a_form_with_out_runs_as_the_plain_form() -> None:
    plain, outs = without_out(ATEN.adaptive_max_pool2d_backward.grad_input)
    assert plain is ATEN.adaptive_max_pool2d_backward.default
    assert outs == ("grad_input",)
    assert without_out(ATEN.relu_.default) == (ATEN.relu_.default, ())
    found = torch.zeros(3)
    assert _into((found,), torch.ones(3, dtype=torch.float16)) is found
    assert found.tolist() == [1, 1, 1]
    with pytest.raises(LaunchError, match="another shape"):
        _into((torch.zeros(2),), torch.ones(3))
    with pytest.raises(LaunchError, match="does not fit"):
        _into((torch.zeros(3, dtype=torch.int64),), torch.ones(3))


def test_indices_that_lie_where_the_operation_writes_are_copied_first() -> None:
    memory = bytearray(64)
    target = torch.frombuffer(memory, dtype=torch.float64)
    indices = torch.frombuffer(memory, dtype=torch.int64)
    elsewhere = torch.zeros(8, dtype=torch.int64)
    kept = _apart([target, indices, elsewhere], [target])
    assert kept[0] is target
    assert kept[1].data_ptr() != indices.data_ptr()
    assert kept[2] is elsewhere
