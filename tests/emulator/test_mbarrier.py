"""Barriers in shared memory: phases, tokens, parities, drops, expected bytes, and copies that arrive at them."""

from __future__ import annotations

import numpy as np

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchReport

HEADER = """
#define AT(p) ((unsigned)__cvta_generic_to_shared(p))
__device__ void init(unsigned long long* b, int n) { asm volatile("mbarrier.init.shared.b64 [%0], %1;" :: "r"(AT(b)), "r"(n) : "memory"); }
__device__ unsigned long long arrive(unsigned long long* b) { unsigned long long t;
  asm volatile("mbarrier.arrive.shared.b64 %0, [%1];" : "=l"(t) : "r"(AT(b)) : "memory"); return t; }
__device__ bool test(unsigned long long* b, unsigned long long t) { int r;
  asm volatile("{ .reg .pred p; mbarrier.test_wait.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }" : "=r"(r) : "r"(AT(b)), "l"(t) : "memory"); return r; }
__device__ bool passed(unsigned long long* b, int parity) { int r;
  asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }" : "=r"(r) : "r"(AT(b)), "r"(parity) : "memory"); return r; }
"""


def run(body: str, *args: object, block: int = 128, limits: emulator.LaunchLimits | None = None) -> LaunchReport:
    source = (
        HEADER
        + 'extern "C" __global__ void f(int* y) { __shared__ unsigned long long b; int t = threadIdx.x;\n'
        + body
        + "}"
    )
    module = emulator.compile(source)
    return module.launch("f", 1, block, args, memory=emulator.Memory(), limits=limits or emulator.LaunchLimits())


def test_what_was_written_before_the_barrier_is_seen_behind_it() -> None:
    y = np.zeros(128, np.int32)
    body = """__shared__ int s[128]; if (t == 0) init(&b, 128); __syncthreads();
      int v = t;
      for (int phase = 0; phase < 4; phase++) {
        s[t] = v; unsigned long long token = arrive(&b); while (!test(&b, token)) {}
        v = s[t ^ 64] + 1;
        arrive(&b); while (!passed(&b, 1)) {} }
      y[t] = v;"""
    report = run(body, y)
    np.testing.assert_array_equal(y, np.arange(128) + 4)
    assert not report.violations


def test_parity_says_which_phase_is_over() -> None:
    y = np.zeros(6, np.int32)
    body = """if (t) return; init(&b, 1);
      y[0] = passed(&b, 0); y[1] = passed(&b, 1);      // phase 0 is running; the one before it counts as over
      arrive(&b); y[2] = passed(&b, 0); y[3] = passed(&b, 1);
      arrive(&b); y[4] = passed(&b, 0); y[5] = passed(&b, 1);"""
    run(body, y, block=32)
    np.testing.assert_array_equal(y, [0, 1, 1, 0, 0, 1])


def test_counts_drops_and_pending_arrivals() -> None:
    y = np.zeros(6, np.int32)
    body = """if (t) return; init(&b, 3); unsigned long long k; int n;
      asm volatile("mbarrier.arrive.shared.b64 %0, [%1], 2;" : "=l"(k) : "r"(AT(&b)) : "memory");
      asm volatile("mbarrier.pending_count.b64 %0, %1;" : "=r"(n) : "l"(k)); y[0] = n; y[1] = test(&b, k);
      asm volatile("mbarrier.arrive_drop.shared.b64 %0, [%1];" : "=l"(k) : "r"(AT(&b)) : "memory");
      asm volatile("mbarrier.pending_count.b64 %0, %1;" : "=r"(n) : "l"(k)); y[2] = n; y[3] = test(&b, k);
      k = arrive(&b); y[4] = test(&b, k); arrive(&b); y[5] = test(&b, k);"""  # two of three are left
    run(body, y, block=32)
    np.testing.assert_array_equal(y, [3, 0, 1, 1, 0, 1])


def test_expected_bytes_hold_a_phase_back() -> None:
    y = np.zeros(2, np.int32)
    body = """if (t) return; init(&b, 1); unsigned long long k;
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 %0, [%1], 256;" : "=l"(k) : "r"(AT(&b)) : "memory");
      y[0] = test(&b, k);
      asm volatile("mbarrier.complete_tx.shared.b64 [%0], 256;" :: "r"(AT(&b)) : "memory");
      y[1] = test(&b, k);"""
    run(body.replace("mbarrier.complete_tx.shared.b64", "mbarrier.complete_tx.shared::cta.b64"), y, block=32)
    np.testing.assert_array_equal(y, [0, 1])


COPY = """__shared__ int s[128]; if (t == 0) init(&b, 128); __syncthreads();
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" :: "r"(AT(s + t)), "l"(y + t) : "memory");
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" :: "r"(AT(&b)) : "memory");
  WAIT
  y[128 + t] = s[t ^ 64];"""


def test_copies_arrive_at_a_barrier() -> None:
    y = np.concatenate([np.arange(128), np.zeros(128)]).astype(np.int32)
    report = run(COPY.replace("WAIT", "while (!passed(&b, 0)) {}"), y)
    np.testing.assert_array_equal(y[128:], np.arange(128) ^ 64)
    assert not report.violations


def test_copies_that_nobody_waits_for() -> None:
    y = np.zeros(256, np.int32)
    found = run(COPY.replace("WAIT", "__syncthreads();"), y).violations
    assert {v.kind for v in found} == {"uninitialised_read"}


def test_a_barrier_that_nobody_made() -> None:
    found = run("arrive(&b);", np.zeros(1, np.int32), block=32).violations
    assert [v.kind for v in found] == ["uninitialised_read"]


def test_a_phase_that_never_ends() -> None:
    limits = emulator.LaunchLimits(max_warp_instructions=200_000)
    body = "if (t == 0) init(&b, 129); __syncthreads(); arrive(&b); while (!passed(&b, 0)) {} y[0] = 1;"
    found = run(body, np.zeros(1, np.int32), limits=limits).violations
    assert [v.kind for v in found] == ["endless_loop"]
