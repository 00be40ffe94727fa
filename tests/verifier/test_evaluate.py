"""evaluate() end to end: one honest kernel, and what becomes of it when one line of it changes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.events import StageFinished
from kernelwright.sandbox import emulator
from kernelwright.sandbox.candidate import Candidate
from kernelwright.sandbox.device import Device
from kernelwright.sandbox.emulated_module import EmulatedModule
from kernelwright.sandbox.kernel import Kernel
from kernelwright.sandbox.process import Limits
from kernelwright.sandbox.reference import Reference
from kernelwright.verifier.evaluate import evaluate
from kernelwright.verifier.evaluation import Evaluation, StageStatus, Verdict
from kernelwright.verifier.explain import explain
from kernelwright.verifier.model.gpus import find_gpu

TASK = task_from_source(
    """
import torch
class Model(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(n))
    def forward(self, x):
        return torch.tanh(x) * self.w
def get_inputs():
    return [torch.rand(37, 50)]
def get_init_inputs():
    return [50]
""",
    name="tanh_scale",
)

HONEST = '''
import cupy
import numpy as np
import torch

CUDA = r"""
extern "C" __global__ void tanh_scale(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y, int n, int cols) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y[i] = tanhf(x[i]) * w[i % cols];
    }
}
"""
MODULE = cupy.RawModule(code=CUDA, options=("--std=c++17",))


class ModelNew(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(n))

    def forward(self, x):
        y = torch.empty_like(x)
        kernel = MODULE.get_function("tanh_scale")
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            kernel(((x.numel() + 127) // 128,), (128,), (x.data_ptr(), self.w.data_ptr(), y.data_ptr(), np.int32(x.numel()), np.int32(x.shape[1])))
        return y
'''
H200 = find_gpu("H200")
DEVICE = Device("emulator", "H200", "sm_90", "process")
LIMITS = Limits(call_seconds=10)


@pytest.fixture(scope="module")
def reference():
    with Reference(TASK) as opened:
        yield opened


@pytest.fixture(scope="module")
def honest(reference):
    """The evaluation of the honest kernel, and its events."""
    events = []
    return judge(reference, HONEST, observer=events.append), events


def judge(reference: Reference, source: str, limits: Limits = LIMITS, **options) -> Evaluation:
    return evaluate(
        TASK, Kernel(source, "test"), device=DEVICE, reference=reference, gpu=H200, limits=limits, **options
    )


def changed(*edits: tuple[str, str]) -> str:
    source = HONEST
    for old, new in edits:
        assert old in source, old
        source = source.replace(old, new)
    return source


def test_an_honest_kernel_passes_with_all_its_evidence(reference, honest):
    found, events = honest
    assert found.verdict is Verdict.PASSED, found.reason
    names = ["static", "build", "sanitise", "correctness", "integrity", "timing", "profile"]
    assert [s.name for s in found.stages] == names
    assert [e.stage for e in events if isinstance(e, StageFinished)] == names
    assert all(s.status is StageStatus.PASSED for s in found.stages)
    build = next(s for s in found.stages if s.name == "build").evidence
    assert build["weights_by_name"] == ["w"]
    assert build["resources"]["tanh_scale"]["registers"] > 0
    calls = next(s for s in found.stages if s.name == "correctness").evidence["calls"]
    assert len(calls) == sum(w.seeds for w in TASK.workloads if w.fits(reference.signature))
    assert found.timing is not None
    assert found.timing.kind.value == "modelled"
    assert found.profile is not None
    (launch,) = found.profile.launches
    assert launch["kernel"] == "tanh_scale"
    assert launch["grid"] == [15, 1, 1]
    assert (
        launch["counters"]["global_load_unique_bytes"] == 4 * (37 * 50 + 50 + 14) // 32 * 32
    )  # 50 floats end in a sector
    assert launch["counters"]["global_store_bytes"] == 4 * 37 * 50
    assert len(set(found.seeds.values())) == len(found.seeds)
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


def test_a_kernel_that_can_not_beat_the_best_is_let_go_and_any_other_is_judged_whole(reference, honest):
    own = TASK.workloads[0].seeds
    timing = honest[0].timing
    assert timing is not None

    def against(factor: float, source: str = HONEST) -> Evaluation:
        return judge(reference, source, rival=timing.model_copy(update={"seconds": timing.seconds * factor}))

    for factor, calls in ((0.5, 1), (0.9, own), (1.0, own)):
        found = against(factor)
        assert found.verdict is Verdict.OUTCLASSED, found.reason
        assert [s.name for s in found.stages] == ["static", "build", "sanitise", "correctness"]
        last = found.stages[-1]
        assert last.status is StageStatus.SKIPPED
        assert len(last.evidence["calls"]) == calls
        assert last.evidence["modelled_seconds"] == pytest.approx(timing.seconds, rel=0.01)
        assert last.evidence["rival_seconds"] == timing.seconds * factor
        assert found.timing is None
        assert found.profile is not None
        assert Evaluation.model_validate_json(found.model_dump_json()) == found
        told = explain(TASK, Kernel(HONEST, "test"), found)
        assert found.reason in next(e for e in told if e.stage == "correctness").sentences
    assert against(1.1).verdict is Verdict.PASSED
    # what is wrong in its first call, or looks like cheating, is found out however slow it is
    assert against(0.1, changed(("y[i] = tanhf", "y[i] = 2.0f * tanhf"))).verdict is Verdict.WRONG
    decoy = changed(("y[i] =", "float z ="), ("        return y\n", "        return torch.tanh(x) * self.w\n"))
    assert against(0.1, decoy).verdict is Verdict.CHEATING
    assert against(9.0, decoy).verdict is Verdict.CHEATING


def test_seeds_are_secret_and_can_be_given_for_a_replay(reference, honest):
    one, two = (judge(reference, HONEST, draw_seed=itertools.count(5).__next__).seeds for _ in range(2))
    assert one == two
    assert set(honest[0].seeds.values()).isdisjoint(one.values())


BARE = '("x.numel() + 127) // 128,)'
RETURN = "        return y\n"
LINE = "y[i] = tanhf(x[i]) * w[i % cols];"
RACE = (LINE, LINE + " if (threadIdx.x == 0 && i + blockDim.x < n) y[i + blockDim.x] = -1.0f;")
"""Each block spoils an element of the next one, which puts it right if it comes later."""
LEFT_OVER = (
    (
        "    if (i < n) {",
        "    __shared__ float least; if (i == 0) least = -(float)n; __syncthreads();\n    if (i < n) {",
    ),
    (LINE, LINE.replace("tanhf(x[i])", "fmaxf(least, tanhf(x[i]))")),
)
"""Only the first block writes its shared memory; what the others find there (a NaN) loses against every number."""

CASES = {
    "a wrong constant": ([("tanhf(x[i]) *", "1.0002f * tanhf(x[i]) *")], Verdict.WRONG, "element"),
    "half precision inside": (
        [("extern", "#include <cuda_fp16.h>\nextern"), ("tanhf(x[i])", "__half2float(__float2half(tanhf(x[i])))")],
        Verdict.WRONG, "element",
    ),
    "a tail that is not computed": ([("i < n", "i < n - 1")], Verdict.WRONG, "never written"),
    "a missing bound": ([("i < n", "true")], Verdict.UNSAFE, "line 5"),
    "a write beyond the output": ([("y[i] =", "y[i + 1] =")], Verdict.UNSAFE, "y[i + 1]"),
    "a race whose loser is overwritten": ([RACE], Verdict.UNSAFE, "race between blocks"),
    "what another block left in shared memory": (LEFT_OVER, Verdict.UNSAFE, "no thread of the block has written it"),
    "CUDA that does not compile": ([("tanhf(x[i])", "tanhf(z[i])")], Verdict.COMPILE_ERROR, "line 5"),
    "a kernel that never ends": ([("if (i < n) {", "while (n > 0) { if (i == -1) y[0] = 1;")], Verdict.TIMEOUT, "line"),
    "a kernel that is not there": ([('get_function("tanh_scale")', 'get_function("other")')], Verdict.CRASHED, "other"),
    "too many threads": ([("(128,)", "(2048,)")], Verdict.CRASHED, "2048"),
    "an argument too few": ([(", np.int32(x.shape[1])", "")], Verdict.CRASHED, "argument"),
    "Python that raises": ([(RETURN, "        raise KeyError('boo')\n")], Verdict.CRASHED, "boo"),
    "Python that does not load": ([("MODULE =", "undefined\nMODULE =")], Verdict.CRASHED, "undefined"),
    "a process that ends": ([(RETURN, "        import os; os._exit(3)\n")], Verdict.CRASHED, "exit code 3"),
    "a process that is killed": ([(RETURN, "        import os; os.abort()\n")], Verdict.CRASHED, "SIGABRT"),
    "a missing package": ([("import cupy\n", "import cupy\nimport no_such_package\n")], Verdict.UNSUPPORTED, "no_such_package"),
    "the reference's own class": ([("(torch.nn.Module)", "(Model)"), ("import cupy\n", "import cupy\nModel = object\n")], Verdict.REJECTED, "derived"),
    "an input that is changed": ([(RETURN, "        x.zero_()\n" + RETURN)], Verdict.WRONG, "changes its input 0"),
    "an input that is returned": (
        [("torch.empty_like(x)", "x")], Verdict.WRONG, "",
    ),
    "a wrong dtype": ([(RETURN, "        return y.double()\n")], Verdict.WRONG, "dtype"),
    "a wrong shape": ([(RETURN, "        return y[:1]\n")], Verdict.WRONG, "shape"),
    "a list of one": ([(RETURN, "        return [y, y]\n")], Verdict.WRONG, "2 tensors"),
    "nothing": ([(RETURN, "        return None\n")], Verdict.WRONG, "0 tensors"),
    "an object": ([(RETURN, "        return object()\n")], Verdict.CRASHED, "object"),
    "no launch": ([("            kernel(", "            (lambda *a: None)("), (RETURN, "        return torch.tanh(x) * self.w\n")], Verdict.CHEATING, "No CUDA kernel"),
    "a decoy launch": ([(RETURN, "        return torch.tanh(x) * self.w\n")], Verdict.CHEATING, "decoys"),
    "a decoy that stores nothing": ([("y[i] =", "float z ="), (RETURN, "        return torch.tanh(x) * self.w\n")], Verdict.CHEATING, "stored nothing"),
    "a fall-back to torch": (
        [("            kernel(", "            pass\n        try:\n            raise ValueError\n            kernel("),
         (RETURN, "        except ValueError:\n            y = torch.tanh(x) * self.w\n" + RETURN)],
        Verdict.REJECTED, "When the kernel fails, torch.tanh() computes instead, in an exception handler (line 31).",
    ),
    "a fall-back that can't be read": (
        [("            kernel(", "            pass\n        try:\n            raise ValueError\n            kernel("),
         (RETURN, "        except ValueError:\n            y = eval('torch.tanh(x) * self.w')\n" + RETURN)],
        Verdict.CHEATING, "No CUDA kernel",
    ),
    "weights of its own": ([("self.w.data_ptr()", "torch.ones(50).data_ptr()")], None, ""),
    "another result on the same inputs": (
        [(RETURN, "        y *= 1.001 if torch.equal(getattr(self, 'last', y[0]), x) else 1.0\n        self.last = x.clone()\n" + RETURN)],
        Verdict.WRONG, "A second call on the same inputs",
    ),
    "an endless loop in Python": ([(RETURN, "        while True: pass\n")], Verdict.TIMEOUT, "did not finish"),
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case[1] is not None])
def test_one_changed_line_gets_its_verdict(reference, name):
    edits, verdict, says = CASES[name]
    # a kernel is built before it runs; a loop in Python takes all the time that there is
    limits = Limits(call_seconds=2, build_seconds=2 if "Python" in name else 10)
    found = judge(reference, changed(*edits), limits if verdict is Verdict.TIMEOUT else LIMITS)
    assert found.verdict is verdict, found.reason
    assert says in found.reason
    assert found.timing is None
    assert found.stages[-1].status is StageStatus.FAILED


@pytest.mark.parametrize("edits", [[RACE], LEFT_OVER])
def test_unsafe_kernels_whose_output_looks_right(edits):
    """What those two compute, blocks one after the other, is what was asked for: only the checks see what is wrong."""
    source = changed(*edits).split('r"""')[1].split('"""')[0]
    x, w, y = torch.rand(37, 50), torch.randn(50), torch.empty(37, 50)
    limits = emulator.LaunchLimits(check_shared=False, check_global=False, threads=1)
    module = emulator.compile(source)
    memory = emulator.Memory()
    report = module.launch(
        "tanh_scale",
        15,
        128,
        (x.numpy(), w.numpy(), y.numpy(), np.int32(1850), np.int32(50)),
        memory=memory,
        limits=limits,
    )
    assert not report.violations
    torch.testing.assert_close(y, torch.tanh(x) * w)


def test_freed_memory_is_not_readable(reference):
    found = judge(reference, changed(*CASES["weights of its own"][0]))
    assert found.verdict in {Verdict.WRONG, Verdict.UNSAFE}


def test_a_candidate_can_not_write_outside_under_bubblewrap(reference, tmp_path):
    from kernelwright.sandbox.isolation import bubblewrap_problem

    if problem := bubblewrap_problem():
        pytest.skip(problem)
    target = tmp_path / "written"
    source = changed((RETURN, f"        open({str(target)!r}, 'w').close()\n" + RETURN))
    device = Device("emulator", "H200", "sm_90", "bubblewrap")
    found = evaluate(TASK, Kernel(source, "t"), device=device, reference=reference, gpu=H200, limits=LIMITS)
    assert found.verdict is Verdict.CRASHED
    assert not target.exists()
    honest = evaluate(TASK, Kernel(HONEST, "t"), device=device, reference=reference, gpu=H200, limits=LIMITS)
    assert honest.verdict is Verdict.PASSED
    assert honest.device.isolation == "bubblewrap"


def test_a_candidate_that_eats_memory_is_ended(reference):
    source = changed((RETURN, "        keep = [bytearray(1 << 30) for _ in range(64)]\n" + RETURN))
    found = evaluate(
        TASK,
        Kernel(source, "t"),
        device=DEVICE,
        reference=reference,
        gpu=H200,
        limits=Limits(call_seconds=10, memory_bytes=4 << 30),
    )
    assert found.verdict is Verdict.CRASHED
    assert "memory" in found.reason.lower()


def test_no_process_and_no_directory_is_left_behind(reference, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with Candidate(Kernel(HONEST, "t"), DEVICE, limits=LIMITS) as candidate:
        assert list(tmp_path.iterdir())
        pid = candidate.pid
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        __import__("os").kill(pid, 0)


def test_a_passed_kernel_can_be_called_in_place_of_the_original(reference):
    init = reference.init(3)
    module = EmulatedModule(Kernel(HONEST, "t"), DEVICE, init)
    x = torch.randn(37, 50)
    torch.testing.assert_close(module(x), torch.tanh(x) * init.state["w"])
    module.close()


def test_a_kernel_that_ignores_weights_of_one_is_wrong():
    task = task_from_source(
        """
import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(50))
    def forward(self, x):
        return torch.tanh(x) * self.w
def get_inputs():
    return [torch.rand(37, 50)]
""",
        name="ones",
    )
    with Reference(task) as opened:
        for edits, verdict in [
            ([("self, n)", "self)"), ("torch.randn(n)", "torch.ones(50)")], Verdict.PASSED),
            ([("self, n)", "self)"), ("torch.randn(n)", "torch.ones(50)"), ("* w[i % cols]", "")], Verdict.WRONG),
        ]:
            kernel = Kernel(changed(*edits), "t")
            found = evaluate(task, kernel, device=DEVICE, reference=opened, gpu=H200, limits=LIMITS)
            assert found.verdict is verdict, found.reason


OWN_WORKLOADS = """
WORKLOADS = [
    {"distribution": "as_given"},
    {"distribution": "infinite"},
    {"distribution": "nan"},
    {"distribution": "normal", "strided": True},
]
"""


@pytest.mark.parametrize(
    ("edit", "verdict", "says"),
    [
        (("        y = torch.empty_like(x)\n", "        x = x.contiguous()\n        y = torch.empty_like(x)\n"), Verdict.PASSED, ""),
        (("torch.empty_like(x)", "torch.empty(x.shape)"), Verdict.WRONG, "'normal-strided'"),
        (("tanhf(x[i])", "fminf(1.0f, tanhf(x[i]))"), Verdict.WRONG, "'nan'"),
    ],
    ids=["contiguous", "strides ignored", "NaN forgotten"],
)  # fmt: skip
def test_a_task_may_name_its_own_workloads(edit, verdict, says):
    task = task_from_source(TASK.source + OWN_WORKLOADS, name="tanh_scale")
    with Reference(task) as opened:
        found = evaluate(
            task, Kernel(changed(edit), "t"), device=DEVICE, reference=opened, gpu=H200, limits=Limits(call_seconds=60)
        )
    assert found.verdict is verdict, found.reason
    assert says in found.reason
    if verdict is Verdict.PASSED:
        assert {"infinite/0", "nan/0", "normal-strided/0"} <= set(found.seeds)
