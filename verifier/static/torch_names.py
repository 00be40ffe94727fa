"""Which of torch's functions and methods compute, and which only make, view, move or cast tensors."""

from __future__ import annotations

import re

from kernelwright.verifier.static.wordlists import words

__all__ = ["FREE", "METHODS", "canonical", "computes", "computes_in_cpp", "computing_method", "is_module_class"]

FREE = words("""
    empty empty_like empty_strided empty_permuted zeros zeros_like ones ones_like full full_like new_empty new_zeros
    new_ones new_full new_tensor new_empty_strided tensor as_tensor asarray from_numpy from_dlpack to_dlpack frombuffer
    scalar_tensor arange linspace eye contiguous view view_as reshape reshape_as transpose permute t adjoint mT T
    flatten unflatten squeeze unsqueeze expand expand_as narrow select chunk split split_with_sizes tensor_split unbind
    as_strided movedim moveaxis swapaxes swapdims ravel diagonal broadcast_to broadcast_tensors broadcast_shapes
    atleast_1d atleast_2d atleast_3d view_as_real view_as_complex real imag unfold hsplit vsplit dsplit numpy
    to float half bfloat16 double int long short char byte bool type type_as clone detach detach_ copy_ cpu cuda
    pin_memory requires_grad_ resize_ set_ zero_ fill_ item tolist size numel dim ndimension element_size stride
    storage_offset data_ptr untyped_storage storage is_contiguous is_floating_point is_complex is_tensor is_nonzero
    is_cuda get_device dtype device shape nelement record_stream backward retain_grad register_hook
    resolve_conj resolve_neg positive save_for_backward mark_dirty set_materialize_grads
    no_grad enable_grad set_grad_enabled inference_mode is_grad_enabled is_inference_mode_enabled manual_seed seed
    initial_seed get_rng_state set_rng_state finfo iinfo device_count set_default_dtype get_default_dtype
    set_default_device get_default_device set_num_threads get_num_threads set_printoptions typename is_storage
    is_autocast_enabled set_float32_matmul_precision get_float32_matmul_precision use_deterministic_algorithms
    from_blob layout memory_format pinned_memory requires_grad set_num_threads sizes strides scalar_type options accessor
    packed_accessor32 packed_accessor64 data_ptr const_data_ptr mutable_data_ptr defined itemsize nbytes contiguous
    are_deterministic_algorithms_enabled promote_types result_type can_cast synchronize save load compile jit
    is_deterministic_algorithms_warn_only_enabled is_warn_always_enabled set_warn_always set_flush_denormal Generator
    """)
"""Functions and methods that compute no values of their own: they make, view, move, cast, or ask."""

METHODS = words("""
    abs acos acosh add add_ addbmm addcdiv addcmul addmm addmv addr all allclose amax amin aminmax angle any argmax
    argmin argsort asin asinh atan atan2 atanh baddbmm bernoulli bernoulli_ bincount bitwise_and bitwise_not
    bitwise_or bitwise_xor bmm ceil cholesky clamp clamp_ clamp_max clamp_min clip clip_ conj copysign corrcoef cos
    cosh count_nonzero cov cross cummax cummin cumprod cumsum deg2rad det diff digamma dist div div_ divide dot
    eq equal erf erfc erfinv exp exp_ exp2 expm1 exponential_ floor floor_divide fmax fmin fmod frac gather ge
    ger gt hardshrink heaviside histc hypot i0 index_add index_add_ index_copy index_fill index_put index_put_
    index_select inner inverse isclose isfinite isinf isnan isneginf isposinf kron kthvalue ldexp le lerp lgamma
    log log10 log1p log2 log_softmax logaddexp logaddexp2 logcumsumexp logdet logical_and logical_not logical_or
    logical_xor logit logsumexp lt masked_fill masked_fill_ masked_scatter masked_select matmul matrix_exp matrix_power
    max maximum mean median min minimum mm mode msort mul mul_ multinomial multiply mv mvlgamma nan_to_num nanmean
    nanmedian nansum ne neg negative nextafter norm normal_ outer pinverse polygamma pow pow_ prelu prod put_ qr
    quantile rad2deg random_ reciprocal relu relu_ remainder renorm repeat repeat_interleave roll rot90 round rsqrt
    scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ searchsorted sgn sigmoid sigmoid_ sign
    signbit sin sinc sinh softmax sort sqrt square std sub sub_ subtract sum svd take take_along_dim tan tanh tanh_
    tile topk trace tril triu true_divide trunc uniform_ unique var vdot where xlogy
    """)
"""Methods of tensors that compute."""

_AMBIGUOUS = words("max min sum all any round sort take repeat index_copy dist det mode cross diff log add")
"""Methods that objects other than tensors have as well."""

_PLACES = (
    "torch.nn.functional", "torch.linalg", "torch.fft", "torch.special", "torch.sparse", "torch.nested", "torch.Tensor",
    "torch.ops.aten", "torch.ops.prims", "torch._refs", "torch._prims", "torch._decomp", "torch._C._linalg",
    "torch._C._fft", "torch._C._special", "torch.ops.quantized", "torch.ops.mkldnn", "torch.ops.torchvision", "torch.nn.utils.rnn",
    "torch.masked", "torch.functional", "torch.signal.windows",
)  # fmt: skip

_PLAIN_CLASSES = words("""Module Parameter ParameterList ParameterDict Buffer UninitializedParameter Identity ModuleList ModuleDict
    Flatten Unflatten""")
"""Classes of torch.nn that compute nothing when they are called."""


def computes(name: str) -> str | None:
    """The op that a dotted name calls (`matmul`), if it computes; None for anything else.

    `name` is as `Names.of` gives it: ``torch.nn.functional.relu``, ``torch.ops.aten.mm.default``, ``torch.matmul``.
    """
    if not name.startswith("torch."):
        return None
    if name.startswith(("torch.ops.aten.", "torch.ops.prims.")):
        op = name.split(".")[3]
    else:
        place, _, op = name.rpartition(".")
        if place not in _PLACES and place != "torch":
            return None
    if not op or not (op[0].islower() or op[0] == "_") or op.startswith("__") or op in FREE:
        return None
    if op.startswith(
        ("is_", "get_", "set_", "_dynamo", "_inductor", "_C", "_assert", "_logging", "_check", "_compile")
    ):
        return None
    if name.count(".") == 1 and op in _SUBMODULES:
        return None
    return op


_SUBMODULES = words("""nn cuda backends autograd utils ops jit library optim distributed multiprocessing random onnx hub profiler testing
    version types storage serialization overrides func fx export package quantization ao amp autocast cpu mps xpu linalg
    fft special sparse nested masked functional signal distributions futures monitor return_types classes accelerator
    compiler strided sparse_coo sparse_csr channels_last contiguous_format preserve_format channels_last_3d
    float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 complex64 complex128 half double
    cfloat cdouble short inf nan pi e float8_e4m3fn float8_e5m2 vmap cond""")


def is_module_class(name: str) -> bool:
    """Whether a dotted name is a class of torch.nn whose call computes (`torch.nn.Linear`)."""
    place, _, last = name.rpartition(".")
    if not (place == "torch.nn" or place.startswith("torch.nn.modules")):
        return False
    return last[:1].isupper() and last not in _PLAIN_CLASSES


def computing_method(name: str) -> bool:
    """Whether a method of this name computes, on whatever is most likely a tensor."""
    return name in METHODS and name not in _AMBIGUOUS


_FUNCTIONS = words(
    """
    absolute adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d alpha_dropout arccos arccosh arcsin arcsinh arctan arctan2 arctanh argwhere avg_pool1d
    avg_pool2d avg_pool3d batch_norm bilinear binary_cross_entropy binary_cross_entropy_with_logits block_diag bucketize
    cartesian_prod cat cdist celu chain_matmul channel_shuffle cholesky_solve col2im column_stack concat concatenate
    constant_pad_nd conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution
    cosine_embedding_loss cosine_similarity cross_entropy_loss ctc_loss dequantize diag diag_embed diagflat dropout
    dstack einsum elu embedding embedding_bag feature_dropout flip fliplr flipud float_power
    fractional_max_pool2d fractional_max_pool3d frobenius_norm gelu glu grid_sampler grid_sampler_2d grid_sampler_3d
    group_norm gru gru_cell hardsigmoid hardswish hardtanh hinge_embedding_loss histogram hstack huber_loss im2col
    index_reduce instance_norm isin istft kl_div l1_loss layer_norm leaky_relu less linear log_sigmoid lstm lstm_cell
    margin_ranking_loss max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d
    max_pool3d_with_indices max_unpool2d max_unpool3d mish mse_loss multi_margin_loss nll_loss nll_loss2d nll_loss_nd
    nonzero norm_except_dim one_hot pad pairwise_distance pdist pixel_shuffle pixel_unshuffle poisson_nll_loss
    quantize_per_tensor rand rand_like randint randn randn_like randperm reflection_pad1d reflection_pad2d relu6
    replication_pad1d replication_pad2d rms_norm rnn_relu rnn_tanh rrelu scaled_dot_product_attention segment_reduce
    selu silu smooth_l1_loss soft_margin_loss softplus softshrink stack std_mean stft tensordot threshold trapezoid
    triplet_margin_loss unique_consecutive upsample_bicubic2d upsample_bilinear2d upsample_linear1d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d vander var_mean vstack
    log_softmax softmin hardshrink addmm sum mean max min all any sort topk repeat take dist det mode cross diff round
    """
)
"""Functions of torch's C++ namespace that compute; `METHODS` are functions as well."""

_FAMILIES = re.compile(
    r"(?:linalg|fft|special|cudnn|native|miopen|mkldnn|fbgemm|quantized|_cudnn|_softmax|_log_softmax)_?\w*|\w+_backward"
)


def computes_in_cpp(name: str) -> bool:
    """Whether ``at::name`` is an operation of torch's that computes, in C++, where helpers share its namespace."""
    plain = name.removesuffix("_").removesuffix("_out")
    return name not in FREE and (not {name, plain}.isdisjoint(METHODS | _FUNCTIONS) or bool(_FAMILIES.fullmatch(name)))


_GROUPS = {"mm": "matmul", "bmm": "matmul", "dot": "matmul", "mv": "matmul", "baddbmm": "matmul", "addmm": "linear"}
_DIMENSIONS = re.compile(r"[123]d$")


def canonical(op: str) -> str:
    """One name for one op however it is spelled: `nn.LayerNorm`, `F.layer_norm` and `aten.layer_norm` are `layernorm`."""
    plain = op.rpartition(".")[2].strip("_").replace("_", "").lower()
    plain = _DIMENSIONS.sub("", plain)
    plain = plain.removesuffix("loss") or plain
    return _GROUPS.get(plain, plain)
