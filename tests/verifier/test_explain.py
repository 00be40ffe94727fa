"""`verify --explain`: what each stage's evidence says, for kernels that passed and for each kind of failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from evidence_kernels import DEVICE, H200, HONEST, LIMITS, TASK, kernel

from kernelwright.bench_tasks.task import Distribution, Workload
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, Stage, StageStatus
from kernelwright.verifier.explain import Explanation, explain, in_file

SHORT = replace(TASK, workloads=(Workload("as-given", Distribution.AS_GIVEN, 2), Workload("big", Distribution.LARGE)))
STAGES = ["static", "build", "sanitise", "correctness", "integrity", "timing", "profile"]
Explained = Callable[[Kernel], dict[str, Explanation]]


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine three seconds may be over before the simplest inputs are found."""
    monkeypatch.setattr("kernelwright.verifier.evaluate.SECONDS", 60.0)


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    with Reference(SHORT) as opened:
        yield opened


@pytest.fixture(scope="module")
def explained(reference: Reference) -> Explained:
    def ask(candidate: Kernel) -> dict[str, Explanation]:
        found = evaluate(SHORT, candidate, device=DEVICE, reference=reference, gpu=H200, limits=LIMITS)
        stages = explain(SHORT, candidate, found)
        assert [stage.stage for stage in stages] == STAGES
        return {stage.stage: stage for stage in stages}

    return ask


def said(stage: Explanation) -> str:
    return "\n".join(stage.sentences)


def line_of(candidate: Kernel, text: str) -> int:
    return next(n for n, line in enumerate(candidate.source.splitlines(), 1) if text in line)


def test_what_a_passed_kernel_has_shown(explained: Explained) -> None:
    stages = explained(kernel())
    assert all(stage.status == "passed" for stage in stages.values())
    assert "tanh3 was compiled for sm_90" in said(stages["build"])
    assert "no access out of bounds" in said(stages["sanitise"])
    correctness = said(stages["correctness"])
    assert "in 3 calls" in correctness
    assert "- as-given: 2 calls, largest error" in correctness
    assert "- big (values drawn as large): 1 call, largest error" in correctness
    assert "% of what is allowed" in correctness
    integrity = said(stages["integrity"])
    assert "tanh3 (1,584 B)" in integrity  # 12 x 33 floats
    assert "Each of its outputs lies in memory that its kernels stored to." in integrity
    assert "every launch doing nothing, its outputs were spoilt" in integrity
    assert "modelled for H200" in said(stages["timing"])
    assert "- tanh3: " in said(stages["timing"])
    assert "grid 4 x 1 x 1, block 128 x 1 x 1" in said(stages["profile"])


def test_a_kernel_whose_host_code_needs_its_kernels(explained: Explained) -> None:
    source = kernel().source.replace("        return y", "        assert not y.isnan().any()\n        return y")
    assert "it could not go on" in said(explained(Kernel(source, "test"))["integrity"])


def test_a_wrong_kernel(explained: Explained) -> None:
    correctness = explained(kernel("y[i] = i / cols == 3 ? 0.5f : 3.0f * tanhf(x[i]);"))["correctness"]
    assert correctness.status == "failed"
    text = said(correctness)
    assert "element [3, 0] is 0.5, should be " in text
    assert "times what is allowed" in text
    assert "Simplest inputs that show it (1 further call): all values are 0." in text
    assert "- input 0, (12, 33) float32: 0 everywhere." in text
    assert "There, element [3, 0] is 0.5, should be 0" in text


def test_an_unsafe_kernel_has_its_line(explained: Explained) -> None:
    candidate = kernel("y[i + 1] = 3.0f * tanhf(x[i]);")
    sanitise = explained(candidate)["sanitise"]
    assert "- out of bounds, CUDA source line 5: " in said(sanitise)
    (line,) = sanitise.lines
    assert (line.cuda_line, line.line) == (5, line_of(candidate, "y[i + 1]"))
    assert line.text.strip() == "y[i + 1] = 3.0f * tanhf(x[i]);"


def test_a_compile_error_has_its_column(explained: Explained) -> None:
    candidate = kernel("y[i] = 3.0f * tanhf(zeta[i]);")
    build = explained(candidate)["build"]
    assert 'identifier "zeta" is undefined' in said(build)
    (line,) = build.lines
    assert line.column is not None
    assert line.text[line.column - 1 :].startswith("zeta")
    assert line.line == line_of(candidate, "zeta")


def test_python_that_raises_has_its_line(explained: Explained) -> None:
    source = kernel().source.replace("        return y", "        raise KeyError('boo')")
    build = explained(Kernel(source, "test"))["build"]
    assert "KeyError" in said(build)
    assert [line.text.strip() for line in build.lines] == ["raise KeyError('boo')"]


def test_a_decoy(explained: Explained) -> None:
    source = kernel().source.replace("        return y", "        return torch.tanh(x) * 3.0")
    integrity = explained(Kernel(source, "test"))["integrity"]
    assert integrity.status == "failed"
    assert "decoys" in said(integrity)


def test_stages_behind_a_failure_are_not_reached(explained: Explained) -> None:
    stages = explained(Kernel("class ModelNew:\n    pass\n", "test"))
    assert [stage.status for stage in stages.values()] == ["failed", *["not reached"] * 6]
    assert stages["build"].sentences == ()
    assert "no CUDA kernel" in said(stages["static"])


def test_findings_of_static_analysis_are_told_with_their_lines() -> None:
    candidate = Kernel("import torch\nstream = torch.cuda.Stream()\n", "test")
    finding = {
        "severity": "warning",
        "line": 2,
        "column": 10,
        "reason": "It makes a stream",
        "mend": "Use the current one.",
    }
    stage = Stage(
        name="static",
        status=StageStatus.PASSED,
        summary="",
        seconds=0,
        evidence={"findings": [finding], "kernels": ["k"]},
    )
    static = explain(SHORT, candidate, _of(stage))[0]
    assert "- warning, line 2: It makes a stream. Use the current one." in static.sentences
    (line,) = static.lines
    assert (line.line, line.column, line.text) == (2, 10, "stream = torch.cuda.Stream()")


def test_how_a_task_that_draws_was_judged_is_told() -> None:
    random = {"runs_of_the_reference": 64, "calls_on_the_same_inputs": 4}
    stage = Stage(
        name="correctness", status=StageStatus.PASSED, summary="", seconds=0, evidence={"calls": [], "random": random}
    )
    text = said(explain(SHORT, kernel(), _of(stage))[3])
    assert "ran 64 times on the same inputs" in text
    assert "4 calls on the same inputs had to draw anew" in text


@pytest.mark.parametrize(
    "evidence", [{}, {"calls": 7, "violations": "x"}, {"mismatch": [], "findings": [1, {"line": "2"}]}]
)
@pytest.mark.parametrize("status", StageStatus)
def test_evidence_of_any_shape_is_read(evidence: dict[str, object], status: StageStatus) -> None:
    for name in STAGES:
        stage = Stage(name=name, status=status, summary="", seconds=0, evidence=evidence)
        assert explain(SHORT, kernel(), _of(stage))


def _of(*stages: Stage) -> Evaluation:
    device = {"kind": "emulator", "name": "e", "gpu": "H200", "arch": "sm_90", "isolation": "process"}
    return Evaluation.model_validate(
        {
            "task_id": "t", "kernel_id": "k", "verdict": "wrong", "reason": "It is wrong.", "stages": list(stages),
            "device": device,
        }
    )  # fmt: skip


def test_a_cuda_line_is_found_in_the_file_only_when_that_is_certain() -> None:
    candidate = kernel()
    assert in_file(candidate.source, 5, HONEST) == line_of(candidate, HONEST)
    assert in_file(candidate.source, 4, HONEST) is None
    assert in_file(candidate.source, 500, HONEST) is None
    assert in_file("not python (", 5, HONEST) is None
    twice = "A = '''\nint a;\n'''\nB = '''\nint a;\n'''\n"
    assert in_file(twice, 2, "int a;") is None
