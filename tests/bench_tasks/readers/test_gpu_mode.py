"""GPU MODE: what is read of a problem's folder, and which problems are refused."""

from __future__ import annotations

import pytest
import torch
from foreign_problems import REFERENCE_PY, SUBMISSION_PY, TASK_YML, write_problem

from kernelwright.bench_tasks.collections import read_collection
from kernelwright.bench_tasks.readers.gpu_mode import read, read_one, recognises
from kernelwright.bench_tasks.reading import read_any_task
from kernelwright.bench_tasks.suite import Scale
from kernelwright.bench_tasks.task import Distribution
from kernelwright.errors import TaskError
from kernelwright.sandbox.reference import Reference


def test_a_repository_is_read(tmp_path):
    for board in ("first", "second"):
        write_problem(tmp_path / "problems" / board / "shift_py", submission_py=SUBMISSION_PY)
    write_problem(tmp_path / "problems" / "first" / "other")
    (tmp_path / "problems" / "first.yaml").write_text(
        "name: F\nproblems:\n  - directory: first/shift_py\n    name: the_shift\n"
    )
    suite = read_collection(tmp_path)
    assert suite.format == "gpu-mode"
    assert [(t.name, t.level) for t in suite.tasks] == [
        ("other", "first"), ("first_shift_py", "first"), ("second_shift_py", "second"),
    ]  # fmt: skip
    assert [t.title for t in suite.tasks] == [
        "Adds a number to each element", "the shift: Adds a number to each element", "Adds a number to each element",
    ]  # fmt: skip
    assert not suite.unreadable


def test_the_reference_stays_line_for_line(tmp_path):
    task = read_one(write_problem(tmp_path / "board" / "shift"))
    lines = zip(task.source.splitlines(), REFERENCE_PY.splitlines(), strict=False)
    assert [number for number, (made, given) in enumerate(lines) if made != given] == [0]
    assert task.source.splitlines()[0].endswith("; from utils import make_match_reference, Deterministic")
    assert "#   Adds a number" not in task.source
    assert "# Adds a number to each element. Two words more." in task.source
    assert task.path == str(tmp_path / "board" / "shift" / "reference.py")


def test_the_first_benchmark_is_timed_and_the_rest_are_workloads(tmp_path):
    task = read_one(write_problem(tmp_path / "board" / "shift"))
    assert "\nsize = 1000\n" in task.source
    assert [(w.name, dict(w.sizes)) for w in task.workloads if w.sizes] == [
        ("test-1", {"size": 60, "CASE": 0}), ("test-2", {"size": 65, "CASE": 1}), ("benchmark-2", {"size": 3000, "CASE": 0}),
    ]  # fmt: skip
    (whole,) = read(tmp_path).tasks
    assert whole.twin == {"size": 60, "CASE": 0}
    assert [w.name for w in whole.at(Scale.TWIN).workloads if w.sizes] == ["test-2"]


def test_it_opens_with_secret_seeds_and_without_buffers(tmp_path):
    (task,) = read(write_problem(tmp_path / "board" / "shift")).tasks
    with Reference(task.at(Scale.TWIN)) as reference:
        assert [spec.shape for spec in reference.signature.outputs] == [(60,)]
        first, again, other = (reference.inputs(Distribution.AS_GIVEN, seed) for seed in (1, 1, 2))
        x, shifts, buffer = first
        assert torch.equal(x, again[0])
        assert not torch.equal(x, other[0])
        assert (buffer[0], buffer[1], buffer[2].numel()) == ("empty", [60], 0)
        found = reference.run(first, weights_seed=0)
        assert torch.equal(found.native, x + shifts["by"])
        assert found.exact.dtype == torch.float64
        assert not found.changed
        reference.resize({"size": 65, "CASE": 1})
        assert float(reference.inputs(Distribution.AS_GIVEN, 1)[1]["by"]) > 90


def test_a_single_tensor_and_float8_go_through(tmp_path):
    reference_py = """import torch
from task import input_t


def ref_kernel(data: input_t):
    return data.float() * 2


def generate_input(size: int, seed: int, kind: str):
    return torch.full((size,), 1.5).to(torch.float8_e5m2)
"""
    task = read_one(write_problem(tmp_path / "board" / "double", reference_py=reference_py))
    with Reference(task) as reference:
        (given,) = reference.inputs(Distribution.NORMAL, 1)
        assert given[:2] == ["bits", "float8_e5m2"]
        assert reference.run([given], weights_seed=0).native.unique().tolist() == [3.0]


WITHOUT_IMPORTS = """import torch
def ref_kernel(data):
    return data
def generate_input({arguments}):
    return torch.ones(size)
"""


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"task_yml": "files: ["}, "is not YAML"),
        ({"task_yml": "7"}, "no names with values"),
        ({"task_yml": "lang: py\nfiles: 3"}, "no list of files"),
        ({"task_yml": "a: &a [x]\nb: [*a, *a]\nfiles: [1]"}, "has aliases"),
        ({"task_yml": "files: !!int ''"}, "is not YAML"),
        ({"task_yml": "files: !!float ''"}, "is not YAML"),
        ({"task_yml": "files: !!bool x"}, "is not YAML"),
        ({"task_yml": "files: !!timestamp x"}, "is not YAML"),
        ({"task_yml": "files: " + 30 * "[" + 30 * "]"}, "more than 20 lists"),
        ({"task_yml": 70_000 * "["}, "more than 65536 bytes"),
        ({"task_yml": TASK_YML + "multi_gpu: true\n"}, "several GPUs"),
        ({"task_yml": TASK_YML.replace('lang: "py"', "lang: cu")}, "its language is 'cu'"),
        ({"task_yml": TASK_YML.replace("../utils.py", "../../../utils.py")}, "no Python file within 2 folders"),
        ({"task_yml": TASK_YML.replace("../utils.py", "/etc/hostname")}, "no Python file within 2 folders"),
        ({"task_yml": TASK_YML.replace("../utils.py", "missing.py")}, "'missing.py', which is not there"),
        ({"task_yml": TASK_YML.partition("tests:")[0]}, "neither tests nor benchmarks"),
        ({"task_yml": TASK_YML.replace('"kind"', '"sort"')}, r"generate_input\(\) takes no 'sort'"),
        ({"task_yml": TASK_YML.replace(', "kind": "far"', "")}, "gives no 'kind'"),
        ({"reference_py": "def ref_kernel(x"}, "not valid Python"),
        ({"reference_py": "def ref_kernel(x): ...\n"}, "defines no generate_input"),
        ({"reference_py": REFERENCE_PY + "\nCASE = 3\n"}, "defines 'CASE'"),
        (
            {"reference_py": REFERENCE_PY + "\ndef check_implementation(data, output):\n    return True, ''\n"},
            "judges properties",
        ),
    ],
)
def test_what_can_not_be_a_task_says_why(tmp_path, files, said):
    folder = write_problem(tmp_path / "board" / "shift", **files)
    with pytest.raises(TaskError, match=said):
        read_one(folder)
    assert [u.name for u in read(tmp_path).unreadable] == ["shift"]


def test_numbers_do_not_hide_names_of_the_reference(tmp_path):
    reference_py = "size = 3\n" + WITHOUT_IMPORTS.format(arguments="size, seed, kind")
    task = read_one(write_problem(tmp_path / "board" / "shift", reference_py=reference_py))
    assert task.source.count("\nsize = ") == 0
    assert all("size" not in dict(w.sizes) for w in task.workloads)


def test_only_problems_are_recognised(tmp_path):
    folder = write_problem(tmp_path / "board" / "shift")
    assert recognises(folder)
    assert recognises(folder / "task.yml")
    assert recognises(tmp_path)
    assert not recognises(folder / "task.py")
    assert read_any_task(folder).name == read_any_task(folder / "task.yml").name == "shift"


def test_reading_runs_nothing(tmp_path):
    mark = tmp_path / "ran"
    evil = f"open({str(mark)!r}, 'w')\n"
    write_problem(tmp_path / "board" / "shift", reference_py=evil + REFERENCE_PY, task_py=evil)
    assert len(read(tmp_path).tasks) == 1
    assert not mark.exists()
