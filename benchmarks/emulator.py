"""How fast the emulator is: against NumPy and torch on the same processor, with and without checks, and how fast it compiles.

    python benchmarks/emulator.py [--threads N] [--repeat N] [--json FILE] [NAME ...]

Every time is wall time on this machine, the shortest of several runs; "x numpy" is the emulator's time over NumPy's for the same
function on the same arrays. None says anything about a GPU. Targets are those of the project's design.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kernelwright.sandbox import emulator
from kernelwright.sandbox.launch import LaunchOptions, LaunchReport

SOURCE = Path(__file__).with_suffix(".cu").read_text()

TYPICAL = """extern "C" __global__ void rms_norm(const float* x, const float* w, float* y, int n, float eps) {
  __shared__ float s[32];
  const float* row = x + (size_t)blockIdx.x * n;
  float t = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) t += row[i] * row[i];
  for (int o = 16; o; o >>= 1) t += __shfl_xor_sync(~0u, t, o);
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = t;
  __syncthreads();
  t = threadIdx.x % 32 < blockDim.x / 32 ? s[threadIdx.x % 32] : 0.f;
  for (int o = 16; o; o >>= 1) t += __shfl_xor_sync(~0u, t, o);
  float r = rsqrtf(t / n + eps);
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x * n + i] = row[i] * r * w[i];
}"""
"""A kernel of the size that is compiled again and again during a search."""


@dataclass(frozen=True)
class Case:
    """One kernel on one input, with NumPy and torch doing the same."""

    name: str
    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: tuple[object, ...]
    out: np.ndarray
    numpy: Callable[[], np.ndarray]
    torch: Callable[[], torch.Tensor]
    tolerance: float
    target_ms: float | None = None


@dataclass(frozen=True)
class Row:
    """What was measured of one case; times in milliseconds, the ratios are of the emulator's time (or of its parts) to another."""

    name: str
    over_numpy: float
    over_torch: float
    over_unchecked: float
    """With all checks over with none."""
    over_unprofiled: float
    """With a profile by line over without."""
    run_ms: float
    target_ms: float | None
    thread_instructions_per_second: float
    cxx_seconds: float
    """The C++ compiler on this kernel, from nothing."""


def aligned(*shape: int, dtype: type = np.float32) -> np.ndarray:
    """Zeros beginning at a multiple of 128 bytes, as a GPU's allocator gives them."""
    size = np.dtype(dtype).itemsize * int(np.prod(shape))
    raw = np.zeros(size + 128, np.uint8)
    begin = -raw.ctypes.data % 128
    return raw[begin : begin + size].view(dtype).reshape(shape)


def cases() -> list[Case]:
    """Kernels of several kinds: bound by exponentials, by reductions, by memory, by shared memory, by registers, by tensor cores."""
    random = np.random.default_rng(0)

    def normal(*shape: int, dtype: type = np.float32) -> np.ndarray:
        out = aligned(*shape, dtype=dtype)
        out[...] = random.standard_normal(shape)
        return out

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def layer_norm(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)

    rows, row_out = normal(4096, 1024), aligned(4096, 1024)
    wide, wide_out = normal(1024, 768), aligned(1024, 768)
    a, b, c = normal(1 << 20), normal(1 << 20), aligned(1 << 20)
    p, q = normal(512, 512), normal(512, 512)
    h, g = normal(512, 512, dtype=np.float16), normal(512, 512, dtype=np.float16)
    h32, g32 = h.astype(np.float32), g.astype(np.float32)
    products = [aligned(512, 512) for _ in range(4)]
    n = np.int32
    square = (p, q)
    t = torch.from_numpy
    functional = torch.nn.functional
    return [
        Case("softmax 4096x1024", "softmax", (4096,), (256,), (rows, row_out, n(1024)), row_out,
             lambda: softmax(rows), lambda: functional.softmax(t(rows), 1), 1e-5, 60),
        Case("layer norm 1024x768", "layer_norm", (1024,), (256,), (wide, wide_out, n(768)), wide_out,
             lambda: layer_norm(wide), lambda: functional.layer_norm(t(wide), (768,)), 1e-4),
        Case("float4 add of 1M", "add4", (1024,), (256,), (a, b, c, n(1 << 18)), c,
             lambda: a + b, lambda: t(a) + t(b), 1e-6),
        Case("matmul 512^3, 16x16 tiles", "matmul16", (32, 32), (16, 16), (*square, products[0], n(512)), products[0],
             lambda: p @ q, lambda: t(p) @ t(q), 1e-3, 350),
        Case("matmul 512^3, 32x32 tiles", "matmul32", (16, 16), (32, 32), (*square, products[1], n(512)), products[1],
             lambda: p @ q, lambda: t(p) @ t(q), 1e-3),
        Case("sgemm 512^3, 8x8 a thread", "sgemm", (4, 4), (256,), (*square, products[2], n(512)), products[2],
             lambda: p @ q, lambda: t(p) @ t(q), 1e-3, 120),
        Case("mma 512^3, halves", "mma", (8, 8), (128,), (h, g, products[3], n(512)), products[3],
             lambda: h32 @ g32, lambda: t(h) @ t(g), 1e-3, 150),
    ]  # fmt: skip


def timed(function: Callable[[], object], repeat: int) -> float:
    """The shortest of several runs, in seconds."""
    best = float("inf")
    for _ in range(repeat):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return best


def unchecked(limits: emulator.LaunchLimits) -> emulator.LaunchLimits:
    """The limits with every check that can be left out left out."""
    names = [f.name for f in dataclasses.fields(limits) if f.name.startswith("check_")]
    off: dict[str, Any] = dict.fromkeys(names, False)
    return dataclasses.replace(limits, **off)


def measure(case: Case, module: emulator.Module, cxx: float, limits: emulator.LaunchLimits, repeat: int) -> Row:
    """Runs one case.

    Raises:
        RuntimeError: its result is wrong.
    """
    memory = emulator.Memory()
    module.prepare(case.kernel)

    def launch(limits: emulator.LaunchLimits) -> LaunchReport:
        return module.launch(case.kernel, case.grid, case.block, case.args, memory=memory, limits=limits)

    report = launch(limits)
    reference = case.numpy()
    error = float(np.abs(case.out - reference).max() / np.abs(reference).max())
    if report.violations or error > case.tolerance:
        raise RuntimeError(f"{case.name}: error {error}, {report.violations}")
    checked = timed(lambda: launch(limits), repeat)
    profiled = dataclasses.replace(limits, options=LaunchOptions(profile_lines=True))
    return Row(
        name=case.name,
        over_numpy=checked / timed(case.numpy, repeat),
        over_torch=checked / timed(case.torch, repeat),
        over_unchecked=checked / timed(lambda: launch(unchecked(limits)), repeat),
        over_unprofiled=timed(lambda: launch(profiled), repeat) / checked,
        run_ms=1e3 * checked,
        target_ms=case.target_ms,
        thread_instructions_per_second=sum(report.counters.thread_instructions.values()) / checked,
        cxx_seconds=cxx,
    )


def compile_times(chosen: Sequence[Case], repeat: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds by what is compiled, and of the C++ compiler by kernel; in a cache of their own, empty at first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def typical(mark: int) -> None:
            emulator.compile(f"{TYPICAL}// {mark}", cache_dir=folder).prepare("rms_norm")

        first = timed(lambda: typical(0), 1)
        fresh = iter(range(1, repeat + 1))
        # another constant is another kernel to the C++ compiler as well
        cold = timed(lambda: other(next(fresh), folder), repeat)
        cached = timed(lambda: typical(0), 5 * repeat)
        module = emulator.compile(SOURCE, cache_dir=folder)
        cxx = {case.kernel: timed(lambda k=case.kernel: module.prepare(k), 1) for case in chosen}  # type: ignore[misc]
    return {"first, with the runtime library": first, "a typical kernel, cold": cold, "the same, cached": cached}, cxx


def other(mark: int, folder: Path) -> None:
    """Compiles the typical kernel with another constant in it."""
    text = TYPICAL.replace("+ eps", f"+ eps * {mark}.5f")
    emulator.compile(text, cache_dir=folder).prepare("rms_norm")


def processor() -> str:
    """Its name, as Linux gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Prints a table, ratios first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="kernels to run (default: all)")
    parser.add_argument("--threads", type=int, default=None, help="processor cores (default: all)")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    cores = options.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    chosen = [case for case in cases() if not options.names or case.kernel in options.names]
    compiled, cxx = compile_times(chosen, options.repeat)
    module = emulator.compile(SOURCE)
    limits = emulator.LaunchLimits(threads=options.threads)
    print(f"{processor()}, {cores} threads; every time is wall time here and says nothing about a GPU")
    heads = ("x numpy", "x torch", "checks", "lines", "run ms", "target", "G instr/s", "g++ s")
    print(f"{'kernel':28s}" + "".join(f"{head:>10s}" for head in heads))
    rows = []
    for case in chosen:
        row = measure(case, module, cxx[case.kernel], limits, options.repeat)
        rows.append(row)
        target = "" if row.target_ms is None else f"{row.target_ms:.0f}"
        print(
            f"{row.name:28s}{row.over_numpy:10.1f}{row.over_torch:10.1f}{row.over_unchecked:10.2f}{row.over_unprofiled:10.2f}"
            f"{row.run_ms:10.1f}{target:>10s}{row.thread_instructions_per_second / 1e9:10.2f}{row.cxx_seconds:10.2f}"
        )
    for what, seconds in compiled.items():
        print(f"compile: {what}: {seconds * 1e3:.1f} ms")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        data = {
            "processor": processor(),
            "threads": cores,
            "kernels": [dataclasses.asdict(row) for row in rows],
            "compile_seconds": compiled,
        }
        options.json.write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()
