"""Control flow: divergent loops, early exits, switches, calls, recursion, function pointers, assert and printf."""

from __future__ import annotations

import math

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
F = np.float32


def collatz_length(n: int) -> int:
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@case("""
extern "C" __global__ void collatz(int* steps, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned long long v = i + 1;
    int k = 0;
    while (v != 1) { v = v & 1 ? 3 * v + 1 : v >> 1; ++k; }
    steps[i] = k;
}
""")
def divergent_while(draw: Draw) -> Plan:
    out = blank("i4", 300)
    return run("collatz", 3, 128, out, 300).gives(out, np.array([collatz_length(i + 1) for i in range(300)], "i4"))


@case("""
extern "C" __global__ void classify(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int v = x[i];
    y[i] = -1;
    if (v < 0) return;
    y[i] = 0;
    if (v % 3 == 0) return;
    for (int k = 0; k <= v; ++k) { if (k * k == v) { y[i] = k; return; } if (k * k > v) break; }
    y[i] = 9999;
}
""")
def early_exits(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -20, 200, 500), blank("i4", 500)
    want = [
        -1 if v < 0 else 0 if v % 3 == 0 else math.isqrt(v) if math.isqrt(v) ** 2 == v else 9999 for v in x.tolist()
    ]
    return run("classify", 4, 128, x, y, 500).gives(y, np.array(want, "i4"))


@case("""
extern "C" __global__ void interpret(const unsigned char* op, const int* a, const int* b, int* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int x = a[i], y = b[i], r;
    switch (op[i]) {
        case 0: r = x + y; break;
        case 1: r = x - y; break;
        case 2: r = x * y; break;
        case 3: r = x & y; break;
        case 4: r = x | y; break;
        case 5: r = x ^ y; break;
        case 6: r = x << (y & 31); break;
        case 7: r = x >> (y & 31);  // falls through
        case 8: r = min(x, y); break;
        case 9: for (r = 0; y != 0 && r < 5; y >>= 1) r += y & 1; break;
        default: r = -7;
    }
    out[i] = r;
}
""")
def dense_switch(draw: Draw) -> Plan:
    op, a, b, out = draw.ints("u1", 0, 12, 1000), draw.bits("i4", 1000), draw.bits("i4", 1000), blank("i4", 1000)

    def bits_of(y: int) -> int:
        r = 0
        while y != 0 and r < 5:
            r += y & 1
            y >>= 1
        return r

    def act(o: int, x: int, y: int) -> int:
        table = [x + y, x - y, x * y, x & y, x | y, x ^ y, x << (y & 31), min(x, y), min(x, y), bits_of(y)]
        r = table[o] if o < 10 else -7
        return (r + 2**31) % 2**32 - 2**31

    want = [act(*t) for t in zip(op.tolist(), a.tolist(), b.tolist(), strict=True)]
    return run("interpret", 8, 128, op, a, b, out, 1000).gives(out, np.array(want, "i4"))


@case("""
extern "C" __global__ void mandelbrot(int* out, int width, int height, int limit) {
    int px = blockIdx.x * blockDim.x + threadIdx.x, py = blockIdx.y * blockDim.y + threadIdx.y;
    if (px >= width || py >= height) return;
    int cr = (px << 8) / width * 3 - 512, ci = (py << 8) / height * 2 - 256;  // fixed point, 8 bits
    int zr = 0, zi = 0, k = 0;
    do {
        int r = ((zr * zr - zi * zi) >> 8) + cr;
        zi = ((2 * zr * zi) >> 8) + ci;
        zr = r;
        if (zr * zr + zi * zi > 4 << 16) goto escaped;
    } while (++k < limit);
escaped:
    out[py * width + px] = k;
}
""")
def goto_out_of_do_while(draw: Draw) -> Plan:
    width, height, limit = 40, 24, 60
    out, want = blank("i4", height, width), np.zeros((height, width), "i4")
    for py in range(height):
        for px in range(width):
            cr, ci = (px << 8) // width * 3 - 512, (py << 8) // height * 2 - 256
            zr = zi = k = 0
            while True:
                zr, zi = ((zr * zr - zi * zi) >> 8) + cr, ((2 * zr * zi) >> 8) + ci
                if zr * zr + zi * zi > 4 << 16:
                    break
                k += 1
                if k >= limit:
                    break
            want[py, px] = k
    return run("mandelbrot", (5, 3), (8, 8), out, width, height, limit).gives(out, want)


@case("""
extern "C" __global__ void nested(const int* x, int* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int total = 0;
    for (int a = 0; a < 20; ++a) {
        if (a % 4 == x[i] % 4) continue;
        for (int b = 0; b <= a; ++b) {
            if (b > x[i]) break;
            if ((a + b) % 5 == 0) continue;
            total += a * b + 1;
        }
        if (total > 50 * x[i] + 100) break;
    }
    out[i] = total;
}
""")
def nested_break_and_continue(draw: Draw) -> Plan:
    x, out = draw.ints("i4", 0, 25, 200), blank("i4", 200)

    def reference(v: int) -> int:
        total = 0
        for a in range(20):
            if a % 4 == v % 4:
                continue
            for b in range(a + 1):
                if b > v:
                    break
                if (a + b) % 5 == 0:
                    continue
                total += a * b + 1
            if total > 50 * v + 100:
                break
        return total

    return run("nested", 2, 128, x, out, 200).gives(out, np.array([reference(v) for v in x.tolist()], "i4"))


@case("""
__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
extern "C" __global__ void fib(int* out) { out[threadIdx.x] = fibonacci(threadIdx.x % 11); }
""")
def recursion(draw: Draw) -> Plan:
    out = blank("i4", 40)
    table = [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55]
    return run("fib", 1, 40, out).gives(out, np.array([table[i % 11] for i in range(40)], "i4"))


@case("""
__device__ int is_odd(unsigned n);
__device__ __noinline__ int is_even(unsigned n) { return n == 0 ? 1 : is_odd(n - 1); }
__device__ __noinline__ int is_odd(unsigned n) { volatile int keep = n; return keep == 0 ? 0 : is_even(n - 1); }
extern "C" __global__ void parity(int* out) { out[threadIdx.x] = is_even(threadIdx.x) * 2 + is_odd(threadIdx.x); }
""")
def mutual_recursion(draw: Draw) -> Plan:
    out = blank("i4", 33)
    return run("parity", 1, 33, out).gives(out, np.array([1 + (i % 2 == 0) for i in range(33)], "i4"))


@case("""
struct Split { int quotient, remainder; double ratio; };
__device__ __noinline__ Split divide(int a, int b) { Split s; s.quotient = a / b; s.remainder = a % b; s.ratio = (double)a / b; return s; }
__device__ __noinline__ void accumulate(const Split& s, int* sum) { *sum += s.quotient * 10 + s.remainder; }
extern "C" __global__ void calls(const int* a, const int* b, int* sum, double* ratio, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int total = 1;
    Split s = divide(a[i], b[i]);
    accumulate(s, &total);
    if (a[i] > 0) accumulate(divide(b[i], a[i]), &total);
    sum[i] = total;
    ratio[i] = s.ratio;
}
""")
def calls_with_structs_and_pointers(draw: Draw) -> Plan:
    a, b = draw.ints("i4", -500, 500, 100), draw.ints("i4", 1, 60, 100)
    total, ratio = blank("i4", 100), blank("f8", 100)

    def score(x: int, y: int) -> int:
        q = int(x / y)
        return q * 10 + (x - q * y)

    want = [1 + score(x, y) + (score(y, x) if x > 0 else 0) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    return run("calls", 1, 128, a, b, total, ratio, 100).gives(total, np.array(want, "i4")).gives(ratio, a / b)


@case("""
typedef int (*Operation)(int, int);
__device__ __noinline__ int plus(int a, int b) { return a + b; }
__device__ __noinline__ int minus(int a, int b) { return a - b; }
__device__ __noinline__ int times(int a, int b) { return a * b; }
__device__ Operation operations[3] = {plus, minus, times};
extern "C" __global__ void through_pointers(const int* which, const int* a, int* out) {
    int i = threadIdx.x;
    out[i] = operations[which[i]](a[i], i);
}
""")
def function_pointers(draw: Draw) -> Plan:
    which, a, out = draw.ints("i4", 0, 3, 64), draw.ints("i4", -9, 9, 64), blank("i4", 64)
    i = np.arange(64, dtype="i4")
    return run("through_pointers", 1, 64, which, a, out).gives(out, np.choose(which, [a + i, a - i, a * i]))


@case("""
struct Shape { __device__ virtual float area() const = 0; };
struct Square : Shape { float s; __device__ Square(float v) : s(v) {} __device__ float area() const override { return s * s; } };
struct Disc : Shape { float r; __device__ Disc(float v) : r(v) {} __device__ float area() const override { return 3.0f * r * r; } };
__device__ __noinline__ float measure(const Shape* s) { return s->area(); }
extern "C" __global__ void areas(const float* size, float* out) {
    int i = threadIdx.x;
    Square square(size[i]);
    Disc disc(size[i]);
    const Shape* chosen = i % 3 == 0 ? static_cast<const Shape*>(&disc) : &square;
    out[i] = measure(chosen);
}
""")
def virtual_functions(draw: Draw) -> Plan:
    size, out = draw.uniform(1, 2, 50), blank("f4", 50)
    s = size.astype("f8")
    return run("areas", 1, 50, size, out).gives(out, np.where(np.arange(50) % 3 == 0, 3 * s * s, s * s))


@case("""
extern "C" __global__ void lower_bound(const float* sorted, int n, const float* keys, int* out, int m) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m) return;
    int low = 0, high = n;
    while (low < high) { int middle = (low + high) / 2; if (sorted[middle] < keys[i]) low = middle + 1; else high = middle; }
    out[i] = low;
}
""")
def binary_search(draw: Draw) -> Plan:
    table, keys, out = np.sort(draw.f32(257)), draw.f32(400), blank("i4", 400)
    return run("lower_bound", 4, 128, table, 257, keys, out, 400).gives(out, np.searchsorted(table, keys).astype("i4"))


@case("""
extern "C" __global__ void gcd(const unsigned* a, const unsigned* b, unsigned* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned x = a[i], y = b[i];
    while (y) { unsigned t = x % y; x = y; y = t; }
    out[i] = x;
}
""")
def euclid(draw: Draw) -> Plan:
    a, b, out = draw.bits("u4", 200) * np.uint32(6), draw.bits("u4", 200) & np.uint32(~3 & 0xFFFFFFFF), blank("u4", 200)
    return run("gcd", 2, 128, a, b, out, 200).gives(out, np.gcd(a, b))


@case("""
__device__ int work(int path, int v) {
    int r = v;
    for (int k = 0; k <= path; ++k) {
        if (path & 1) r = r * 3 + k; else r ^= k << path;
        if (path == 5 && k == 2) break;
    }
    return r;
}
extern "C" __global__ void paths(int* out) {
    int lane = threadIdx.x;
    int r = 0;
    if (lane % 7 == 0) r = work(0, lane);
    else if (lane % 7 == 1) r = work(1, lane) + 1;
    else if (lane % 7 == 2) { r = work(2, lane); if (lane > 16) r += work(4, r); }
    else if (lane % 7 == 3) r = work(3, lane) - work(1, lane);
    else r = work(lane % 7, lane);
    out[lane] = r * 2 + 1;
}
""")
def every_lane_its_own_path(draw: Draw) -> Plan:
    def work(path: int, v: int) -> int:
        r = v
        for k in range(path + 1):
            r = r * 3 + k if path & 1 else r ^ (k << path)
            if path == 5 and k == 2:
                break
        return r

    def reference(lane: int) -> int:
        p = lane % 7
        if p == 0:
            r = work(0, lane)
        elif p == 1:
            r = work(1, lane) + 1
        elif p == 2:
            r = work(2, lane)
            r += work(4, r) if lane > 16 else 0
        elif p == 3:
            r = work(3, lane) - work(1, lane)
        else:
            r = work(p, lane)
        return r * 2 + 1

    out = blank("i4", 64)
    return run("paths", 1, 64, out).gives(out, np.array([reference(i) for i in range(64)], "i4"))


@case("""
extern "C" __global__ void queens(int* solutions, int n) {
    int column[12];
    int first = threadIdx.x, count = 0, row = 1;
    if (first >= n) return;
    column[0] = first;
    column[1] = -1;
    while (row > 0) {
        int c = ++column[row];
        if (c >= n) { --row; continue; }
        bool safe = true;
        for (int r = 0; r < row; ++r)
            if (column[r] == c || abs(column[r] - c) == row - r) { safe = false; break; }
        if (!safe) continue;
        if (row == n - 1) ++count;
        else column[++row] = -1;
    }
    solutions[first] = count;
}
""")
def backtracking_in_local_memory(draw: Draw) -> Plan:
    out = blank("i4", 7)
    return run("queens", 1, 32, out, 7).gives(out, np.array([4, 7, 6, 6, 6, 7, 4], "i4"))


@case("""
extern "C" __global__ void lengths(const char* text, const int* starts, int* out, int n) {
    int i = threadIdx.x;
    if (i >= n) return;
    const char* p = text + starts[i];
    int vowels = 0;
    for (; *p; ++p)
        switch (*p) { case 'a': case 'e': case 'i': case 'o': case 'u': ++vowels; }
    out[i] = (int)(p - (text + starts[i])) * 100 + vowels;
}
""")
def strings(draw: Draw) -> Plan:
    words = ["warp", "", "occupancy", "a", "queue", "rhythm"]
    text = np.frombuffer(b"".join(w.encode() + b"\0" for w in words), "u1").copy()
    starts = np.cumsum([0] + [len(w) + 1 for w in words[:-1]]).astype("i4")
    out = blank("i4", 6)
    want = np.array([len(w) * 100 + sum(c in "aeiou" for c in w) for w in words], "i4")
    return run("lengths", 1, 32, text, starts, out, 6).gives(out, want)


@case("""
extern "C" __global__ void guarded(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    assert(n > 0);
    if (i < n) { assert(x[i] >= 0 && "negative input"); y[i] = x[i] + 1; }
}
""")
def assert_that_holds(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 0, 50, 100), blank("i4", 100)
    return run("guarded", 1, 128, x, y, 100).gives(y, x + 1)


@case("""
extern "C" __global__ void trap_never(const int* x, int* y) {
    if (x[threadIdx.x] < 0) __trap();
    if (x[threadIdx.x] > 1000) __builtin_unreachable();
    y[threadIdx.x] = x[threadIdx.x] * 2;
}
""")
def trap_not_reached(draw: Draw) -> Plan:
    x, y = draw.ints("i4", 0, 50, 64), blank("i4", 64)
    return run("trap_never", 1, 64, x, y).gives(y, 2 * x)


@case(r"""
extern "C" __global__ void report(int* out, float f) {
    if (threadIdx.x == 0) printf("block %d of %u: %5.2f|%-4s|%c|%lld|%x%%\n", blockIdx.x, gridDim.x, f, "ab", 'z', 1LL << 40, 255);
    out[threadIdx.x] = threadIdx.x;
}
""")
def printf_from_one_thread(draw: Draw) -> Plan:
    out = blank("i4", 32)
    text = f"block 0 of 1: {2.5:5.2f}|ab  |z|{1 << 40}|ff%\n"
    return run("report", 1, 32, out, F(2.5)).gives(out, np.arange(32, dtype="i4")).prints(text)


@case("""
extern "C" __global__ void series(const float* x, float* y, int* used, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float term = 1.0f, sum = 1.0f;
    int k = 0;
    while (fabsf(term) > 1e-7f * fabsf(sum)) { ++k; term *= x[i] / k; sum += term; }
    y[i] = sum;
    used[i] = k > 0;
}
""")
def loop_until_converged(draw: Draw) -> Plan:
    x, y, used = draw.uniform(0, 4, 200), blank("f4", 200), blank("i4", 200)
    return (
        run("series", 2, 128, x, y, used, 200)
        .gives(y, np.exp(x.astype("f8")), rtol=4e-6)
        .gives(used, np.ones(200, "i4"))
    )


@case("""
extern "C" __global__ void uniform_choice(const float* x, float* y, int n, int mode) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = i < n ? x[i] : 0.0f;
    if (mode == 1) v = v * v;
    else if (mode == 2) { v = -v; if (blockIdx.x == 1) v += 1.0f; }
    for (int k = 0; k < mode; ++k) v += k;
    if (i < n) y[i] = v;
}
""")
def branches_uniform_over_the_block(draw: Draw) -> Plan:
    x = draw.f32(300)
    a, b = blank("f4", 300), blank("f4", 300)
    w = x.astype("f8")
    second = -w + (np.arange(300) // 128 == 1) + 1
    plan = run("uniform_choice", 3, 128, x, a, 300, 1).then("uniform_choice", 3, 128, x, b, 300, 2)
    return plan.gives(a, w * w).gives(b, second)
