"""FlashInfer-Bench: what is read of definitions and workloads, and which are refused."""

from __future__ import annotations

import json

import pytest
import torch
from foreign_problems import PAGED, SCALE, safetensors, scale_workload, write_trace

from kernelwright.bench_tasks.collections import read_collection
from kernelwright.bench_tasks.readers.flashinfer import read, read_one, recognises
from kernelwright.bench_tasks.reading import read_any_task
from kernelwright.bench_tasks.suite import Scale
from kernelwright.bench_tasks.task import Distribution
from kernelwright.errors import TaskError
from kernelwright.sandbox.reference import Reference


def paged_workload(path: str = "blob/a.safetensors", pages: int = 6) -> dict:
    stored = {name: {"type": "safetensors", "path": path, "tensor_key": name} for name in ("kv_indptr", "kv_indices")}
    axes = {"batch_size": 2, "len_indptr": 3, "num_pages": pages, "num_kv_indices": 5}
    return {"uuid": "u", "axes": axes, "inputs": {"cache": {"type": "random"}, **stored}}


def names_of(source: str) -> dict:
    """What the task file defines, run here: it is ours."""
    names: dict = {"ATTACHMENTS": {}}
    exec(source, names)
    return names


def test_a_trace_set_is_read(tmp_path):
    write_trace(tmp_path, SCALE, PAGED, workloads={"row_scale_c4": [scale_workload(rows) for rows in (64, 1, 64, 9)]})
    suite = read_collection(tmp_path)
    assert suite.format == "flashinfer-bench"
    assert [(t.name, t.level, t.family) for t in suite.tasks] == [
        ("paged_mean_ps2", "gqa_paged", "attention"), ("row_scale_c4", "rmsnorm", "norm"),
    ]  # fmt: skip
    assert not suite.unreadable
    scale = suite.tasks[1]
    assert scale.title == "Each row times its weight. Nothing else (3 of 4 workloads)"
    assert [w.sizes for w in scale.task.workloads if w.sizes] == [(("rows", 1),), (("rows", 9),)]
    assert SCALE["reference"].strip() in scale.task.source
    names = names_of(scale.task.source)
    x, w, factor = names["get_inputs"]()
    assert (tuple(x.shape), tuple(w.shape), factor) == ((64, 400), (64,), 0.5)
    assert torch.equal(names["Model"]()(x, w, factor), x * w[:, None] * 0.5)


def test_a_twin_has_fewer_rows_and_no_larger_workloads(tmp_path):
    write_trace(tmp_path, SCALE, workloads={"row_scale_c4": [scale_workload(rows) for rows in (64, 1, 512)]})
    (task,) = read(tmp_path).tasks
    assert task.twin == {"rows": 8, "columns": 128}
    twin = task.at(Scale.TWIN)
    assert [w.sizes for w in twin.workloads if w.sizes] == [(("rows", 1),)]
    assert names_of(twin.source)["get_inputs"]()[0].shape == (8, 128)


def test_a_constant_that_the_reference_asserts_stays(tmp_path):
    asserting = {
        **SCALE,
        "reference": SCALE["reference"].replace("    return", "    assert x.shape[1] == 400\n    return"),
    }
    (task,) = read(write_trace(tmp_path, asserting)).tasks
    assert task.twin == {"rows": 8}


def test_numbers_that_differ_between_workloads_come_from_a_list(tmp_path):
    rows = [scale_workload(4, 0.5), scale_workload(4, 2.0)]
    (task,) = read(write_trace(tmp_path, SCALE, workloads={"row_scale_c4": rows})).tasks
    names = names_of(task.task.source)
    assert names["get_inputs"]()[2] == 0.5
    names.update(next(dict(w.sizes) for w in task.task.workloads if w.sizes))
    assert names["get_inputs"]()[2] == 2.0


def test_pages_and_offsets_are_drawn_so_that_they_are_valid(tmp_path):
    (task,) = read(write_trace(tmp_path, PAGED)).tasks
    for source in (task.task.source, task.at(Scale.TWIN).source):
        for seed in range(5):
            torch.manual_seed(seed)
            names = names_of(source)
            cache, indptr, indices, last = names["get_inputs"]()
            assert indptr[0] == 0
            assert indptr[-1] == len(indices)
            assert int(indptr.diff().min()) >= 1
            assert int(indices.max()) < len(cache)
            assert set(last.tolist()) <= {1, 2}
            names["Model"]()(cache, indptr, indices, last)  # asserts that no page comes twice


def test_stored_inputs_travel_as_attachments(tmp_path):
    indptr, indices = torch.tensor([0, 2, 5], dtype=torch.int32), torch.tensor([5, 3, 0, 1, 2], dtype=torch.int32)
    write_trace(tmp_path, PAGED, workloads={"paged_mean_ps2": [paged_workload()]})
    (tmp_path / "blob").mkdir()
    (tmp_path / "blob" / "a.safetensors").write_bytes(safetensors({"kv_indptr": indptr, "kv_indices": indices}))
    (task,) = read(tmp_path).tasks
    assert sorted(task.task.attachments) == ["0/kv_indices", "0/kv_indptr"]
    with Reference(task.task) as reference:
        inputs = reference.inputs(Distribution.NORMAL, 3)
        assert torch.equal(inputs[1], indptr)
        assert torch.equal(inputs[2], indices)
        assert [spec.shape for spec in reference.signature.outputs] == [(2, 3)]
    with Reference(task.at(Scale.TWIN)) as reference:  # other sizes: drawn
        assert not torch.equal(reference.inputs(Distribution.NORMAL, 3)[2], indices)


@pytest.mark.parametrize(
    "path", ["../outside.safetensors", "blob/missing.safetensors", "blob/pointer.safetensors", "/etc/hostname"]
)
def test_stored_inputs_that_can_not_be_had_are_drawn(tmp_path, path):
    root = write_trace(tmp_path / "trace", PAGED, workloads={"paged_mean_ps2": [paged_workload(path)]})
    tensors = {name: torch.zeros(3, dtype=torch.int32) for name in ("kv_indptr", "kv_indices")}
    (tmp_path / "outside.safetensors").write_bytes(safetensors(tensors))
    (root / "blob").mkdir()
    (root / "blob" / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (task,) = read(root).tasks
    assert not task.task.attachments
    assert int(names_of(task.task.source)["get_inputs"]()[1][-1]) == 5


def test_float8_comes_as_its_bits(tmp_path):
    inputs = {**SCALE["inputs"], "x": {"shape": ["rows", "columns"], "dtype": "float8_e4m3fn"}}
    reference = SCALE["reference"].replace("x * w", "x.float() * w")
    task = read_one(write_trace(tmp_path, {**SCALE, "inputs": inputs, "reference": reference}))
    names = names_of(task.source)
    x, w, factor = names["get_inputs"]()
    assert x.dtype == torch.uint8
    assert torch.equal(names["Model"]()(x, w, factor), x.view(torch.float8_e4m3fn).float() * w[:, None] * factor)


def changed(**changes: object) -> dict:
    return {key: value for key, value in {**SCALE, **changes}.items() if value is not None}


INTEGERS = {"x": {"shape": ["rows", "columns"], "dtype": "float32"}, "w": {"shape": ["rows"], "dtype": "int32"}}


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (changed(reference="def run(x"), "not valid Python"),
        (changed(reference="def walk(x): ..."), r"defines no run\(\)"),
        (changed(reference="def run(x): ..."), r"run\(\) takes x"),
        (changed(reference="rows = 3\ndef run(x, w, factor): ..."), "defines 'rows' itself"),
        (changed(outputs=None), "has no outputs"),
        (changed(axes={"rows": {"type": "var"}}), "no list of names of axes"),
        (changed(axes={"rows": {"type": "var"}, "columns": {"type": "const", "value": 0}}), "neither a constant"),
        (changed(axes={"rows": {"type": "var"}, "columns": {"type": "const", "value": 4}, "for": {"type": "var"}}), "'for' can't be"),
        (changed(inputs={**SCALE["inputs"], "import os\n": {"shape": [], "dtype": "float32"}}), "can't be a name"),
        (changed(inputs={**SCALE["inputs"], "y": {"shape": ["rows"], "dtype": "float32"}}), "an input and an output"),
        (changed(inputs=INTEGERS, reference="def run(x, w): ..."), "nothing says which values the integers of the input 'w'"),
        (changed(inputs={"x": {"shape": ["rows"], "dtype": "float4_e2m1"}}, reference="def run(x): ..."), "float4_e2m1"),
        (changed(outputs={"y": {"shape": ["rows"], "dtype": "float8_e5m2"}}), "the output 'y' is of dtype float8_e5m2"),
        (changed(axes=[1]), "axes of the definition is no JSON object"),
    ],
)  # fmt: skip
def test_what_can_not_be_a_task_says_why(tmp_path, definition, said):
    root = tmp_path / "definitions" / "t"
    root.mkdir(parents=True)
    (root / "one.json").write_text(json.dumps(definition))
    suite = read(tmp_path)
    assert not suite.tasks
    with pytest.raises(TaskError, match=said):
        raise TaskError(suite.unreadable[0].why)
    assert suite.unreadable[0].level == "t"


@pytest.mark.parametrize("raw", [b'{"axes": ', b"\xff\xfe", b"[" * 100_000, b"7", b""])
def test_broken_files_among_definitions_are_listed(tmp_path, raw):
    write_trace(tmp_path, SCALE)
    (tmp_path / "definitions" / "broken.json").write_bytes(raw)
    suite = read(tmp_path)
    assert [t.name for t in suite.tasks] == ["row_scale_c4"]
    assert [u.name for u in suite.unreadable] == ["broken"]


def test_broken_workloads_are_left_out(tmp_path):
    write_trace(tmp_path, SCALE, workloads={"row_scale_c4": [scale_workload(64)]})
    file = tmp_path / "workloads" / "row_scale_c4.jsonl"
    wrong = [
        {"definition": "another", "workload": scale_workload(3)},
        {"definition": "row_scale_c4", "workload": {"axes": {"rows": "7"}}},
    ]
    file.write_text("{\n\n7\n" + "\n".join(map(json.dumps, wrong)) + "\n" + file.read_text())
    (task,) = read(tmp_path).tasks
    assert "\nrows = 64\n" in task.task.source


def test_only_definitions_are_recognised(tmp_path):
    write_trace(tmp_path, SCALE)
    definition = tmp_path / "definitions" / "rmsnorm" / "row_scale_c4.json"
    assert recognises(tmp_path)
    assert recognises(definition)
    assert read_any_task(definition).name == "row_scale_c4"
    (tmp_path / "solution.json").write_text(json.dumps({"definition": "row_scale_c4", "spec": {}, "sources": []}))
    assert not recognises(tmp_path / "solution.json")
    assert not recognises(tmp_path / "missing.json")
    (tmp_path / "words" / "definitions").mkdir(parents=True)
    (tmp_path / "words" / "definitions" / "a.json").write_text('{"axes": 3}')
    assert not recognises(tmp_path / "words")


def test_reading_runs_nothing(tmp_path):
    mark = tmp_path / "ran"
    evil = {
        **SCALE,
        "reference": f"open({str(mark)!r}, 'w')\n{SCALE['reference']}",
        "constraints": [f"open({str(mark)!r}, 'w')"],
    }
    assert len(read(write_trace(tmp_path / "trace", evil)).tasks) == 1
    assert not mark.exists()
