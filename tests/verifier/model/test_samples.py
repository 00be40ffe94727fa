"""Files of samples: what is written is read back, and a line that is no sample is named with what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_reports import copy
from model_samples import lines, measured, simulated

from kernelwright.errors import KernelwrightError, MisuseError, NotFoundError
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.samples import read_samples, write_samples

GOOD: dict[str, Any] = json.loads(lines([measured(copy(4096), "copy", 2e-6)]))


def file(tmp_path: Path, *each: object) -> Path:
    path = tmp_path / "samples.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in each))
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    samples = simulated(find_gpu("H200"))
    write_samples(samples, tmp_path / "s.jsonl")
    assert read_samples(tmp_path / "s.jsonl") == samples
    assert samples[0].report() == copy(4096, 1)


def test_empty_lines_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    assert len(read_samples(file(tmp_path, "", json.dumps(GOOD) + "\r", "   ", GOOD))) == 2


def changed(**fields: object) -> dict[str, Any]:
    return {**GOOD, **fields}


def launch(**fields: object) -> dict[str, Any]:
    return {**GOOD, "launch": {**GOOD["launch"], **fields}}


def counters(**fields: object) -> dict[str, Any]:
    return launch(counters={**GOOD["launch"]["counters"], **fields})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ('{"seconds": NaN}', "NaN is no time"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "no sample"),
        ("null", "no sample"),
        (changed(schema=2), "schema '2'; this version reads 1"),
        (changed(seconds=0), "seconds"),
        (changed(seconds=-1e-6), "seconds"),
        (changed(seconds="fast"), "seconds"),
        (changed(seconds=1e9), "seconds"),
        (changed(standard_error=-1), "standard_error"),
        (changed(repeats=0), "repeats"),
        (changed(date="yesterday"), "date"),
        (changed(date="2026-11-20T09:30:00"), "date"),
        (changed(date="0001-01-01T00:00:00+14:00"), "no GPU was measured in that year"),
        (changed(gpu=""), "gpu"),
        (changed(gpu=7), "gpu"),
        (changed(extra=1), "extra"),
        ({k: v for k, v in GOOD.items() if k != "driver"}, "driver"),
        (changed(launch={}), "three sizes"),
        (launch(grid=[1, 1]), "three sizes"),
        (launch(grid=[0, 1, 1]), "a size of grid"),
        (launch(grid=[1.5, 1, 1]), "a size of grid"),
        (launch(grid=[2**40, 2**40, 1]), "more blocks or threads than any GPU takes"),
        (launch(block=[1024, 2, 1]), "more blocks or threads than any GPU takes"),
        (launch(violations=[{"kind": "global_race", "message": "a race"}]), "violations"),
        (launch(surprise=1), "surprise"),
        (launch(counters=None), "no counters"),
        (counters(barriers=-1), "barriers"),
        (counters(barriers=True), "barriers"),
        (counters(barriers=10**400), "barriers"),
        (counters(barriers="many"), "barriers"),
        (counters(blocks=0), "blocks that were run"),
        (counters(flops=[1]), "flops is no mapping"),
        (counters(flops={"fp32": -1}), "flops of fp32"),
        (counters(tensor_flops={"fp4": 1}), "tensor_flops names fp4"),
        (counters(surprise=1), "surprise"),
        (launch(resources=[1]), "resources"),
        (launch(resources={"registers": 1e300}), "registers"),
        (launch(resources={"static_shared": 0}), "the launch is none"),
        (launch(lines=[{"line": 1, "surprise": 2}]), "the launch is none"),
        (launch(notes=[7]), "the launch is none"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_sample(tmp_path: Path, line: object, said: str) -> None:
    with pytest.raises(MisuseError) as caught:
        read_samples(file(tmp_path, GOOD, line))
    assert said in str(caught.value)
    assert caught.value.line == 2


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
nested = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@given(
    st.sampled_from(
        [*GOOD, *(f"launch.{k}" for k in GOOD["launch"]), *(f"launch.counters.{k}" for k in GOOD["launch"]["counters"])]
    ),
    nested,
)
def test_any_value_in_any_place_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: str, value: object
) -> None:
    whole = json.loads(json.dumps(GOOD))
    *path, last = place.split(".")
    inner = whole
    for name in path:
        inner = inner[name]
    inner[last] = value
    path_of_file = file(tmp_path_factory.mktemp("any"), whole)
    try:
        (found,) = read_samples(path_of_file)
    except KernelwrightError:
        return
    assert found.report().counters.blocks > 0


def test_files_that_hold_no_samples(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        read_samples(tmp_path / "none.jsonl")
    with pytest.raises(MisuseError, match="holds no sample"):
        read_samples(file(tmp_path, "", " "))
    with pytest.raises(MisuseError, match="can't be read"):
        read_samples(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MisuseError, match="UTF-8"):
        read_samples(tmp_path / "binary")
    with pytest.raises(MisuseError, match="characters is no sample"):
        read_samples(file(tmp_path, "x" * (1 << 21)))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as out:
        out.truncate(1 << 40)
    with pytest.raises(MisuseError, match="1,099,511,627,776 bytes"):
        read_samples(path)
