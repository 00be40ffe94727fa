"""Which ATen operations the device process runs for a candidate: those named here and no others.

The device process is trusted, so an operation must not reach beyond the memory of its arguments, whatever they are. Many
CPU kernels of torch do (checked with torch 2.13 under an allocator with guard pages: every argument in turn made smaller,
larger, of another type, out of range). The rules:

- An operation that a public function of torch ends in, forward or backward, and whose kernel checks what it is given: named.
- One whose kernel trusts its caller, but that honest modules need: named, and its arguments are checked first
  (`replay_checks`).
- All else is refused: CTC losses, bags of embeddings, fractional pooling, unpooling, `segment_reduce`, unpacking of LU
  factors (they trust lengths, indices or pivots); `_unsafe_*`; storages and sizes (`set_`, `resize_`, `as_strided_*`);
  files; sparse, nested, quantised, mkldnn and fbgemm tensors; private operations that no public function needs.
- In-place forms are as their plain form. Forms with `out` run as the plain form and their result is copied: their
  kernels trust what they may write to.
"""

from __future__ import annotations

import torch

from kernelwright.errors import UnsupportedError

__all__ = ["operation", "without_out"]

_NAMES = """
abs acos acosh adaptive_max_pool2d adaptive_max_pool3d add addbmm addcdiv addcmul addmm addmv addr alias_copy
all allclose amax amin aminmax angle any argmax argmin asin asinh atan atan2 atanh avg_pool2d avg_pool3d baddbmm
bernoulli binary_cross_entropy binary_cross_entropy_with_logits bincount binomial bitwise_and bitwise_left_shift
bitwise_not bitwise_or bitwise_right_shift bitwise_xor block_diag bmm bucketize cat cauchy ceil celu
channel_shuffle clamp clamp_max clamp_min clone col2im complex constant_pad_nd convolution copy copysign cos
cosh count_nonzero cross cummax cummin cumprod cumsum deg2rad diag_embed diagonal_copy diagonal_scatter digamma
dist div dot elu embedding eq equal erf erfc erfinv exp exp2 expand_copy expm1 exponential fill flip floor
floor_divide fmax fmin fmod frac frexp full full_like gather gcd ge gelu geometric glu grid_sampler_2d
grid_sampler_3d gt hardshrink hardsigmoid hardswish hardtanh heaviside histc histogram huber_loss hypot i0
igamma igammac im2col index index_add index_copy index_fill index_put index_reduce index_select isin isinf isnan
isneginf isposinf kthvalue lcm ldexp le leaky_relu lerp lgamma log log10 log1p log2 log_normal
log_sigmoid_forward logaddexp logaddexp2 logcumsumexp logical_and logical_not logical_or logical_xor logit
logsumexp lt masked_fill masked_scatter masked_select max max_pool2d_with_indices max_pool3d_with_indices
maximum mean median min minimum mish mm mode mse_loss mul multi_margin_loss multilabel_margin_loss_forward
multinomial mv mvlgamma nan_to_num nanmedian nansum narrow_copy native_batch_norm native_channel_shuffle
native_dropout native_group_norm native_layer_norm ne neg new_full new_ones new_zeros nextafter
nll_loss2d_forward nll_loss_forward nonzero nonzero_static norm normal normal_functional ones ones_like
permute_copy pixel_shuffle pixel_unshuffle poisson polar polygamma pow prod put rad2deg randint_like randn_like
random randperm reciprocal reflection_pad1d reflection_pad2d reflection_pad3d relu remainder renorm repeat
repeat_interleave replication_pad1d replication_pad2d replication_pad3d roll rot90 round rrelu_with_noise rsqrt
rsub scatter scatter_add scatter_reduce searchsorted select_scatter sgn sigmoid sign signbit silu sin sinc sinh
slice_scatter smooth_l1_loss soft_margin_loss softplus softshrink sort split_with_sizes_copy sqrt squeeze_copy
stack std std_mean sub sum t_copy take tan tanh threshold topk trace transpose_copy tril triu trunc unbind_copy
unfold_copy uniform unique_consecutive unsqueeze_copy upsample_bicubic2d upsample_bilinear2d upsample_linear1d
upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d var var_mean vdot view_copy where
xlogy zero zeros zeros_like

cholesky cholesky_inverse cholesky_solve linalg_cholesky_ex linalg_cross linalg_eig linalg_inv_ex linalg_lstsq
linalg_lu linalg_lu_factor_ex linalg_lu_solve linalg_matrix_exp linalg_pinv linalg_qr linalg_solve_triangular
linalg_vector_norm special_airy_ai special_bessel_j0 special_bessel_j1 special_bessel_y0 special_bessel_y1
special_chebyshev_polynomial_t special_chebyshev_polynomial_u special_chebyshev_polynomial_v
special_chebyshev_polynomial_w special_entr special_erfcx special_hermite_polynomial_h
special_hermite_polynomial_he special_i0e special_i1 special_i1e special_laguerre_polynomial_l
special_legendre_polynomial_p special_log_ndtr special_modified_bessel_i0 special_modified_bessel_i1
special_modified_bessel_k0 special_modified_bessel_k1 special_ndtri special_scaled_modified_bessel_k0
special_scaled_modified_bessel_k1 special_shifted_chebyshev_polynomial_t special_shifted_chebyshev_polynomial_u
special_shifted_chebyshev_polynomial_v special_shifted_chebyshev_polynomial_w special_spherical_bessel_j0
special_xlog1py special_zeta triangular_solve

adaptive_max_pool2d_backward adaptive_max_pool3d_backward avg_pool2d_backward avg_pool3d_backward
binary_cross_entropy_backward convolution_backward diagonal_backward elu_backward embedding_dense_backward
gelu_backward glu_backward grid_sampler_2d_backward grid_sampler_3d_backward hardshrink_backward
hardsigmoid_backward hardswish_backward hardtanh_backward huber_loss_backward leaky_relu_backward
log_sigmoid_backward logit_backward masked_scatter_backward max_pool2d_with_indices_backward
max_pool3d_with_indices_backward mish_backward mse_loss_backward multi_margin_loss_backward
multilabel_margin_loss_backward native_batch_norm_backward native_dropout_backward native_group_norm_backward
native_layer_norm_backward nll_loss2d_backward nll_loss_backward reflection_pad1d_backward
reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward replication_pad2d_backward
replication_pad3d_backward rrelu_with_noise_backward select_backward sigmoid_backward silu_backward
slice_backward smooth_l1_loss_backward soft_margin_loss_backward softplus_backward softshrink_backward
tanh_backward threshold_backward unfold_backward upsample_bicubic2d_backward upsample_bilinear2d_backward
upsample_linear1d_backward upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
upsample_trilinear3d_backward

__and__ __lshift__ __or__ __rshift__ __xor__ _adaptive_avg_pool2d _adaptive_avg_pool2d_backward
_adaptive_avg_pool3d _adaptive_avg_pool3d_backward _cdist_backward _cdist_forward _conj_physical _fft_c2c
_fft_c2r _fft_r2c _foreach_abs _foreach_add _foreach_addcdiv _foreach_addcmul _foreach_ceil _foreach_clamp_max
_foreach_clamp_min _foreach_cos _foreach_div _foreach_exp _foreach_floor _foreach_lerp _foreach_log _foreach_max
_foreach_maximum _foreach_minimum _foreach_mul _foreach_neg _foreach_norm _foreach_pow _foreach_reciprocal
_foreach_round _foreach_rsqrt _foreach_sigmoid _foreach_sign _foreach_sin _foreach_sqrt _foreach_sub
_foreach_tanh _foreach_zero _fused_rms_norm _fused_rms_norm_backward _int_mm _is_all_true _is_any_true
_linalg_det _linalg_eigh _linalg_slogdet _linalg_solve_ex _linalg_svd _local_scalar_dense _log_softmax
_log_softmax_backward_data _native_batch_norm_legit _native_batch_norm_legit_no_training _pdist_backward
_pdist_forward _prelu_kernel _prelu_kernel_backward _safe_softmax _scaled_dot_product_flash_attention_for_cpu
_scaled_dot_product_flash_attention_for_cpu_backward _softmax _softmax_backward_data _to_copy _trilinear _unique
_unique2 _upsample_nearest_exact1d _upsample_nearest_exact1d_backward _upsample_nearest_exact2d
_upsample_nearest_exact2d_backward _upsample_nearest_exact3d _upsample_nearest_exact3d_backward
_weight_norm_interface _weight_norm_interface_backward
"""
"""Forward operations, linear algebra and special functions, backward operations, and private ones that public functions end in."""
_ALLOWED = frozenset(_NAMES.split())


def operation(name: str, overload: str) -> torch._ops.OpOverload:
    """The operation of this name (`aten::relu`) and overload.

    Raises:
        UnsupportedError: it is none that may run here.
    """
    space, _, plain = name.partition("::")
    known = plain in _ALLOWED or (plain.endswith("_") and not plain.startswith("__") and plain[:-1] in _ALLOWED)
    if space != "aten" or not known or not overload.isidentifier() or "name" in overload:
        raise UnsupportedError(f"the operation {name[:100]} can't run on the emulated GPU.")
    function = getattr(getattr(torch.ops.aten, plain, None), overload, None)
    if not isinstance(function, torch._ops.OpOverload):
        raise UnsupportedError(f"there is no operation {name[:100]}.{overload[:100]}.")
    return function


def without_out(function: torch._ops.OpOverload) -> tuple[torch._ops.OpOverload, tuple[str, ...]]:
    """The plain form of an operation with `out` arguments, and their names; itself and none if it has no such arguments.

    Raises:
        UnsupportedError: it has no plain form.
    """
    outs = tuple(each.name for each in function._schema.arguments if each.is_out)
    if not outs:
        return function, ()
    wanted = [(each.name, str(each.type)) for each in function._schema.arguments if not each.is_out]
    packet = function.overloadpacket
    for overload in packet.overloads():
        plain = getattr(packet, overload)
        if [(each.name, str(each.type)) for each in plain._schema.arguments] == wanted:
            return plain, outs
    raise UnsupportedError(f"{function.name()} can't run on the emulated GPU: it has no form without out.")
