"""Calls that can't be inlined: recursion, pointers to functions, virtual functions; and memory taken at run time."""

from __future__ import annotations

import functools
import math

import numpy as np
from emulator.corpus.case import Collection, Draw, Plan, blank, run

cases = Collection()
case = cases.case
BOTH = ("sm_90", "sm_100")


@case(
    """
__device__ __noinline__ void quick_sort(int* a, int low, int high) {
    if (low >= high) return;
    int pivot = a[(low + high) / 2], i = low - 1, j = high + 1;
    while (true) {
        do ++i; while (a[i] < pivot);
        do --j; while (a[j] > pivot);
        if (i >= j) break;
        int t = a[i]; a[i] = a[j]; a[j] = t;
    }
    quick_sort(a, low, j);
    quick_sort(a, j + 1, high);
}
extern "C" __global__ void sort_rows(const int* x, int* y) {
    int mine[24];
    for (int k = 0; k < 24; ++k) mine[k] = x[threadIdx.x * 24 + k];
    quick_sort(mine, 0, 23);
    for (int k = 0; k < 24; ++k) y[threadIdx.x * 24 + k] = mine[k];
}
""",
    archs=BOTH,
)
def recursive_quick_sort(draw: Draw) -> Plan:
    x, y = draw.ints("i4", -99, 99, 70, 24), blank("i4", 70, 24)
    return run("sort_rows", 1, 70, x, y).gives(y, np.sort(x, axis=1))


@case("""
__device__ __noinline__ unsigned ackermann(unsigned m, unsigned n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}
extern "C" __global__ void values(unsigned* out) { out[threadIdx.x] = ackermann(threadIdx.x % 3, threadIdx.x / 3); }
""")
def ackermann(draw: Draw) -> Plan:
    @functools.cache
    def value(m: int, n: int) -> int:
        return n + 1 if m == 0 else value(m - 1, 1) if n == 0 else value(m - 1, value(m, n - 1))

    out = blank("u4", 36)
    return run("values", 1, 36, out).gives(out, np.array([value(i % 3, i // 3) for i in range(36)], "u4"))


@case("""
__device__ __noinline__ int place(int row, int n, unsigned columns, unsigned left, unsigned right) {
    if (row == n) return 1;
    int found = 0;
    for (int c = 0; c < n; ++c) {
        unsigned bit = 1u << c;
        if ((columns | left | right) & bit) continue;
        found += place(row + 1, n, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return found;
}
extern "C" __global__ void queens(int* out) { out[threadIdx.x] = place(0, threadIdx.x + 1, 0, 0, 0); }
""")
def recursive_backtracking(draw: Draw) -> Plan:
    out = blank("i4", 7)
    return run("queens", 1, 7, out).gives(out, np.array([1, 0, 0, 2, 10, 4, 40], "i4"))


@case(
    """
struct Matrix { float m[3][3]; };
__device__ __noinline__ Matrix power(Matrix a, int n) {
    if (n == 1) return a;
    Matrix half = power(a, n / 2), out;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            float s = 0;
            for (int k = 0; k < 3; ++k) s += half.m[i][k] * half.m[k][j];
            out.m[i][j] = s;
        }
    if (n % 2 == 0) return out;
    Matrix again;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            float s = 0;
            for (int k = 0; k < 3; ++k) s += out.m[i][k] * a.m[k][j];
            again.m[i][j] = s;
        }
    return again;
}
extern "C" __global__ void powers(const Matrix* a, Matrix* out) { out[threadIdx.x] = power(a[threadIdx.x], threadIdx.x % 9 + 1); }
""",
    archs=BOTH,
)
def structs_by_value_through_recursion(draw: Draw) -> Plan:
    a, out = draw.uniform(-0.8, 0.8, 40, 3, 3), blank("f4", 40, 3, 3)
    want = np.stack([np.linalg.matrix_power(a[i].astype("f8"), i % 9 + 1) for i in range(40)])
    return run("powers", 1, 40, a, out).gives(out, want, rtol=1e-5, atol=1e-5)


@case("""
__device__ __noinline__ void halve(int v, int* total, int* depth) {
    int mine = v % 10;
    *total += mine;
    *depth += 1;
    int* outer = total;
    if (v > 3) { halve(v / 2, &mine, depth); *outer += mine; }
}
extern "C" __global__ void digits(int* total, int* depth) {
    int t = 0, d = 0;
    halve(threadIdx.x * 37 + 1, &t, &d);
    total[threadIdx.x] = t;
    depth[threadIdx.x] = d;
}
""")
def pointers_into_the_callers_frame(draw: Draw) -> Plan:
    def halve(v: int, total: int) -> tuple[int, int]:
        mine, deep = v % 10, 0
        total += mine
        if v > 3:
            mine, deep = halve(v // 2, mine)
            total += mine
        return total, deep + 1

    want = np.array([halve(i * 37 + 1, 0) for i in range(64)], "i4")
    total, depth = blank("i4", 64), blank("i4", 64)
    return run("digits", 1, 64, total, depth).gives(total, want[:, 0]).gives(depth, want[:, 1])


@case("""
__device__ __noinline__ int butterfly(int v, int step) {
    if (step == 0) return v;
    return butterfly(v + __shfl_xor_sync(0xffffffff, v, step), step / 2);
}
__device__ __noinline__ int walk(int n) { volatile int k = n; return k == 0 ? 0 : walk(n - 1) + k; }
extern "C" __global__ void warps(const int* x, int* out) {
    int i = threadIdx.x, v = x[i];
    if (i % 3 == 0) v += walk(i % 17);   // lanes at different depths, which meet again below
    out[i] = butterfly(v, 16);
}
""")
def shuffles_inside_recursion(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -1000, 1000, 96), blank("i4", 96)
    v = np.array([int(x[i]) + (sum(range(i % 17 + 1)) if i % 3 == 0 else 0) for i in range(96)])
    return run("warps", 1, 96, x, out).gives(out, np.repeat(v.reshape(3, 32).sum(1), 32).astype("i4"))


@case("""
__shared__ int s[128];
__device__ __noinline__ void reduce(int half) {
    if (half == 0) return;
    if (threadIdx.x < half) s[threadIdx.x] += s[threadIdx.x + half];
    __syncthreads();
    reduce(half / 2);
}
extern "C" __global__ void sums(const int* x, int* out) {
    s[threadIdx.x] = x[blockIdx.x * 128 + threadIdx.x];
    __syncthreads();
    reduce(64);
    if (threadIdx.x == 0) out[blockIdx.x] = s[0];
}
""")
def barriers_inside_recursion(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -1000, 1000, 5, 128), blank("i4", 5)
    return run("sums", 5, 128, x, out).gives(out, x.sum(1).astype("i4"))


@case(
    """
typedef float (*Function)(float);
__device__ __noinline__ float square(float x) { return x * x; }
__device__ __noinline__ float cube(float x) { return x * x * x; }
__device__ __noinline__ float half(float x) { return 0.5f * x; }
__device__ Function chosen[32];
__device__ __noinline__ float twice(Function f, float x) { return f(f(x)); }
extern "C" __global__ void choose() {
    Function all[3] = {square, cube, half};
    chosen[threadIdx.x] = all[threadIdx.x % 3];
}
extern "C" __global__ void apply(const float* x, float* y) { y[threadIdx.x] = twice(chosen[threadIdx.x], x[threadIdx.x]); }
""",
    archs=BOTH,
)
def function_pointers_from_another_kernel(draw: Draw) -> Plan:
    x, y = draw.uniform(0.5, 1.5, 32), blank("f4", 32)
    w = x.astype("f8")
    want = np.choose(np.arange(32) % 3, [w**4, w**9, w / 4])
    return run("choose", 1, 32).then("apply", 1, 32, x, y).gives(y, want)


@case("""
struct Node { int value, left, right; };
typedef void (*Visit)(int value, int depth, int* state);
__device__ __noinline__ void add_up(int value, int depth, int* state) { state[0] += value * depth; }
__device__ __noinline__ void deepest(int value, int depth, int* state) { if (depth > state[1]) state[1] = depth; }
__device__ __noinline__ void traverse(const Node* nodes, int at, int depth, Visit visit, int* state) {
    if (at < 0) return;
    Node n = nodes[at];
    traverse(nodes, n.left, depth + 1, visit, state);
    visit(n.value, depth, state);
    traverse(nodes, n.right, depth + 1, visit, state);
}
extern "C" __global__ void trees(const Node* nodes, const int* roots, int* out) {
    int state[2] = {0, 0};
    traverse(nodes, roots[threadIdx.x], 1, threadIdx.x & 1 ? add_up : deepest, state);
    out[threadIdx.x] = state[0] + state[1];
}
""")
def callbacks_from_a_recursive_traversal(draw: Draw) -> Plan:
    count = 63
    nodes = np.full((count, 3), -1, "i4")
    nodes[:, 0] = draw.ints("i4", 1, 50, count)
    for i in range(1, count):  # a random tree: every node hangs below an earlier one with a free side
        while True:
            parent, side = int(draw.rng.integers(0, i)), int(draw.rng.integers(1, 3))
            if nodes[parent, side] < 0:
                nodes[parent, side] = i
                break

    def traverse(at: int, depth: int) -> list[tuple[int, int]]:
        if at < 0:
            return []
        value, left, right = nodes[at].tolist()
        return [*traverse(left, depth + 1), (value, depth), *traverse(right, depth + 1)]

    roots, out = np.arange(40, dtype="i4"), blank("i4", 40)
    want = [
        sum(v * d for v, d in traverse(r, 1)) if i & 1 else max(d for _, d in traverse(r, 1))
        for i, r in enumerate(roots.tolist())
    ]
    return run("trees", 1, 40, nodes, roots, out).gives(out, np.array(want, "i4"))


@case(
    """
struct Expression { __device__ virtual float value(float x) const = 0; __device__ virtual ~Expression() {} };
struct Number : Expression { float n; __device__ Number(float n) : n(n) {} __device__ float value(float) const override { return n; } };
struct Variable : Expression { __device__ float value(float x) const override { return x; } };
struct Sum : Expression {
    Expression *a, *b;
    __device__ Sum(Expression* a, Expression* b) : a(a), b(b) {}
    __device__ ~Sum() override { delete a; delete b; }
    __device__ float value(float x) const override { return a->value(x) + b->value(x); }
};
struct Product : Expression {
    Expression *a, *b;
    __device__ Product(Expression* a, Expression* b) : a(a), b(b) {}
    __device__ ~Product() override { delete a; delete b; }
    __device__ float value(float x) const override { return a->value(x) * b->value(x); }
};
__device__ Expression* formula;
extern "C" __global__ void build() { formula = new Sum(new Product(new Variable, new Variable), new Product(new Number(3), new Variable)); }
extern "C" __global__ void evaluate(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = formula->value(x[i]);
}
extern "C" __global__ void destroy() { delete formula; }
""",
    archs=BOTH,
)
def virtual_functions_of_objects_on_the_heap(draw: Draw) -> Plan:
    x, y = draw.uniform(-2, 2, 100), blank("f4", 100)
    w = x.astype("f8")
    plan = run("build", 1, 1).then("evaluate", 2, 64, x, y, 100).then("destroy", 1, 1)
    return plan.gives(y, w * w + 3 * w)


@case("""
struct Link { int value; Link* next; };
extern "C" __global__ void lists(const int* x, int* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    Link* head = nullptr;
    for (int k = 0; k <= i % 5; ++k) {
        Link* link = (Link*)malloc(sizeof(Link));
        if (link == nullptr) { out[i] = -1; return; }
        link->value = x[i] + k;
        link->next = head;
        head = link;
    }
    int sum = 0;
    while (head) {
        Link* next = head->next;
        sum = sum * 3 + head->value;
        free(head);
        head = next;
    }
    out[i] = sum;
}
""")
def linked_lists_on_the_heap(draw: Draw) -> Plan:
    x, out = draw.ints("i4", -50, 50, 100), blank("i4", 100)
    want = []
    for i in range(100):
        total = 0
        for k in reversed(range(i % 5 + 1)):
            total = total * 3 + int(x[i]) + k
        want.append(total)
    return run("lists", 2, 64, x, out, 100).gives(out, np.array(want, "i4"))


@case("""
__device__ __forceinline__ void* take(size_t bytes) {
    void* p;
    asm volatile("{ .reg .u64 t; alloca.u64 t, %1, 16; cvta.local.u64 %0, t; }" : "=l"(p) : "l"(bytes));
    return p;
}
__device__ __noinline__ int mirrored(int n, int levels) {
    int* a = (int*)take(n * sizeof(int));
    for (int k = 0; k < n; ++k) a[k] = k * k;
    int below = levels ? mirrored(n + 3, levels - 1) : 0;
    int sum = below;
    for (int k = 0; k < n; ++k) sum = sum * 5 + a[n - 1 - k];
    return sum;
}
extern "C" __global__ void lengths(int* out) {
    int i = threadIdx.x;
    int* first = (int*)take((i + 1) * sizeof(int));
    for (int k = 0; k <= i; ++k) first[k] = i + k;
    out[i] = mirrored(i % 7 + 1, i % 4) + first[i];
}
""")
def stack_memory_of_run_time_size(draw: Draw) -> Plan:
    def mirrored(n: int, levels: int) -> int:
        total = mirrored(n + 3, levels - 1) if levels else 0
        for k in range(n):
            total = total * 5 + (n - 1 - k) ** 2
        return total

    out = blank("i4", 40)
    want = [(mirrored(i % 7 + 1, i % 4) + 2 * i + 2**31) % 2**32 - 2**31 for i in range(40)]
    return run("lengths", 1, 40, out).gives(out, np.array(want, "i4"))


@case(
    """
__device__ __noinline__ int mixed(signed char a, short b, bool c, unsigned char d, unsigned short e) {
    return a * 1000003 + b * 101 + (c ? 7 : 0) + d * 13 + e;
}
__device__ __noinline__ signed char narrow(int x) { return x; }
__device__ __noinline__ bool odd(int x) { return x & 1; }
extern "C" __global__ void kinds(const int* x, int* out) {
    int i = threadIdx.x, v = x[i];
    out[i] = mixed(v, v, odd(v), v, v) + narrow(v + 100);
}
""",
    archs=BOTH,
)
def small_arguments_and_results(draw: Draw) -> Plan:
    x, out = draw.bits("i4", 200), blank("i4", 200)
    with np.errstate(over="ignore"):
        want = x.astype("i1").astype("i4") * np.int32(1000003) + x.astype("i2").astype("i4") * np.int32(101)
        want += (x & 1) * np.int32(7) + x.astype("u1").astype("i4") * np.int32(13) + x.astype("u2").astype("i4")
        want += (x + np.int32(100)).astype("i1")
    return run("kinds", 1, 200, x, out).gives(out, want)


@case(
    """
struct Tables { const float* data[6]; int length[6]; float scale; };
__device__ __noinline__ float pick(const Tables& t, int which, int at) { return t.data[which][at % t.length[which]] * t.scale; }
extern "C" __global__ void indexed(const Tables t, float* out) {
    out[blockIdx.x * blockDim.x + threadIdx.x] = t.data[blockIdx.x][threadIdx.x % t.length[blockIdx.x]] * t.scale;
}
extern "C" __global__ void constant(const __grid_constant__ Tables t, float* out) {
    out[blockIdx.x * blockDim.x + threadIdx.x] = t.data[blockIdx.x][threadIdx.x % t.length[blockIdx.x]] * t.scale;
}
extern "C" __global__ void pointed(const __grid_constant__ Tables t, float* out) {
    out[blockIdx.x * blockDim.x + threadIdx.x] = pick(t, blockIdx.x, threadIdx.x);
}
""",
    archs=("sm_80", *BOTH),
)
def structs_of_arrays_indexed_at_run_time(draw: Draw) -> Plan:
    arrays = [draw.f32(5 + 3 * k) for k in range(6)]
    table = np.zeros(1, np.dtype([("data", "u8", 6), ("length", "i4", 6), ("scale", "f4")], align=True))
    table["data"] = [a.ctypes.data for a in arrays]
    table["length"] = [a.size for a in arrays]
    table["scale"] = 0.5
    want = np.stack([a[np.arange(32) % a.size] for a in arrays]) * np.float32(0.5)
    outs = [blank("f4", 6, 32) for _ in range(3)]
    plan = run("indexed", 6, 32, table[0], outs[0]).then("constant", 6, 32, table[0], outs[1])
    plan = plan.then("pointed", 6, 32, table[0], outs[2]).reaches(*arrays)
    for out in outs:
        plan.gives(out, want, ulps=0)
    return plan


@case("""
__device__ __noinline__ double horner(const double* c, int n, double x) { return n == 0 ? 0.0 : c[0] + x * horner(c + 1, n - 1, x); }
extern "C" __global__ void polynomials(const double* c, const double* x, double* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = horner(c, i % 12, x[i]);
}
""")
def recursion_in_double_precision(draw: Draw) -> Plan:
    c, x, y = draw.f64(12), draw.f64(300, scale=0.5), blank("f8", 300)
    want = [math.fsum(c[k] * v**k for k in range(i % 12)) for i, v in enumerate(x.tolist())]
    return run("polynomials", 3, 128, c, x, y, 300).gives(y, np.array(want), rtol=1e-12, atol=1e-13)
