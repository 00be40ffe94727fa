"""Functions with honest and faulty ways of computing them in float32, simulated in NumPy: what the numeric policy must tell apart.

Sums are added by `numpy.add.accumulate`, which keeps to float32 and to the order (torch.cumsum adds in float64). Fast
intrinsics err by what the CUDA Programming Guide documents. `numeric_table.py` makes the table of docs/numeric-policy.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.distributions import draw
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.reference_worker import Reference
from kernelwright.verifier.correctness import compare_outputs

F = np.float32
Array = np.ndarray
Variant = Callable[..., Array]
EPS = 2.0**-23


# -- arithmetic -------------------------------------------------------------------------------------------------


def sequential(x: Array) -> Array:
    """Sum over the last axis, one term after the other in float32."""
    return np.add.accumulate(x, axis=-1, dtype=F)[..., -1]


def backwards(x: Array) -> Array:
    return sequential(x[..., ::-1])


def lanes(x: Array, width: int = 32) -> Array:
    """Each of 32 lanes adds every 32nd term, then a tree over the lanes: a warp's sum."""
    n = x.shape[-1]
    padded = np.zeros((*x.shape[:-1], -(-n // width) * width), F)
    padded[..., :n] = x
    part = np.add.accumulate(padded.reshape(*x.shape[:-1], -1, width), axis=-2, dtype=F)[..., -1, :]
    while part.shape[-1] > 1:
        half = part.shape[-1] // 2
        part = part[..., :half] + part[..., half:]
    return part[..., 0]


def shuffled(x: Array) -> Array:
    """Any order, as atomics give it."""
    return sequential(x[..., np.random.default_rng(x.size).permutation(x.shape[-1])])


SUMS = {"sequential": sequential, "backwards": backwards, "lanes": lanes, "shuffled": shuffled}


def expf(x: Array) -> Array:
    """`__expf`: ex2.approx (2 ulp) of a product rounded to float32."""
    return np.exp2((x * F(math.log2(math.e))).astype(np.float64)).astype(F) * F(1 + 2 * EPS)


def logf(x: Array) -> Array:
    """`__logf`: absolute error 2**-21.41 for x in [0.5, 2], otherwise 3 ulp."""
    exact = np.log(x.astype(np.float64))
    error = np.where((x >= 0.5) & (x <= 2), 2.0**-21.41, 3 * EPS * np.abs(exact))
    return (exact + error).astype(F)


def divide(a: Array, b: Array) -> Array:
    """`__fdividef`: 2 ulp."""
    return (a.astype(np.float64) / b * (1 - 2 * EPS)).astype(F)


def rsqrt(x: Array) -> Array:
    """`rsqrt.approx`: 2 ulp."""
    return ((1 + 2 * EPS) / np.sqrt(x.astype(np.float64))).astype(F)


def tf32(x: Array) -> Array:
    """Rounded to nearest with 10 bits of mantissa."""
    return ((x.view(np.uint32) + 0x1000) & ~np.uint32(0x1FFF)).view(F)


def fp16(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(F)


def bf16(x: Array) -> Array:
    return torch.from_numpy(np.ascontiguousarray(x)).bfloat16().float().numpy()


def product(a: Array, b: Array, *, chunk: int = 1, backwards: bool = False, fused: bool = False) -> Array:
    """a @ b, `chunk` terms at a time; `fused` rounds once per term, as a fused multiply-add does."""
    out = np.zeros((a.shape[0], b.shape[1]), F)
    starts = range(0, a.shape[1], chunk)
    for k in reversed(starts) if backwards else starts:
        if fused:
            out = (out + a[:, k : k + 1].astype(np.float64) * b[k]).astype(F)
        elif chunk == 1:
            out = out + a[:, k : k + 1] * b[k]
        else:
            out = out + a[:, k : k + chunk] @ b[k : k + chunk]
    return out


# -- the functions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A function with its inputs, honest variants, and what a fault in its operands can be put into."""

    name: str
    function: Callable[..., torch.Tensor]
    shapes: tuple[tuple[int, ...], ...]
    honest: dict[str, Variant]
    base: Variant
    """The honest variant that faults are put into: called with operands of lower precision."""
    extra_faults: dict[str, Variant] | None = None
    positive: bool = False
    """Inputs are made positive first (for logarithms)."""


def _softmax(x: Array, add: Variant = sequential, exp: Variant = np.exp, div: Variant = np.divide) -> Array:
    e = exp(x - x.max(-1, keepdims=True))
    return div(e, np.broadcast_to(add(e)[..., None], e.shape))


def _layer_norm(x: Array, add: Variant = sequential, root: Variant = rsqrt, eps: float = 1e-5) -> Array:
    n = F(x.shape[-1])
    centred = x - (add(x) / n)[..., None]
    return centred * root((add(centred * centred) / n)[..., None] + F(eps))


def _rms_norm(x: Array, add: Variant = sequential, eps: float = 1e-6) -> Array:
    return x * rsqrt((add(x * x) / F(x.shape[-1]))[..., None] + F(eps))


def _variance(x: Array, add: Variant = sequential) -> Array:
    n = F(x.shape[-1])
    centred = x - (add(x) / n)[..., None]
    return add(centred * centred) / (n - F(1))


def _welford(x: Array) -> Array:
    mean, m2 = np.zeros(x.shape[:-1], F), np.zeros(x.shape[:-1], F)
    for k in range(x.shape[-1]):
        delta = x[..., k] - mean
        mean = mean + delta / F(k + 1)
        m2 = m2 + delta * (x[..., k] - mean)
    return m2 / F(x.shape[-1] - 1)


def _cross_entropy(x: Array, add: Variant = sequential, exp: Variant = np.exp, log: Variant = np.log) -> Array:
    top = x.max(-1)
    loss = log(add(exp(x - top[..., None]))) + top - x[..., 3]
    return np.asarray(add(loss[None])[0] / F(loss.size), F)


def _attention(
    q: Array, k: Array, v: Array, add: Variant = sequential, exp: Variant = np.exp, dot: Variant = product
) -> Array:
    scores = dot(q, np.ascontiguousarray(k.T)) * F(1 / math.sqrt(q.shape[-1]))
    return dot(_softmax(scores, add, exp), v)


def _online_attention(q: Array, k: Array, v: Array) -> Array:
    """Blocks of 16 keys with a running maximum, as flash attention has it."""
    top = np.full((q.shape[0], 1), -np.inf, F)
    total, out = np.zeros((q.shape[0], 1), F), np.zeros((q.shape[0], v.shape[1]), F)
    for start in range(0, k.shape[0], 16):
        scores = product(q, np.ascontiguousarray(k[start : start + 16].T)) * F(1 / math.sqrt(q.shape[-1]))
        new = np.maximum(top, scores.max(-1, keepdims=True))
        weight, old = expf(scores - new), expf(top - new)
        total = total * old + sequential(weight)[:, None]
        out = out * old + product(weight, v[start : start + 16])
        top = new
    return out / total


def _conv(x: Array, w: Array, backwards: bool = False) -> Array:
    """3x3 without padding: term by term over channels and taps."""
    n, _c, h, wide = x.shape
    out = np.zeros((n, w.shape[0], h - 2, wide - 2), F)
    terms = [(c, i, j) for c in range(w.shape[1]) for i in range(3) for j in range(3)]
    for c, i, j in reversed(terms) if backwards else terms:
        out = out + x[:, c : c + 1, i : i + h - 2, j : j + wide - 2] * w[None, :, c, i, j, None, None]
    return out


def _gelu(x: Array) -> Array:
    return F(0.5) * x * (F(1) + torch.erf(torch.from_numpy(x * F(math.sqrt(0.5)))).numpy())


def _silu(x: Array, exp: Variant = np.exp) -> Array:
    with np.errstate(over="ignore"):
        return divide(x, F(1) + exp(-x)) if exp is expf else x / (F(1) + exp(-x))


def _tanh_by_exp(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return F(1) - divide(np.full_like(x, 2), expf(F(2) * x) + F(1))


def _chain(x: Array, exp: Variant = np.exp, log: Variant = np.log) -> Array:
    return log(F(1) + exp(np.tanh(x))) * exp(-np.abs(x))


def _cancel(x: Array, y: Array) -> Array:
    return (x + y) * (x - y)


def with_sums(function: Variant) -> dict[str, Variant]:
    return {name: lambda *a, s=s: function(*a, add=s) for name, s in SUMS.items()}


def fp16_sum(x: Array) -> Array:
    """An accumulator in half precision, by lanes of at most 64 terms."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.add.accumulate(x.astype(np.float16), axis=-1, dtype=np.float16)[..., -1].astype(F)


def matmul_case(k: int) -> Case:
    return Case(
        f"matmul K={k}", torch.matmul, ((24, k), (k, 40)),
        {
            "sequential": product,
            "backwards": lambda a, b: product(a, b, backwards=True),
            "fused": lambda a, b: product(a, b, fused=True),
            "tiles of 16": lambda a, b: product(a, b, chunk=16),
        },
        product,
    )  # fmt: skip


def _total_of(x: Array, add: Variant) -> Array:
    return np.asarray(add(x.reshape(1, -1))[0], F)


CASES = [
    Case("softmax", lambda x: torch.softmax(x, -1), ((32, 1000),),
         {**with_sums(_softmax), "fast": lambda x: _softmax(x, lanes, expf, divide)}, _softmax,
         {"half sum": lambda x: _softmax(x, fp16_sum)}),
    Case("layer norm", lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:]), ((32, 768),), with_sums(_layer_norm), _layer_norm,
         {"eps 1e-6": lambda x: _layer_norm(x, eps=1e-6), "eps 1.1e-5": lambda x: _layer_norm(x, eps=1.1e-5), "half sum": lambda x: _layer_norm(x, fp16_sum)}),
    Case("rms norm", lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), ((32, 768),), with_sums(_rms_norm), _rms_norm,
         {"eps 1e-5": lambda x: _rms_norm(x, eps=1e-5), "no eps": lambda x: _rms_norm(x, eps=0.0)}),
    Case("variance", lambda x: x.var(-1), ((32, 1500),), {**with_sums(_variance), "welford": _welford}, _variance),
    matmul_case(64), matmul_case(1024), matmul_case(4096),
    Case("conv 3x3", torch.nn.functional.conv2d, ((2, 16, 14, 14), (12, 16, 3, 3)),
         {"sequential": _conv, "backwards": lambda x, w: _conv(x, w, backwards=True)}, _conv),
    Case("row sums", lambda x: x.sum(-1), ((100, 4096),), dict(SUMS), sequential, {"half sum": fp16_sum}),
    Case("sum of 1e6", torch.sum, ((1_000_000,),), {n: lambda x, s=s: _total_of(x, s) for n, s in SUMS.items()},
         lambda x: _total_of(x, lanes)),
    Case("gelu", torch.nn.functional.gelu, ((64, 300),), {"erf": _gelu}, _gelu),
    Case("silu", torch.nn.functional.silu, ((64, 300),), {"exp": _silu, "fast": lambda x: _silu(x, expf)}, _silu),
    Case("tanh", torch.tanh, ((64, 300),), {"tanh": np.tanh, "by __expf": _tanh_by_exp}, np.tanh),
    Case("log", torch.log, ((64, 300),), {"log": np.log, "fast": logf}, np.log, positive=True),
    Case("cross entropy", lambda x: torch.nn.functional.cross_entropy(x, torch.full((x.shape[0],), 3)), ((64, 1000),),
         {**with_sums(_cross_entropy), "fast": lambda x: _cross_entropy(x, lanes, expf, logf)}, _cross_entropy),
    Case("cumsum", lambda x: x.cumsum(-1), ((20, 2000),), {"sequential": lambda x: np.add.accumulate(x, axis=-1, dtype=F)},
         lambda x: np.add.accumulate(x, axis=-1, dtype=F)),
    Case("attention", lambda q, k, v: torch.softmax(q @ k.t() / math.sqrt(q.shape[-1]), -1) @ v, ((64, 32), (128, 32), (128, 48)),
         {**with_sums(_attention), "online": _online_attention, "fast": lambda q, k, v: _attention(q, k, v, lanes, expf)}, _attention),
    Case("product", lambda x: (1 + x * 1e-3).prod(-1), ((200, 100),),
         {"sequential": lambda x: np.multiply.accumulate(F(1) + x * F(1e-3), axis=-1, dtype=F)[..., -1],
          "backwards": lambda x: np.multiply.accumulate((F(1) + x * F(1e-3))[..., ::-1], axis=-1, dtype=F)[..., -1]},
         lambda x: np.multiply.accumulate(F(1) + x * F(1e-3), axis=-1, dtype=F)[..., -1]),
    Case("chain", lambda x: torch.log(1 + torch.exp(torch.tanh(x))) * torch.exp(-x.abs()), ((64, 300),),
         {"exp, log": _chain, "fast": lambda x: _chain(x, expf, logf)}, _chain),
    Case("cancellation", lambda x, y: (x + y) * (x - y), ((64, 300), (64, 300)),
         {"as written": _cancel, "expanded": lambda x, y: x * x - y * y}, _cancel),
]  # fmt: skip


def _one_element(y: Array) -> Array:
    """One element off by a thousandth of the root mean square of its row."""
    out = y.copy().reshape(-1)
    row = y.reshape(y.shape[0], -1) if y.ndim else y.reshape(1, 1)
    at = (7 * out.size) // 11
    scale = math.sqrt(float(np.mean(np.square(row[at // row.shape[1]].astype(np.float64)))))
    out[at] += F(1e-3 * scale)
    return out.reshape(y.shape)


def _last_skipped(y: Array) -> Array:
    out = y.copy().reshape(-1)
    out[-max(1, out.size // max(1, y.shape[0] if y.ndim else 1)) :] = 0
    return out.reshape(y.shape)


def faults(case: Case) -> dict[str, Variant]:
    """Every fault that `case` can have; all must be wrong on at least one workload."""
    base = case.base
    found: dict[str, Variant] = {
        "tf32 inside": lambda *x: base(*map(tf32, x)),
        "fp16 inside": lambda *x: base(*map(fp16, x)),
        "bf16 inside": lambda *x: base(*map(bf16, x)),
        "times 1.0002": lambda *x: base(*x) * F(1.0002),
        "one element": lambda *x: _one_element(base(*x)),
        "last row skipped": lambda *x: _last_skipped(base(*x)),
    }
    return found | (case.extra_faults or {})


# -- judging ------------------------------------------------------------------------------------------------------


class _Function(torch.nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)


def inputs_of(case: Case, distribution: str, seed: int) -> list[torch.Tensor]:
    """Inputs as the reference process draws them."""
    generator = torch.Generator().manual_seed(seed)
    as_given = [torch.rand(shape, generator=generator) for shape in case.shapes]
    drawn = [draw(x, distribution, generator) for x in as_given]
    return [x.abs() + 1e-30 for x in drawn] if case.positive else drawn


def reference_of(
    function: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor], seed: int = 0
) -> ReferenceResult:
    """What the reference process answers."""
    worker = Reference()
    worker.models[seed, False] = _Function(function)
    _, values = worker.run(Message({"seed": seed, "moved": False}, list(inputs), None))
    return ReferenceResult(values["native"], values["exact"], values["moved"], (), ())


def share(variant: Variant, inputs: list[torch.Tensor], expected: ReferenceResult) -> float:
    """Largest error as a share of what is allowed; inf where the variant is wrong."""
    with np.errstate(all="ignore"):
        got = np.asarray(variant(*(x.numpy() for x in inputs)), F)
    mismatch, found = compare_outputs(torch.from_numpy(got.copy()), expected, NumericPolicy())
    return math.inf if mismatch is not None else found
