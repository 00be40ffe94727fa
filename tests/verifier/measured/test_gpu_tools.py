"""compute-sanitizer and Nsight Compute around a kernel's process in its sandbox; stand-ins print the samples of their manuals."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.sandbox.cuda.gpu_process import Program
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.isolation import bubblewrap_problem
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluation import Profile, StageStatus, TimingKind, Verdict
from kernelwright.verifier.measured.gpu_tools import FencedRun, profiled, sanitised
from kernelwright.verifier.profilers.sanitizer import TOOLS
from kernelwright.verifier.profilers.tools import find_tool
from kernelwright.verifier.stages import OpenStage, StageFailed

DATA = Path(__file__).parents[1] / "profilers" / "data"
CLEAN = "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n"
TASK = task_from_source(
    """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return x * 2
def get_inputs():
    return [torch.ones(64)]
def get_init_inputs():
    return []
""",
    name="twice",
)
KERNEL = '''
import cupy
import torch

K = cupy.RawKernel(r"""extern "C" __global__ void twice(const float* x, float* y) { y[threadIdx.x] = 2.f * x[threadIdx.x]; }""", "twice")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        K((1,), (64,), (x, y))
        print("called")
        return y
'''
# runs what stands behind its options, then prints a report; says what it was asked and how the program ended
STAND_IN = """#!{python}
import json, os, subprocess, sys
folder = os.path.dirname(os.path.realpath(__file__))
end = sys.argv.index({python!r})
program = subprocess.run(sys.argv[end:], close_fds=False, stdout=subprocess.PIPE, text=True)
print(program.stdout, end="")
print("STAND-IN " + json.dumps({{"options": sys.argv[1:end], "code": program.returncode}}))
print(open(os.path.join(folder, "report.txt")).read(), end="")
sys.exit({code} or program.returncode)
"""


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    with Reference(TASK) as opened:
        yield opened


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a stand-in of a tool on the PATH, in a folder that no sandbox shows by itself."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(name: str, report: str, code: int = 0) -> None:
        (folder / "report.txt").write_text(report)
        tool = folder / name
        tool.write_text(STAND_IN.format(python=sys.executable, code=code))
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)

    return put


class Noted(FencedRun):
    """Keeps what the tool's process gave."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.done = super().__call__(*arguments, **named)
        return self.done

    @property
    def asked(self) -> dict[str, Any]:
        (line,) = [line for line in self.done.stdout.splitlines() if line.startswith("STAND-IN ")]
        found: dict[str, Any] = json.loads(line.removeprefix("STAND-IN "))
        return found


def fenced(reference: Reference, source: str = KERNEL, isolation: str = "process", seconds: float = 60.0) -> Noted:
    device = Device("cuda", "H200", "sm_90", isolation)
    return Noted(
        Program(source), device, Limits(call_seconds=seconds), init=reference.init(0, moved=False), seed=0,
        inputs=[torch.ones(64)], expected=[256], wanted=reference.wanted, runtime="emulated",
    )  # fmt: skip


ISOLATIONS = [
    "process",
    pytest.param(
        "bubblewrap", marks=pytest.mark.skipif(bool(bubblewrap_problem()), reason=bubblewrap_problem() or "-")
    ),
]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_kernel_is_called_under_each_checker(reference: Reference, install: Install, isolation: str) -> None:
    install("compute-sanitizer", CLEAN)
    stage, run = OpenStage(), fenced(reference, isolation=isolation)
    sanitised(stage, run, ["twice", "twice"], TOOLS[:2], seconds=60)
    assert run.failure == ""
    assert stage.summary == "memcheck, racecheck: no violation"
    assert stage.status is StageStatus.PASSED
    assert run.asked["code"] == 0  # the process under the tool ended by itself
    assert run.asked["options"][:2] == ["--tool", "racecheck"]
    assert run.asked["options"].count("kne=twice") == 1
    assert "--log-file" not in run.asked["options"]
    assert "called" in run.done.stdout.splitlines()
    assert stage.evidence is not None
    assert [found["clean"] for found in stage.evidence["runs"]] == [True, True]


def test_a_violation_that_a_checker_reports_refuses_the_kernel(reference: Reference, install: Install) -> None:
    install("compute-sanitizer", (DATA / "memcheck.txt").read_text(), code=86)
    with pytest.raises(StageFailed) as caught:
        sanitised(OpenStage(), fenced(reference), ["twice"], TOOLS, seconds=60)
    assert caught.value.verdict is Verdict.UNSAFE
    assert caught.value.reason.startswith("On the GPU compute-sanitizer's memcheck found: thread (31, 0, 0)")
    assert "(_Z4fillPfi, CUDA source line 3)" in caught.value.reason
    assert [found["tool"] for found in caught.value.evidence["runs"]] == ["memcheck"]


def test_a_race_of_no_certain_effect_refuses_nothing(reference: Reference, install: Install) -> None:
    warning = (
        "========= COMPUTE-SANITIZER\n========= Warning: Race reported between Write access at twice+0x70 in kernel.cu:3\n"
        "=========     and Read access at twice+0x90 in kernel.cu:4 [32 hazards]\n"
        "========= RACECHECK SUMMARY: 1 hazard displayed (0 errors, 1 warning)\n"
    )
    install("compute-sanitizer", warning)
    stage = OpenStage()
    sanitised(stage, fenced(reference), ["twice"], ["racecheck"], seconds=60)
    assert stage.evidence is not None
    assert [v["severity"] for found in stage.evidence["runs"] for v in found["violations"]] == ["warning"]


@pytest.mark.skipif(any(map(find_tool, ("compute-sanitizer", "ncu"))), reason="the tools are here")
def test_without_the_tools_the_run_goes_on(reference: Reference) -> None:
    stage = OpenStage()
    sanitised(stage, fenced(reference), ["twice"], TOOLS, seconds=60)
    assert stage.status is StageStatus.SKIPPED
    assert stage.summary == "compute-sanitizer is not installed. It comes with the CUDA toolkit."
    stage = OpenStage()
    profiled(stage, fenced(reference), ["twice"], seconds=60)
    assert stage.status is StageStatus.SKIPPED
    assert stage.summary.startswith("Nsight Compute (ncu) is not installed.")


@pytest.mark.parametrize(
    ("source", "report", "said", "failure"),
    [
        (KERNEL.replace('print("called")', "import os; os._exit(7)"), "", "PROGRAM", "ended with exit code"),
        (KERNEL.replace('print("called")', "raise ValueError('odd')"), CLEAN, "", "odd"),
        (KERNEL, "========= Internal Sanitizer Error\n", "failed inside", ""),
        (KERNEL, "", "", ""),
    ],
)
def test_a_checker_that_tells_nothing_ends_nothing(
    reference: Reference, install: Install, source: str, report: str, said: str, failure: str
) -> None:
    install("compute-sanitizer", report)
    stage = OpenStage()
    sanitised(stage, fenced(reference, source), ["twice"], ["memcheck"], seconds=60)
    assert stage.evidence is not None
    assert failure in stage.evidence["failure"]
    assert (stage.status is StageStatus.PASSED) == (report == CLEAN and not failure)


def test_a_kernel_that_takes_too_long_under_a_tool_is_ended(reference: Reference, install: Install) -> None:
    install("compute-sanitizer", CLEAN)
    stage = OpenStage()
    endless = KERNEL.replace('print("called")', "\n        while True:\n            pass")
    sanitised(stage, fenced(reference, endless), ["twice"], ["memcheck"], seconds=8)
    assert stage.status is StageStatus.SKIPPED
    assert "did not end within 8 s" in stage.summary


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_nsight_computes_counters_become_a_measured_profile(
    reference: Reference, install: Install, isolation: str
) -> None:
    install("ncu", (DATA / "ncu_two_kernels.csv").read_text())
    stage, run = OpenStage(), fenced(reference, isolation=isolation)
    profiled(stage, run, ["twice"], seconds=60)
    assert run.asked["code"] == 0
    assert "regex:^(twice)$" in run.asked["options"]
    assert stage.summary.startswith("3 launches profiled")
    assert stage.evidence is not None
    profile = Profile.model_validate(stage.evidence["profile"])
    assert profile.kind is TimingKind.MEASURED
    assert [launch["kernel"] for launch in profile.launches] == ["_Z5scalePK6float4PS_i"] * 2 + ["_Z9transposePKfPfi"]
    assert profile.metrics[0]["gpu__time_duration.sum"] > 0


def test_counters_without_permission(reference: Reference, install: Install) -> None:
    install("ncu", (DATA / "ncu_no_permission.txt").read_text(), code=1)
    stage = OpenStage()
    profiled(stage, fenced(reference), ["twice"], seconds=60)
    assert stage.status is StageStatus.SKIPPED
    assert "performance counters for administrators" in stage.summary
    assert stage.evidence is not None
    assert "profile" not in stage.evidence
