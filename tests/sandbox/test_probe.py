"""Probing tasks of strangers: sizes without memory, twins, reasons; and what their code can't do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from foreign_problems import REFERENCE_PY, write_problem
from foreign_tasks import KERNELBENCH, write_robust

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.readers.gpu_mode import read
from kernelwright.bench_tasks.readers.robust_kbench import read_one
from kernelwright.bench_tasks.suite import Scale, SuiteTask
from kernelwright.sandbox.isolation import bubblewrap_problem
from kernelwright.sandbox.probe import Probe, Prober, ProbeStatus
from kernelwright.sandbox.twins import MOST_ELEMENTS, MOST_FLOPS

FENCE = "process" if bubblewrap_problem() else "bubblewrap"


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober(fence=FENCE) as made:
        yield made


def probed(prober: Prober, source: str) -> Probe:
    return prober.probe(task_from_source(source, name="t"))


def task(body: str, *, inputs: str = "torch.randn(N, M)", sizes: str = "N = 64\nM = 32", model: str = "") -> str:
    return f"""import torch
{sizes}
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        {model or "pass"}
    def forward(self, x):
        {body}
def get_inputs():
    return [{inputs}]
"""


def test_a_task_of_terabytes_needs_no_memory(prober):
    weight = "self.w = torch.nn.Parameter(torch.ones(1 << 19, 1 << 19))"
    found = probed(prober, task("return x @ self.w", sizes="", model=weight, inputs="torch.randn(1 << 19, 1 << 19)"))
    assert found.status is ProbeStatus.NO_TWIN
    assert found.inputs[0].shape == (1 << 19, 1 << 19)
    assert found.flops == 2 * (1 << 57)
    assert found.bytes == 3 * 4 << 38


def test_a_twin_is_small_and_the_same_every_time(prober):
    source = KERNELBENCH.format(number=1)
    found = probed(prober, source)
    assert found.status is ProbeStatus.LOADED
    small = SuiteTask("t", task_from_source(source, name="t"), twin=found.twin).at(Scale.TWIN)
    again = prober.probe(small)
    assert again.elements <= MOST_ELEMENTS
    assert again.flops <= MOST_FLOPS
    assert not again.twin
    assert probed(prober, source) == found


def test_a_small_task_needs_none(prober):
    found = probed(prober, task("return x + 1"))
    assert (found.status, dict(found.twin), found.elements) == (ProbeStatus.LOADED, {}, 2 * 64 * 32)


def test_sizes_inside_of_get_inputs_can_not_be_changed_and_that_is_said(prober):
    found = probed(prober, task("return x + 1", inputs="torch.randn(8192, 8192)", sizes=""))
    assert found.status is ProbeStatus.NO_TWIN
    assert "no numbers at the top level" in found.why
    assert found.mend


def test_a_twin_that_would_give_one_value_everywhere_is_none(prober):
    body = "return torch.zeros_like(x) if N < 512 else x"
    found = probed(prober, task(body, sizes="N = 65536\nM = 512"))
    assert dict(found.twin).get("N", 65536) >= 512
    found = probed(prober, task("return x * 0", sizes="N = 65536\nM = 512"))
    assert found.status is ProbeStatus.NO_TWIN
    assert "one value everywhere" in found.why
    assert found.flat["N"] < 65536
    assert Probe.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_depends_on_values_is_run_for_real(prober):
    found = probed(prober, task("return x[: int(x.abs().sum().item()) % 3 + 2]"))
    assert found.status is ProbeStatus.LOADED


@pytest.mark.parametrize(
    ("source", "why", "mend"),
    [
        ("import no_such_package_x\n" + task("return x"), "needs the package 'no_such_package_x'", "pip install"),
        (task("return x @ x"), "raises RuntimeError", "by itself"),
        (task("return None"), "returns no tensor", ""),
        (task("return x", inputs=""), "returns no tensor", ""),
        (task("return x").replace("return [", "return torch.ones(3) #"), "returns no list", ""),
        ("raise SystemExit('bye')\n" + task("return x"), "raises SystemExit", ""),
        ("import os\nos._exit(0)\n" + task("return x"), "ends the process", ""),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n" + task("return x"), "ended by SIGKILL", ""),
        ("import ctypes\nctypes.string_at(0)\n" + task("return x"), "ended by SIGSEGV", ""),
        ("raise ValueError('\\x1b[2J\\x07 no')\n" + task("return x"), "raises ValueError", ""),
        ("class E(Exception):\n    def __str__(self): raise E\nraise E\n" + task("return x"), "raises E", ""),
    ],
)  # fmt: skip
def test_why_a_task_is_not_loaded(prober, source, why, mend):
    found = probed(prober, source)
    assert found.status is ProbeStatus.NOT_LOADED
    assert why in found.why
    assert mend in found.mend
    assert found.why.isprintable()


FORGED = """
import os, json
for number in range(3, 64):
    try:
        os.write(number, {answer!r})
    except OSError:
        pass
os._exit(0)
"""


@pytest.mark.parametrize("answer", [b"[]", b"{}", b'{"first": 1}', b'{"problem": 3}', b"x" * (1 << 21), b"\xff"])
def test_an_answer_that_a_task_writes_itself_is_taken_for_nothing_else(prober, answer):
    found = probed(prober, FORGED.format(answer=answer) + task("return x"))
    assert found.status is ProbeStatus.NOT_LOADED
    assert probed(prober, task("return x + 1")).status is ProbeStatus.LOADED


def test_no_task_leaves_anything_for_the_next(prober):
    evil = "import torch\ntorch.set_default_dtype(torch.float64)\ntorch.randn = lambda *a: torch.ones(1)\n"
    probed(prober, evil + task("return x"))
    assert probed(prober, task("return x + 1")).inputs[0].shape == (64, 32)
    assert probed(prober, task("return x + 1")).inputs[0].dtype == "float32"


@pytest.mark.skipif(bool(bubblewrap_problem()), reason="no bubblewrap here")
def test_its_code_sees_no_files_of_ours_and_no_network(prober, tmp_path):
    (tmp_path / "secret").write_text("x")
    source = f"import pathlib\nif pathlib.Path({str(tmp_path / 'secret')!r}).exists(): raise ValueError('seen')\n"
    assert probed(prober, source + task("return x")).status is ProbeStatus.LOADED
    source = "import socket\nsocket.create_connection(('127.0.0.1', 9))\n"
    assert "PermissionError" in probed(prober, source + task("return x")).why


def test_all_settings_of_a_robust_task_count(prober, tmp_path):
    task_of_settings = read_one(write_robust(tmp_path / "scale"))
    found = prober.probe(task_of_settings)
    assert found.inputs[0].shape == (64, 128)
    assert found.elements == 2 * 64 * 4096 + 4096
    backward = prober.probe(read_one(tmp_path / "scale" / "func_backward.py"))
    assert backward.status is ProbeStatus.LOADED


def test_a_twin_that_is_given_is_kept_where_it_runs(prober):
    source = task_from_source(KERNELBENCH.format(number=1), name="t")
    assert prober.probe(source, {"ROWS": 3}).twin == {"ROWS": 3}
    assert prober.probe(source, {"ROWS": -3}).twin != {"ROWS": -3}


def test_a_probe_can_be_kept(prober):
    found = probed(prober, KERNELBENCH.format(number=1))
    assert Probe.from_json(found.to_json()) == found


def test_problems_with_attachments_and_modules_made_in_forward_are_opened(prober, tmp_path):
    text = REFERENCE_PY.replace(
        "        x, shifts, out = data\n",
        "        x, shifts, out = data\n        torch.nn.LayerNorm(len(x)).to(x.device)\n",  # which fake tensors refuse
    )
    (found,) = read(write_problem(tmp_path / "board" / "shift", reference_py=text)).tasks
    probe = prober.probe(found.task, found.twin)
    assert probe.status is ProbeStatus.LOADED, probe.why
    assert probe.twin == {"size": 60, "CASE": 0}
    assert [spec.shape for spec in probe.inputs][:2] == [(1000,), (1,)]
