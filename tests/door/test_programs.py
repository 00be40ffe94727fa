"""`run`, `sanitize` and `profile` as a person runs them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLES = Path(__file__).parents[2] / "examples"
REDUCE = EXAMPLES / "reduce.cu"
BARRIER_LINE = next(
    n for n, text in enumerate(REDUCE.read_text().splitlines(), 1) if "partial[threadIdx.x + half]" in text
)

TASK = """\
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x)
def get_inputs():
    return [torch.randn(64, 100)]
def get_init_inputs():
    return []
"""
EXTENSION = '''\
import torch
from torch.utils.cpp_extension import load_inline
source = r"""
#include <torch/extension.h>

__global__ void relu_kernel(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = fmaxf(x[i], 0.f);
}

torch::Tensor relu(torch::Tensor x) {
  auto y = torch::empty_like(x);
  const int n = x.numel();
  relu_kernel<<<(n + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
  return y;
}
"""
ext = load_inline("door_relu", "torch::Tensor relu(torch::Tensor x);", source, functions=["relu"])
class ModelNew(torch.nn.Module):
    def forward(self, x):
        return ext.relu(x.contiguous())
'''


def found(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def test_a_program_runs_with_its_arguments_output_and_exit_code(cli: Cli) -> None:
    done = cli("run", REDUCE, "--", "5000")
    assert (done.returncode, done.stdout) == (0, "sum of 5000 numbers: 2497500, expected 2497500\n")
    assert done.stderr == ""


def test_a_programs_own_exit_code_is_passed_on(cli: Cli, tmp_path: Path) -> None:
    program = tmp_path / "seven.cu"
    program.write_text("int main() { return 7; }\n")
    assert cli("run", program).returncode == 7


def test_a_race_is_told_at_its_line_and_fails(here: Cli) -> None:
    done = here("sanitize", REDUCE, "-X", "-DFORGET_BARRIER", "--schedules", "2", "--seed", "1", "--", "5000")
    assert done.returncode == 1
    assert f"shared race in block_sums, line {BARRIER_LINE}" in done.stdout
    assert "__syncthreads()" in done.stdout
    body = found(
        here("sanitize", REDUCE, "-X", "-DFORGET_BARRIER", "--json", "--schedules", "2", "--seed", "1", "--", "5000")
    )
    violations = body["violations"]
    assert isinstance(violations, list)
    assert {(v["kind"], v["line"]) for v in violations} == {("shared_race", BARRIER_LINE)}
    assert body["schedules"] == ["forward", "reversed"]


FILES = """\
#include <cstdio>
#include <cstdlib>
int main(int, char** argv) {
  char word[16] = "";
  if (FILE* in = std::fopen(argv[1], "r")) std::fscanf(in, "%15s", word);
  if (FILE* out = std::fopen("out.txt", "w")) std::fprintf(out, "%s %s", word, std::getenv("KW_TEST_WORD"));
  return 0;
}
"""


def test_a_program_has_its_files_and_environment(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KW_TEST_WORD", "heard")
    Path("files.cu").write_text(FILES)
    Path("in.txt").write_text("read")
    done = cli("run", "files.cu", "--", "in.txt")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("out.txt").read_text() == "read heard"


def test_a_crash_of_the_host_code_is_told(cli: Cli) -> None:
    Path("dies.cu").write_text("int main() { *(volatile int*)8 = 1; return 0; }\n")
    done = cli("run", "dies.cu")
    assert (done.returncode, done.stderr.strip()) == (139, "The program's host code was ended by SIGSEGV.")


def test_a_host_pointer_is_told_as_one(here: Cli) -> None:
    Path("host.cu").write_text(
        "#include <cuda_runtime.h>\n"
        "__device__ int table[4];\n"
        "__global__ void f(int* p) { p[threadIdx.x] = table[0]; }\n"
        "int main() { int x[32]; f<<<1, 32>>>(x); return cudaDeviceSynchronize(); }\n"
    )
    done = here("run", "host.cu")
    assert done.returncode == 700 % 256  # cudaErrorIllegalAddress, as a shell sees it
    assert "`p` is 0x" in done.stderr
    assert "no memory of the device" in done.stderr


def test_a_kernel_that_was_not_launched_is_told_with_those_that_were(here: Cli) -> None:
    done = here("profile", REDUCE, "--kernel", "nope", "--", "1000")
    assert done.returncode == 1
    assert "but: block_sums" in done.stdout


def test_run_says_what_a_kernel_broke_and_fails(here: Cli, tmp_path: Path) -> None:
    program = tmp_path / "far.cu"
    program.write_text(
        "#include <cuda_runtime.h>\n"
        "__global__ void f(int* p) { p[threadIdx.x + 1] = 1; }\n"
        "int main() { int* p; cudaMalloc(&p, 32 * 4); f<<<1, 32>>>(p); cudaDeviceSynchronize(); return 0; }\n"
    )
    done = here("run", program)
    assert done.returncode == 1
    assert "out of bounds in f, line 2" in done.stderr


SAME_VALUE = """\
#include <cuda_runtime.h>
__global__ void f(int* p, int v) { p[0] = v; }
int main() { int* p; cudaMalloc(&p, 4); f<<<4, 64>>>(p, 7); cudaDeviceSynchronize(); cudaFree(p); return 0; }
"""


def test_writes_of_one_value_are_a_note_and_no_failure(here: Cli) -> None:
    Path("same.cu").write_text(SAME_VALUE)
    done = here("run", "same.cu")
    assert done.returncode == 0
    assert "note: same value in f, line 2" in done.stderr
    assert "benign: `p[0]` is written by this block" in done.stderr
    done = here("sanitize", "same.cu", "--schedules", "2", "--seed", "1")
    assert done.returncode == 0
    assert "Nothing found in 1 launch" in done.stdout
    assert "note: same value in f, line 2" in done.stdout
    body = found(here("sanitize", "same.cu", "--schedules", "2", "--seed", "1", "--json"))
    notes = body["notes"]
    assert isinstance(notes, list)
    assert body["violations"] == []
    assert [(n["kind"], n["line"], n["schedules"]) for n in notes] == [("same_value", 2, ["forward", "reversed"])]


def test_a_clean_program_is_clean(here: Cli) -> None:
    done = here("sanitize", REDUCE, "--seed", "5", "--", "3000")
    assert done.returncode == 0
    assert "Nothing found in 1 launch under 3 schedules" in done.stdout
    assert "seed 5" in done.stdout


def test_profile_of_a_program_by_line(here: Cli) -> None:
    done = here("profile", REDUCE, "--line", "--gpu", "A100", "--", "100000")
    assert done.returncode == 0
    assert "modelled for A100" in done.stdout
    assert f"{BARRIER_LINE}  " in done.stdout
    assert "int i = blockIdx.x * blockDim.x + threadIdx.x" in done.stdout
    body = found(here("profile", REDUCE, "--json", "--", "100000"))
    kernels = body["kernels"]
    assert isinstance(kernels, list)
    (kernel,) = kernels
    assert kernel["kernel"] == "block_sums"
    assert kernel["kind"] == "modelled"
    # 100,000 int loads, 4 bytes each, every sector used
    metrics = kernel["metrics"]
    assert metrics["l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"] == 100_000 * 4 / 32
    loads = [line for line in kernel["lines"] if line["global_load_bytes"]]
    assert [line["global_load_bytes"] for line in loads] == [400_000]
    assert "values[i]" in loads[0]["text"]


def test_a_profile_of_some_blocks_says_so(here: Cli) -> None:
    done = here("profile", REDUCE, "--blocks", "5", "--", "100000")
    assert "Counted over a sample of 5 of 64 blocks; the time is for all." in done.stdout


def test_an_extension_is_judged_sanitized_and_profiled(here: Cli, tmp_path: Path) -> None:
    task, kernel = tmp_path / "task.py", tmp_path / "kernel.py"
    task.write_text(TASK)
    kernel.write_text(EXTENSION)
    judged = found(here("verify", task, kernel, "--json"))
    assert judged["verdict"] == "passed", judged["reason"]
    assert here("sanitize", task, kernel, "--schedules", "1").returncode == 0
    done = here("profile", task, kernel, "--line")
    assert "relu_kernel" in done.stdout
    assert "y[i] = fmaxf(x[i], 0.f);" in done.stdout
    kernel.write_text(EXTENSION.replace("if (i < n) ", "").replace("n + 255", "n + 511"))
    judged = found(here("verify", task, kernel, "--json"))
    assert judged["verdict"] == "unsafe"
    assert "relu_kernel, CUDA source line 6" in str(judged["reason"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "nowhere.cu"], 2, "there is no such file"),
        (["run", "empty.cu"], 1, "no function main"),
        (["run", "broken.cu"], 1, "broken.cu:2"),
        (["run", "broken.cu"], 1, "    2 | int main() { return nothing; }"),
        (["run", "binary.cu"], 2, "no UTF-8 text"),
        (["sanitize", "task.py"], 2, "a kernel file belongs behind it"),
        (["profile", "nowhere.py", "kernel.py"], 2, "nowhere.py"),
        (["profile", "nonsense"], 2, "nonsense"),
    ],
)
def test_misuse(here: Cli, arguments: list[str], code: int, words: str) -> None:
    Path("empty.cu").write_text("")
    Path("broken.cu").write_text("#include <cuda_runtime.h>\nint main() { return nothing; }\n")
    Path("binary.cu").write_bytes(b"\x7fELF\xff\xfe")
    Path("task.py").write_text(TASK)
    done = here(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stderr
