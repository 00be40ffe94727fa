"""8-bit floating point, fields in a word, vector atomics, 32-byte accesses, elect."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport


def run(source: str, *args: object, block: int = 256, arch: str = "sm_90", grid: int = 1) -> LaunchReport:
    module = emulator.compile(source, arch=arch)
    return module.launch("f", grid, block, args, memory=emulator.Memory())


def aligned(count: int) -> np.ndarray:
    """`count` zeros of float32 whose address is a multiple of 256 bytes."""
    raw = np.zeros(count + 64, np.float32)
    return raw[-raw.ctypes.data % 256 // 4 :][:count]


EIGHTS = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


@pytest.mark.parametrize("name", EIGHTS)
def test_every_8_bit_float_widens_exactly(name: str) -> None:
    y = np.zeros(256, np.uint32)
    body = f'asm("cvt.rn.f16x2.{name}x2 %0, %1;" : "=r"(v) : "h"((unsigned short)(t | (255 - t) << 8)));'
    run(f'extern "C" __global__ void f(unsigned* y) {{ int t = threadIdx.x; unsigned v; {body} y[t] = v; }}', y)
    every = torch.arange(256, dtype=torch.uint8).view(EIGHTS[name]).to(torch.float16).numpy()
    np.testing.assert_array_equal(y.view(np.float16)[::2], every)
    np.testing.assert_array_equal(y.view(np.float16)[1::2], every[::-1])


@pytest.mark.parametrize(("name", "largest"), [("e4m3", 448.0), ("e5m2", 57344.0)])
def test_narrowing_rounds_to_nearest_even_and_saturates(name: str, largest: float) -> None:
    rng = np.random.default_rng(1)
    every = torch.arange(256, dtype=torch.uint8).view(EIGHTS[name]).to(torch.float32).numpy()
    known = np.sort(np.unique(every[np.isfinite(every)]))
    between = (known[1:] + known[:-1]) / 2  # ties
    x = np.concatenate([known, between, np.nextafter(between, 1e9), [1e9, -1e9, np.inf, -np.inf, np.nan, -0.0]])
    x = np.concatenate([x, rng.normal(size=1280 - len(x))]).astype(np.float32)
    y = np.zeros(len(x) // 2, np.uint16)
    body = f'asm("cvt.rn.satfinite.{name}x2.f32 %0, %1, %2;" : "=h"(v) : "f"(x[2 * t + 1]), "f"(x[2 * t]));'
    source = f'extern "C" __global__ void f(const float* x, unsigned short* y) {{ int t = threadIdx.x; unsigned short v; {body} y[t] = v; }}'
    run(source, x, y, block=len(y))
    clamped = torch.from_numpy(np.where(np.isnan(x), x, np.clip(x, -largest, largest)))
    want = clamped.to(EIGHTS[name]).to(torch.float32).numpy()
    got = torch.from_numpy(y.view(np.uint8).copy()).view(EIGHTS[name]).to(torch.float32).numpy()
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want) & ~np.isnan(x))


def fields(words: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    kind = {(8, False): np.uint8, (8, True): np.int8, (16, False): np.uint16, (16, True): np.int16}[bits, signed]
    return words.view(kind).reshape(len(words), -1).astype(np.int64)


@pytest.mark.parametrize(("op", "bits"), [("vabsdiff4", 8), ("vabsdiff2", 16), ("vmax4", 8), ("vavrg2", 16)])
@pytest.mark.parametrize("signed", [False, True])
def test_fields_in_a_word(op: str, bits: int, signed: bool) -> None:
    rng = np.random.default_rng(2)
    a, b = (rng.integers(0, 2**32, 256, dtype=np.uint32) for _ in range(2))
    y, z = np.zeros(256, np.uint32), np.zeros(256, np.uint32)
    type_ = "s32" if signed else "u32"
    form = f"{op}.{'u32' if 'abs' in op else type_}.{type_}.{type_}"
    source = f"""extern "C" __global__ void f(const unsigned* a, const unsigned* b, unsigned* y, unsigned* z) {{
      int t = threadIdx.x; unsigned v, u;
      asm("{form} %0, %1, %2, %3;" : "=r"(v) : "r"(a[t]), "r"(b[t]), "r"(0)); y[t] = v;
      asm("{form}.add %0, %1, %2, %3;" : "=r"(u) : "r"(a[t]), "r"(b[t]), "r"(7)); z[t] = u; }}"""
    run(source, a, b, y, z)
    p, q = fields(a, bits, signed), fields(b, bits, signed)
    total = p + q
    want = {"vabsdiff": abs(p - q), "vmax": np.maximum(p, q), "vavrg": (total + (total >= 0)) >> 1}[op[:-1]]
    np.testing.assert_array_equal(fields(y, bits, False), want & (2**bits - 1))
    np.testing.assert_array_equal(z, (want.sum(1) + 7).astype(np.uint64).astype(np.uint32))


def test_vector_atomics_add_each_element() -> None:
    y = np.zeros(8, np.float32)
    source = """extern "C" __global__ void f(float* y) {
      atomicAdd((float4*)y, make_float4(1, 2, 3, threadIdx.x)); float2 v = atomicAdd((float2*)(y + 4), make_float2(1, 0));
      if (v.x == 255) y[6] = 1; }"""
    report = run(source, y, block=256)
    np.testing.assert_array_equal(y, [256, 512, 768, 256 * 255 / 2, 256, 0, 1, 0])
    assert not report.violations


def test_32_byte_accesses() -> None:
    x, y = aligned(2048), aligned(2048)
    x[:] = np.arange(2048)
    registers = ", ".join(f"%{i}" for i in range(8))
    outs, ins = (", ".join(f'"{c}f"(v[{i}])' for i in range(8)) for c in ("=", ""))
    source = f"""extern "C" __global__ void f(const float* x, float* y) {{ float v[8]; int t = threadIdx.x;
      asm volatile("ld.global.v8.f32 {{{registers}}}, [%8];" : {outs} : "l"(x + 8 * t));
      asm volatile("st.global.v8.f32 [%8], {{{registers}}};" :: {ins}, "l"(y + 8 * t)); }}"""
    report = run(source, x, y, arch="sm_100")
    np.testing.assert_array_equal(x, y)
    assert report.counters.global_load_requests == 8
    assert report.counters.global_load_sectors == report.counters.global_store_sectors == 256


def test_elect_picks_the_lowest_member() -> None:
    y = np.zeros(64, np.uint32)
    source = """extern "C" __global__ void f(unsigned* y) { unsigned lane, chosen; unsigned m = 0xfff0;
      if (threadIdx.x < 4 || threadIdx.x > 15) return;
      asm volatile("{ .reg .pred p; elect.sync %0|p, %2; selp.u32 %1, 1, 0, p; }" : "=r"(lane), "=r"(chosen) : "r"(m));
      y[threadIdx.x] = lane; y[32 + threadIdx.x] = chosen; }"""
    report = run(source, y, block=32)
    np.testing.assert_array_equal(y[4:16], 4)
    np.testing.assert_array_equal(np.nonzero(y[32:])[0], [4])
    assert not report.violations
