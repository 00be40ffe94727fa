"""Tensor-core instructions against products of NumPy and torch matrices; fragments are filled as the PTX ISA draws them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport

LANES = range(32)


def run(source: str, *args: object, block: int = 32, arch: str = "sm_90", grid: int = 1) -> LaunchReport:
    module = emulator.compile(source, arch=arch)
    return module.launch(module.kernels[0], grid, block, args, memory=emulator.Memory())


def pack(elements: np.ndarray, words: np.dtype | type = np.uint32) -> np.ndarray:
    """[lane][register][element] as [lane][register]."""
    return np.ascontiguousarray(elements).view(words).reshape(32, -1).copy()


def fragments(a: np.ndarray, b: np.ndarray, e: int) -> tuple[np.ndarray, np.ndarray]:
    """A [m][k] and B [k][n], each as [lane][register][element], for 16- or 8-row A and n = 8 (PTX ISA, mma figures)."""
    k, rows = a.shape[1], a.shape[0] // 8
    fa = [
        [
            [a[lane // 4 + 8 * (r % rows), (r // rows) * 4 * e + lane % 4 * e + x] for x in range(e)]
            for r in range(rows * k // (4 * e))
        ]
        for lane in LANES
    ]
    fb = [
        [[b[r * 4 * e + lane % 4 * e + x, lane // 4] for x in range(e)] for r in range(k // (4 * e))] for lane in LANES
    ]
    return np.array(fa, a.dtype), np.array(fb, b.dtype)


def accumulators(c: np.ndarray) -> np.ndarray:
    """[m][8] as [lane][element]: pairs of neighbouring columns, 8 rows apart."""
    return np.array(
        [[c[lane // 4 + 8 * p, lane % 4 * 2 + i] for p in range(c.shape[0] // 8) for i in range(2)] for lane in LANES],
        c.dtype,
    )


def mma_source(form: str, na: int, nb: int, nc: int, kind: str = "r", ctype: str = "unsigned") -> str:
    """A kernel that applies `mma` to fragments stored lane by lane."""
    names = {
        "d": range(nc),
        "a": range(nc, nc + na),
        "b": range(nc + na, nc + na + nb),
        "c": range(nc + na + nb, nc + na + nb + nc),
    }
    braces = ", ".join("{" + ", ".join(f"%{i}" for i in r) + "}" for r in names.values())
    ctype_a = "double" if kind == "d" else "unsigned"
    constraint_c = {"unsigned": "r", "float": "f", "double": "d", "int": "r"}[ctype]
    outs = ", ".join(f'"={constraint_c}"(d[{i}])' for i in range(nc))
    ins = ", ".join(
        [f'"{kind}"(a[t * {na} + {i}])' for i in range(na)]
        + [f'"{kind}"(b[t * {nb} + {i}])' for i in range(nb)]
        + [f'"{constraint_c}"(c[t * {nc} + {i}])' for i in range(nc)]
    )
    return f"""extern "C" __global__ void f(const {ctype_a}* a, const {ctype_a}* b, const {ctype}* c, {ctype}* y) {{
      int t = threadIdx.x; {ctype} d[{nc}];
      asm volatile("{form} {braces};" : {outs} : {ins});
      for (int i = 0; i < {nc}; i++) y[t * {nc} + i] = d[i]; }}"""


def narrow(values: np.ndarray, type_: str) -> tuple[np.ndarray, np.ndarray]:
    """(bits, values as float64) in a type that NumPy may lack."""
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16, "e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}[
        type_
    ]
    small = torch.from_numpy(values.astype(np.float32)).to(dtype)
    bits = small.view(torch.int16 if type_ in ("f16", "bf16") else torch.uint8).numpy()
    return bits, small.to(torch.float64).numpy()


@pytest.mark.parametrize(
    ("type_", "k", "form"),
    [
        ("f16", 8, "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32"),
        ("f16", 16, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"),
        ("bf16", 8, "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32"),
        ("bf16", 16, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"),
        ("e4m3", 32, "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32"),
        ("e5m2", 32, "mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e5m2.f32"),
    ],
)
def test_products_of_small_floats(type_: str, k: int, form: str) -> None:
    rng = np.random.default_rng(1)
    (a_bits, a), (b_bits, b) = (narrow(rng.normal(size=s), type_) for s in ((16, k), (k, 8)))
    c = rng.normal(size=(16, 8)).astype(np.float32)
    e = 4 // a_bits.itemsize
    fa, fb = fragments(a_bits, b_bits, e)
    na, nb = fa.shape[1], fb.shape[1]
    y = np.zeros((32, 4), np.float32)
    report = run(mma_source(form, na, nb, 4, ctype="float"), pack(fa), pack(fb), accumulators(c), y)
    np.testing.assert_allclose(y, accumulators(a @ b + c), rtol=2e-6, atol=2e-6)
    assert report.counters.flops["tensor"] == 2 * 16 * 8 * k
    assert report.counters.tensor_flops == {kind_of(type_): 2 * 16 * 8 * k}
    assert report.counters.warp_instructions["tensor"] == 1
    assert not report.violations


def kind_of(type_: str) -> str:
    return {"f16": "fp16", "bf16": "bf16"}.get(type_, "fp8")


def test_half_accumulators_are_rounded_once() -> None:
    rng = np.random.default_rng(2)
    a, b, c = (rng.normal(size=s).astype(np.float16) for s in ((16, 16), (16, 8), (16, 8)))
    fa, fb = fragments(a, b, 2)
    y = np.zeros((32, 2), np.uint32)
    run(
        mma_source("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", 4, 2, 2),
        pack(fa),
        pack(fb),
        pack(accumulators(c)),
        y,
    )
    exact = accumulators(a.astype(np.float64) @ b.astype(np.float64) + c)
    np.testing.assert_array_equal(y.view(np.float16), exact.astype(np.float16))


@pytest.mark.parametrize("k", [4, 8])
def test_tf32_ignores_the_last_bits(k: int) -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=s).astype(np.float32) for s in ((16, k), (k, 8)))
    c = np.zeros((16, 8), np.float32)
    fa, fb = fragments(a, b, 1)
    y = np.zeros((32, 4), np.float32)
    form = f"mma.sync.aligned.m16n8k{k}.row.col.f32.tf32.tf32.f32"
    report = run(mma_source(form, k // 2, k // 4, 4, ctype="float"), pack(fa), pack(fb), accumulators(c), y)
    assert report.counters.tensor_flops == {"tf32": 2 * 16 * 8 * k}
    cut = [(m.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64) for m in (a, b)]
    np.testing.assert_allclose(y, accumulators(cut[0] @ cut[1]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("k", "types"), [(16, ("s8", "s8")), (32, ("s8", "u8")), (32, ("u8", "u8"))])
@pytest.mark.parametrize("satfinite", [False, True])
def test_bytes_wrap_or_saturate(k: int, types: tuple[str, str], satfinite: bool) -> None:
    rng = np.random.default_rng(4)
    dtype = {"s8": np.int8, "u8": np.uint8}
    a, b = (
        rng.integers(-128 if t == "s8" else 0, 128 if t == "s8" else 256, s).astype(dtype[t])
        for t, s in zip(types, ((16, k), (k, 8)), strict=True)
    )
    c = rng.integers(2**31 - 200_000, 2**31, (16, 8)).astype(np.int32)
    fa, fb = fragments(a, b, 4)
    y = np.zeros((32, 4), np.int32)
    form = f"mma.sync.aligned.m16n8k{k}.row.col{'.satfinite' * satfinite}.s32.{types[0]}.{types[1]}.s32"
    report = run(mma_source(form, fa.shape[1], fb.shape[1], 4, ctype="int"), pack(fa), pack(fb), accumulators(c), y)
    assert report.counters.tensor_flops == {"int8": 2 * 16 * 8 * k}
    exact = accumulators(a.astype(np.int64) @ b.astype(np.int64) + c)
    want = (
        np.clip(exact, -(2**31), 2**31 - 1) if satfinite else exact.astype(np.uint64).astype(np.uint32).view(np.int32)
    )
    np.testing.assert_array_equal(y, want)


def test_doubles() -> None:
    rng = np.random.default_rng(5)
    a, b, c = (rng.normal(size=s) for s in ((8, 4), (4, 8), (8, 8)))
    fa, fb = fragments(a, b, 1)
    y = np.zeros((32, 2))
    form = "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64"
    report = run(
        mma_source(form, 1, 1, 2, "d", "double"), pack(fa, np.float64), pack(fb, np.float64), accumulators(c), y
    )
    assert report.counters.tensor_flops == {"fp64": report.counters.flops["tensor"]} == {"fp64": 2 * 8 * 8 * 4}
    np.testing.assert_allclose(y, accumulators(a @ b + c), rtol=1e-14)


MATRIX = """extern "C" __global__ void f(const unsigned short* x, unsigned* y) {{
  __shared__ __align__(16) unsigned short s[256]; int t = threadIdx.x;
  for (int i = t; i < 256; i += 32) s[i] = x[i];
  __syncwarp();
  unsigned at = (unsigned)__cvta_generic_to_shared(s + (t % {rows}) * 8), d[4] = {{}};
  {body}
  for (int i = 0; i < {count}; i++) y[t * {count} + i] = d[i]; }}"""


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix(count: int, transposed: bool) -> None:
    tiles = np.arange(256, dtype=np.uint16).reshape(4, 8, 8)
    y = np.zeros((32, count), np.uint32)
    registers = ", ".join(f"%{i}" for i in range(count))
    outs = ", ".join(f'"=r"(d[{i}])' for i in range(count))
    form = f"ldmatrix.sync.aligned.m8n8.x{count}{'.trans' * transposed}.shared.b16"
    body = f'asm volatile("{form} {{{registers}}}, [%{count}];" : {outs} : "r"(at));'
    report = run(MATRIX.format(rows=8 * count, body=body, count=count), tiles, y)
    want = tiles.transpose(0, 2, 1) if transposed else tiles
    expected = [[[want[i, lane // 4, lane % 4 * 2 + x] for x in range(2)] for i in range(count)] for lane in LANES]
    np.testing.assert_array_equal(y, pack(np.array(expected, np.uint16)))
    assert report.counters.shared_load_wavefronts == count
    assert not report.violations


def test_movmatrix() -> None:
    tile = np.arange(64, dtype=np.uint16).reshape(8, 8)
    x = np.concatenate([tile.reshape(-1), np.zeros(192, np.uint16)])
    y = np.zeros((32, 1), np.uint32)
    body = """asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(d[1]) : "r"(at));
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(d[0]) : "r"(d[1]));"""
    run(MATRIX.format(rows=8, body=body, count=1), x, y)
    expected = [[[tile.T[lane // 4, lane % 4 * 2 + i] for i in range(2)]] for lane in LANES]
    np.testing.assert_array_equal(y, pack(np.array(expected, np.uint16)))


def test_ldmatrix_outside_its_array() -> None:
    y = np.zeros((32, 1), np.uint32)
    body = 'asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(d[0]) : "r"(at + 448));'
    found = run(MATRIX.format(rows=8, body=body, count=1), np.zeros(256, np.uint16), y).violations
    assert [v.kind for v in found] == ["out_of_bounds"]
    assert "out-of-bounds read of 16 bytes" in found[0].message


def test_an_mma_that_half_the_warp_reaches() -> None:
    source = mma_source("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", 2, 1, 4, ctype="float")
    source = source.replace("asm volatile", "if (t < 16) asm volatile").replace("d[4];", "d[4] = {};")
    empty = np.zeros(256, np.uint32)
    found = run(source, empty, empty, np.zeros(128, np.float32), np.zeros(128, np.float32)).violations
    assert [v.kind for v in found] == ["missing_lanes"]
    assert "needs all 32 lanes" in found[0].message


WMMA = """#include <mma.h>
using namespace nvcuda;
extern "C" __global__ void f(const {t}* a, const {t}* b, float* c) {{
  wmma::fragment<wmma::matrix_a, {m}, {n}, {k}, {e}, wmma::{la}> x; wmma::fragment<wmma::matrix_b, {m}, {n}, {k}, {e}, wmma::{lb}> y;
  wmma::fragment<wmma::accumulator, {m}, {n}, {k}, float> z; wmma::fill_fragment(z, 1.0f);
  wmma::load_matrix_sync(x, a, {sa}); wmma::load_matrix_sync(y, b, {sb});
  for (int i = 0; i < x.num_elements; i++) x.x[i] = x.x[i] * ({t})2;
  wmma::mma_sync(z, x, y, z); wmma::store_matrix_sync(c, z, {n}, wmma::mem_row_major); }}"""


@pytest.mark.parametrize("shape", [(16, 16, 16), (32, 8, 16), (8, 32, 16)])
@pytest.mark.parametrize("layouts", ["row_major col_major", "col_major row_major"])
def test_wmma_of_halves(shape: tuple[int, int, int], layouts: str) -> None:
    m, n, k = shape
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(m, k)).astype(np.float16), rng.normal(size=(k, n)).astype(np.float16)
    la, lb = layouts.split()
    sa, sb = (k if la == "row_major" else m), (n if lb == "row_major" else k)
    source = WMMA.format(t="__half", e="__half", m=m, n=n, k=k, la=la, lb=lb, sa=sa, sb=sb)
    c = np.zeros((m, n), np.float32)
    flat_a, flat_b = (np.ascontiguousarray(x if how == "row_major" else x.T) for x, how in ((a, la), (b, lb)))
    report = run(source, flat_a, flat_b, c)
    np.testing.assert_allclose(c, 2 * a.astype(np.float64) @ b + 1, rtol=1e-5, atol=1e-5)
    assert report.counters.tensor_flops == {"fp16": report.counters.flops["tensor"]} == {"fp16": 2 * m * n * k}
    assert report.counters.global_store_bytes == m * n * 4
    assert report.counters.global_load_bytes == (m * k + k * n) * 2
