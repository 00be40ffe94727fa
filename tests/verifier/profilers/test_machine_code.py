"""What is read from machine code; where the disassembler is installed, of code that NVRTC makes here."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from kernelwright.errors import BuildError
from kernelwright.sandbox import emulator
from kernelwright.sandbox.build import build_cubin, build_cuda
from kernelwright.sandbox.launch import INSTRUCTION_CLASSES, CudaCode, KernelResources, LaunchOptions, LaunchReport
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.occupancy import occupancy
from kernelwright.verifier.profilers import machine_code
from kernelwright.verifier.profilers.machine_code import CompiledKernel, LaunchShape, analyse, of_launches
from kernelwright.verifier.profilers.sass import access_width, classify, parse_disassembly
from kernelwright.verifier.profilers.tools import Finished, Problem, ProblemKind, find_tool

DATA = Path(__file__).with_name("data")
H200 = find_gpu("H200")
needs_disassembler = pytest.mark.skipif(
    find_tool("nvdisasm") is None, reason="nvdisasm is not installed (pip install 'kernelwright[sass]')"
)
needs_cuxray = pytest.mark.skipif(
    importlib.util.find_spec("cuxray") is None or find_tool("cuobjdump") is None,
    reason="cuxray and cuobjdump are not installed (pip install 'kernelwright[sass]')",
)

TRANSPOSE = """
extern "C" __global__ void transpose(const float* a, float* b, int n) {
  __shared__ float tile[32][32 + PAD];
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
  tile[threadIdx.y][threadIdx.x] = a[y * n + x];
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x; y = blockIdx.x * 32 + threadIdx.y;
  b[y * n + x] = tile[threadIdx.x][threadIdx.y];
}
"""
MANY = """
#include <mma.h>
extern "C" __global__ void wide(const float4* a, float4* b) { b[threadIdx.x] = a[threadIdx.x]; }
extern "C" __global__ void narrow(const char* a, char* b) { b[threadIdx.x] = a[threadIdx.x]; }
template <int N> __global__ void __launch_bounds__(128, 16) spill(const float* a, float* b, int n) {
  float held[N];
#pragma unroll
  for (int i = 0; i < N; ++i) held[i] = a[i * n + threadIdx.x];
  for (int j = 0; j < n; ++j)
#pragma unroll
    for (int i = 0; i < N; ++i) held[i] = held[i] * held[(i + 7) % N] + a[j];
#pragma unroll
  for (int i = 0; i < N; ++i) b[i * n + threadIdx.x] = held[i];
}
extern "C" __global__ void product(const half* a, const half* b, float* c) {
  using namespace nvcuda::wmma;
  __shared__ __align__(16) half s[256];
  unsigned to = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x * 8]);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(a + threadIdx.x * 8));
  asm volatile("cp.async.wait_all;");
  __syncthreads();
  fragment<matrix_a, 16, 16, 16, half, row_major> fa;
  fragment<matrix_b, 16, 16, 16, half, row_major> fb;
  fragment<accumulator, 16, 16, 16, float> fc;
  fill_fragment(fc, 0.f);
  load_matrix_sync(fa, s, 16);
  load_matrix_sync(fb, b, 16);
  mma_sync(fc, fa, fb, fc);
  store_matrix_sync(c, fc, 16, mem_row_major);
}
"""
SPILL = "_Z5spillILi64EEvPKfPfi"


def test_a_listing_with_inlined_functions() -> None:
    """k() is lines 5 to 7; leaf(), line 3, is inlined into line 6, as is __half2float of a header."""
    (kernel,) = parse_disassembly((DATA / "inlined.sass").read_text(), "kernel.cu").items()
    name, instructions = kernel
    assert name == "k"
    assert Counter(each.line for each in instructions) == {5: 1, 6: 11, 3: 1, 7: 2}
    (fused,) = [each for each in instructions if each.opcode == "FFMA"]
    assert (fused.line, fused.address) == (3, 0xA0)


def test_code_of_a_header_counts_where_it_is_called() -> None:
    text = (DATA / "inlined.sass").read_text().replace('kernel.cu", line 3 inlined', 'cuda_fp16.hpp", line 300 inlined')
    assert Counter(each.line for each in parse_disassembly(text, "kernel.cu")["k"]) == {5: 1, 6: 12, 7: 2}


@pytest.mark.parametrize("text", ["", "\n\n", "nonsense", "//--- .text.k ---\n /*0000*/ ???;", "/*0000*/ MOV R1, R2 ;"])
def test_what_is_no_listing(text: str) -> None:
    assert not any(parse_disassembly(text, "kernel.cu").values())


@pytest.mark.parametrize(
    ("opcode", "kind", "width"),
    [
        ("LDG.E.128", "load_store", 128), ("LDG.E.U16", "load_store", 16), ("LDG.E", "load_store", 32), ("STS.64", "load_store", 64),
        ("LDSM.16.M88.4", "load_store", None), ("LDGSTS.E.BYPASS.128", "load_store", 128), ("HMMA.16816.F32", "tensor", None),
        ("HFMA2.MMA", "fp16", None), ("FFMA", "fp32", None), ("DFMA", "fp64", None), ("IMAD.WIDE.U32", "int", None),
        ("MUFU.RSQ", "sfu", None), ("F2F.F64.F32", "convert", None), ("SHFL.BFLY", "shuffle", None),
        ("BAR.SYNC.DEFER_BLOCKING", "barrier", None), ("ATOMG.E.ADD", "atomic", None), ("BRA", "control", None),
        ("NEWOP.X", "other", None),
    ],
)  # fmt: skip
def test_opcodes(opcode: str, kind: str, width: int | None) -> None:
    assert classify(opcode) == kind
    assert access_width(opcode) == width
    assert kind in (*INSTRUCTION_CLASSES, "other")


def test_cubins_come_with_the_figures_of_ptxas(tmp_path: Path) -> None:
    code = CudaCode(MANY, "sm_90", name_expressions=("spill<64>",))
    cubin, resources = build_cubin(code)
    assert cubin.startswith(b"\x7fELF")
    assert resources == build_cuda(MANY, arch="sm_90", name_expressions=["spill<64>"], cache_dir=tmp_path).resources
    with pytest.raises(BuildError, match="does not compile"):
        build_cubin(CudaCode("__global__ void k( {", "sm_90"))


def test_the_first_launch_says_what_it_was_compiled_from() -> None:
    source = TRANSPOSE
    module = emulator.compile(source, ["-DPAD=1"])
    a, b = np.zeros((32, 32), np.float32), np.zeros((32, 32), np.float32)

    def launch(options: LaunchOptions) -> LaunchReport:
        return module.launch(
            "transpose", 1, (32, 32), [a, b, np.int32(32)], limits=emulator.LaunchLimits(options=options)
        )

    assert launch(LaunchOptions()).code is None
    first, second = launch(LaunchOptions(keep_code=True)), launch(LaunchOptions(keep_code=True))
    assert first.code == CudaCode(source, "sm_90", ("-DPAD=1",))
    assert second.code is None
    assert LaunchReport.from_json(first.to_json()) == first
    assert "code" not in second.to_json()  # as earlier versions wrote it


def test_lines_of_a_text_behind_others() -> None:
    code = CudaCode("", "sm_90", parts=((1, "one"), (10, "two")))
    assert [code.author_line(n) for n in (1, 9, 10, 12)] == [1, 9, 1, 3]
    assert CudaCode("", "sm_90").author_line(7) == 7


@needs_disassembler
def test_what_the_compiler_made() -> None:
    code = CudaCode(MANY, "sm_90", name_expressions=("spill<64>",))
    shapes = [LaunchShape(name, (128, 1, 1)) for name in ("wide", "narrow", SPILL, "product", "not there")]
    found = analyse(code, shapes, H200)
    assert not isinstance(found, Problem)
    wide, narrow, spill, product = found
    assert wide.widths == {"LDG.128": 1, "STG.128": 1}
    assert narrow.widths == {"LDG.8": 1, "STG.8": 1}
    assert product.tensor == {"HMMA.16816.F32": 2}  # 16 x 16 x 16 is two of 16 x 8 x 16
    assert product.async_copies == 1
    assert spill.resources is not None
    assert spill.resources.spill_stores > 0
    assert sum(line.local_stores for line in spill.lines) > 0
    assert {line.line for line in spill.lines if line.local_stores} & {8, 10, 11}
    for each in found:
        assert each.unknown == ()
        assert sum(each.classes.values()) == each.instructions == sum(line.instructions for line in each.lines)


@needs_disassembler
@needs_cuxray
@pytest.mark.parametrize(("pad", "ways"), [(0, 32), (1, 1), (2, 2), (16, 16)])
def test_bank_conflicts_are_those_that_the_emulator_counts(pad: int, ways: int) -> None:
    module = emulator.compile(TRANSPOSE, [f"-DPAD={pad}"])
    a, b = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
    limits = emulator.LaunchLimits(options=LaunchOptions(keep_code=True))
    report = module.launch("transpose", (2, 2), (32, 32), [a, b, np.int32(64)], limits=limits)
    counted = report.counters.shared_load_wavefronts / report.counters.shared_load_requests
    (found,) = of_launches([LaunchShape("transpose", (32, 32, 1))], [report], H200)
    assert isinstance(found, CompiledKernel)
    assert found.accesses is not None
    worst = max((site.ways for site in found.accesses if site.space == "shared"), default=1)
    assert worst == counted == ways
    assert [site.line for site in found.accesses if site.verdict == "conflict"] == ([8] if ways > 1 else [])


@needs_disassembler
def test_without_cuxray_all_else_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code.importlib.util, "find_spec", lambda name: None)
    found = analyse(CudaCode(TRANSPOSE, "sm_90", ("-DPAD=0",)), [LaunchShape("transpose", (32, 32, 1))], H200)
    assert not isinstance(found, Problem)
    assert found[0].instructions > 10
    assert found[0].accesses is None
    assert [problem.kind for problem in found[0].problems] == [ProblemKind.MISSING]


def _runner(finished: Finished) -> machine_code.Runner:
    def run(command: Sequence[str], *, seconds: float, environment: Mapping[str, str]) -> Finished:
        return finished

    return run


@pytest.mark.parametrize(
    ("finished", "kind"),
    [
        (Finished(1, "", "nvdisasm fatal   : Unsupported architecture\n"), ProblemKind.UNSUPPORTED),
        (Finished(0, "nothing", ""), ProblemKind.UNREADABLE),
        (Finished(-9, "", "", timed_out=True), ProblemKind.TIMEOUT),
    ],
)
def test_what_the_disassembler_can_do_wrong(
    finished: Finished, kind: ProblemKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code, "find_tool", lambda name: Path("/bin/true"))
    code, shapes = CudaCode(TRANSPOSE, "sm_90", ("-DPAD=0",)), [LaunchShape("transpose", (32, 32, 1))]
    found = analyse(code, shapes, H200, runner=_runner(finished))
    assert isinstance(found, Problem)
    assert found.kind is kind


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [LaunchShape("k", (32, 1, 1))]
    monkeypatch.setattr(machine_code, "find_tool", lambda name: None)
    found = analyse(CudaCode(TRANSPOSE, "sm_90"), shapes, H200)
    assert isinstance(found, Problem)
    assert (found.kind, "sass" in found.mend) == (ProblemKind.MISSING, True)
    monkeypatch.setattr(machine_code, "find_tool", lambda name: Path("/bin/true"))
    broken = analyse(CudaCode("__global__ void k( {", "sm_90"), shapes, H200)
    assert isinstance(broken, Problem)
    assert "does not compile" in str(broken)
    (unknown,) = of_launches(shapes, [], H200)
    assert isinstance(unknown, Problem)


@pytest.mark.parametrize(("registers", "shared"), [(40, 0), (168, 0), (255, 0), (32, 40000), (16, 100000)])
def test_one_block_more_is_really_one_more(registers: int, shared: int) -> None:
    """What is said to be needed gives more blocks, and one register or byte more does not."""
    resources = KernelResources(registers, static_shared=shared)
    occ = occupancy(resources, 256, 0, H200)
    said = machine_code._more_blocks(occ, resources, 256, 0, H200)
    assert bool(said) == (occ.limited_by in ("registers", "shared"))
    if said:
        number = int(said.split()[0].replace(",", ""))
        less, more = (
            KernelResources(n, static_shared=shared)
            if occ.limited_by == "registers"
            else KernelResources(registers, static_shared=n)
            for n in (number, number + 1)
        )
        assert occupancy(less, 256, 0, H200).blocks > occ.blocks == occupancy(more, 256, 0, H200).blocks
