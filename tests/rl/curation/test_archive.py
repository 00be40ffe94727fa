"""Archives as they are published, and as nobody should publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelwright.errors import MisuseError
from kernelwright.rl.curation.archive import read_archive


def _file(folder: Path, *lines: Any) -> Path:
    path = folder / "archive.jsonl"
    path.write_bytes(
        b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines)
    )
    return path


CUDA_L1 = {
    "level_id": 1, "task_id": 12, "ref_code": "class Model: 1", "custom_code": "class ModelNew: 1", "cuda_graph_code": "no",
    "score_default": 2.75, "score_cudnn": 2.9,
}  # fmt: skip
SAKANA = {
    "Op_Name": "Matmul_for_3D", "Level_ID": 1, "Task_ID": 10, "Kernel_Name": "tiled", "CUDA_Code": "__global__", "Correct": True,
    "PyTorch_Code_Module": "class Model: 2", "PyTorch_Code_Functional": "def module_fn", "CUDA_Speedup_Native": 1.5, "CUDA_Runtime": 0.1,
}  # fmt: skip
KERNELBENCH = {
    "level": 2,
    "problem_id": 3,
    "ref_arch_src": "class Model: 3",
    "kernel_src": "class ModelNew: 3",
    "correctness": False,
    "speedup": "0.5",
}


def test_known_archives_are_read(tmp_path: Path) -> None:
    archive = read_archive(_file(tmp_path, CUDA_L1, SAKANA, KERNELBENCH))
    assert not archive.malformed
    one, two, three = archive.entries
    assert (one.name, one.task, one.kernel, one.speedup, one.correct) == (
        "level1_12",
        "class Model: 1",
        "class ModelNew: 1",
        2.75,
        None,
    )
    assert (two.name, two.kernel, two.functional, two.speedup, two.correct) == (
        "level1_10_Matmul_for_3D",
        "__global__",
        "def module_fn",
        1.5,
        True,
    )
    assert (three.line, three.name, three.speedup, three.correct) == (3, "level2_3", 0.5, False)


def test_other_fields_are_named(tmp_path: Path) -> None:
    path = _file(tmp_path, {"answer": "class ModelNew", "question": "class Model", "kernel": "not this", "gain": 3})
    archive = read_archive(path, {"kernel": "answer", "task": "question", "speedup": "gain"})
    assert [(e.kernel, e.task, e.speedup) for e in archive.entries] == [("class ModelNew", "class Model", 3.0)]
    assert archive.fields["kernel"] == "answer"
    with pytest.raises(MisuseError, match="'kernle'"):
        read_archive(path, {"kernle": "answer"})


def test_what_is_malformed_is_counted_with_its_line(tmp_path: Path) -> None:
    lines = [
        CUDA_L1, b"{not json", b"\xff\xfe", 7, [], {}, {"ref_code": "x"}, {"custom_code": "x"}, {"ref_code": 5, "custom_code": ["x"]},
        CUDA_L1 | {"custom_code": None}, b"", CUDA_L1 | {"ref_code": "x" * (1 << 20) + "y"}, b"[" * 100_000, CUDA_L1 | {"task_id": 13},
    ]  # fmt: skip
    archive = read_archive(_file(tmp_path, *lines))
    assert [entry.line for entry in archive.entries] == [1, 14]
    assert [bad.line for bad in archive.malformed] == [2, 3, 4, 5, 6, 7, 8, 9, 12, 13]
    assert archive.without_kernel == 1


@pytest.mark.parametrize("claim", [True, "fast", float("nan"), float("inf"), -1, 0, [], "1e999", 10**400])
def test_a_claim_that_is_no_number_is_none(tmp_path: Path, claim: Any) -> None:
    (entry,) = read_archive(_file(tmp_path, CUDA_L1 | {"score_default": claim})).entries
    assert entry.speedup is None


def test_names_are_harmless(tmp_path: Path) -> None:
    names = ["../../etc/passwd", "a\nb\x1b[31m", "", "é" * 500, {"a": 1}]
    archive = read_archive(_file(tmp_path, *({"ref_code": "m", "custom_code": "k", "Op_Name": name} for name in names)))
    assert all(e.name.isidentifier() or e.name.replace("_", "a").isalnum() for e in archive.entries)
    assert all(len(e.name) <= 80 for e in archive.entries)


def test_one_array_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("\ufeff \n" + json.dumps([CUDA_L1, 3, SAKANA]), encoding="utf-8")
    archive = read_archive(path)
    assert ([e.line for e in archive.entries], [m.line for m in archive.malformed]) == ([1, 3], [2])
    path.write_text("[{")
    assert len(read_archive(path).malformed) == 1


def test_what_is_missing_is_told_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"module": "x", "answer": "y"}\n' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "\n{}\n")
    assert [each.why for each in read_archive(path).malformed] == [
        "it has no task and no kernel that is text; it has 'module', 'answer'",
        "it is nested too deeply",
        "it has no task and no kernel that is text; it has nothing",
    ]
    assert len(read_archive(path, {"task": "module", "kernel": "answer"}).entries) == 1


def test_a_line_without_end_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (17 << 20) + b'"}\n' + json.dumps(CUDA_L1).encode())
    archive = read_archive(path)
    assert ([m.line for m in archive.malformed], [e.line for e in archive.entries]) == ([1], [2])


def test_no_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(MisuseError):
            read_archive(path)
    (tmp_path / "empty").write_bytes(b"")
    assert read_archive(tmp_path / "empty").entries == ()


_KEYS = st.sampled_from(["ref_code", "custom_code", "score_default", "Op_Name", "level_id"])
_VALUES = st.none() | st.text(max_size=5) | st.floats() | st.lists(st.none(), max_size=2)
_OBJECTS = st.dictionaries(_KEYS, _VALUES, max_size=4).map(lambda value: json.dumps(value).encode())


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.binary(max_size=60) | _OBJECTS, max_size=6))
def test_any_bytes_are_read(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "any"
    path.write_bytes(b"\n".join(lines))
    archive = read_archive(path)
    assert all(entry.task.strip() and entry.kernel.strip() for entry in archive.entries)
