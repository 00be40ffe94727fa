"""Submissions to GPU MODE: what is made of a file with custom_kernel, and what the judge says of it."""

from __future__ import annotations

import ast

import pytest
from foreign_problems import SUBMISSION_PY, write_problem

from kernelwright.bench_tasks.readers.gpu_mode import read
from kernelwright.bench_tasks.suite import Scale
from kernelwright.errors import KernelError
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.kernel_file import read_kernel
from kernelwright.sandbox.reference import Reference
from kernelwright.sandbox.submissions.gpu_mode import kernel_of
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.model.gpus import find_gpu


@pytest.fixture
def task(tmp_path):
    return read(write_problem(tmp_path / "board" / "shift")).tasks[0].at(Scale.TWIN)


def test_lines_stay_and_types_become_objects(task):
    made = kernel_of(task, SUBMISSION_PY).splitlines()
    given = SUBMISSION_PY.splitlines()
    changed = {given[i]: made[i] for i in range(len(given)) if made[i] != given[i]}
    assert changed == {
        "from task import input_t, output_t": "input_t = output_t = object",
        "from utils import make_match_reference": "pass",
    }


def test_imports_of_several_lines_keep_the_others_in_place(task):
    text = SUBMISSION_PY.replace(
        "from task import input_t, output_t", "from task import (\n    input_t,\n    output_t,\n)"
    )
    made = kernel_of(task, text)
    assert ast.parse(made)
    assert made.splitlines().index('SHIFT = cupy.RawKernel(r"""') == text.splitlines().index(
        'SHIFT = cupy.RawKernel(r"""'
    )


@pytest.mark.parametrize(("old", "new", "verdict"), [("", "", "passed"), ("x[i] + by[0]", "x[i] - by[0]", "wrong")])
def test_submissions_are_judged(task, tmp_path, old, new, verdict):
    file = tmp_path / "submission.py"
    file.write_text(SUBMISSION_PY.replace(old, new) if old else SUBMISSION_PY)
    kernel = read_kernel(file, task=task)
    with Reference(task) as reference:
        device = Device("emulator", "H200", "sm_90", "process")
        found = evaluate(task, kernel, device=device, reference=reference, gpu=find_gpu("H200"))
    assert found.verdict.value == verdict, found.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def custom_kernel(", "not valid Python"),
        ("def kernel(data): ...", "defines no custom_kernel"),
        ("import triton.language as tl\ndef custom_kernel(data): ...", "Triton can't be judged"),
        ("def custom_kernel(data):\n    from cutlass import cute", "CuTe"),
        ("from reference import ref_kernel\ncustom_kernel = ref_kernel", "reference.py of the problem"),
        ("import reference\ndef custom_kernel(data): return reference.ref_kernel(data)", "reference.py of the problem"),
        ("from task import *\ndef custom_kernel(data): ...", "task.py of the problem"),
        ("from utils import clear\ndef custom_kernel(data): clear()", "utils.py of the problem"),
    ],
)
def test_what_is_no_submission_is_told(task, text, said):
    with pytest.raises(KernelError, match=said):
        kernel_of(task, text)
