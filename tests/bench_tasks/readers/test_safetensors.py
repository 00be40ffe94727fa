"""Single tensors out of a safetensors file, and files that are none."""

from __future__ import annotations

import json
import os

import pytest
import torch
from foreign_problems import safetensors

from kernelwright.bench_tasks.readers.safetensors import StoredTensor, read_tensor

DATA = safetensors({"a": torch.arange(3, dtype=torch.int32), "b": torch.ones(2, 2, dtype=torch.bfloat16)})


def with_header(header: object, data: bytes = b"\0" * 12) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_each_tensor_is_found(tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    assert read_tensor(tmp_path / "x", "a", most_bytes=12) == StoredTensor(
        "int32", (3,), bytes([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0])
    )
    found = read_tensor(tmp_path / "x", "b", most_bytes=8)
    assert isinstance(found, StoredTensor)
    assert torch.frombuffer(bytearray(found.data), dtype=torch.bfloat16).tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (DATA, "holds no 'c'"),
        (b"", "no safetensors"),
        (b"short", "no safetensors"),
        ((1 << 60).to_bytes(8, "little") + b"{}", "no safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        (with_header({"c": {"dtype": "I32", "shape": [3], "data_offsets": [0, 12]}})[:-1], "can't be right"),
        (with_header({"c": {"dtype": "I32", "shape": [-3], "data_offsets": [12, 0]}}), "can't be right"),
        (with_header({"c": {"dtype": "I32", "shape": [1], "data_offsets": [-4, 0]}}), "can't be right"),
        (with_header({"c": {"dtype": "Q4", "shape": [3], "data_offsets": [0, 12]}}), "'Q4'"),
        (with_header({"c": {"dtype": "F64", "shape": [3], "data_offsets": [0, 24]}}, b"\0" * 24), "over the limit"),
        (with_header({"c": {"shape": "x"}}), "no safetensors"),
        (with_header([1]), "no safetensors"),
        (with_header({"c": {"dtype": "I32", "shape": [1e400], "data_offsets": [0, 12]}}), "can't be right"),
        (with_header({"c": {"dtype": "I32", "shape": [3.5], "data_offsets": [0, 12]}}), "can't be right"),
        (with_header({"c": {"dtype": "I32", "shape": [True], "data_offsets": [0, 4]}}), "can't be right"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, raw, said):
    (tmp_path / "x").write_bytes(raw)
    found = read_tensor(tmp_path / "x", "c", most_bytes=16)
    assert isinstance(found, str)
    assert said in found


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x")
    assert read_tensor(tmp_path / "x", "c", most_bytes=16) == "x is no regular file"
