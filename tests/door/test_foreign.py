"""Importing an archive: every entry is judged, claims stay claims, and what was interrupted goes on.

The judge is scripted by the text of a kernel; how the real one judges a stranger's kernel is `tests/leaderboard`'s and the last test's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from curation_doubles import evaluation
from judged_entries import own_settings

from kernelwright.bench_tasks.task import Task
from kernelwright.cli import run
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError, TaskError
from kernelwright.foreign import STRATEGY, Judge, fields_given, import_archive, planned
from kernelwright.jobs import Target, open_store, resume_run
from kernelwright.rl.curation.archive import Archive, read_archive
from kernelwright.rl.run import RunStatus
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Verdict

TASK = """\
import torch

ROWS = {rows}


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.{op}(x)


def get_inputs():
    return [torch.randn(ROWS, 64)]
"""
HandOver = Callable[[int, Evaluation, float], None]


def _entry(op: str, kernel: str, **more: Any) -> dict[str, Any]:
    return {
        "Op_Name": op,
        "ref_code": TASK.format(rows=32, op=op),
        "custom_code": f"class ModelNew: # {kernel}",
        **more,
    }


def _archive(folder: Path, *entries: Any) -> Archive:
    path = folder / "archive.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in entries))
    return read_archive(path)


def _scripted(*, at: Callable[[str], None] = lambda _: None) -> tuple[Judge, list[str]]:
    """Says what the kernel's comment says: `passed`, or another verdict."""
    asked: list[str] = []

    def judge(task: Task, kernels: Sequence[tuple[int, Kernel]], target: Target, hand_over: HandOver) -> None:
        for number, kernel in kernels:
            word = kernel.source.split()[3]
            asked.append(kernel.source)
            at(word)
            if word == "raises":
                raise TaskError("the reference does not run.")
            hand_over(
                number,
                evaluation(task, kernel, 2e-5)
                if word == "passed"
                else evaluation(task, kernel, None, verdict=Verdict(word)),
                1.5,
            )

    return judge, asked


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return own_settings(tmp_path / "data")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    settings.data.mkdir(parents=True)
    with open_store(settings) as opened:
        yield opened


def _import(archive: Archive, settings: Settings, store: Store, judge: Judge, **more: Any) -> Any:
    return import_archive(archive, settings, store=store, name="their archive", scale="full", judge=judge, **more)


def test_entries_become_attempts_with_our_verdict(tmp_path: Path, settings: Settings, store: Store) -> None:
    archive = _archive(
        tmp_path, _entry("relu", "passed 1", score_default=99.0, Correct=True), _entry("relu", "cheating 2", score_default=400.0),
        _entry("tanh", "wrong 3", Correct=True), _entry("relu", "passed 1"),
    )  # fmt: skip
    judge, _ = _scripted()
    found = _import(archive, settings, store, judge, licence="CC-BY-4.0")
    assert Counter(each.verdict for each in found.judged) == {"passed": 1, "cheating": 1, "wrong": 1}
    assert found.left == {"the same kernel for the same task came before": 1}
    runs = {summary.task_name: store.run(summary.id) for summary in store.runs()}
    assert set(runs) == {"relu", "tanh"}
    run = runs["relu"]
    assert (run.strategy, run.coder, run.status) == (STRATEGY, "their archive", RunStatus.FINISHED)
    assert run.settings["archive"]["licence"] == "CC-BY-4.0"
    assert run.settings["fenced"] is True
    one, two = store.attempts(run.id)
    assert (one.kernel.author, one.evaluation.verdict, two.evaluation.verdict) == (
        "their archive",
        Verdict.PASSED,
        Verdict.CHEATING,
    )
    assert one.evaluation.timing is not None
    assert one.evaluation.timing.speedup == 2.0  # what is claimed is beside it, not in it
    assert run.settings["claims"]["1"] == {"line": 1, "speedup": 99.0, "correct": True}
    assert one.notes == ("line 1 of archive.jsonl", "claimed: 99x")
    with pytest.raises(MisuseError, match="finished"):
        resume_run(run.id, settings, store=store, observer=lambda _: None)


def test_the_same_file_changes_nothing(tmp_path: Path, settings: Settings, store: Store) -> None:
    archive = _archive(tmp_path, _entry("relu", "passed 1"), _entry("tanh", "wrong 2"))
    judge, asked = _scripted()
    _import(archive, settings, store, judge)
    again = _import(archive, settings, store, judge)
    assert len(asked) == 2
    assert [each.before for each in again.judged] == [True, True]
    assert len(store.runs()) == 2


def test_a_licence_that_is_told_later_is_taken(tmp_path: Path, settings: Settings, store: Store) -> None:
    archive = _archive(tmp_path, *(_entry(op, "passed 1") for op in ("relu", "tanh", "sigmoid")))
    judge, asked = _scripted()

    def licences() -> set[str]:
        return {store.run(summary.id).settings["archive"]["licence"] for summary in store.runs()}

    _import(archive, settings, store, judge)
    assert licences() == {""}
    _import(archive, settings, store, judge, licence="CC-BY-4.0")
    assert licences() == {"CC-BY-4.0"}
    _import(archive, settings, store, judge)  # without one, it stays
    with pytest.raises(MisuseError, match=r"stored with the licence 'CC-BY-4\.0', not 'MIT'"):
        _import(archive, settings, store, judge, licence="MIT")
    assert licences() == {"CC-BY-4.0"}
    assert len(asked) == 3
    _import(archive, settings, store, judge, licence=" CC-BY-4.0\n")
    assert licences() == {"CC-BY-4.0"}


def test_what_could_not_be_judged_is_told_and_tried_again(tmp_path: Path, settings: Settings, store: Store) -> None:
    archive = _archive(
        tmp_path, _entry("relu", "passed 1"), _entry("relu", "raises 2"), _entry("relu", "passed 3"), _entry("tanh", "passed 4"),
        {"ref_code": "no module", "custom_code": "class ModelNew"}, {"ref_code": TASK.format(rows=1, op="abs"), "custom_code": "__global__"},
    )  # fmt: skip
    judge, asked = _scripted()
    found = _import(archive, settings, store, judge, jobs=2)
    assert sorted(each.entry.line for each in found.judged) == [1, 4]
    assert found.left["the reference does not run."] == 2
    assert sum(found.left.values()) == 4
    assert len([why for why in found.left if why.startswith(("the task: ", "the kernel: "))]) == 2
    _import(archive, settings, store, judge)
    assert Counter(asked)["class ModelNew: # raises 2"] == 2
    assert Counter(asked)["class ModelNew: # passed 1"] == 1


def test_a_limit_counts_new_entries(tmp_path: Path, settings: Settings, store: Store) -> None:
    archive = _archive(tmp_path, *(_entry("relu", f"passed {n}") for n in range(5)))
    judge, asked = _scripted()
    assert len(_import(archive, settings, store, judge, limit=2).judged) == 2
    assert len(_import(archive, settings, store, judge, limit=2).judged) == 4
    assert len(asked) == 4
    (summary,) = store.runs()
    assert summary.status is RunStatus.RUNNING


def test_tasks_are_judged_at_once(tmp_path: Path, settings: Settings, store: Store) -> None:
    both = threading.Barrier(2, timeout=30)
    judge, _ = _scripted(at=lambda _word: both.wait() and None)
    found = _import(
        _archive(tmp_path, _entry("relu", "passed 1"), _entry("tanh", "passed 2")), settings, store, judge, jobs=2
    )
    assert len(found.judged) == 2


def test_bare_cuda_calls_what_the_functional_module_takes(tmp_path: Path) -> None:
    cuda = '#include <torch/extension.h>\ntorch::Tensor forward(torch::Tensor x) { return x; }\nPYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward); }\n'
    functional = (
        TASK.format(rows=8, op="relu")
        .replace("def forward(self, x):", "def forward(self, x, fn=module_fn):")
        .replace("torch.relu(x)", "fn(x)")
    )
    functional = "import torch\n\ndef module_fn(x):\n    return torch.relu(x)\n\n" + functional
    row = {
        "Op_Name": "relu",
        "CUDA_Code": cuda,
        "PyTorch_Code_Module": TASK.format(rows=8, op="relu"),
        "PyTorch_Code_Functional": functional,
    }
    left: Counter[str] = Counter()
    (one,) = planned(_archive(tmp_path, row), left)
    ((_, kernel),) = one.entries
    assert not left
    assert "EXTENSION.forward(x)" in kernel.source
    assert one.task.task.source == functional
    del row["PyTorch_Code_Functional"]
    (two,) = planned(_archive(tmp_path, row), left)
    assert two.task.task.source == row["PyTorch_Code_Module"]
    assert "load_inline" in two.entries[0][1].source


def test_two_imports_of_one_file_are_refused(tmp_path: Path, settings: Settings, store: Store) -> None:
    archive = _archive(tmp_path, _entry("relu", "passed 1"))

    def nested(_word: str) -> None:
        with pytest.raises(MisuseError, match=r"^the import of archive\.jsonl is being worked on by process"):
            _import(archive, settings, store, _scripted()[0])

    judge, asked = _scripted(at=nested)
    _import(archive, settings, store, judge)
    assert len(asked) == 1


def test_fields_are_pairs() -> None:
    assert fields_given(["kernel=a", "task=b=c"]) == {"kernel": "a", "task": "b=c"}
    for pair in ("kernel", "kernel=", ""):
        with pytest.raises(MisuseError):
            fields_given([pair])


@pytest.mark.usefixtures("home")
def test_an_archive_of_which_nothing_is_judged_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_text(json.dumps({"ref_code": "no module", "custom_code": "class ModelNew"}) + "\n")
    assert run(["dataset", "import", str(path), "--device", "emulator"]) == 1
    assert "1 not judged: the task: " in capsys.readouterr().out
    path.write_text(json.dumps({"module": "x", "answer": "y"}) + "\n")
    assert run(["dataset", "import", str(path), "--device", "emulator"]) == 1
    assert "--field task=NAME --field kernel=NAME" in capsys.readouterr().out


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_foreign as t
from kernelwright.jobs import open_store
from judged_entries import own_settings
settings = own_settings(Path({data!r}))
count = 0
def at(word):
    global count
    count += 1
    if count == 4:
        os.kill(os.getpid(), signal.SIGKILL)
judge, _ = t._scripted(at=at)
with open_store(settings) as store:
    t._import(t.read_archive(Path({archive!r})), settings, store, judge)
"""


def test_a_killed_import_goes_on(tmp_path: Path, settings: Settings, store: Store) -> None:
    archive = _archive(tmp_path, *(_entry(op, f"passed {n}") for op in ("relu", "tanh") for n in range(4)))
    script = _KILLED.format(tests=str(Path(__file__).parent), data=str(settings.data), archive=str(archive.path))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([p for p in sys.path if p])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = sum(len(store.attempts(summary.id)) for summary in store.runs())
    assert kept <= 3
    judge, asked = _scripted()
    found = _import(archive, settings, store, judge)
    assert len(asked) == 8 - kept
    assert len(found.judged) == 8
    assert sum(len(store.attempts(summary.id)) for summary in store.runs()) == 8


KERNEL = '''\
import cupy
import torch

SOURCE = r"""
extern "C" __global__ void f(const float* x, float* y, int n) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = {what};
}}
"""
F = cupy.RawModule(code=SOURCE).get_function("f")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        F(((x.numel() + 255) // 256,), (256,), (x.data_ptr(), y.data_ptr(), x.numel()))
        return y
'''


@pytest.mark.learning
def test_the_real_judge_believes_nothing(tmp_path: Path, settings: Settings, store: Store) -> None:
    fallback = (
        "import torch\n\n\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n        return torch.relu(x)\n"
    )
    relu = _entry("relu", "")
    archive = _archive(
        tmp_path, relu | {"custom_code": KERNEL.format(what="fmaxf(x[i], 0.0f)"), "Correct": False},
        relu | {"custom_code": KERNEL.format(what="x[i] * 0.5f"), "Correct": True, "score_default": 30.0},
        relu | {"custom_code": fallback, "Correct": True, "score_default": 3.0},
    )  # fmt: skip
    found = import_archive(archive, settings, store=store, name="claims", scale="auto")
    verdicts = {each.entry.line: each.verdict for each in sorted(found.judged, key=lambda j: j.number)}
    assert (verdicts[1], verdicts[2]) == ("passed", "wrong")
    assert verdicts[3] in {"rejected", "cheating"}
