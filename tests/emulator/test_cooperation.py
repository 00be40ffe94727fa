"""What threads do together: atomics, votes, barriers, asynchronous copies and locks."""

from __future__ import annotations

import numpy as np
from emulator_kernels import RANDOM, normal, run


def test_every_atomic_operation() -> None:
    source = r"""extern "C" __global__ void atomics(int* i, unsigned* u, float* f, double* d, unsigned long long* l) {
      int t = threadIdx.x;
      atomicAdd(&i[0], t); atomicSub(&i[1], t); atomicMin(&i[2], 5 - t); atomicMax(&i[3], t); atomicAnd(&i[4], ~(1 << (t & 7)));
      atomicOr(&i[5], 1 << (t & 15)); atomicXor(&i[6], t); atomicExch(&i[7], t); atomicCAS(&i[8], 0, t + 1);
      atomicInc(&u[0], 10); atomicDec(&u[1], 10); atomicMin(&u[2], 100u - t); atomicMax(&u[3], 0x80000000u + t);
      atomicAdd(&f[0], 0.5f); atomicAdd(&d[0], 0.25); atomicAdd(&l[0], 1ull << 33); atomicMax(&l[1], (unsigned long long)t);
    }"""
    i, u = np.zeros(9, np.int32), np.zeros(4, np.uint32)
    i[4], u[2] = -1, 4000
    f, d, wide = np.zeros(1, np.float32), np.zeros(1, np.float64), np.zeros(2, np.uint64)
    run(source, "atomics", 1, 64, (i, u, f, d, wide))
    xor = 0
    for t in range(64):
        xor ^= t
    assert i[:7].tolist() == [2016, -2016, -58, 63, -256, 65535, xor]
    assert i[8] == 1
    assert u.tolist() == [64 % 11, (0 - 64) % 11, 37, 0x8000003F]
    assert (f[0], d[0], wide.tolist()) == (32.0, 16.0, [64 << 33, 63])


def test_votes_matches_and_reductions_of_a_warp() -> None:
    source = r"""extern "C" __global__ void f(const int* x, unsigned* out) { int i = threadIdx.x, v = x[i]; int all;
      out[i] = __ballot_sync(~0u, v > 3); out[32 + i] = __any_sync(~0u, v > 8) * 2 + __all_sync(~0u, v >= 0);
      out[64 + i] = __match_any_sync(~0u, v); out[96 + i] = __match_all_sync(~0u, v, &all); out[128 + i] = all;
      out[160 + i] = __reduce_add_sync(~0u, v); out[192 + i] = __reduce_max_sync(~0u, v); out[224 + i] = __reduce_xor_sync(~0u, (unsigned)v);
      if (v > 4) out[256 + i] = __activemask(); else out[256 + i] = 0;
      out[288 + i] = __shfl_sync(~0u, v, 5, 8); out[320 + i] = __shfl_down_sync(~0u, v, 3, 16); }"""
    x, out = RANDOM.integers(0, 10, 32).astype(np.int32), np.zeros((11, 32), np.uint32)
    run(source, "f", 1, 32, (x, out))

    def bits(flags: np.ndarray) -> int:
        return sum(1 << i for i, b in enumerate(flags) if b)

    assert (out[0] == bits(x > 3)).all()
    assert (out[1] == (x > 8).any() * 2 + 1).all()
    assert out[2].tolist() == [bits(x == v) for v in x]
    assert not out[3].any()
    assert not out[4].any()
    assert (out[5] == x.sum()).all()
    assert (out[6] == x.max()).all()
    assert (out[7] == np.bitwise_xor.reduce(x)).all()
    assert out[8].tolist() == [bits(x > 4) if v > 4 else 0 for v in x]
    assert out[9].tolist() == [x[i // 8 * 8 + 5] for i in range(32)]
    assert out[10].tolist() == [x[i + 3] if i % 16 + 3 < 16 else x[i] for i in range(32)]


def test_barrier_reductions_and_named_barriers() -> None:
    source = r"""extern "C" __global__ void f(const int* x, int* out) { int i = threadIdx.x;
      out[i] = __syncthreads_count(x[i] > 4); out[96 + i] = __syncthreads_or(x[i] > 1000); out[192 + i] = __syncthreads_and(x[i] >= 0);
      __shared__ int s[64];
      if (i < 64) { s[i] = x[i]; asm volatile("bar.sync 3, 64;" ::: "memory"); out[288 + i] = s[63 - i]; } }"""
    x, out = RANDOM.integers(0, 10, 96).astype(np.int32), np.zeros(384, np.int32)
    run(source, "f", 1, 96, (x, out))
    assert (out[:96] == (x > 4).sum()).all()
    assert (out[96:192] == 0).all()
    assert (out[192:288] == 1).all()
    assert np.array_equal(out[288:352], x[63::-1])


def test_asynchronous_copies_arrive_at_the_wait() -> None:
    source = r"""extern "C" __global__ void f(const float* x, float* y) {
      __shared__ __align__(16) float s[2][128];
      unsigned a = (unsigned)__cvta_generic_to_shared(&s[0][threadIdx.x * 4]), b = (unsigned)__cvta_generic_to_shared(&s[1][threadIdx.x * 4]);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(a), "l"(x + threadIdx.x * 4));
      asm volatile("cp.async.commit_group;");
      asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" :: "r"(b), "l"(x + 128 + threadIdx.x * 4), "r"(threadIdx.x < 16 ? 16 : 0));
      asm volatile("cp.async.commit_group;");
      asm volatile("cp.async.wait_group 1;" ::: "memory"); __syncwarp();
      y[threadIdx.x] = s[0][127 - threadIdx.x];
      asm volatile("cp.async.wait_all;" ::: "memory"); __syncwarp();
      for (int i = 0; i < 4; i++) y[32 + threadIdx.x * 4 + i] = s[1][threadIdx.x * 4 + i]; }"""
    raw = normal(260)
    x = raw[-(raw.ctypes.data // 4) % 4 :][:256]
    y = np.zeros(160, np.float32)
    run(source, "f", 1, 32, (x, y))
    assert np.array_equal(y[:32], x[127:95:-1])
    assert np.array_equal(y[32:], np.where(np.arange(128) < 64, x[128:256], 0))


def test_a_lock_taken_by_diverged_lanes_and_other_blocks() -> None:
    source = r"""extern "C" __global__ void count(int* lock, int* total) { bool done = false;
      while (!done) if (atomicCAS(lock, 0, 1) == 0) { *(volatile int*)total += 1; __threadfence(); atomicExch(lock, 0); done = true; } }"""
    lock, total = np.zeros(1, np.int32), np.zeros(1, np.int32)
    run(source, "count", 3, 64, (lock, total))
    assert (lock[0], total[0]) == (0, 192)
