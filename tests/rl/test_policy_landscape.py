"""Landscapes as files: what is written is read, the same bytes each time, and anything else is refused in a sentence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from policy_doubles import GPU, kernel, landscape

from kernelwright.errors import ConfigError
from kernelwright.rl.policy.landscape import Landscape, read_landscapes, write_landscapes


def test_written_landscapes_are_read_again_sorted_and_always_the_same_bytes(tmp_path: Path) -> None:
    both = [landscape("core/b"), landscape("core/a@half")]
    path = tmp_path / "x.json.gz"
    write_landscapes(path, both)
    first = path.read_bytes()
    found = read_landscapes(path)
    assert [each.task for each in found] == ["core/a@half", "core/b"]
    assert found[1].to_json() == both[0].to_json()
    assert found[1].kernels[0].facts == both[0].kernels[0].facts
    assert [p.choice for p in found[1].kernels[0].priced] == [p.choice for p in both[0].kernels[0].priced]
    write_landscapes(path, reversed(found))
    assert path.read_bytes() == first
    assert read_landscapes(tmp_path) == found


def test_the_best_of_a_task_is_the_sum_of_its_kernels_bests() -> None:
    slow = kernel("other", law=lambda width, threads: 2e-5 if threads == 64 else 5e-5)
    both = landscape(kernels=(kernel(), slow))
    assert both.best_seconds(GPU) == pytest.approx(3e-5)
    assert both.best_seconds("A100 80GB") == float("inf")


def test_true_and_one_are_different_choices() -> None:
    data = landscape().to_json()
    data["kernels"][0]["priced"] = [
        {"knobs": {"prefetch": value}, "launches": [[1, 32, 0]], "seconds": {GPU: seconds}}
        for value, seconds in ((True, 1e-5), (1, 2e-5), (False, 3e-5))
    ]
    assert len(Landscape.from_json(json.loads(json.dumps(data))).kernels[0].by_key) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"plain text",
        gzip.compress(b"[]"),
        gzip.compress(b'{"format": 99, "landscapes": []}'),
        gzip.compress(b'{"format": 1, "landscapes": [{"task": "x"}]}'),
        gzip.compress(b'{"format": 1, "landscapes": [[]]}'),
        gzip.compress(b"[" * 100_000),
        gzip.compress(json.dumps({"format": 1, "landscapes": []}).encode())[:-9],
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no file of landscapes"):
        read_landscapes(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kernel: kernel["priced"][0].update(launches=[]),
        lambda kernel: kernel["priced"][0].update(launches=[[1]]),
        lambda kernel: kernel["priced"][0].update(launches=[[-1, 32, 0]]),
        lambda kernel: kernel["priced"][0].update(knobs={"threads": None}),
        lambda kernel: kernel["facts"]["numbers"].update(rows=float("nan")),
        lambda kernel: kernel["facts"].update(numbers=[1]),
        lambda kernel: kernel.update(priced=[]),
    ],
)
def test_facts_that_are_none_are_refused(tmp_path: Path, spoil: Callable[[dict[str, Any]], None]) -> None:
    data = landscape().to_json()
    spoil(data["kernels"][0])
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"format": 1, "landscapes": [data]}).encode()))
    with pytest.raises(ConfigError, match="no file of landscapes"):
        read_landscapes(path)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(tmp_path: Path, seconds: float) -> None:
    data = landscape().to_json()
    data["kernels"][0]["priced"][3]["seconds"][GPU] = seconds
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"format": 1, "landscapes": [data]}).encode()))
    with pytest.raises(ConfigError):
        read_landscapes(path)


def test_a_folder_without_landscapes_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no landscapes are in this folder"):
        read_landscapes(tmp_path)
