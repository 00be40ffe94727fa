"""The numeric policy: honest float32 passes in any order, lower precision and small faults do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from numeric_cases import reference_of, sequential

from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.sandbox.reference import ReferenceResult
from kernelwright.sandbox.trees import same_bits
from kernelwright.verifier.correctness import Past, compare_outputs

POLICY = NumericPolicy()


def reference(function, *inputs):
    """What the reference process answers."""
    return reference_of(function, inputs)


def verdict(output, expected) -> bool:
    mismatch, _share = compare_outputs(output, expected, POLICY)
    return mismatch is None


def says(output, expected, policy=POLICY) -> str:
    mismatch, _share = compare_outputs(output, expected, policy)
    assert mismatch is not None
    return mismatch.what


def softmax(x):
    return torch.softmax(x, -1)


def layer_norm(x):
    return torch.nn.functional.layer_norm(x, x.shape[-1:])


def gelu(x):
    return torch.nn.functional.gelu(x)


def total(x):
    return x.sum(-1)


def draws(scale):
    torch.manual_seed(int(scale * 1000) % 97)
    return {
        "normal": torch.randn(64, 512) * scale,
        "uniform": torch.rand(64, 512) * scale,
        "constant": torch.full((64, 512), 1.7 * scale),
        "mixed": torch.randn(64, 512) * scale * 10 ** (torch.rand(64, 512) * 5 - 3),
    }


def sequential_sum(x):
    """Float32, one term after the other: the least accurate honest order (torch.cumsum adds in float64)."""
    return torch.from_numpy(sequential(x.numpy()))


def sequential_softmax(x):
    e = torch.exp(x - x.amax(-1, keepdim=True))
    return e / sequential_sum(e)[..., None]


def sequential_layer_norm(x):
    n = x.shape[-1]
    mean = (sequential_sum(x) / n)[..., None]
    variance = (sequential_sum((x - mean) ** 2) / n)[..., None]
    return (x - mean) * torch.rsqrt(variance + 1e-5)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e-3])
@pytest.mark.parametrize("kind", ["normal", "uniform", "constant", "mixed"])
@pytest.mark.parametrize(
    ("function", "honest"),
    [(softmax, sequential_softmax), (layer_norm, sequential_layer_norm), (total, sequential_sum)],
    ids=["softmax", "layer_norm", "sum"],
)
def test_an_honest_order_passes(function, honest, kind, scale):
    x = draws(scale)[kind]
    assert verdict(honest(x), reference(function, x))
    flipped = x.flip(-1)
    assert verdict(honest(flipped).flip(-1) if function is not total else honest(flipped), reference(function, x))


def test_a_long_sequential_sum_of_both_signs_passes():
    torch.manual_seed(0)
    x = torch.randn(256, 4096)
    assert verdict(sequential_sum(x), reference(total, x))


def test_matmul_in_another_order_passes_and_tf32_and_half_do_not():
    torch.manual_seed(0)
    a, b = torch.randn(128, 512), torch.randn(512, 96)
    expected = reference(torch.matmul, a, b)
    split = sum(a[:, i : i + 8] @ b[i : i + 8] for i in range(0, 512, 8))
    assert verdict(split, expected)

    def tf32(x):
        return (x.view(torch.int32) & ~0x1FFF).view(torch.float32)  # 10 bits of mantissa

    assert not verdict(tf32(a) @ tf32(b), expected)
    assert not verdict((a.half().float() @ b.half().float()), expected)
    assert not verdict((a.bfloat16().float() @ b.bfloat16().float()), expected)


@pytest.mark.parametrize("function", [softmax, layer_norm, gelu, total], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lower_precision_inside_is_wrong(function, dtype):
    x = draws(1.0)["normal"]
    assert not verdict(function(x.to(dtype)).float(), reference(function, x))


@pytest.mark.parametrize("function", [softmax, layer_norm, gelu, torch.exp, torch.tanh], ids=lambda f: f.__name__)
def test_a_constant_wrong_by_a_fiftieth_of_a_percent_is_wrong(function):
    x = draws(1.0)["normal"]
    assert not verdict(function(x) * 1.0002, reference(function, x))


def test_one_wrong_element_in_a_million_is_found_and_told():
    torch.manual_seed(0)
    x = torch.randn(1000, 1000)
    y = torch.tanh(x)
    y[123, 456] += 1e-4
    mismatch, share = compare_outputs(y, reference(torch.tanh, x), POLICY)
    assert mismatch is not None
    assert mismatch.index == (123, 456)
    assert (mismatch.wrong, mismatch.total) == (1, 1_000_000)
    assert mismatch.got == pytest.approx(float(y[123, 456]))
    assert mismatch.expected == pytest.approx(math.tanh(float(x[123, 456])))
    assert share < 1  # of those that are right


def silu(x):
    return torch.nn.functional.silu(x)


def cut_off(x, dtype):
    """Rounded towards zero: bits are dropped."""
    near = x.to(dtype)
    return torch.where(near.float().abs() > x.abs(), torch.nextafter(near, torch.zeros_like(near)), near)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1, 100])
def test_in_16_bits_honest_roundings_pass_and_results_that_lean_do_not(dtype, scale):
    torch.manual_seed(5)
    x = (torch.randn(64, 512) * scale).to(dtype)
    expected = reference(silu, x)
    wide = silu(x.float())
    step_by_step = x / (1 + torch.exp(-x))
    assert verdict(wide.to(dtype), expected)
    assert verdict(step_by_step, expected)
    assert verdict(cut_off(wide, dtype), expected)
    leaning = 1 + 4 * torch.finfo(dtype).eps  # each element by itself is within what rounding does
    lax = replace(POLICY, narrow_slack=12.0, narrow_rms_slack=8.0)  # so that only the lean is left to tell
    what = says((wide * leaning).to(dtype), expected, lax)
    assert "too far from zero" in what
    assert "a constant" in what
    assert "too near zero" in says((wide / leaning).to(dtype), expected, lax)
    same = torch.full_like(x, scale * 1.234)  # all of them are rounded the same way, each time
    assert verdict(cut_off(silu(same.float()), dtype), reference(silu, same))
    both_ways = torch.where(torch.rand(wide.shape) < 0.5, leaning, 1 / leaning)
    assert compare_outputs((wide * both_ways).to(dtype), expected, lax)[0] is None  # it does not lean
    for wrong in (wide * leaning, wide * both_ways):
        assert "root mean square" in says(wrong.to(dtype), expected)


def test_an_approximate_exponential_passes():
    torch.manual_seed(0)
    x = torch.randn(64, 512) * 5
    # ex2.approx errs up to 2 ulp, and the product with log2(e) in float32 about |x| more
    rough = torch.exp2(x * torch.tensor(1.4426950408889634)) * (1 + 2 * 2**-23)
    assert verdict(rough, reference(torch.exp, x))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_never_stands_for_one(value):
    x = torch.randn(8, 100)
    y = torch.exp(x)
    y[3, 7] = value
    assert not verdict(y, reference(torch.exp, x))


def test_infinities_and_nans_of_the_reference_are_asked_for():
    x = torch.tensor([[-1.0, 0.0, 4.0, 200.0]])
    expected = reference(lambda t: torch.stack([torch.sqrt(t), torch.log(t), torch.exp(t), 1 / t]), x)
    native = expected.native
    assert verdict(native.clone(), expected)  # exp(200) overflows float32 and not float64
    assert torch.isinf(native[2, 0, 3])
    for index in [(0, 0, 0), (1, 0, 1), (3, 0, 1)]:
        changed = native.clone()
        changed[index] = 0.0
        assert not verdict(changed, expected)
    changed = native.clone()
    changed[3, 0, 1] = -float("inf")
    assert not verdict(changed, expected)


def test_where_the_reference_is_nan_nothing_is_asked_for_if_so_wanted():
    x = torch.tensor([[-1.0, 0.0, 4.0, float("inf")]])
    expected = reference(lambda t: torch.sqrt(t) + torch.where(t == 0, -float("inf"), 0.0), x)
    assert torch.isnan(expected.native[0, 0])
    assert torch.isinf(expected.native[0, 1])
    free = expected.native.clone()
    free[0, 0] = 5.0
    assert compare_outputs(free, expected, POLICY)[0] is not None
    assert compare_outputs(free, expected, POLICY, nan_is_free=True)[0] is None
    free[0, 1] = 5.0
    assert compare_outputs(free, expected, POLICY, nan_is_free=True)[0] is not None


def test_small_rows_do_not_hide_behind_large_ones():
    torch.manual_seed(0)
    x = torch.randn(64, 512)
    x[0] *= 1e6
    y = total(x)
    rows = reference(lambda t: torch.tanh(t * 1e-3) * t, x)
    wrong = rows.native.clone()
    wrong[5] *= 1.001
    assert not verdict(wrong, rows)
    assert verdict(y, reference(total, x))


def test_shape_dtype_and_count_are_asked_for():
    x = torch.randn(4, 4)
    expected = reference(torch.exp, x)
    good = expected.native
    for bad, says in [
        (good[:1], "shape"), (good.reshape(16), "shape"), (good.double(), "dtype"), ((good, good), "2 tensors"), (None, "0 tensors"),
    ]:  # fmt: skip
        mismatch, _ = compare_outputs(bad, expected, POLICY)
        assert mismatch is not None
        assert says in mismatch.what


def test_indices_may_change_only_where_values_tie():
    x = torch.tensor([[1.0, 1.0 + 2**-23, 0.5], [3.0, 2.0, 1.0]])
    wide, moved = torch.tensor([1, 0]), torch.tensor([0, 0])
    expected = ReferenceResult(x.argmax(-1), wide, moved, (), ())
    assert verdict(torch.tensor([0, 0]), expected)
    assert verdict(torch.tensor([1, 0]), expected)
    assert not verdict(torch.tensor([2, 0]), expected)
    assert not verdict(torch.tensor([1, 1]), expected)


def test_empty_outputs_and_scalars():
    assert verdict(torch.empty(0, 3), reference(lambda t: t * 2, torch.empty(0, 3)))
    x = torch.randn(1000)
    assert verdict(x.flip(0).sum(), reference(torch.sum, x))
    assert not verdict(x.sum() + 0.01, reference(torch.sum, x))


def test_complex_outputs_are_compared_by_parts():
    x = torch.randn(64)
    expected = reference(torch.fft.fft, x)
    assert verdict(expected.native.clone(), expected)
    assert not verdict(expected.native.conj().resolve_conj(), expected)


def test_same_bits_tells_zeros_and_nans_apart():
    assert same_bits(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.zeros(2), torch.zeros(2, dtype=torch.int32))


def test_poison_is_no_nan_of_the_kernel():
    x = torch.tensor([[-1.0, 4.0]])
    expected = reference(torch.sqrt, x)
    unwritten = expected.native.clone()
    unwritten.view(torch.int32)[0, 0] = -1  # what fresh memory holds: a NaN, but nobody computed it
    assert verdict(expected.native.clone(), expected)
    assert "never written" in says(unwritten, expected)


def test_a_nan_that_was_computed_is_not_said_to_be_unwritten():
    expected = reference(torch.exp, torch.ones(1, 4))
    output = expected.native.clone()
    output[0, 2] = 0.0 * float("inf")
    assert "(computed)" in says(output, expected)
    assert "never written" not in says(output, expected)


def test_the_structure_and_the_plain_values_of_outputs_are_asked_for():
    x = torch.randn(4)
    native = {"loss": x, "n": 5.0, "parts": (x + 1, None)}
    expected = ReferenceResult(native, native, native, (), ())
    assert verdict({"loss": x, "n": 5.0, "parts": [x + 1, None]}, expected)
    for other in (
        {"loss": x, "n": -1.0, "parts": (x + 1, None)},
        {"loss": x, "m": 5.0, "parts": (x + 1, None)},
        {"loss": x, "n": 5.0, "parts": (None, x + 1)},
        [x, x + 1],
        (x, 5.0, (x + 1, None)),
    ):
        assert not verdict(other, expected)


def test_a_nan_that_was_computed_is_not_called_unwritten():
    expected = reference(lambda x: x, torch.ones(2, 3))
    computed, unwritten = torch.ones(2, 3), torch.ones(2, 3)
    computed[1, 2] = float("nan")
    unwritten.view(torch.int32)[1, 2] = -1
    for outputs, told in ((computed, False), (unwritten, True)):
        mismatch, _ = compare_outputs(outputs, expected, NumericPolicy())
        assert mismatch is not None
        assert mismatch.index == (1, 2)
        assert ("never written" in mismatch.what) is told


def test_small_outputs_are_judged_by_all_calls_together():
    """Each of eight sums errs by 27 roundings of float32: allowed in one, too much in all."""
    torch.manual_seed(7)
    past, mismatches = Past(), []
    for _ in range(6):
        x = torch.rand(8, 3)
        expected = reference(total, x)
        off = (expected.exact * (1 + 3.2e-6)).float()
        mismatch, _share = compare_outputs(off, expected, POLICY, past=past)
        assert compare_outputs(off, expected, POLICY)[0] is None
        mismatches.append(mismatch)
    assert [m is None for m in mismatches] == [True] * 3 + [False] * 3
    assert "over the 32 elements of all calls so far" in mismatches[3].what


def test_small_outputs_of_honest_calls_never_add_up():
    torch.manual_seed(8)
    past = Past()
    for _ in range(40):
        x = torch.randn(2, 300) * 10 ** (torch.rand(2, 300) * 5 - 3)
        mismatch, share = compare_outputs(x.flip(-1).sum(-1), reference(total, x), POLICY, past=past)
        assert mismatch is None
        assert share < 0.5


def _sums(n: int, error: Callable[[ReferenceResult], torch.Tensor], normal: bool) -> list[bool]:
    """Whether each of 20 calls passed, of which every output is one sum that errs so."""
    past, passed = Past(), []
    for _ in range(20):
        expected = reference(total, torch.randn(1, n))
        off = expected.exact + error(expected)
        passed.append(compare_outputs(off.float(), expected, POLICY, past=past.normal(normal))[0] is None)
    return passed


def _honest(expected: ReferenceResult) -> torch.Tensor:
    far = [(t.double() - expected.exact).abs() for t in (expected.native, expected.moved)]
    return torch.maximum(*far) + 2 * torch.finfo(torch.float32).eps * expected.exact.abs()


def test_what_a_sum_hides_shows_in_many_sums_of_normal_numbers():
    """A sum that errs by three honest errors each time: nothing in one, and no more than elsewhere in 32 of any inputs."""
    torch.manual_seed(9)
    assert _sums(300, lambda r: 3 * _honest(r), normal=True) == [True] * 15 + [False] * 5
    assert all(_sums(300, lambda r: 3 * _honest(r), normal=False))
    assert all(_sums(300, lambda r: 2 * _honest(r), normal=True))


def test_a_sum_that_is_exact_by_chance_counts_for_little():
    torch.manual_seed(10)
    usual = float(torch.stack([_honest(reference(total, torch.randn(1, 300))) for _ in range(20)]).mean())
    past = Past().normal()
    for call in range(20):
        expected = reference(total, torch.randn(1, 300))
        if call % 4 == 3:  # the reference itself and its moved runs happen to agree
            expected = replace(expected, native=expected.exact.float(), moved=expected.exact)
        error = usual if call % 4 != 3 else min(usual, float(7 * _honest(expected)))
        off = (expected.exact + error).float()
        assert compare_outputs(off, expected, POLICY, past=past)[0] is None


@pytest.mark.parametrize("overflow", [math.nan, math.inf])
def test_where_the_tasks_own_dtype_overflows_rounding_alone_says_what_is_honest(overflow):
    # half a percent is what inputs moved by one rounding make of this value; float16 itself gave no number
    exact = torch.full((64,), 3.0, dtype=torch.float64)
    native = exact.half()
    native[5] = overflow
    expected = ReferenceResult(native, exact, exact * 1.005, (), ())
    mine = exact.half()
    mine[5] = 3.02
    assert verdict(mine, expected)
    mine[5] = 3.5
    assert not verdict(mine, expected)
