"""`profile` of Nsight Compute's reports, of machine code, and its picture."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kernelwright.verifier.profilers.tools import find_tool

Cli = Callable[..., subprocess.CompletedProcess[str]]
SAMPLE = Path(__file__).parents[1] / "verifier" / "profilers" / "data" / "ncu_two_kernels.csv"
plots = importlib.util.find_spec("matplotlib") is not None

PROGRAM = """\
#include <cstdio>
#include <cuda_runtime.h>

template <int T>
__global__ void transpose(const float* a, float* b, int n) {
  __shared__ float tile[T][T];
  tile[threadIdx.y][threadIdx.x] = a[threadIdx.y * n + threadIdx.x];
  __syncthreads();
  b[threadIdx.y * n + threadIdx.x] = 2.0f * tile[threadIdx.x][threadIdx.y];
}

int main() {
  float *a, *b;
  cudaMalloc(&a, 4096);
  cudaMalloc(&b, 4096);
  cudaMemset(a, 0, 4096);
  transpose<32><<<1, dim3(32, 32)>>>(a, b, 32);
  transpose<16><<<1, dim3(16, 16)>>>(a, b, 16);
  cudaDeviceSynchronize();
  cudaFree(a);
  cudaFree(b);
}
"""


def test_a_report_of_nsight_compute(cli: Cli, tmp_path: Path) -> None:
    picture = tmp_path / "roofline.svg"
    done = cli("profile", SAMPLE, "--roofline", picture)
    assert done.returncode == 0
    assert "measured on H200" in done.stdout
    assert "modelled" not in done.stdout
    assert picture.exists() == plots
    if plots:
        ElementTree.parse(picture)
    body = json.loads(cli("profile", SAMPLE, "--json").stdout)
    assert body["profile"]["kind"] == body["roofline"]["kind"] == "measured"
    assert [point["kernel"] for point in body["roofline"]["points"]] == ["transpose", "scale"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--gpu", "A100"], "compute capability 9.0"),
        (["--kernel", "nope"], "transpose"),
        (["--roofline", "picture.txt"], ".svg"),
        (["--roofline", "/no/such/folder/picture.svg"], "folder"),
    ],
)
def test_reports_that_are_misread_on_no_account(here: Cli, arguments: list[str], word: str) -> None:
    done = here("profile", SAMPLE, *arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "\x00\xff", '"ID","Kernel Name"\n"0","k"\n', "==ERROR== ERR_NVGPUCTRPERM\n"]
)
def test_files_that_are_no_report(here: Cli, tmp_path: Path, text: str) -> None:
    file = tmp_path / "report.csv"
    file.write_text(text, encoding="latin-1")
    done = here("profile", file)
    assert done.returncode == 2
    assert "report.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert here("profile", tmp_path / "none.csv").returncode == 2


def test_machine_code_and_picture_of_a_program(cli: Cli, tmp_path: Path) -> None:
    program, picture = tmp_path / "transpose.cu", tmp_path / "roofline.svg"
    program.write_text(PROGRAM)
    done = cli("profile", program, "--machine-code", "--roofline", picture, "--json")
    assert done.returncode == 0
    body = json.loads(done.stdout)
    assert body["roofline"]["kind"] == "modelled"
    assert picture.exists() == plots
    found = [kernel["machine_code"] for kernel in body["kernels"]]
    assert len(found) == 2
    if find_tool("nvdisasm") is None:
        assert {each["kind"] for each in found} == {"missing"}
        return
    for each in found:
        # the author's lines, of both instances of the template
        assert {line["line"] for line in each["lines"]} >= {7, 8, 9}
        assert each["widths"] == {"LDG.32": 1, "LDS.32": 1, "STG.32": 1, "STS.32": 1}
    assert {each["kernel"] for each in found} == {"_Z9transposeILi32EEvPKfPfi", "_Z9transposeILi16EEvPKfPfi"}


def test_doctor_names_the_profilers(here: Cli) -> None:
    body = json.loads(here("doctor", "--json").stdout)
    names = {check["name"] for check in body["checks"]}
    assert {"ncu", "compute-sanitizer", "nvdisasm", "cuxray", "matplotlib"} <= names
